import type { Access, Verdict } from '@chaperone/policy';
import type { Clock } from '../../platform.ts';
import {
  type ObjectName,
  type Statement,
  StatementError,
  type StatementOf,
  type StatementParser,
  type TransactionOperation,
} from '../actions/index.ts';
import { hiddenLabels } from '../../masking/labels.ts';
import type { Catalog } from '../masking/index.ts';
import {
  encodeBind,
  encodeClose,
  encodeDescribe,
  encodeExecute,
  encodeFlush,
  encodeParse,
  encodeSync,
  type ServerMessageFields,
} from '../wire/index.ts';
import { type Held, judgeAgain, judgeFetch, judgePlain, judgeReprint, type Judgement } from './judgement.ts';
import type { Judgements } from './judgements.ts';
import type { GuessBudget } from './guesses.ts';
import type { Link } from './link.ts';
import type { RunEnd } from './run.ts';
import { Settled } from './settled.ts';
import type { Attempt, Cursor, PrepareOutcome, Prepared } from './steps.ts';
import type { Refusal } from './texts.ts';

/** The name under which the query inside EXPLAIN or COPY is analysed. */
const INNER_NAME = 'chaperone.inner';
/** Cursors that are remembered at once; what is beyond them cannot be fetched from. */
const MAX_CURSORS = 100;
const CURSOR_UNKNOWN: Refusal = {
  code: 'NotAnalysable',
  reason:
    'no cursor of this name is known here; DECLARE it in this transaction, after any ROLLBACK TO and any function of your own',
};
const TAINTED: Refusal = {
  code: 'NotAnalysable',
  reason:
    'a function or trigger of your own may have left masked data in this session; read settings, sequences and temporary tables in a new one',
};
const TOO_MANY_HELD: Refusal = {
  code: 'LimitReached',
  reason: 'too many prepared statements are held; close some',
  message: 'close or DEALLOCATE prepared statements that are not needed.',
};
/** Fails at once, wherever it is parsed: how a refusal of ours undoes what its group did. */
const FAILING_TEXT = 'chaperone refused a statement of this transaction';

export interface StatementsOptions {
  readonly link: Link;
  readonly parser: StatementParser;
  readonly access: () => Access;
  readonly catalog: () => Catalog;
  /** The catalogue is too old to judge a new statement by. */
  readonly stale: () => boolean;
  /** Loads the catalogue again, after something unknown was met or the agent changed it. */
  readonly refresh: () => Promise<Catalog>;
  readonly major: number;
  readonly guesses: GuessBudget;
  readonly judgements: Judgements;
  readonly clock: Clock;
}

export type Preparation =
  /** It may run, or may once people have approved it: its judgement says which. */
  | { readonly kind: 'prepared'; readonly prepared: Prepared }
  /** Ours: nothing of it stays at the server. */
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly text: string | undefined }
  /** The server's own refusal of the text. */
  | { readonly kind: 'failed'; readonly error: ServerMessageFields; readonly text: string | undefined }
  /** An earlier statement of the group failed: the server never looked at it. */
  | { readonly kind: 'skipped' };

export type Classified =
  | { readonly kind: 'statements'; readonly statements: readonly Statement[] }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/**
 * Brings statements to the server and decides on them. What can read is parsed there first and held: the tree that the server
 * prints for it, in this very session, says which relations and columns it touches. `Parse` with `Flush` keeps the locks, so
 * what was analysed is what runs.
 */
export class Statements {
  readonly #o: StatementsOptions;

  constructor(options: StatementsOptions) {
    this.#o = options;
  }

