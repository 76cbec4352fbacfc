import type { RecordBody } from '@chaperone/evidence';
import type { Access } from '@chaperone/policy';
import { expect, it } from 'vitest';
import { systemClock } from '../../platform.ts';
import { ActionRecords } from '../../session/action-records.ts';
import type { Channel } from '../wire/channel.ts';
import { encode } from '../wire/channel-messages.ts';
import type { Approved } from '../../session/approval.ts';
import { Program, type ProgramContext } from './program.ts';
import { Shown } from '../../session/shown.ts';
import { Turns } from './turns.ts';

const access = {
  resource: { namespace: 'data', name: 'build', generation: 1, protocol: 'ssh' },
  policies: [],
  mode: 'Enforce',
  rules: [
    {
      name: 'fix',
      policy: { namespace: 'agents', name: 'ops' },
      effect: 'RequireApproval',
      ssh: { commands: ['touch **'] },
      approval: { groups: ['ops'], users: [], minimum: 1, all: [], timeoutMs: 1_000, transactionTimeoutMs: 1_000 },
    },
  ],
  ceiling: { statements: ['exec'] },
  sensitive: [],
  reveal: [],
  masking: {},
  limits: {},
  recording: { mode: 'durable', content: 'results', rows: 1, bytes: 1_000, retention: 'default' },
} as unknown as Access;

it('that was released for an agent who is gone by then leaves its end in the record, tells it, and opens nothing', async () => {
  const records: RecordBody[] = [];
  const session = {
    session: 's-a',
    append: (body: RecordBody) => {
      records.push(body);
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
  const work: Promise<unknown>[] = [];
  const ends: [string, string][] = [];
  const channel = {
    write: () => undefined,
    request: () => undefined,
    eof: () => undefined,
    close: () => undefined,
  } as unknown as Channel;
  const answer = Promise.withResolvers<Approved>();
  let opened = 0;
  const context: ProgramContext = {
    session: 's-a',
    access: () => access,
    records: new ActionRecords(
      session,
      () => access,
      () => undefined,
    ),
    approval: { ask: () => answer.promise } as unknown as ProgramContext['approval'],
    openUpstream: () => void opened++,
    whyNot: () => undefined,
    shown: new Shown(() => access),
    track: (each) => void work.push(each),
    turns: new Turns(),
    hostIdent: () => '',
    clock: systemClock,
    leftMs: () => Infinity,
    onFault: (error) => {
      throw error;
    },
    gone: new Promise(() => undefined),
    onActivity: () => undefined,
  };
  const program = new Program(context, () => channel);
  program.onRequest({ name: 'exec', payload: encode.exec(Buffer.from('touch x')), reply: () => undefined });
  await Promise.resolve();
  program.onClose();
  answer.resolve({ kind: 'released', ended: (state, result) => void ends.push([state, result]), isCurrent: () => true });
  await Promise.all(work);
  expect(records).toMatchObject([
    { type: 'action', verdict: 'approve' },
    { type: 'done', action: 0, error: { code: 'AgentClosed', message: 'the agent was gone; it did not run' }, bytes: 0 },
  ]);
  expect([ends, opened]).toEqual([[['Failed', 'the agent was gone; it did not run']], 0]);
});
