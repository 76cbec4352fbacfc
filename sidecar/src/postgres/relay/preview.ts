import type { Access } from '@chaperone/policy';
import { z } from 'zod';
import { predicateOf } from '../actions/index.ts';
import { type Catalog, isSameRows, isSteady, maskRows, parseTree, planResult, analyse } from '../masking/index.ts';
import {
  BACKEND,
  type BindMessage,
  dataRowCells,
  decodeErrorResponse,
  decodeRowDescription,
  encodeBind,
  encodeDescribe,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeSync,
  encodeTerminate,
  type FieldDescription,
  MessageReader,
} from '../wire/index.ts';
import { deferred } from '../../platform.ts';
import { decideServer } from './limits.ts';
import type { Judgement } from './judgement.ts';
import { treeOf } from './notices.ts';
import type { ServerReads } from './server-reads.ts';
import type { Upstream } from './upstream.ts';

/** Rows that are shown, cells of a row, and characters of a cell. */
const SHOWN_ROWS = 5;
const SHOWN_COLUMNS = 32;
const MAX_CELL = 128;
/** For all of it. */
const TIMEOUT_MS = 700;
const MAX_BYTES = 256 * 1024;
/** Nothing that the database does here may be felt by others. */
const LIMITS = `begin transaction read only; set local statement_timeout = 500; set local lock_timeout = 50; set local idle_in_transaction_session_timeout = 5000`;

/** What a statement would meet, as it was at one moment. */
export interface Preview {
  /** Rows that the server's planner expects it to return, or to change. */
  readonly estimate?: number | undefined;
  /** Of an UPDATE or DELETE. */
  readonly met?: Met;
  /** Why nobody looked at them. */
  readonly why?: string;
}

interface Met {
  /** How many there are now. */
  readonly count: number;
  readonly columns: readonly string[];
  /** Some of them, masked as the agent would see them; null is NULL. */
  readonly rows: readonly (readonly (string | null)[])[];
}

export interface PreviewOptions {
  readonly judgement: Judgement;
  /** What is bound to the statement, and the types that the server found. */
  readonly bound: Pick<BindMessage, 'parameters' | 'parameterFormats'> & { readonly types: readonly number[] };
  readonly access: Access;
  readonly catalog: Catalog;
  readonly major: number;
  /** A connection of its own, with the agent's credential and the settings of its session. */
  readonly connect: () => Promise<{ readonly upstream: Upstream; readonly reads: ServerReads }>;
  /** Ends it: nobody wants to know any more. */
  readonly signal: AbortSignal;
}

const NOT_STEADY = 'it may run functions that are not the server’s own, or give another result each time';
const UNWANTED = 'nobody waits for it any more';
const NOT_ALONE = 'its condition cannot be looked at by itself';

/**
 * Looks at what a statement would meet: its plan, which the server makes without running it, and of an UPDATE or DELETE the rows, by a
 * read-only query with the same condition. The server itself has to understand both as it understood the statement in the agent's
 * session. Only where every function in it is the server's own and changes nothing. Never rejects.
 */
export async function preview(options: PreviewOptions): Promise<Preview> {
  const { statement, basis } = options.judgement;
  const { tree } = basis;
  if (statement.kind !== 'query' || tree === undefined || !isHarmless(options, tree)) return { why: NOT_STEADY };
  let estimate: number | undefined;
  try {
    const { upstream, reads } = await soon(options);
    await using asker = new Asker(upstream, reads, options.signal);
    await asker.simple(LIMITS);
    const { tree: here } = await asker.prepare(statement.text, options.bound.types);
    if (here !== tree) throw new PreviewError('it means something else in the session of the agent');
    estimate = await asker.estimate(statement.text, options.bound);
    if (statement.command !== 'update' && statement.command !== 'delete') return { estimate };
    return { estimate, met: await look(asker, { ...options, tree, ...queriesOf(statement.text) }) };
  } catch (error) {
    const why = error instanceof PreviewError ? error.message : 'the database could not be asked';
    return { estimate, why };
  }
}

/** Planning runs functions too, if they are said to give the same result always. */
function isHarmless({ judgement, catalog, major }: PreviewOptions, tree: string): boolean {
  const { analysis } = judgement.basis;
  if (analysis === undefined || judgement.ownersCode || analysis.impliesCode) return false;
  return analysis.effects.every(({ kind }) => kind !== 'function') && isSteady(tree, catalog, major);
}