  /** Reads the structure of a text; what cannot be read is refused, and nothing of it is kept. */
  async classify(text: string): Promise<Classified> {
    try {
      return { kind: 'statements', statements: await this.#o.parser.classify(Buffer.from(text)) };
    } catch (error) {
      if (!(error instanceof StatementError)) throw error;
      const { code, position } = error;
      const said = code === 'StatementTooLarge' || code === 'StatementSyntax' ? code : 'NotAnalysable';
      return {
        kind: 'refused',
        refusal: { code: said, reason: error.message, ...(position === undefined ? {} : { position }) },
      };
    }
  }

  /** Parses `statement` at the server under `name` and judges it; resolves when the verdict is known. */
  async prepare(statement: Held, name: string, parameterTypes: readonly number[]): Promise<Preparation> {
    if (statement.kind === 'fetch') return this.#fetch(statement, name);
    const inner = innerQuery(statement);
    if (inner === undefined) return this.#prepare(statement, statement.text, name, parameterTypes);
    const analysed = await this.#analyse(statement, inner, parameterTypes);
    if (analysed.kind !== 'prepared') return analysed;
    const outer = await this.#parse(statement.text, name, parameterTypes);
    if (outer.kind === 'failed') return this.#failure(statement, outer);
    return {
      kind: 'prepared',
      prepared: {
        ...analysed.prepared,
        name,
        fields: outer.fields,
        rowDescription: outer.rowDescription,
        parameters: outer.parameters,
      },
    };
  }

  async #prepare(statement: Held, text: string, name: string, parameterTypes: readonly number[]): Promise<Preparation> {
    const { access } = this.#o;
    if (!needsTree(statement)) {
      const judgement = judgePlain(statement, access());
      if (judgement.refusal !== undefined && judgement.approved === undefined)
        return { kind: 'refused', refusal: judgement.refusal, text: judgement.text };
    }
    const outcome = await this.#parse(text, name, parameterTypes);
    if (outcome.kind === 'failed') return this.#failure(statement, outcome);
    const judgement = needsTree(statement) ? await this.#judge(statement, outcome) : judgePlain(statement, access());
    if (judgement.refusal !== undefined && judgement.approved === undefined) {
      this.#close(name);
      return { kind: 'refused', refusal: judgement.refusal, text: judgement.text };
    }
    const { fields, rowDescription, parameters } = outcome;
    return { kind: 'prepared', prepared: { name, judgement, fields, rowDescription, parameters, parameterTypes } };
  }

  /**
   * Sends a statement to be parsed, and whatever the caller sends behind it at once: for one of which it is foretold what it does.
   * `onOutcome` is called before anything of its result is read; what is returned resolves after that.
   */
  stream(
    {
      name,
      text,
      parameterTypes = [],
    }: { readonly name: string; readonly text: string; readonly parameterTypes?: readonly number[] },
    onOutcome: (outcome: PrepareOutcome) => void,
  ): Settled<PrepareOutcome> {
    const messages = [encodeParse({ name, query: text, parameterTypes }), encodeDescribe({ kind: 'statement', name })];
    const settled = new Settled<PrepareOutcome>();
    const step = { kind: 'prepare', trees: [], parsed: false, parameters: [], settled, streamed: onOutcome } as const;
    this.#o.link.send(Buffer.concat(messages), { ...step, trees: [] });
    return settled;
  }

