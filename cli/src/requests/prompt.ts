import { createInterface, type Interface } from 'node:readline';
import type { AccessRequest } from '@chaperone/api';
import { stateOf, typedObject } from '@chaperone/api/requests';
import { visible } from '@chaperone/api/text';
import type { Io } from '../io.ts';
import type { Person, RequestDesk } from './desk.ts';
import { over } from './outcome.ts';
import { left, lookedLines, promptLines, wholeLines } from './text.ts';

const TICK_MS = 1_000;
/** The desk says when the time is over; where it does not, our clock does, which may be ahead. */
const GRACE_MS = 30_000;
/** setTimeout takes no longer ones. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export type Undecided = 'undecided' | 'interrupted';
export interface Chosen {
  readonly decision: 'Approve' | 'Deny';
  readonly reason?: string | undefined;
  readonly grantFor?: number | undefined;
}

export interface PromptOptions {
  readonly desk: RequestDesk;
  readonly request: AccessRequest;
  readonly person: Person;
  readonly io: Io;
  /** Given already. */
  readonly reason: string | undefined;
  /** Whether an answer of this person needs one. */
  readonly wantsReason: boolean;
  /** Seconds for which the same may run again once it is approved. */
  readonly grantFor?: number | undefined;
  /** A command line as it works when it is pasted. */
  readonly again?: ((command: string) => string) | undefined;
}

/**
 * Shows what is to run and asks what is to become of it. What ends the request meanwhile ends the
 * prompt. @throws CliError RequestExpired, AlreadyDecided, and what the desk's watch ends with
 */
export async function promptDecision(options: PromptOptions): Promise<Chosen | Undecided> {
  const { request, desk, person, io } = options;
  const content = await desk.content(request);
  const { grantFor, again } = options;
  const shown = promptLines(request, { person, content, grantFor, again }, io.now());
  for (const line of shown) io.err.write(`${line}\n`);
  const time = timeOf(options);
  using asking = new Asking(options);
  for (;;) {
    const typed = await asking.ask((more) => `[a]pprove ${time}  [d]eny  [v]iew whole  [q]uit undecided (${more}) > `);
    switch (typed?.trim().toLowerCase()) {
      case 'a':
      case 'approve':
        return await reasoned(asking, options, 'Approve');
      case 'd':
      case 'deny':
        return await reasoned(asking, options, 'Deny');
      case 'v':
      case 'view':
        for (const line of wholeLines(asking.request, await desk.content(request), io.now())) io.err.write(`${line}\n`);
        break;
      case undefined:
      case '':
      case 'q':
      case 'quit':
        return asking.isInterrupted ? 'interrupted' : 'undecided';
      default:
        io.err.write(`a approves this ${time}, d denies it, v shows all of it, q leaves it undecided\n`);
    }
  }
}

function timeOf({ grantFor }: PromptOptions): string {
  return grantFor === undefined ? 'once' : `for ${left(grantFor * 1000)}`;
}

/** A reason is asked for where a rule wants one, and where the agent would like to know. */
async function reasoned(
  asking: Asking,
  { reason, wantsReason, grantFor, io }: PromptOptions,
  decision: Chosen['decision'],
): Promise<Chosen | Undecided> {
  const object = decision === 'Approve' ? typedObject(asking.request) : undefined;
  if (object !== undefined) {
    const typed = await asking.ask((time) => `this is not approved by a letter; type ${object} to approve it (${time}) > `);
    if (typed?.trim() !== object) return asking.isInterrupted ? 'interrupted' : 'undecided';
  }
  const granted = decision === 'Approve' ? { grantFor } : {};
  if (reason !== undefined || (decision === 'Approve' && !wantsReason)) return { decision, reason, ...granted };
  for (;;) {
    const typed = await asking.ask((time) => `reason (the agent reads it${wantsReason ? '' : '; Enter for none'}) (${time}) > `);
    if (typed === undefined) return asking.isInterrupted ? 'interrupted' : 'undecided';
    if (typed.trim() !== '') return { decision, reason: typed.trim(), ...granted };
    if (!wantsReason) return { decision };
    io.err.write('the rule wants a reason\n');
  }
}

