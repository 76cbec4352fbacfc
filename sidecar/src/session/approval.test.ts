import type { Access, AskingRule, JudgedEffect, LookedRequest, Question, RequestView } from '@chaperone/policy';
import type { RecordBody } from '@chaperone/evidence';
import { expect, it } from 'vitest';
import { systemClock } from '../platform.ts';
import { Holds, type HoldsOptions } from './holds.ts';
import { Recent } from './recent.ts';
import { ActionRecords } from './action-records.ts';
import { type Asked, Approval } from './approval.ts';

const access = {
  resource: { namespace: 'data', name: 'build', generation: 1, protocol: 'ssh' },
  digest: 'd',
  recording: { mode: 'durable', content: 'results', rows: 1, bytes: 1, retention: 'default' },
} as Access;
const exec: JudgedEffect = { verb: 'exec', object: 'shell', via: 'direct', verdict: 'approve', rule: 'fix' };
const asks: AskingRule[] = [{ policy: { namespace: 'agents', name: 'ops' }, rule: 'fix' }];
const COMMAND: Asked = {
  action: 0,
  unit: 'command',
  verdict: { verdict: 'approve', code: 'ApprovalPending', reason: '', effects: [exec], asks },
  text: 'shell',
  state: { variables: '[]', terminal: 'null' },
};

/** An approval whose people are told by `people`, of an agent whose actions were looked at so often already. */
function approvalBy(
  people: Partial<HoldsOptions['approvals']>,
  { looks = 0, maxRead }: { looks?: number; maxRead?: number | undefined } = {},
): Approval {
  const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const approvals = {
    ask: () => Promise.reject(new Error('enough')),
    looked: () => Promise.resolve(),
    release: () => Promise.reject(new Error('never')),
    ended: () => Promise.resolve(),
    onChange: () => undefined,
    ...people,
  };
  const recorder = { session: `s-${'a'.repeat(16)}`, append: () => Promise.resolve(), close: () => Promise.resolve() };
  const holds = new Holds({ approvals, clock: systemClock, logger: silent, recent: new Recent(systemClock) });
  for (let at = 0; at < looks; at++) holds.mayPreview();
  return new Approval({
    protocol: 'ssh',
    session: recorder.session,
    access: () => access,
    agent: { namespace: 'agents', serviceAccount: 'bot' },
    onBehalfOf: undefined,
    account: 'deploy',
    upstream: 'build:22',
    masked: (text) => text.replaceAll('hunter2', '*****'),
    holds,
    records: new ActionRecords(
      recorder,
      () => access,
      () => undefined,
    ),
    clock: systemClock,
    ...(maxRead !== undefined && { maxRead }),
  });
}

/** What people are asked; undefined: nobody is. */
async function questionOf(asked: Asked, maxRead?: number): Promise<Question | undefined> {
  const questions: Question[] = [];
  const ask = (question: Question): Promise<never> => {
    questions.push(question);
    return Promise.reject(new Error('enough'));
  };
  await approvalBy({ ask }, { maxRead })
    .ask(asked, new Promise(() => undefined), () => undefined)
    .catch(() => undefined);
  return questions[0];
}

const pending = ({ name, digest }: Question): Promise<RequestView> =>
  Promise.resolve({ name, digest, state: 'Pending', mode: 'hold', expiresInMs: 60_000, timeoutMs: 60_000, decisions: [] });

/** What people are told once they are asked. */
async function lookOf(asked: Asked, looks = 0): Promise<LookedRequest['preview']> {
  const told = Promise.withResolvers<LookedRequest>();
  const looked = (request: LookedRequest): Promise<void> => Promise.resolve(told.resolve(request));
  const gone = Promise.withResolvers<void>();
  const asking = approvalBy({ ask: pending, looked }, { looks }).ask(asked, gone.promise, () => undefined);
  const { preview } = await told.promise;
  gone.resolve();
  await asking;
  return preview;
}

/** What names the action that people are asked about. */
const digestOf = async (asked: Asked): Promise<string> => (await questionOf(asked))?.digest ?? '';

it.each<[string, Partial<Asked>]>([
  ['a shell', { unit: 'shell' }],
  ['another effect', { verdict: { ...COMMAND.verdict, effects: [{ ...exec, verb: 'shell', object: '' }] } }],
  ['another rule that asks', { verdict: { ...COMMAND.verdict, asks: [{ ...(asks[0] as AskingRule), rule: 'root' }] } }],
  ['another text', { text: 'shell ' }],
  ['other variables', { state: { ...COMMAND.state, variables: '[["TEFORw==","Qw=="]]' } }],
  ['a terminal', { state: { ...COMMAND.state, terminal: '["none",""]' } }],
])('what was approved for one is not for %s', async (_, mods) => {
  expect(await digestOf({ ...COMMAND, ...mods })).not.toBe(await digestOf(COMMAND));
  expect(await digestOf(COMMAND)).toMatch(/^[0-9a-f]{64}$/);
});

