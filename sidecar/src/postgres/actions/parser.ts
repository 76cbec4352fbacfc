import { isUtf8 } from 'node:buffer';
import { Worker } from 'node:worker_threads';
import { StatementError } from './errors.ts';
import { hasMaskSentinel } from './literals.ts';
import { StatementCache } from './statement-cache.ts';
import type { References, Statement } from './statement.ts';
import { templateOf } from './template.ts';
import type { Reply, Request } from './worker.ts';

/** Longer texts are refused before they are parsed: a parse of 1 MiB takes about 0.1 s, and one agent shares the thread. */
export const MAX_STATEMENT_BYTES = 1024 * 1024;

const DEFAULTS = {
  /** A text of 1 MiB is done in well under a second; what takes longer has gone astray. */
  watchdogMs: 2_000,
  /** Loading the grammar takes about 60 ms. */
  startMs: 10_000,
  /** Texts that may wait; sessions of one pod share the parser, and each waits for its own answer. */
  maxQueue: 256,
  maxCacheEntries: 500,
  maxCacheBytes: 4 * 1024 * 1024,
} as const;
/** Left-deep chains recurse once per term in C; 64 MB of stack (reserved, not resident) takes 100,000 terms. */
const LIMITS = { stackSizeMb: 64, maxOldGenerationSizeMb: 160 } as const;

/** After a text as long as this the thread has grown by tens of megabytes, which it never gives back: it is replaced. */
const RECYCLE_BYTES = 256 * 1024;

export type ParserOptions = { readonly [K in keyof typeof DEFAULTS]?: number };

interface Job {
  readonly request: Request;
  readonly done: (reply: Reply) => void;
  readonly failed: (error: StatementError) => void;
}

/**
 * Parses SQL in a thread of its own, one text at a time. A text that breaks the parser or takes too long fails alone: the
 * thread is thrown away and the ones that wait go to a new one. Rejects with StatementError only.
 */
export class StatementParser implements AsyncDisposable {
  private readonly options: typeof DEFAULTS;
  private readonly cache: StatementCache;
  /** By template: one of its instances, and what of another's text is the statement. */
  private readonly alike = new Map<string, { readonly statement: Statement; readonly cut: (text: string) => string }>();
  private readonly waiting: Job[] = [];
  private running: Job | undefined;
  private worker: Worker | undefined;
  private ready = false;
  private timer: NodeJS.Timeout | undefined;
  private lastId = 0;
  private closed = false;
  private restarts = 0;

  constructor(options: ParserOptions = {}) {
    this.options = { ...DEFAULTS, ...options } as typeof DEFAULTS;
    this.cache = new StatementCache(this.options.maxCacheEntries, this.options.maxCacheBytes);
  }

  /** How many threads were thrown away. */
  get restarted(): number {
    return this.restarts;
  }

  /** The statements of a text, in order; none for a text of space and comments. */
  async classify(text: Buffer): Promise<readonly Statement[]> {
    const sql = readable(text);
    const known = this.cache.get(sql);
    if (known) return known;
    const template = templateOf(sql)?.text;
    const alike = template === undefined ? undefined : this.alike.get(template);
    if (alike) return [{ ...alike.statement, text: alike.cut(sql), maskSentinel: hasMaskSentinel(sql) }];
    const reply = await this.ask(sql, 'classify');
    const statements = reply.type === 'classified' ? reply.statements : [];
    this.cache.set(sql, statements);
    if (template !== undefined) this.remember(template, sql, statements);
    return statements;
  }

  /** Instances of one template differ in literals, so the grammar reads them alike. */
  private remember(template: string, sql: string, [statement, second]: readonly Statement[]): void {
    if (statement?.kind !== 'query' || second !== undefined) return;
    const before = sql.indexOf(statement.text);
    const after = sql.length - before - statement.text.length;
    if (before < 0) return;
    this.alike.set(template, { statement, cut: (text) => text.slice(before, text.length - after) });
    for (const oldest of this.alike.keys()) {
      if (this.alike.size <= this.options.maxCacheEntries) break;
      this.alike.delete(oldest);
    }
  }

