import type { EndRequest, Looked, LookedRequest, Question, RequestView } from '@chaperone/policy';
import { describe, expect, test } from 'vitest';
import { ApprovalError, type Approvals } from '../control/approvals.ts';
import { type Clock, systemClock } from '../platform.ts';
import { Holds, type HeldAction } from './holds.ts';
import { Recent } from './recent.ts';

const DIGEST = 'a'.repeat(64);
const NAME = `ar-${'a'.repeat(16)}`;
const warned: string[] = [];
const logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message: string) => void warned.push(message),
  error: () => undefined,
};

const view = ({ name }: { name: string }, state: RequestView['state']): RequestView => ({
  name,
  digest: DIGEST,
  state,
  mode: 'hold',
  expiresInMs: 60_000,
  timeoutMs: 60_000,
  decisions: [],
});

/** Whoever decides says so when asked, and answers a release so. */
function decides(
  released: RequestView['state'],
  asked: Partial<RequestView> = { state: 'Approved' },
): Approvals & {
  readonly told: EndRequest[];
  readonly looks: LookedRequest[];
  readonly say: (state: RequestView['state']) => void;
} {
  const told: EndRequest[] = [];
  const looks: LookedRequest[] = [];
  const listeners: ((view: RequestView) => void)[] = [];
  return {
    told,
    looks,
    ask: (question) => Promise.resolve({ ...view(question, 'Pending'), ...asked }),
    looked: (look) => Promise.resolve(void looks.push(look)),
    release: (release) => Promise.resolve(view(release, released)),
    ended: (end) => Promise.resolve(void told.push(end)),
    onChange: (listener) => void listeners.push(listener),
    say: (state) => listeners.forEach((tell) => tell(view({ name: NAME }, state))),
  };
}
const action: HeldAction = {
  question: { session: `s-${'a'.repeat(16)}`, action: 1 } as Question,
  seal: () => DIGEST,
  look: () => Promise.resolve({ preview: { count: 1 } }),
  waiting: () => undefined,
  gone: new Promise(() => undefined),
};
const broken = (): never => {
  throw new Error('its connection broke');
};
/** Waits for nothing long. */
const clock: Clock = { ...systemClock, after: (ms) => systemClock.after(Math.min(ms, 20)) };
const holdsWith = (approvals: Approvals): Holds => new Holds({ approvals, clock, logger, recent: new Recent(clock) });

test.each<[RequestView['state'], string, EndRequest['state'] | undefined]>([
  ['Released', 'released', undefined],
  ['Denied', 'denied', undefined],
  ['Expired', 'expired', undefined],
  ['Voided', 'voided', undefined],
  ['Pending', 'voided', 'Withdrawn'],
])('an approved action whose release is answered with %s is %s', async (answer, kind, told) => {
  const approvals = decides(answer);
  expect((await holdsWith(approvals).hold(action)).kind).toBe(kind);
  expect(approvals.told.map(({ state }) => state)).toEqual(told === undefined ? [] : [told]);
});

/** A look that lasts until it is ended, or is told to have come to something. */
function aLook() {
  const found = Promise.withResolvers<Looked>();
  let signal: AbortSignal | undefined;
  let count = 0;
  const look = (given: AbortSignal): Promise<Looked> => {
    count += 1;
    signal = given;
    return found.promise;
  };
  return { look, found, isEnded: () => signal?.aborted, count: () => count };
}

/** Those who decide, who do not take what is told so often. */
function busy(approvals: ReturnType<typeof decides>, times: number, code: ApprovalError['code'] = 'Unreachable') {
  const tries = { count: 0 };
  const looked: Approvals['looked'] = (look) => {
    tries.count += 1;
    return tries.count <= times ? Promise.reject(new ApprovalError(code, 'x')) : approvals.looked(look);
  };
  return { ...approvals, looked, tries };
}

