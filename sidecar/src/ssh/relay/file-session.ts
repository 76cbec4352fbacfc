import { type Effect, judge, type Verdict } from '@chaperone/policy';
import type { RecordBody } from '@chaperone/evidence';
import type { FileAction, FileDecision, FileJudge, FileVerdict } from '../actions/files.ts';
import type { Transfer } from '../actions/index.ts';
import type { Channel } from '../wire/channel.ts';
import { SshError } from '../wire/error.ts';
import type { FileRecord } from './file-record.ts';
import { LookupChannel } from './lookup-channel.ts';
import type { ProgramContext } from './program.ts';
import { type ScpOptions, ScpRelay } from './scp.ts';
import { SftpRelay } from './sftp.ts';
import { standing } from './standing.ts';
import { type Refusal, refusalOf } from '../../session/refusal.ts';
import { textOf } from './texts.ts';

/** Bytes that may wait on one side before the other one is held back. */
const HIGH_WATER = 1024 * 1024;
const UNIT = 'file operation';
const CHANGED: Refusal = { code: 'ResourceNotReady', reason: 'the policy changed while it was open; open it again' };
const READING: ReadonlySet<string> = new Set(['read', 'list']);

export interface FileSessionOptions {
  readonly context: ProgramContext;
  /** The action that opened it: its files belong to it. */
  readonly action: number;
  /** Of SFTP, or of scp's old protocol. */
  readonly transfer: Transfer;
  readonly agent: Channel;
  readonly server: Channel;
  /** Resolves when the agent is gone. */
  readonly gone: Promise<unknown>;
}

/** Stands between the ends of a channel through which files go, and owns neither. */
interface FileRelay {
  /** It takes nothing more of the agent for now. Default: it always does */
  readonly isFull?: boolean;
  fromAgent(data: Buffer): void;
  fromServer(data: Buffer): void;
  endOfAgent(): void;
  endOfServer?(then: () => void): void;
  close(): void;
}

/** A channel through which files go, by SFTP or scp's old protocol: each operation on a file is an action of its own, judged, recorded, and held where a rule asks. */
export class FileSession {
  readonly #o: FileSessionOptions;
  readonly #relay: FileRelay;
  #lookup: LookupChannel | undefined;
  /** Bytes that came and are not given back to their sender's window, and bytes that wait to go out. */
  readonly #owed = { agent: 0, server: 0 };
  readonly #waiting = { agent: 0, server: 0 };

  constructor(options: FileSessionOptions) {
    this.#o = options;
    const { agent, server, context, transfer } = options;
    const resolvesLinks = /^SSH-2[.]0-OpenSSH/.test(context.hostIdent());
    const shared: Omit<ScpOptions, 'transfer' | 'resolve'> = {
      judge: this.#judge(),
      toServer: (bytes) => this.#write('server', server, bytes),
      toAgent: (bytes) => this.#write('agent', agent, bytes),
      toStderr: (line) => agent.write(Buffer.from(`${line}\n`), 'stderr'),
      onRecord: (record) => context.records.note([fileRecord(options.action, record, (text) => context.shown.text(text))]),
      onServerEnd: () => server.eof(),
      onEnd: (error) => this.#broken(error),
      turns: context.turns,
    };
    if (transfer.protocol !== 'scp') this.#relay = new SftpRelay({ ...shared, onRoom: () => this.#settle(), resolvesLinks });
    else {
      const lookup = new LookupChannel(context.openUpstream, resolvesLinks);
      this.#lookup = lookup;
      this.#relay = new ScpRelay({ ...shared, transfer, resolve: (path) => lookup.resolve(path) });
    }
  }

  fromAgent(data: Buffer): void {
    this.#owed.agent += data.length;
    this.#relay.fromAgent(data);
    this.#settle();
  }

  fromServer(data: Buffer): void {
    this.#owed.server += data.length;
    this.#relay.fromServer(data);
    this.#settle();
  }

  endOfAgent(): void {
    this.#relay.endOfAgent();
  }

  /** Calls `then` once all that the server said has passed. */
  endOfServer(then: () => void): void {
    if (this.#relay.endOfServer === undefined) then();
    else this.#relay.endOfServer(then);
  }

  close(): void {
    this.#relay.close();
    this.#lookup?.close();
  }

  #write(side: 'agent' | 'server', channel: Channel, bytes: Buffer): void {
    this.#waiting[side] += bytes.length;
    channel.write(bytes, 'data', (written) => {
      this.#waiting[side] -= written;
      this.#settle();
    });
  }