/** Lines typed at a terminal, for as long as the request may be decided. */
class Asking implements Disposable {
  isInterrupted = false;
  /** As it is by now. */
  request: AccessRequest;
  #isClosed = false;
  readonly #o: PromptOptions;
  readonly #lines: Interface;
  readonly #end = new AbortController();
  readonly #ended = Promise.withResolvers<never>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: PromptOptions) {
    const { request, io } = options;
    this.#o = options;
    this.request = request;
    this.#lines = createInterface({ input: io.in, output: io.err, terminal: true, historySize: 0 });
    this.#lines.on('SIGINT', () => {
      this.isInterrupted = true;
      this.#lines.close();
    });
    this.#lines.on('close', () => {
      this.#isClosed = true;
      io.err.write('\n');
    });
    // Nobody may be waiting for it: it is then told to who asks next.
    this.#ended.promise.catch(() => undefined);
    const leftMs = Date.parse(request.spec.expiresAt) - io.now();
    this.#timer = setTimeout(
      () => this.#over(over({ ...request, status: { ...request.status, state: 'Expired' } }, io.now())),
      Math.min(Math.max(0, leftMs) + GRACE_MS, MAX_TIMER_MS),
    );
    void this.#follow();
  }

  /** A line; undefined at the end of input. Rejects with why the request cannot be decided any more. */
  async ask(prompt: (time: string) => string): Promise<string | undefined> {
    // The end of input may follow the last answer at once.
    if (this.#isClosed) return undefined;
    const { request, io } = this.#o;
    const text = (): string => prompt(left(Date.parse(request.spec.expiresAt) - io.now()));
    this.#lines.setPrompt(text());
    this.#lines.prompt();
    const tick = setInterval(() => {
      this.#lines.setPrompt(text());
      this.#lines.prompt(true);
    }, TICK_MS);
    // A terminal that knows no cursor would get a line each second.
    if (io.env['TERM'] === 'dumb') clearInterval(tick);
    // What was typed before it was asked for is not an answer: nobody listens between two questions.
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const onClose = (): void => resolve(undefined);
    this.#lines.once('line', resolve).once('close', onClose);
    try {
      return await Promise.race([promise, this.#ended.promise]);
    } finally {
      this.#lines.off('line', resolve).off('close', onClose);
      clearInterval(tick);
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#end.abort();
    this.#lines.close();
  }

  #over(why: unknown): void {
    if (this.#end.signal.aborted) return;
    this.#o.io.err.write('\n');
    this.#ended.reject(why);
    this.#end.abort();
  }

  async #follow(): Promise<void> {
    const { desk, request, io } = this.#o;
    const { namespace, name, uid } = request.metadata;
    try {
      for await (const news of desk.watch({ namespace, name }, this.#end.signal)) {
        if (news.metadata.uid !== uid) continue;
        if (stateOf(news) !== 'Pending') return this.#over(over(news, io.now()));
        await this.#tell(news);
      }
    } catch (error) {
      this.#over(error);
    }
  }

  /** What is new of it: what it meets may be known only after the question was asked. */
  async #tell(news: AccessRequest): Promise<void> {
    const { desk, io } = this.#o;
    const { preview: known, decisions: given = [] } = this.request.status ?? {};
    this.request = news;
    const { preview, decisions = [], votes = '' } = news.status ?? {};
    if (known === undefined && preview !== undefined)
      io.err.write(`\n${lookedLines(news, await desk.content(news), io.now()).join('\n')}\n`);
    const last = decisions.at(-1);
    if (decisions.length > given.length && last !== undefined && last.counted)
      io.err.write(`\n${visible(last.by)} answered meanwhile: ${last.decision.toLowerCase()} (${votes.replace('/', ' of ')})\n`);
  }
}