/** @throws PreviewError where the rows cannot be told by one condition */
function queriesOf(text: string): { rows: string; count: string } {
  const predicate = predicateOf(text);
  if (predicate === undefined) throw new PreviewError('it takes more than one table and one condition');
  const where = predicate.condition === undefined ? '' : ` where ${predicate.condition}\n`;
  const from = `from ${predicate.target}\n${where}`;
  return { rows: `select * ${from}limit ${SHOWN_ROWS}`, count: `select count(*) ${from}` };
}

/** A connection that comes too late is closed again. */
async function soon({ connect, signal }: PreviewOptions): ReturnType<PreviewOptions['connect']> {
  const late = deferred<never>();
  const timer = setTimeout(() => late.reject(new PreviewError('the database could not be asked in time')), TIMEOUT_MS);
  using _ = onAbort(signal, () => late.reject(new PreviewError(UNWANTED)));
  const connecting = connect();
  try {
    return await Promise.race([connecting, late.promise]);
  } catch (error) {
    void connecting.then(
      ({ upstream }) => upstream.socket.destroy(),
      () => undefined,
    );
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Calls once the signal comes, until it is disposed of; at once where it came already. */
function onAbort(signal: AbortSignal, listener: () => void): Disposable {
  if (signal.aborted) listener();
  signal.addEventListener('abort', listener);
  return { [Symbol.dispose]: () => signal.removeEventListener('abort', listener) };
}

async function look(asker: Asker, o: PreviewOptions & { tree: string; rows: string; count: string }): Promise<Met> {
  const shown = await asker.prepare(o.rows, o.bound.types);
  if (!isSameRows(o.tree, shown.tree, o.major)) throw new PreviewError(NOT_ALONE);
  const analysis = analyse(parseTree(shown.tree, o.major), o.catalog, o.major);
  if (analysis.refused !== undefined || analysis.ownersCode || analysis.effects.some(({ kind }) => kind === 'function'))
    throw new PreviewError(NOT_STEADY);
  const plan = planResult({ analysis, fields: shown.fields, access: o.access });
  if (plan.kind === 'refuse') throw new PreviewError('its rows cannot be shown masked');
  const rows = await asker.run(o.bound);
  const masked = rows.map((row) => [...dataRowCells(maskRows(row, plan, []).bytes)].map(textOf).slice(0, SHOWN_COLUMNS));
  const counting = await asker.prepare(o.count, o.bound.types);
  if (!isSameRows(o.tree, counting.tree, o.major)) throw new PreviewError(NOT_ALONE);
  const [counted] = await asker.run(o.bound);
  const [count] = counted === undefined ? [] : dataRowCells(counted);
  return {
    count: Number(count?.toString() ?? Number.NaN),
    columns: shown.fields.slice(0, SHOWN_COLUMNS).map(({ name }) => name),
    rows: masked,
  };
}

/** What EXPLAIN says of the rows: of what changes a table, those that come to it. https://www.postgresql.org/docs/current/sql-explain.html */
const Planned = z.object({ 'Node Type': z.string(), 'Plan Rows': z.number() });
const Explained = z.tuple([z.object({ Plan: Planned.extend({ Plans: z.array(Planned).optional() }) })]);

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** How many rows a plan, as JSON, is expected to yield or to change. */
export function expectedRows(json: string): number | undefined {
  const [plan] = Explained.safeParse(parsed(json)).data ?? [];
  if (plan === undefined) return undefined;
  const { Plan: top } = plan;
  const rows =
    top['Node Type'] === 'ModifyTable' ? (top.Plans ?? []).reduce((sum, each) => sum + each['Plan Rows'], 0) : top['Plan Rows'];
  return Number.isSafeInteger(Math.round(rows)) && rows >= 0 ? Math.round(rows) : undefined;
}

function textOf(cell: Buffer | null): string | null {
  if (cell === null) return null;
  const text = cell.toString('utf8');
  return text.length > MAX_CELL ? `${text.slice(0, MAX_CELL - 1)}…` : text;
}

/** Says why, for people: no text of the server's. */
class PreviewError extends Error {
  override readonly name = 'PreviewError';
}

interface Answer {
  tree: string | undefined;
  fields: readonly FieldDescription[];
  readonly rows: Buffer[];
  bytes: number;
  error: string | undefined;
}

/** One question after the other on a connection of its own. */
class Asker implements AsyncDisposable {
  readonly #upstream: Upstream;
  readonly #reader = new MessageReader({ decide: (type, length) => decideServer(type, length) });
  readonly #until = performance.now() + TIMEOUT_MS;
  #answer: Answer = empty();
  #ready = deferred<undefined>();
  readonly #unwanted: Disposable;

  constructor(upstream: Upstream, reads: ServerReads, signal: AbortSignal) {
    this.#upstream = upstream;
    this.#unwanted = onAbort(signal, () => {
      this.#ready.reject(new PreviewError(UNWANTED));
      upstream.socket.destroy();
    });
    // Rows are kept: no buffer is filled again.
    reads.reader = { take: (chunk) => this.#take(chunk), holds: () => true, idle: () => true };
    upstream.socket.on('close', () => this.#ready.reject(new PreviewError('the database closed the connection')));
    if (upstream.rest.length > 0) this.#take(upstream.rest);
    upstream.socket.resume();
  }

  async simple(sql: string): Promise<void> {
    await this.#ask(encodeQuery(sql));
  }

  async prepare(
    query: string,
    parameterTypes: readonly number[],
  ): Promise<{ tree: string; fields: readonly FieldDescription[] }> {
    const { tree, fields } = await this.#ask(
      Buffer.concat([
        encodeParse({ name: '', query, parameterTypes }),
        encodeDescribe({ kind: 'statement', name: '' }),
        encodeSync(),
      ]),
    );
    if (tree === undefined) throw new PreviewError('the database did not say what it reads');
    return { tree, fields };
  }

  /** How many rows the planner expects; undefined where it does not say so. */
  async estimate(text: string, bound: PreviewOptions['bound']): Promise<number | undefined> {
    await this.#ask(
      Buffer.concat([
        encodeParse({ name: '', query: `explain (format json) ${text}`, parameterTypes: bound.types }),
        encodeSync(),
      ]),
    );
    const [row] = await this.run(bound);
    const [plan] = row === undefined ? [] : dataRowCells(row);
    return plan === undefined || plan === null ? undefined : expectedRows(plan.toString('utf8'));
  }

  async run({ parameters, parameterFormats }: PreviewOptions['bound']): Promise<readonly Buffer[]> {
    const bind = { portal: '', statement: '', parameterFormats, parameters, resultFormats: [] };
    const { rows } = await this.#ask(Buffer.concat([encodeBind(bind), encodeExecute({ portal: '', maxRows: 0 }), encodeSync()]));
    return rows;
  }

  async #ask(bytes: Buffer): Promise<Answer> {
    this.#answer = empty();
    this.#ready = deferred();
    this.#upstream.socket.write(bytes);
    const timer = setTimeout(
      () => this.#ready.reject(new PreviewError('it takes too long')),
      Math.max(0, this.#until - performance.now()),
    );
    try {
      await this.#ready.promise;
    } finally {
      clearTimeout(timer);
    }
    const { error } = this.#answer;
    if (error !== undefined)
      throw new PreviewError(error === '57014' || error === '55P03' ? 'it takes too long' : `the database refuses it (${error})`);
    return this.#answer;
  }

  #take(chunk: Buffer): void {
    try {
      this.#reader.push(chunk);
      for (let piece = this.#reader.next(); piece !== undefined; piece = this.#reader.next())
        if (piece.kind === 'message') this.#message(piece.type, piece.bytes);
    } catch (error) {
      this.#ready.reject(error instanceof PreviewError ? error : new PreviewError('the database broke the protocol'));
      this.#upstream.socket.destroy();
    }
  }

  #message(type: number, bytes: Buffer): void {
    const answer = this.#answer;
    if (type === BACKEND.NoticeResponse) answer.tree = treeOf(decodeErrorResponse(bytes)) ?? answer.tree;
    else if (type === BACKEND.RowDescription) answer.fields = decodeRowDescription(Buffer.from(bytes));
    else if (type === BACKEND.ErrorResponse) answer.error = decodeErrorResponse(bytes).C ?? 'XX000';
    else if (type === BACKEND.ReadyForQuery) this.#ready.resolve(undefined);
    else if (type === BACKEND.DataRow) {
      answer.bytes += bytes.length;
      if (answer.bytes > MAX_BYTES || answer.rows.length >= SHOWN_ROWS) throw new PreviewError('its rows are too large');
      answer.rows.push(Buffer.from(bytes));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unwanted[Symbol.dispose]();
    this.#upstream.socket.end(encodeTerminate());
    this.#upstream.socket.destroySoon();
    await Promise.resolve();
  }
}

function empty(): Answer {
  return { tree: undefined, fields: [], rows: [], bytes: 0, error: undefined };
}
