import { setImmediate as turn } from 'node:timers/promises';
import type { RecordBody } from '@chaperone/evidence';
import type { Access } from '@chaperone/policy';
import { expect, it } from 'vitest';
import { systemClock } from '../../platform.ts';
import { ActionRecords } from '../../session/action-records.ts';
import type { Channel, ChannelHandler } from '../wire/channel.ts';
import { encode, parse } from '../wire/channel-messages.ts';
import type { Approved } from '../../session/approval.ts';
import { Program } from './program.ts';
import type { ProgramContext } from './program-context.ts';
import { Shown } from '../../session/shown.ts';
import { Turns } from './turns.ts';
import { string, uint32 } from '../wire/data.ts';
import { packet, SFTP_VERSION, TYPE } from '../wire/sftp.ts';

const access = {
  resource: { namespace: 'data', name: 'build', generation: 1, protocol: 'ssh' },
  policies: [],
  digest: '',
  mode: 'Enforce',
  rules: [
    {
      name: 'fix',
      policy: { namespace: 'agents', name: 'ops' },
      effect: 'RequireApproval',
      ssh: { commands: ['touch **'], files: { operations: ['read'], paths: ['/asked/**'] } },
      approval: { groups: ['ops'], users: [], minimum: 1, all: [], timeoutMs: 1_000, transactionTimeoutMs: 1_000 },
    },
    {
      name: 'go',
      policy: { namespace: 'agents', name: 'ops' },
      effect: 'Allow',
      ssh: { commands: ['git-upload-pack **', 'ls'], files: { operations: ['read'], paths: ['/srv/**'] } },
    },
  ],
  ceiling: { statements: ['exec', 'read'] },
  sensitive: [],
  reveal: [],
  masking: {},
  limits: {},
  recording: { mode: 'durable', content: 'results', rows: 1, bytes: 1_000, retention: 'default' },
} as unknown as Access;

/** A host on which paths lead elsewhere, or that has no SFTP; it says what it was asked to run. */
class Host {
  readonly ran: string[] = [];
  /** Of SFTP: where each path leads; absent: it has none. */
  leads: ((path: string) => string) | undefined;
  whyNot: string | undefined;
  speaksNonsense = false;
  /** Never says whether it opens a channel, or whether it runs what it is asked to. */
  silence: 'opening' | 'asked' | undefined;
  answers: (() => void) | undefined;
  closed = 0;

  readonly open: ProgramContext['openUpstream'] = (_type, _payload, handler, onResult) => {
    if (this.whyNot !== undefined) return onResult({ kind: 'refused', code: 2, text: this.whyNot });
    const channel = {
      isClosed: false,
      write: (bytes: Buffer) => this.#sftp(handler, bytes),
      consumed: () => undefined,
      request: (name: string, payload: Buffer, reply?: (isGranted: boolean) => void) => {
        if (this.silence === 'asked') return void (this.answers = () => reply?.(true));
        if (name === 'exec') this.ran.push(parse.exec(payload).toString());
        return reply?.(name === 'exec' || this.leads !== undefined);
      },
      eof: () => handler.onClose(),
      close: () => this.closed++,
    } as unknown as Channel;
    if (this.silence === 'opening') return (this.answers = () => onResult({ kind: 'opened', channel, payload: Buffer.alloc(0) }));
    return onResult({ kind: 'opened', channel, payload: Buffer.alloc(0) });
  };

  /** Answers INIT and REALPATH once whoever asks listens. */
  #sftp(handler: ChannelHandler, bytes: Buffer): void {
    if (this.speaksNonsense) return queueMicrotask(() => handler.onData(Buffer.from('Welcome!\n'), 'data'));
    const isFirst = bytes[4] === TYPE.init;
    const path = isFirst ? '' : bytes.subarray(13).toString();
    const name = [uint32(1), string(this.leads?.(path) ?? ''), string(''), uint32(0)];
    const answer = isFirst ? packet(TYPE.version, uint32(SFTP_VERSION)) : packet(TYPE.name, bytes.subarray(5, 9), ...name);
    queueMicrotask(() => handler.onData(answer, 'data'));
  }
}

interface Ran {
  readonly records: RecordBody[];
  readonly said: string[];
  readonly ends: [string, string][];
  readonly asked: Parameters<ProgramContext['approval']['ask']>[0][];
  program?: Program;
}