  /** Lets each side go on as far as the other one takes what it leads to. */
  #settle(): void {
    const { agent, server } = this.#o;
    if (this.#owed.agent > 0 && this.#relay.isFull !== true && this.#waiting.server < HIGH_WATER) {
      const { agent: bytes } = this.#owed;
      this.#owed.agent = 0;
      agent.consumed(bytes);
    }
    if (this.#owed.server > 0 && this.#waiting.agent < HIGH_WATER) {
      const { server: bytes } = this.#owed;
      this.#owed.server = 0;
      server.consumed(bytes);
    }
  }

  /** A side broke the protocol, or a record failed. */
  #broken(error: unknown): void {
    const { agent, server, context } = this.#o;
    if (!(error instanceof SshError)) return context.onFault(error);
    const line = this.#line({ code: 'ProtocolViolation', reason: error.message }, this.#o.action);
    agent.write(Buffer.from(`${line}\n`), 'stderr');
    agent.close();
    server.close();
  }

  #judge(): FileJudge {
    const { access, clock } = this.#o.context;
    return {
      preview: (effects) => judge(access(), { effects }).verdict,
      judge: (action) => {
        const judged = this.#judged(action);
        this.#o.context.track(judged);
        return judged;
      },
      opened: (effects, wasApproved) => {
        const stands = standing(access, { effects }, wasApproved);
        const since = clock.monotonic();
        return () => {
          const { statementDurationMs = Infinity } = access().limits;
          if (clock.monotonic() - since > statementDurationMs)
            return this.#line(
              { code: 'LimitReached', reason: `it was open for longer than ${statementDurationMs} ms` },
              this.#o.action,
            );
          return stands() ? undefined : this.#line(CHANGED, this.#o.action);
        };
      },
    };
  }

  async #judged(action: FileAction): Promise<FileVerdict> {
    const { access, records, onActivity, shown } = this.#o.context;
    onActivity();
    const { operation, effects } = action;
    const verdict = shown.verdict(judge(access(), { effects }));
    const text = shown.text(`${operation}: ${described(effects)}`);
    const writes = effects.some(({ verb }) => !READING.has(verb));
    const number = await records.judged({ text, bytes: Buffer.byteLength(text), verdict, writes });
    if (verdict.verdict === 'allow') return { verdict: 'allow' };
    if (verdict.verdict === 'deny') return this.#denied(refusalOf(verdict), number);
    // What attributes it sets is not in its text: nobody could know what they approve.
    if (operation === 'attributes')
      return this.#denied({ code: 'NotAnalysable', reason: 'people would not see which attributes it sets' }, number);
    return this.#held(verdict, action, text, number);
  }

  async #held(verdict: Verdict, { operation, effects }: FileAction, text: string, action: number): Promise<FileVerdict> {
    const { context, gone } = this.#o;
    const waiting = Promise.withResolvers<string | undefined>();
    const state = { operation, effects: JSON.stringify(effects) };
    const asked = { action, unit: UNIT, verdict, text, state } as const;
    const outcome = context.approval
      .ask(asked, gone, (refusal) => waiting.resolve(this.#line(refusal, action)))
      .then((answer): FileDecision => {
        if (answer.kind === 'refused') return this.#denied(answer.refusal, action);
        if (answer.kind === 'gone') return this.#denied({ code: 'SessionEnded' }, action);
        // What becomes of it is in the record of the file.
        answer.ended('Ran', 'passed to the host');
        return { verdict: 'allow' };
      })
      .finally(() => waiting.resolve(undefined));
    const line = await waiting.promise;
    return line === undefined ? outcome : { verdict: 'held', line, outcome };
  }

  #denied(refusal: Refusal, action: number): FileDecision {
    return { verdict: 'deny', line: this.#line(refusal, action) };
  }

  #line(refusal: Refusal, action: number): string {
    const { context } = this.#o;
    return textOf(context.access(), refusal, { unit: UNIT, reference: `${context.session}/${action}` }).line;
  }
}

/** Each verb with its path, in quotes: no path can look like two. */
function described(effects: readonly Effect[]): string {
  return effects
    .map(({ verb, object, below }) => `${verb} ${JSON.stringify(object)}${below === true ? ' and below' : ''}`)
    .join(', ');
}

function fileRecord(
  action: number,
  { operation, bytes = 0, path, to, ...record }: FileRecord,
  shown: (text: string) => string,
): RecordBody {
  const paths = { path: shown(path), ...(to !== undefined && { to: shown(to) }) };
  return {
    type: 'file',
    action,
    operation: operation as Extract<RecordBody, { type: 'file' }>['operation'],
    bytes,
    ...paths,
    ...record,
  };
}