  /** Runs a PREPARE of SQL, which reads nothing, and judges what the server holds under its name from then on. */
  async store(statement: StatementOf<'prepare'>): Promise<Preparation> {
    const { link } = this.#o;
    const settled = new Settled<PrepareOutcome>();
    const { name } = statement;
    const messages = [
      encodeParse({ name: '', query: statement.text, parameterTypes: [] }),
      encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] }),
      encodeExecute({ portal: '', maxRows: 0 }),
      encodeDescribe({ kind: 'statement', name }),
      encodeFlush(),
    ];
    link.send(Buffer.concat(messages), { kind: 'prepare', sql: true, trees: [], parsed: false, parameters: [], settled });
    link.toServer.flush();
    const outcome = await settled.promise;
    if (outcome.kind === 'failed') return this.#failure(statement, outcome);
    const judgement = await this.#judge(statement, outcome);
    if (judgement.refusal !== undefined && judgement.approved === undefined) {
      this.#close(name);
      return { kind: 'refused', refusal: judgement.refusal, text: judgement.text };
    }
    const { fields, rowDescription, parameters } = outcome;
    return { kind: 'prepared', prepared: { name, judgement, fields, rowDescription, parameters, parameterTypes: [] } };
  }

  /** FETCH gives the rows of a query that was judged when its cursor was declared; MOVE none of them. */
  async #fetch(statement: StatementOf<'fetch'>, name: string): Promise<Preparation> {
    const known = this.#declared(statement);
    if (known.kind !== 'known') return known;
    const outcome = await this.#parse(statement.text, name, []);
    if (outcome.kind === 'failed') return this.#failure(statement, outcome);
    const { fields, rowDescription, parameters } = outcome;
    if (!statement.move && !sameFields(fields, known.judgement.basis.fields)) {
      this.#close(name);
      return { kind: 'refused', refusal: CURSOR_UNKNOWN, text: statement.text };
    }
    const { judgement, handed } = known;
    return { kind: 'prepared', prepared: { name, judgement, fields, rowDescription, parameters, parameterTypes: [], handed } };
  }

  #declared(statement: StatementOf<'fetch'>): (Cursor & { readonly kind: 'known' }) | Extract<Preparation, { kind: 'refused' }> {
    const cursor = this.#o.link.cursors.get(statement.cursor);
    if (cursor === undefined) return { kind: 'refused', refusal: CURSOR_UNKNOWN, text: statement.text };
    const judgement = judgeFetch(statement, cursor.judgement, this.#o.access());
    if (judgement.refusal !== undefined) return { kind: 'refused', refusal: judgement.refusal, text: statement.text };
    return { kind: 'known', judgement, handed: cursor.handed };
  }

  async #judge(statement: Held, outcome: Extract<PrepareOutcome, { kind: 'prepared' }>): Promise<Judgement> {
    const { access, catalog, stale, refresh, major, judgements } = this.#o;
    // A label may have been closed over a new partition or renamed column meanwhile: judge by what is there now.
    const known = stale() ? await refresh() : catalog();
    const { trees, fields, rowDescription } = outcome;
    const first = judgements.judge(statement, trees, fields, rowDescription, { access: access(), catalog: known, major });
    // Something was made since the catalogue was read: look once more before refusing.
    const judgement = first.unknownObjects
      ? judgements.judge(statement, trees, fields, rowDescription, { access: access(), catalog: await refresh(), major })
      : first;
    if (judgement.basis.analysis?.impliesCode !== false) this.#parsed();
    return judgement;
  }

  async #parse(text: string, name: string, parameterTypes: readonly number[]): Promise<PrepareOutcome> {
    const { link } = this.#o;
    const settled = new Settled<PrepareOutcome>();
    link.send(
      Buffer.concat([
        encodeParse({ name, query: text, parameterTypes }),
        encodeDescribe({ kind: 'statement', name }),
        encodeFlush(),
      ]),
      {
        kind: 'prepare',
        trees: [],
        parsed: false,
        parameters: [],
        settled,
      },
    );
    link.toServer.flush();
    return settled.promise;
  }

  /** Whether what is said of a text that is only parsed may hold masked values. */
  get parsingTells(): boolean {
    return this.#o.catalog().impliesCode && hiddenLabels(this.#o.access()).size > 0;
  }

  /** Reading literals of a domain runs its checks, though nothing is executed, and though they may fail. */
  #parsed(): void {
    if (this.#o.catalog().impliesCode) this.#o.link.tainted = true;
  }

  #failure(statement: Held, outcome: Extract<PrepareOutcome, { kind: 'failed' }>): Preparation {
    if (outcome.error !== undefined) this.#parsed();
    return outcome.error === undefined ? { kind: 'skipped' } : { kind: 'failed', error: outcome.error, text: statement.text };
  }

  /** Remembers what was prepared for the agent; where there is no room for it, nothing of it stays at the server either. */
  keep(outcome: Preparation): Preparation {
    if (outcome.kind !== 'prepared') return outcome;
    const { name, judgement } = outcome.prepared;
    if (this.#o.link.statements.set(name, outcome.prepared)) return outcome;
    this.#close(name);
    return { kind: 'refused', refusal: TOO_MANY_HELD, text: judgement.text };
  }

  /** Has the server forget a statement that nobody is to use. */
  drop(name: string): void {
    this.#close(name);
  }

  #close(name: string): void {
    const target = { kind: 'statement', name } as const;
    this.#o.link.send(encodeClose(target), { kind: 'close', tell: false, target });
  }

  /** The verdict under the policy in force now; it may have changed since the statement was parsed. */
  current(judgement: Judgement, fields: Prepared['fields']): Judgement {
    const { access, catalog, major, judgements } = this.#o;
    const { byText, tree, policy } = judgement.basis;
    // Only now somebody asks what it reads.
    if (byText && tree !== undefined && policy !== access().digest)
      return judgements.read(judgement, tree, fields, { access: access(), catalog: catalog(), major });
    return judgeAgain(judgement, fields, access());
  }

  /** Takes in a tree that the server printed at Bind or Describe: from here on it holds for the statement. */
  reprinted(prepared: Prepared, tree: string): void {
    const { access, catalog, major } = this.#o;
    const judgement = this.current(prepared.judgement, prepared.fields);
    prepared.judgement = judgeReprint(judgement, tree, prepared.fields, { access: access(), catalog: catalog(), major });
    if (prepared.of !== undefined) this.reprinted(prepared.of, tree);
  }

  /**
   * COPY and EXPLAIN look names up when they run: analyses what stands inside once more, so that its locks are held until then.
   * Undefined for any other statement.
   */
  beforeRun(prepared: Prepared): Promise<Preparation> | Preparation | undefined {
    const { statement } = prepared.judgement;
    if (statement.kind === 'fetch') {
      const known = this.#declared(statement);
      if (known.kind !== 'known') return known;
      if (statement.move || sameFields(prepared.fields, known.judgement.basis.fields))
        return { kind: 'prepared', prepared: { ...prepared, ...known } };
      return { kind: 'refused', refusal: CURSOR_UNKNOWN, text: statement.text };
    }
    const inner = innerQuery(statement);
    return inner === undefined ? undefined : this.#analyse(statement, inner, prepared.parameterTypes);
  }

  async #analyse(statement: Held, inner: string, parameterTypes: readonly number[]): Promise<Preparation> {
    const analysed = await this.#prepare(statement, inner, INNER_NAME, parameterTypes);
    if (analysed.kind === 'prepared') this.#close(INNER_NAME);
    return analysed;
  }

  /** Whether what looks names up when it runs still means what it meant: of anything else the server says so when it is bound. */
  async unchanged(prepared: Prepared, asked: Judgement): Promise<boolean> {
    const again = await this.beforeRun(prepared);
    return again === undefined || (again.kind === 'prepared' && again.prepared.judgement.basis.tree === asked.basis.tree);
  }

  /** Counts comparisons with masked columns; a refusal once the hour's budget is used up. */
  spend(judgement: Judgement, parameters: readonly (Buffer | null)[]): Refusal | undefined {
    return this.#o.guesses.spend(judgement, parameters, this.#o.clock.now(), () => this.#o.link.settings);
  }

  /** Why a statement must not run in this session, though it might in another. */
  barred({ readsSession, ownersCode }: Judgement): Refusal | undefined {
    return readsSession && (this.#o.link.tainted || ownersCode) && hiddenLabels(this.#o.access()).size > 0 ? TAINTED : undefined;
  }

  /** Before the server plans or runs a statement: code of the owner's may run then, which can close a cursor and open another of its name. */
  mayRun(ownersCode: boolean): void {
    if (!ownersCode) return;
    this.#o.link.tainted = true;
    this.#o.link.cursors.clear();
  }

  /** Before a statement goes to the server: forgets what it may take away, or give to another. */
  starting({ statement, ownersCode }: Judgement): void {
    const { link } = this.#o;
    const own = statement.kind === 'fetch' ? link.cursors.get(statement.cursor) : undefined;
    this.mayRun(ownersCode);
    if (statement.kind === 'set' || statement.kind === 'reset') link.changes(statement.text);
    // The cursor that is being read no function can close.
    if (statement.kind === 'transaction') this.#ending(statement.operation);
    if (statement.kind === 'fetch' && own !== undefined) link.cursors.set(statement.cursor, own);
    if (statement.kind === 'declare') link.forgetPortals(statement.cursor);
    if (statement.kind === 'deallocate') link.forgetStatements(statement.name);
    if (statement.kind !== 'close') return;
    link.forgetPortals(statement.cursor);
    if (statement.cursor === undefined) link.cursors.clear();
    else link.cursors.delete(statement.cursor);
  }

  #ending(operation: TransactionOperation): void {
    const { link } = this.#o;
    // COMMIT AND CHAIN gives locks back in what looks like one transaction from outside.
    if (operation !== 'savepoint' && operation !== 'release') link.locks++;
    if (operation === 'rollback-to') link.cursors.clear();
  }

  /** After a statement that may have changed the catalogue, or declared a cursor. */
  async executed(judgement: Judgement, end: RunEnd): Promise<void> {
    const { statement } = judgement;
    if (statement.kind === 'utility') await this.#o.refresh();
    if (statement.kind !== 'declare' || end !== 'complete') return;
    const { cursors } = this.#o.link;
    cursors.set(statement.cursor, { judgement, handed: { rows: 0, bytes: 0 } });
    for (const oldest of cursors.keys()) {
      if (cursors.size <= MAX_CURSORS) break;
      cursors.delete(oldest);
    }
  }

  /**
   * Ends a group (of a failed `attempt` nothing is told): where we refused something, what the group did before is undone first, as
   * after an error of the server's. Sent, in any case, once what is returned is there or resolves; settled once the server is ready.
   */
  sync(tell: boolean, attempt?: Attempt): Settled<void> | Promise<Settled<void>> {
    if (!this.#o.link.undo) return this.#sync(tell, attempt);
    return this.#undo().then(() => this.#sync(tell, attempt));
  }

  /** As {@link sync}; resolves once the server is ready. */
  synced(tell: boolean, attempt?: Attempt): Promise<void> {
    const sync = this.sync(tell, attempt);
    return sync instanceof Promise ? sync.then((settled) => settled.promise) : sync.promise;
  }

  async #undo(): Promise<void> {
    const { link } = this.#o;
    link.toServer.push(encodeFlush());
    link.toServer.flush();
    await link.drained();
    if (!link.undo || !(link.dirty || link.transaction === 'T')) return;
    // Not the unnamed one: that would take the agent's own away.
    link.send(encodeParse({ name: INNER_NAME, query: FAILING_TEXT, parameterTypes: [] }), { kind: 'forced' });
  }

  #sync(tell: boolean, attempt: Attempt | undefined): Settled<void> {
    const { link } = this.#o;
    const settled = new Settled<void>();
    link.undo = false;
    link.skipping = false;
    link.dirty = false;
    link.send(encodeSync(), { kind: 'sync', tell, settled, attempt });
    link.toServer.flush();
    return settled;
  }
}

