import type { EndRequest, Question, RequestView } from '@chaperone/policy';
import { expect, test } from 'vitest';
import type { Approvals } from '../control/approvals.ts';
import { systemClock } from '../platform.ts';
import { Holds, type HeldAction } from './holds.ts';
import { Recent } from './recent.ts';

const DIGEST = 'a'.repeat(64);
const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

const view = ({ name }: { name: string }, state: RequestView['state']): RequestView => ({
  name,
  digest: DIGEST,
  state,
  mode: 'hold',
  expiresInMs: 60_000,
  timeoutMs: 60_000,
  decisions: [],
});

/** Whoever decides approves at once, and answers a release so. */
function decides(released: RequestView['state']): Approvals & { readonly told: EndRequest[] } {
  const told: EndRequest[] = [];
  return {
    told,
    ask: (question) => Promise.resolve(view(question, 'Approved')),
    release: (release) => Promise.resolve(view(release, released)),
    ended: (end) => Promise.resolve(void told.push(end)),
    onChange: () => undefined,
  };
}
const action: HeldAction = {
  question: { session: `s-${'a'.repeat(16)}`, action: 1 } as Question,
  seal: () => DIGEST,
  waiting: () => undefined,
  gone: new Promise(() => undefined),
};

test.each<[RequestView['state'], string, EndRequest['state'] | undefined]>([
  ['Released', 'released', undefined],
  ['Denied', 'denied', undefined],
  ['Expired', 'expired', undefined],
  ['Voided', 'voided', undefined],
  ['Pending', 'voided', 'Withdrawn'],
])('an approved action whose release is answered with %s is %s', async (answer, kind, told) => {
  const approvals = decides(answer);
  const holds = new Holds({ approvals, clock: systemClock, logger, recent: new Recent(systemClock) });
  expect((await holds.hold(action)).kind).toBe(kind);
  expect(approvals.told.map(({ state }) => state)).toEqual(told === undefined ? [] : [told]);
});
