import { type Effect, judge, type Verdict } from '@chaperone/policy';
import { maskedFinds } from '../../masking/labels.ts';
import { described } from '../actions/files.ts';
import type { FileAction, FileDecision, FileEnded, FileJudge, FileVerdict } from '../actions/files.ts';
import type { Transfer } from '../actions/index.ts';
import type { Channel } from '../wire/channel.ts';
import { SshError } from '../wire/error.ts';
import { Credit } from './credit.ts';
import { GONE } from './file-judging.ts';
import { type FileRecord, fileRecord, type Side } from '../../running/file-record.ts';
import { KeptFiles } from '../../running/kept-files.ts';
import { LookupChannel } from './lookup-channel.ts';
import type { ProgramContext } from './program-context.ts';
import { asWritten, followsLinks } from './path-lookup.ts';
import { type ScpOptions, ScpRelay } from './scp.ts';
import { SftpRelay } from './sftp.ts';
import { standing } from '../../running/standing.ts';
import type { Refusal } from '../../session/refusal.ts';
import { refusalOfSsh, textOf } from './texts.ts';

const UNIT = 'file operation';
const CHANGED: Refusal = { code: 'ResourceNotReady', reason: 'the policy changed while it was open; open it again' };
/** Refusals of which it is known that they were told; what is more may be told again. */
const MAX_TOLD = 1_000;
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
  /** A side broke the protocol: nothing more goes through the channel. */
  readonly onBroken: (error: SshError, by: Side) => void;
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
  #isOver = false;
  readonly #told = new Map<string, string>();
  readonly #owed: Readonly<Record<'agent' | 'server', Credit>>;

  constructor(options: FileSessionOptions) {
    this.#o = options;
    const { agent, server, context, transfer } = options;
    this.#owed = {
      agent: new Credit(
        (bytes) => agent.consumed(bytes),
        () => this.#relay.isFull !== true,
      ),
      server: new Credit((bytes) => server.consumed(bytes)),
    };
    const { openUpstream: open, clock, hostIdent } = context;
    const capture = this.#capture();
    const shared: Omit<ScpOptions, 'transfer' | 'resolve'> = {
      judge: this.#judge(),
      toServer: (bytes) => {
        this.#owed.agent.waits(bytes.length);
        server.write(bytes, 'data', this.#owed.agent.went);
      },
      toAgent: (bytes) => {
        this.#owed.server.waits(bytes.length);
        agent.write(bytes, 'data', this.#owed.server.went);
      },
      toStderr: (line) => agent.write(Buffer.from(`${line}\n`), 'stderr'),
      onRecord: (record) => this.#record(record),
      onServerEnd: () => server.eof(),
      onEnd: (error, by) => (error instanceof SshError ? options.onBroken(error, by) : context.onFault(error)),
      turns: context.turns,
      ...(capture && { capture }),
    };
    if (transfer.protocol !== 'scp')
      this.#relay = new SftpRelay({
        ...shared,
        onRoom: () => this.#owed.agent.settle(),
        resolvesLinks: followsLinks(hostIdent()),
      });
    else {
      const lookup = new LookupChannel({ open, clock, hostIdent, withoutSftp: asWritten });
      this.#lookup = lookup;
      this.#relay = new ScpRelay({ ...shared, transfer, resolve: (path) => lookup.resolve(path) });
    }
  }

  fromAgent(data: Buffer): void {
    this.#relay.fromAgent(data);
    this.#owed.agent.came(data.length);
  }

  fromServer(data: Buffer): void {
    this.#relay.fromServer(data);
    this.#owed.server.came(data.length);
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
    this.#isOver = true;
    this.#relay.close();
    this.#lookup?.close();
  }

  /** What of files is kept, where the policy says so. */
  #capture(): KeptFiles | undefined {
    const { context, action } = this.#o;
    const { content, fileBytes = 0 } = context.access().recording;
    if (content !== 'results' || fileBytes === 0) return undefined;
    const masks = maskedFinds(context.access());
    return new KeptFiles({ action, bytes: fileBytes, masks, note: (records) => context.records.note(records) });
  }

  #record(record: FileRecord): void {
    const { context, action } = this.#o;
    context.records.note([fileRecord(action, record, (text) => context.shown.text(text))]);
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
    const { operation, effects, attributes = '' } = action;
    const verdict = shown.verdict(judge(access(), { effects }));
    const text = shown.text(`${described(operation, effects)}${attributes === '' ? '' : `, ${attributes}`}`);
    const writes = effects.some(({ verb }) => !READING.has(verb));
    const number = await records.judged({ text, bytes: Buffer.byteLength(text), verdict, writes });
    if (verdict.verdict === 'allow') return { verdict: 'allow' };
    if (verdict.verdict === 'deny') return this.#repeated(refusalOfSsh(access(), { effects }, verdict), number);
    return this.#held(verdict, action, text, number);
  }

  async #held(
    verdict: Verdict,
    { operation, effects, attributes = '' }: FileAction,
    text: string,
    action: number,
  ): Promise<FileVerdict> {
    const { context, gone } = this.#o;
    const waiting = Promise.withResolvers<string | undefined>();
    const state = { operation, effects: JSON.stringify(effects), attributes };
    const asked = { action, unit: UNIT, verdict, text, state } as const;
    const outcome = context.approval
      .ask(asked, gone, (refusal) => waiting.resolve(this.#line(refusal, action)))
      .then((answer): FileDecision => {
        if (answer.kind === 'refused') return this.#denied(answer.refusal, action);
        if (answer.kind === 'gone') return this.#denied({ code: 'SessionEnded' }, action);
        // Whoever waits for the record of its end waits for this, and for nothing that comes after it.
        if (this.#isOver) return this.#tooLate(operation, effects, answer.ended, action);
        return { verdict: 'allow', ended: answer.ended };
      })
      .finally(() => waiting.resolve(undefined));
    context.track(outcome);
    const line = await waiting.promise;
    return line === undefined ? outcome : { verdict: 'held', line, outcome };
  }

  #tooLate(operation: string, effects: readonly Effect[], ended: FileEnded, action: number): FileDecision {
    const [{ object: path } = { object: '' }, other] = effects;
    ended('Failed', GONE);
    this.#record({ operation, path, ...(other !== undefined && other.object !== path && { to: other.object }), outcome: GONE });
    return this.#denied({ code: 'SessionEnded' }, action);
  }

  /** The same refusal is told in the same words, and so once: clients ask about a path several times before they give it up. */
  #repeated(refusal: Refusal, action: number): FileDecision {
    const key = this.#line(refusal, undefined);
    const line = this.#told.get(key) ?? this.#line(refusal, action);
    if (this.#told.size < MAX_TOLD) this.#told.set(key, line);
    return { verdict: 'deny', line };
  }

  #denied(refusal: Refusal, action: number): FileDecision {
    return { verdict: 'deny', line: this.#line(refusal, action) };
  }

  /** @param action - absent: as it is told of any */
  #line(refusal: Refusal, action: number | undefined): string {
    const { context } = this.#o;
    const reference = action === undefined ? '' : `${context.session}/${action}`;
    return textOf(context.access(), refusal, { unit: UNIT, reference }).line;
  }
}

/** The operation, where it is more than a verb, and each verb with its path, in quotes: no path can look like two. */