describe('what an action would meet', () => {
  const pending = { name: NAME, state: 'Pending' } as const;
  test('is looked at once people are asked, and told when it is known', async () => {
    const [approvals, it] = [decides('Released', pending), aLook()];
    const held = holdsWith(approvals).hold({
      ...action,
      look: it.look,
      waiting: () => it.found.resolve({ preview: { count: 7 } }),
    });
    await expect.poll(() => approvals.looks).toEqual([{ name: NAME, digest: DIGEST, preview: { count: 7 } }]);
    approvals.say('Approved');
    expect((await held).kind).toBe('released');
  });

  test('is waited for by nobody: a decision ends the look, and nothing is told', async () => {
    const [approvals, it] = [decides('Released', pending), aLook()];
    const held = holdsWith(approvals).hold({ ...action, look: it.look });
    await expect.poll(it.count).toBe(1);
    approvals.say('Approved');
    expect((await held).kind).toBe('released');
    expect(it.isEnded()).toBe(true);
    it.found.resolve({ preview: { count: 7 } });
    await it.found.promise;
    expect(approvals.looks).toEqual([]);
  });

  test('is not looked at any more when the agent leaves, and is when another of it asks the same', async () => {
    const [approvals, it, gone] = [decides('Released', pending), aLook(), Promise.withResolvers<undefined>()];
    const holds = holdsWith(approvals);
    const held = holds.hold({ ...action, look: it.look, gone: gone.promise });
    await expect.poll(it.count).toBe(1);
    gone.resolve(undefined);
    expect([(await held).kind, it.isEnded()]).toEqual(['gone', true]);
    it.found.resolve({ preview: { count: 7 } });
    await it.found.promise;
    expect(approvals.looks).toEqual([]);
    const again = holds.hold(action);
    await expect.poll(() => approvals.looks).toHaveLength(1);
    approvals.say('Denied');
    await again;
  });

  test('of one that does not wait is looked at after its agent was told so', async () => {
    const [approvals, it] = [decides('Released', { ...pending, mode: 'retry' }), aLook()];
    const outcome = await holdsWith(approvals).hold({ ...action, look: it.look, gone: Promise.resolve() });
    expect([outcome.kind, it.isEnded()]).toEqual(['pending', false]);
    it.found.resolve({ preview: { why: 'x' } });
    await expect.poll(() => approvals.looks).toEqual([{ name: NAME, digest: DIGEST, preview: { why: 'x' } }]);
  });

  test.each<[string, Partial<RequestView>]>([
    ['was granted before', { ...pending, state: 'Approved' }],
    ['was denied already', { ...pending, state: 'Denied' }],
    ['is known already', { ...pending, mode: 'retry', looked: true }],
    ['is of another action', { ...pending, digest: 'b'.repeat(64) }],
  ])('is not looked at where it %s', async (_, asked) => {
    const [approvals, it] = [decides('Released', asked), aLook()];
    await holdsWith(approvals).hold({ ...action, look: it.look });
    expect([it.count(), approvals.looks]).toEqual([0, []]);
  });

  test('is looked at once by all connections together', async () => {
    const [approvals, it] = [decides('Released', { ...pending, mode: 'retry' }), aLook()];
    const holds = holdsWith(approvals);
    for (let each = 0; each < 3; each++) await holds.hold({ ...action, look: it.look });
    expect(it.count()).toBe(1);
  });

  test('is looked at ten times a minute', () => {
    const holds = holdsWith(decides('Released'));
    expect(Array.from({ length: 12 }, () => holds.mayPreview()).filter(Boolean)).toHaveLength(10);
  });

  test('is told a few times where whoever decides is busy', async () => {
    const approvals = busy(decides('Released', { ...pending, mode: 'retry' }), 3);
    await holdsWith(approvals).hold(action);
    await expect.poll(() => approvals.looks).toHaveLength(1);
    expect(approvals.tries.count).toBe(4);
  });

  test('is told no more once it is decided, and by another connection that asks the same', async () => {
    const approvals = busy(decides('Released', pending), 1);
    const holds = holdsWith(approvals);
    const held = holds.hold(action);
    await expect.poll(() => approvals.tries.count).toBe(1);
    approvals.say('Denied');
    await held;
    await clock.after(100);
    await clock.after(100);
    expect(approvals.tries.count).toBe(1);
    const again = holds.hold(action);
    await expect.poll(() => approvals.looks).toHaveLength(1);
    approvals.say('Denied');
    await again;
  });

  test('is looked at anew where nobody could be told, and no more than three times', async () => {
    const [approvals, never] = [busy(decides('Released', pending), 4), busy(decides('Released', pending), 99)];
    const held = holdsWith(approvals).hold(action);
    await expect.poll(() => approvals.looks).toHaveLength(1);
    expect(approvals.tries.count, 'four times of the first look').toBe(5);
    approvals.say('Denied');
    await held;
    const other = holdsWith(never).hold(action);
    await expect.poll(() => never.tries.count).toBe(12);
    await clock.after(100);
    await clock.after(100);
    expect(never.tries.count).toBe(12);
    never.say('Denied');
    await other;
    expect(warned.splice(0)).toHaveLength(4);
  });

  test('is not looked at any more where the agent cannot be told that it waits', async () => {
    const [approvals, it] = [decides('Released', pending), aLook()];
    const held = holdsWith(approvals).hold({ ...action, look: it.look, waiting: broken });
    await expect(held).rejects.toThrow('its connection broke');
    expect(it.isEnded()).toBe(true);
  });

  test('is told once where it is not wanted', async () => {
    const approvals = busy(decides('Released', { ...pending, mode: 'retry' }), 9, 'RequestUnknown');
    await holdsWith(approvals).hold(action);
    await expect.poll(() => warned.splice(0)).toEqual(['what a request would meet could not be told']);
    expect(approvals.tries.count).toBe(1);
  });

  test('and cannot be told changes nothing of the decision', async () => {
    const approvals = decides('Released', pending);
    const refused = { ...approvals, looked: () => Promise.reject(new ApprovalError('Unreachable', 'x')) };
    const held = holdsWith(refused).hold(action);
    await expect.poll(() => warned).toEqual(['what a request would meet could not be told']);
    approvals.say('Approved');
    expect((await held).kind).toBe('released');
  });
});