it('names the same alike, and asks nobody about what is too long to read', async () => {
  expect(await digestOf(COMMAND)).toBe(await digestOf({ ...COMMAND }));
  expect(await digestOf({ ...COMMAND, text: 'x'.repeat(200_000) })).toBe('');
});

it.each([
  [8_192, 8_192, true],
  [8_193, 8_192, false],
  [8_193, undefined, true],
])('of %i characters nobody approves more than the %s that they see', async (length, maxRead, isAsked) => {
  const question = await questionOf({ ...COMMAND, text: 'x'.repeat(length) }, maxRead);
  expect(question !== undefined).toBe(isAsked);
  expect(question?.text.endsWith('…') ?? false).toBe(isAsked && length > 8_192);
});

it('shows people blanks that they could not tell', async () => {
  const verdict = { ...COMMAND.verdict, effects: [{ ...exec, object: 'rm a\u00a0b ' }] };
  expect(await questionOf({ ...COMMAND, verdict, text: 'rm a\u00a0b ' })).toMatchObject({
    text: 'rm a\\u{a0}b\\u{20}',
    sentence: 'EXEC rm a\\u{a0}b\\u{20}',
    effects: [{ object: 'rm a\\u{a0}b\\u{20}' }],
  });
});

it('says to people why it cannot be told what runs, however long the text', async () => {
  const note = 'what it runs cannot be told, since a shell would put something in place of $ or a backtick';
  for (const object of ['rm $x', `rm $x ${'y'.repeat(2_000)}`]) {
    const verdict = { ...COMMAND.verdict, effects: [{ ...exec, object }] };
    const { sentence = '' } = (await questionOf({ ...COMMAND, verdict, text: object, note })) ?? {};
    expect(sentence).toMatch(/^EXEC rm \$x/);
    expect(sentence.endsWith(`: ${note}`)).toBe(true);
    expect(sentence.length).toBeLessThanOrEqual(512);
  }
});

const looking =
  (preview: LookedRequest['preview']): NonNullable<Asked['look']> =>
  () =>
    Promise.resolve(preview);

it('shows people what it would do, masked, visible and bounded, and else says why not', async () => {
  const look = looking({ count: 1, change: ['+ a: hunter2\u202e', `+ ${'b'.repeat(300)}`] });
  const preview = await lookOf({ ...COMMAND, look });
  expect(preview).toEqual({ count: 1, change: ['+ a: *****\\u{202e}', `+ ${'b'.repeat(197)}…`] });
  expect(await lookOf({ ...COMMAND, look: looking({ why: 'refused: hunter2' }) })).toEqual({ why: 'refused: *****' });
  expect(await lookOf(COMMAND)).toEqual({ why: 'what it would do is not tried before it runs' });
});

it('looks at no more than ten actions of an agent in a minute', async () => {
  const look = looking({ change: ['+ a: b'] });
  expect(await lookOf({ ...COMMAND, look }, 9)).toEqual({ change: ['+ a: b'] });
  expect(await lookOf({ ...COMMAND, look }, 10)).toEqual({ why: 'this agent asked too often' });
});

it.each([
  ['results', ['+ a: b']],
  ['commands', ['+ a: b']],
  ['metadata', undefined],
] as const)(
  'keeps in evidence what people saw of a change, unless its policy keeps metadata alone: %s',
  async (content, change) => {
    const appended: RecordBody[] = [];
    const append = (record: RecordBody): Promise<void> => Promise.resolve(void appended.push(record));
    const recorder = { session: `s-${'a'.repeat(16)}`, append, close: () => Promise.resolve() };
    const inForce = { ...access, recording: { ...access.recording, content } };
    const records = new ActionRecords(
      recorder,
      () => inForce,
      () => undefined,
    );
    await records.approval({ action: 0, digest: 'd', state: 'Released', waitedMs: 1, decisions: [], change: ['+ a: b'] });
    const kept = { type: 'approval', action: 0, digest: 'd', state: 'Released', waitedMs: 1, decisions: [] };
    expect(appended).toEqual([change === undefined ? kept : { ...kept, change }]);
  },
);