  /** What each statement of a text names; only queries have an answer, others are `unknown`. */
  async references(text: Buffer): Promise<readonly References[]> {
    const reply = await this.ask(readable(text), 'references');
    return reply.type === 'referenced' ? reply.queries : [];
  }

  /** Ends the thread; what waits fails with ParserClosed. Idempotent. */
  async close(): Promise<void> {
    this.closed = true;
    const jobs = [...(this.running ? [this.running] : []), ...this.waiting.splice(0)];
    this.running = undefined;
    for (const job of jobs) job.failed(new StatementError('ParserClosed', 'the parser was closed'));
    await this.discard();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The parser throws on an empty text, which the server takes. */
  private ask(sql: string, want: Request['want']): Promise<Reply> {
    if (sql === '')
      return Promise.resolve({ type: want === 'classify' ? 'classified' : 'referenced', id: 0, statements: [], queries: [] });
    if (this.closed) return Promise.reject(new StatementError('ParserClosed', 'the parser was closed'));
    if (this.waiting.length >= this.options.maxQueue)
      return Promise.reject(new StatementError('ParserBusy', 'too many statements wait to be parsed'));
    return new Promise((done, failed) => {
      this.waiting.push({ request: { id: ++this.lastId, sql, want }, done, failed });
      this.next();
    });
  }

  private next(): void {
    if (this.running || this.closed) return;
    if (this.waiting.length === 0) {
      this.worker?.unref();
      return;
    }
    if (!this.worker) this.start();
    if (!this.ready) return;
    this.running = this.waiting.shift();
    if (!this.running) return;
    this.worker?.ref();
    this.watch(this.options.watchdogMs);
    this.worker?.postMessage(this.running.request);
  }

  private start(): void {
    // The extension of this very file: .ts in development, .js once compiled.
    const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
    const worker = new Worker(new URL(`./worker${extension}`, import.meta.url), {
      name: 'sql-parser',
      env: {},
      execArgv: [],
      resourceLimits: LIMITS,
    });
    this.worker = worker;
    this.watch(this.options.startMs);
    const lost = (): void => {
      if (this.worker === worker) this.replace();
    };
    worker.on('message', (reply: Reply) => {
      if (this.worker === worker) this.receive(reply);
    });
    worker.once('error', lost);
    worker.once('exit', lost);
  }

  private receive(reply: Reply): void {
    if (reply.type === 'broken') {
      this.replace();
      return;
    }
    clearTimeout(this.timer);
    if (reply.type === 'ready') this.ready = true;
    else if (this.running?.request.id === reply.id) {
      const job = this.running;
      this.running = undefined;
      if (job.request.sql.length > RECYCLE_BYTES) void this.discard();
      if (reply.type === 'syntax')
        job.failed(
          new StatementError('StatementSyntax', `the SQL cannot be parsed at character ${reply.position}`, {
            position: reply.position,
          }),
        );
      else job.done(reply);
    }
    this.next();
  }

  /** The thread broke, died or is late: what ran fails. Without a text to blame, all that waits fails, lest it start for ever. */
  private replace(): void {
    this.restarts++;
    const failed = this.running ? [this.running] : this.waiting.splice(0);
    this.running = undefined;
    void this.discard();
    for (const job of failed) job.failed(new StatementError('StatementNotParsed', 'the parser failed on this statement'));
    this.next();
  }

  private async discard(): Promise<void> {
    clearTimeout(this.timer);
    const worker = this.worker;
    this.worker = undefined;
    this.ready = false;
    await worker?.terminate();
  }

  private watch(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.replace(), ms);
  }
}

/** Checks what the parser would read otherwise than the server: it stops at NUL, and mends what is not UTF-8. */
function readable(text: Buffer): string {
  if (text.length > MAX_STATEMENT_BYTES)
    throw new StatementError('StatementTooLarge', `a statement may have at most ${MAX_STATEMENT_BYTES} bytes`);
  if (text.includes(0)) throw new StatementError('StatementInvalid', 'a statement may not hold a NUL byte');
  if (!isUtf8(text)) throw new StatementError('StatementInvalid', 'a statement must be UTF-8');
  return text.toString('utf8');
}