/** Kinds whose relations only the server can resolve. */
function needsTree(statement: Held): boolean {
  return (
    statement.kind === 'query' ||
    statement.kind === 'explain' ||
    statement.kind === 'declare' ||
    statement.kind === 'copy-out' ||
    statement.kind === 'copy-in'
  );
}

/** The query that stands for a wrapper when it is analysed. */
function innerQuery(statement: Held): string | undefined {
  if (statement.kind === 'explain' || statement.kind === 'declare') return statement.inner;
  if (statement.kind === 'copy-in') return selectOf(statement.relation, statement.columns);
  if (statement.kind !== 'copy-out') return undefined;
  return statement.query ?? selectOf(statement.relation, statement.columns);
}

/** A query that touches what COPY of a relation touches; the server resolves the name as it does for COPY. */
function selectOf(relation: ObjectName, columns: readonly string[]): string {
  const name = relation.schema === undefined ? quoted(relation.name) : `${quoted(relation.schema)}.${quoted(relation.name)}`;
  return `SELECT ${columns.length === 0 ? '*' : columns.map(quoted).join(', ')} FROM ${name}`;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function sameFields(a: Prepared['fields'], b: Prepared['fields']): boolean {
  return a.length === b.length && a.every((field, at) => field.name === b[at]?.name && field.typeOid === b[at]?.typeOid);
}

export function asVerdict(refusal: { code: string; reason: string; rule?: string | undefined }): Verdict {
  return {
    verdict: 'deny',
    code: refusal.code,
    reason: refusal.reason,
    effects: [],
    ...(refusal.rule === undefined ? {} : { rule: refusal.rule }),
  };
}
