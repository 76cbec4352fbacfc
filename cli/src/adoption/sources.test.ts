import type { SessionList, SessionRecord, SessionSummary } from '@chaperone/evidence';
import { expect, test } from 'vitest';
import type { CollectorClient } from '../collector/client.ts';
import { CliError } from '../errors.ts';
import { AUDITING, Recorder, sessionOf } from './adoption.test-support.ts';
import { seenActions, type SessionCount } from './seen.ts';
import { collectedSessions } from './sources.ts';

type Client = Pick<CollectorClient, 'list' | 'outline'>;

const TICKETS = new Recorder(AUDITING).sql(['select', 'public.tickets']);
function recordsOf(serviceAccount = 'support-agent'): SessionRecord[] {
  const source = sessionOf({ bodies: [TICKETS], serviceAccount });
  return 'records' in source ? [...(source.records as SessionRecord[])] : [];
}
function summaryOf(name: string, mods: Partial<SessionSummary> = {}): SessionSummary {
  const agent = { namespace: 'agents', serviceAccount: 'support-agent' };
  const rest = {
    actions: 1,
    denied: 0,
    held: 0,
    masked: 0,
    state: 'ended',
    evidence: 'received',
    erased: false,
    onHold: false,
  } as const;
  return { name, agent, ...rest, ...mods };
}

/** A collector that has these sessions, and fails after so many records of one as it says. */
function collectorOf(
  items: readonly SessionSummary[],
  fails: Readonly<Record<string, readonly [after: number, error: Error]>> = {},
): Client {
  return {
    list: (): Promise<SessionList> => Promise.resolve({ items: [...items], truncated: false }),
    outline: async function* (name) {
      const [after, error] = fails[name] ?? [Number.POSITIVE_INFINITY, undefined];
      for (const [at, record] of recordsOf().entries()) {
        if (error !== undefined && at >= after) throw error;
        yield await Promise.resolve(record);
      }
    },
  };
}

async function seen(client: Client, since?: number): Promise<{ sessions: string[]; count: SessionCount }> {
  const count: SessionCount = { read: 0, unread: new Map() };
  const wanted = { agent: { namespace: 'agents', serviceAccount: 'support-agent' }, ...(since === undefined ? {} : { since }) };
  const sessions: string[] = [];
  for await (const { session } of seenActions(collectedSessions(client, wanted, undefined), wanted, count))
    sessions.push(session);
  return { sessions, count };
}

test('a session that cannot be read is counted once with its reason, and the others are read', async () => {
  const items = [
    summaryOf('s-whole'),
    summaryOf('s-erased', { erased: true }),
    summaryOf('s-hidden'),
    summaryOf('s-half'),
    summaryOf('s-short', { evidence: 'incomplete' }),
    summaryOf('s-other', { agent: { namespace: 'agents', serviceAccount: 'other', pod: 'support-agent' } }),
  ];
  const client = collectorOf(items, {
    's-hidden': [0, new CliError('NotPermitted', 'no')],
    's-half': [1, new CliError('EvidenceAltered', 'no')],
  });
  const { sessions, count } = await seen(client);
  expect(sessions).toEqual(['s-whole', 's-short']);
  expect([count.read, Object.fromEntries(count.unread)]).toEqual([
    3,
    { 'it was erased': 1, 'you may not read it': 1, 'its evidence is altered': 1, 'some of its evidence is missing': 1 },
  ]);
});

test('what says more than that one session cannot be read ends it all', async () => {
  const client = collectorOf([summaryOf('s-a')], { 's-a': [0, new CliError('CollectorUnreachable', 'no')] });
  await expect(seen(client)).rejects.toMatchObject({ code: 'CollectorUnreachable' });
});

test('sessions that began before are none of those that are wanted', async () => {
  expect(await seen(collectorOf([summaryOf('s-a')]), 1_001)).toMatchObject({ sessions: [], count: { read: 0 } });
  expect(await seen(collectorOf([summaryOf('s-a')]), 1_000)).toMatchObject({ sessions: ['s-a'], count: { read: 1 } });
});