/** Runs a command. `approve` is who is asked; `program` may go meanwhile. */
async function run(
  command: string | Buffer,
  host: Host,
  approve: (program: Program) => Promise<'released' | 'refused'> = () => Promise.resolve('refused'),
): Promise<Ran> {
  const ran: Ran = { records: [], said: [], ends: [], asked: [] };
  const session = {
    session: 's-a',
    append: (body: RecordBody) => {
      ran.records.push(body);
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
  const channel = {
    write: (data: Buffer) => ran.said.push(data.toString()),
    consumed: () => undefined,
    request: () => undefined,
    eof: () => undefined,
    close: () => undefined,
  } as unknown as Channel;
  const work: Promise<unknown>[] = [];
  const ask: ProgramContext['approval']['ask'] = async (asked): Promise<Approved> => {
    ran.asked.push(asked);
    const kind = await approve(program);
    if (kind === 'refused') return { kind, refusal: { code: 'ApprovalDenied' } };
    return { kind, ended: (state, result) => void ran.ends.push([state, result]), isCurrent: () => true };
  };
  const context: ProgramContext = {
    session: 's-a',
    access: () => access,
    records: new ActionRecords(
      session,
      () => access,
      () => undefined,
    ),
    approval: { ask } as unknown as ProgramContext['approval'],
    openUpstream: host.open,
    whyNot: () => host.whyNot,
    shown: new Shown(() => access),
    track: (each) => void work.push(each),
    turns: new Turns(),
    hostIdent: () => 'SSH-2.0-OpenSSH_10.0',
    clock: { ...systemClock, after: (ms) => (host.silence === undefined ? systemClock.after(ms) : Promise.resolve()) },
    leftMs: () => Infinity,
    onFault: (error) => {
      throw error;
    },
    gone: new Promise(() => undefined),
    onActivity: () => undefined,
  };
  const program = new Program(context, () => channel);
  program.onRequest({ name: 'exec', payload: encode.exec(Buffer.from(command)), reply: () => undefined });
  await Promise.all(work);
  ran.program = program;
  return ran;
}

it('that was released for an agent who is gone by then leaves its end in the record, tells it, and opens nothing', async () => {
  const host = new Host();
  const { records, ends } = await run('touch x', host, (program) => {
    program.onClose();
    return Promise.resolve('released');
  });
  expect(records).toMatchObject([
    { type: 'action', verdict: 'approve' },
    { type: 'done', action: 0, error: { code: 'AgentClosed', message: 'the agent was gone; it did not run' }, bytes: 0 },
  ]);
  expect([ends, host.ran]).toEqual([[['Failed', 'the agent was gone; it did not run']], []]);
});

const RSYNC = 'rsync --server --sender -r .';
const SENT = "rsync --server --munge-links '--protocol=29' --sender -r .";
it.each<[string, string, Partial<Host>, { ran?: string; said?: RegExp }]>([
  ['rsync', `${RSYNC} /srv/a`, { leads: (path) => path }, { ran: `${SENT} /srv/a` }],
  ['rsync, by a link within', `${RSYNC} /srv/a`, { leads: () => '/srv/b' }, { ran: `${SENT} /srv/a` }],
  ['rsync, by a link that leads out', `${RSYNC} /srv/a`, { leads: () => '/etc' }, { said: /READ on \/etc is not covered/ }],
  [
    'rsync, and nobody can say',
    `${RSYNC} /srv/a`,
    {},
    { said: /the host does not say where its path leads \(NotAnalysable\)\..*copy by sftp or scp instead/ },
  ],
  [
    'rsync, and the host is away',
    `${RSYNC} /srv/a`,
    { leads: (path) => path, whyNot: 'it is away' },
    { said: /it is away \(ResourceNotReady\)/ },
  ],
  ['git where there is no SFTP', 'git-upload-pack /srv/a', {}, { ran: "git-upload-pack '/srv/a'" }],
  ['git, by a link that leads out', 'git-upload-pack /srv/a', { leads: () => '/etc/a' }, { said: /READ on \/etc\/a is not/ }],
  ['what may not be named, unasked', `${RSYNC} /etc/a`, { leads: () => '/b' }, { said: /READ on \/etc\/a is not covered/ }],
])('that opens paths by itself is judged by where they lead too: %s', async (_, command, settings, { ran, said }) => {
  const host = Object.assign(new Host(), settings);
  const result = await run(command, host);
  expect(host.ran).toEqual(ran === undefined ? [] : [ran]);
  expect(result.said.join('')).toMatch(said ?? /^$/);
});

it('does not run what people approved once its path leads elsewhere', async () => {
  const host = new Host();
  host.leads = (path) => path;
  const { said, ends, asked } = await run(`${RSYNC} /asked/a`, host, () => {
    host.leads = () => '/asked/b';
    return Promise.resolve('released');
  });
  expect(asked).toHaveLength(1);
  expect(said.join('')).toContain('the path leads elsewhere by now (ApprovalVoided)');
  expect([ends, host.ran]).toEqual([[['Failed', 'the path leads elsewhere by now']], []]);
});

it.each<[string, boolean, Buffer, string, RegExp]>([
  [
    'the host',
    true,
    packet(TYPE.init, uint32(3)),
    'UpstreamViolation',
    /used now: the host broke the protocol: .* \(ResourceNotReady\)/,
  ],
  [
    'the agent',
    false,
    Buffer.from('Hello there!'),
    'ProtocolViolation',
    /the client broke the protocol: .* \(ProtocolViolation\)/,
  ],
])('that carries files says who broke their protocol: %s', async (_, speaksNonsense, sent, code, expected) => {
  const host = Object.assign(new Host(), { speaksNonsense });
  const { program, said, records } = await run('sftp-server', host);
  program?.onData(sent);
  await Promise.resolve();
  expect(said.join('')).toMatch(expected);
  expect(records.find(({ type }) => type === 'done')).toMatchObject({ error: { code } });
});

it.each(['opening', 'asked'] as const)('is waited for no longer than a host may take: %s', async (silence) => {
  const host = Object.assign(new Host(), { silence });
  const { said } = await run('ls', host);
  await turn();
  expect(said.join('')).toContain('the host did not answer in time (ResourceNotReady)');
  // It comes too late.
  host.answers?.();
  expect([host.ran, host.closed]).toEqual([[], 1]);
});

it.each([Buffer.from([0x72, 0x6d, 0x20, 0xff]), Buffer.from([0xc3, 0x28])])(
  'that is no text is put before nobody, since two could look alike: %j',
  async (command) => {
    const { asked, said } = await run(command, new Host());
    expect(asked).toEqual([]);
    expect(said.join('')).toMatch(/it is not UTF-8 \(NotAnalysable\)/);
  },
);
