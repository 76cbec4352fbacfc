import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { posix } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { type AgentCode, FILE_OPERATIONS, type PolicyRule, type SshSelector, sshText } from '@chaperone/api';
import { type Access, judge, type Verdict } from '@chaperone/policy';
import type { FileAction, FileDecision, FileJudge } from '../actions/files.ts';
import { Reader, string, uint32 } from '../wire/data.ts';
import { packet, TYPE } from '../wire/sftp.ts';
import type { FileRecord } from '../../running/file-record.ts';
import { SftpRelay } from './sftp.ts';
import { standing } from '../../running/standing.ts';

const policy = { namespace: 'agents', name: 'support-agent' };

/** A rule about files: what it does, to which operations, on which paths. */
export type FileRule = readonly [PolicyRule['effect'], NonNullable<SshSelector['files']>['operations'], readonly string[]];

export function accessOf(rules: readonly FileRule[]): Access {
  return {
    resource: { namespace: 'data', name: 'files', generation: 1, protocol: 'ssh' },
    policies: [{ ...policy, generation: 1 }],
    digest: '',
    mode: 'Enforce',
    purpose: '',
    disclosure: 'full',
    ceiling: { statements: [...FILE_OPERATIONS] },
    rules: rules.map(([effect, operations, paths], at) => ({
      name: `rule-${at}`,
      policy,
      effect,
      ssh: { files: { operations, paths: [...paths] } },
      ...(effect === 'RequireApproval' && {
        approval: {
          groups: ['ops'],
          users: [],
          minimum: 1,
          all: [],
          timeoutMs: 60_000,
          transactionTimeoutMs: 60_000,
          mode: 'hold' as const,
          reason: false,
        },
      }),
    })),
    searchPath: [],
    reveal: [],
    masking: {},
    sensitive: [],
    inference: 'limit',
    limits: {},
    recording: { mode: 'durable', content: 'results', rows: 1_000, bytes: 1_000_000, retention: 'default' },
  };
}

/** Judges by rules, as the sidecar does. `approve` is the person who is asked. */
export function judgeBy(
  rules: readonly FileRule[],
  approve: (action: FileAction) => Promise<boolean> = () => Promise.resolve(false),
): FileJudge & {
  readonly asked: FileAction[];
  readonly ends: [string, string][];
  readonly change: (rules: readonly FileRule[]) => void;
} {
  let access = accessOf(rules);
  const asked: FileAction[] = [];
  const ends: [string, string][] = [];
  const ended = (state: string, result: string): void => void ends.push([state, result]);
  return {
    asked,
    ends,
    change: (others) => {
      access = { ...accessOf(others), digest: `${access.digest}+` };
    },
    opened: (effects, wasApproved) => {
      const stands = standing(() => access, { effects }, wasApproved);
      return () => (stands() ? undefined : 'chaperone: the policy changed while it was open');
    },
    preview: (effects) => judge(access, { effects }).verdict,
    judge: (action) => {
      asked.push(action);
      const verdict = judge(access, { effects: action.effects });
      if (verdict.verdict === 'allow') return { verdict: 'allow' };
      if (verdict.verdict === 'deny') return { verdict: 'deny', line: lineOf(verdict.code as AgentCode, verdict) };
      const outcome = approve(action).then<FileDecision>((isApproved) =>
        isApproved ? { verdict: 'allow', ended } : { verdict: 'deny', line: lineOf('ApprovalDenied', verdict) },
      );
      return { verdict: 'held', line: lineOf('ApprovalPending', verdict), outcome };
    },
  };
}

function lineOf(code: AgentCode, { effects, rule }: Verdict): string {
  const worst = effects.find((effect) => effect.verdict !== 'allow');
  return sshText({
    code,
    unit: 'file operation',
    ...(worst && { verb: worst.verb, object: worst.object }),
    ...(rule !== undefined && { rule }),
  }).line;
}

/** OpenSSH's sftp-server, where distributions put it. */
export const SFTP_SERVER = ['/usr/lib/openssh/sftp-server', '/usr/libexec/openssh/sftp-server', '/usr/lib/ssh/sftp-server'].find(
  (file) => existsSync(file),
);

export interface Bridged {
  readonly relay: SftpRelay;
  readonly records: FileRecord[];
  readonly lines: string[];
  /** The error with which it ended, once the server has; undefined: none. */
  readonly ended: Promise<unknown>;
  /** Approximate: the most that was waiting in memory at once. */
  readonly mostWaiting: () => number;
}

export interface BridgeOptions {
  readonly judge: FileJudge;
  readonly resolvesLinks?: boolean;
  readonly cwd?: string;
  readonly server?: readonly string[];
  readonly capture?: ConstructorParameters<typeof SftpRelay>[0]['capture'];
  readonly turns?: ConstructorParameters<typeof SftpRelay>[0]['turns'];
  /** The server answers REALPATH by the text alone, as some do. */
  readonly tidiesOnly?: boolean;
}

/** The NAME that a server answers which only tidies a path. */
function tidied(request: Buffer, cwd: string): Buffer {
  const reader = new Reader(request, 5);
  const id = reader.uint32();
  const path = string(posix.resolve(cwd, reader.string().toString()));
  return packet(TYPE.name, uint32(id), uint32(1), path, path, uint32(0));
}

/** Puts the machine between a client's streams and a real server, with back pressure, as the channel's owner does. */
export function bridge(input: Readable, output: Writable, options: BridgeOptions): Bridged {
  const [program = SFTP_SERVER ?? '', ...args] = options.server ?? [];
  const server = spawn(program, args, { cwd: options.cwd, stdio: ['pipe', 'pipe', 'inherit'] });
  const records: FileRecord[] = [];
  const lines: string[] = [];
  let failure: unknown;
  let most = 0;
  const started = once(server.stdout, 'data');
  const balance = (): void => {
    most = Math.max(most, server.stdin.writableLength + output.writableLength);
    if (relay.isFull || server.stdin.writableNeedDrain || output.writableNeedDrain) input.pause();
    else input.resume();
    if (output.writableNeedDrain) server.stdout.pause();
    else server.stdout.resume();
  };
  const relay: SftpRelay = new SftpRelay({
    judge: options.judge,
    toServer: (bytes) => {
      if (options.tidiesOnly !== true || bytes[4] !== TYPE.realpath) server.stdin.write(Buffer.from(bytes));
      else void started.then(() => relay.fromServer(tidied(bytes, options.cwd ?? '/')));
    },
    toAgent: (bytes) => void output.write(Buffer.from(bytes)),
    toStderr: (line) => void lines.push(line),
    onRecord: (record) => void records.push(record),
    onRoom: balance,
    onServerEnd: () => server.stdin.end(),
    onEnd: (error) => {
      failure = error;
      server.kill();
    },
    resolvesLinks: options.resolvesLinks ?? true,
    ...(options.capture && { capture: options.capture }),
    ...(options.turns && { turns: options.turns }),
  });
  server.stdin.on('error', () => {});
  output.on('error', () => {});
  output.on('drain', balance);
  server.stdin.on('drain', balance);
  input.on('data', (chunk: Buffer) => {
    relay.fromAgent(chunk);
    balance();
  });
  input.on('end', () => relay.endOfAgent());
  server.stdout.on('data', (chunk: Buffer) => {
    relay.fromServer(chunk);
    balance();
  });
  const ended = new Promise<unknown>((resolve) => {
    server.on('error', resolve);
    server.on('close', () => {
      relay.close();
      output.end();
      resolve(failure);
    });
  });
  return { relay, records, lines, ended, mostWaiting: () => most };
}
