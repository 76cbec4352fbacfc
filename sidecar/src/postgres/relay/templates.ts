import type { Access } from '@chaperone/policy';
import type { Clock } from '../../platform.ts';
import { instanceOf, PARAMETER_TYPES, type Statement, type Template, templateOf } from '../actions/index.ts';
import { type Catalog, isSameTree } from '../masking/index.ts';
import { encodeClose } from '../wire/index.ts';
import type { Foretold } from './foretold.ts';
import type { Judgement } from './judgement.ts';
import { boundsRows } from './limits.ts';
import type { Link } from './link.ts';
import type { Refusal } from './texts.ts';
import type { Statements } from './statements.ts';
import type { Prepared } from './steps.ts';

/** Statements of ours that one session may keep at its server, and templates it remembers; the least recently used goes. */
const MAX_TEMPLATES = 200;
/** Templates that are tried before a text is read: most agents repeat few statements. */
const RECENT = 4;
/** A template is given up after so many runs one after the other that took much longer than its text did. */
const MAX_SLOW_RUNS = 8;
const SLOWER = 4;
const SLACK_MS = 5;
/** Types that take any string: text and varchar. */
const ANY_TEXT: ReadonlySet<number> = new Set([25, 1043]);
const REPEATED: ReadonlySet<string> = new Set(['begin', 'commit', 'rollback']);
/** What our own statements are called; an agent's may not be called so. */
export const OWN_NAMES = 'chaperone.';
export const NAME_RESERVED: Refusal = { code: 'ProtocolViolation', reason: 'this statement name is reserved' };

export interface TemplatesOptions {
  readonly link: Link;
  readonly statements: Statements;
  readonly access: () => Access;
  readonly catalog: () => Catalog;
  readonly stale: () => boolean;
  readonly major: number;
  /** Shared with other sessions of the database. */
  readonly foretold: Foretold;
  /** The owner's switch. */
  readonly enabled: () => boolean;
  readonly clock: Clock;
}

/** One template of this session. Without `prepared` its texts are run as they are; `off`: for good. */
interface Known {
  readonly template: Template;
  prepared: Prepared | undefined;
  /** What `prepared` or `text` was judged by. */
  catalog: Catalog | undefined;
  sights: number;
  off: boolean;
  textMs: number;
  slowRuns: number;
  /** An instance that was run by its own text, until the template is prepared. */
  text: Prepared | undefined;
  /** `Link.locks` when an instance was last run by its own text: so long as it stays, nobody else can change what that used. */
  locks: number;
}

export interface Instance {
  readonly known: Known;
  readonly values: readonly string[];
}

/**
 * Statements that an agent repeats by simple query run as server-side prepared statements, with their literals bound: no Parse, no
 * plan, no round trip before the verdict. A text is taken for an instance only if the server's own tree of one of its instances
 * equals its tree of the template. Printing of trees stays on, so a template that the server analyses anew is judged anew, as any
 * prepared statement is.
 *
 * Within a transaction an instance has to be run by its own text first: what the server holds of another definition of its table
 * would fail, and the transaction with it. The locks of that text keep others from changing it from then on.
 */
export class Templates {
  readonly #o: TemplatesOptions;
  readonly #known = new Map<string, Known>();
  #recent: Known[] = [];
  /** What is to become a prepared statement, with an instance that was run by its text. */
  readonly #wishes = new Map<Known, Prepared>();
  #named = 0;

  constructor(options: TemplatesOptions) {
    this.#o = options;
  }

  /** What `text` is an instance of; undefined: it is run as it is, and need not be told to {@link ran}. */
  find(text: string): Instance | undefined {
    const { enabled } = this.#o;
    if (!enabled() || this.#o.access().searchPath.length > 1) return undefined;
    for (const known of this.#recent) {
      const values = instanceOf(known.template, text);
      if (values !== undefined) return known.off ? undefined : { known: this.#touch(known), values };
    }
    const template = templateOf(text);
    if (template === undefined) return undefined;
    const known = this.#touch(this.#known.get(template.text) ?? newcomer(template));
    const values = instanceOf(template, text);
    return values === undefined || known.off ? undefined : { known, values };
  }

  /** The prepared statement of an instance, if it may be used now. */
  ready({ known }: Instance): Prepared | undefined {
    const { catalog, stale } = this.#o;
    const { prepared } = known;
    if (prepared === undefined || stale()) return undefined;
    if (known.catalog === catalog() && prepared.judgement.also.length === 0)
      return this.#safe(known, prepared) ? prepared : undefined;
    // Judged by another catalogue, or analysed anew since: it has to prove itself again.
    this.#retire(known);
    return undefined;
  }

  /** Whether nothing can fail with the template that would not have failed with the text: in a transaction it is too late for that. */
  #safe(known: Known, { judgement, parameters }: Prepared): boolean {
    const { link } = this.#o;
    // What was executed before it, without a Sync between, would be lost with a failed attempt.
    if (link.dirty) return false;
    if (link.transaction === 'I' || judgement.statement.kind === 'transaction') return true;
    if (link.transaction === 'E' || link.tainted || known.locks !== link.locks) return false;
    if (boundsRows(this.#o.access().limits)) return false;
    return known.template.classes.every((literal, at) => literal !== 'text' || ANY_TEXT.has(parameters[at] ?? 0));
  }

  /** After an instance was run by its own text. The second time it is to become a prepared statement. */
  ran({ known }: Instance, text: Prepared, durationMs: number): void {
    const { link, catalog } = this.#o;
    known.textMs = durationMs;
    known.locks = link.transaction === 'T' ? link.locks : -1;
    if (known.prepared !== undefined) return;
    const repeats = mayRepeat(text.judgement);
    known.text = repeats ? text : undefined;
    known.catalog = catalog();
    if (repeats) this.#o.foretold.set(known.template.text, text, known.catalog);
    if (++known.sights < 2) return;
    if (repeats) this.#wishes.set(known, text);
    else known.off = true;
  }

  /**
   * What was decided about the template or another instance, outside transactions by any session. Undefined: this one's text has to
   * be looked at first.
   */
  foretold(instance: Instance): Prepared | undefined {
    const { link, stale, access } = this.#o;
    // What may be stopped by a limit must not be committed in the same breath.
    if (stale() || boundsRows(access().limits)) return undefined;
    const other = link.transaction === 'T' ? this.#ofSession(instance) : this.#apart(instance);
    return other?.judgement.statement.kind === 'query' && other.judgement.also.length === 0 ? other : undefined;
  }

  #ofSession({ known }: Instance): Prepared | undefined {
    return known.catalog === this.#o.catalog() ? (known.prepared ?? known.text) : undefined;
  }

  /** What is alone in its transaction can be taken back; but for what code of the owner's does elsewhere. */
  #apart(instance: Instance): Prepared | undefined {
    const { link, catalog, foretold } = this.#o;
    if (link.transaction !== 'I' || link.dirty) return undefined;
    const other = this.#ofSession(instance) ?? foretold.get(instance.known.template.text, catalog());
    return other?.judgement.ownersCode === false ? other : undefined;
  }

  get wish(): boolean {
    return this.#wishes.size > 0 && this.#o.link.transaction === 'I';
  }

  /** Outside transactions, where an error harms nothing: makes prepared statements of what is to be one; resolves when it is. */
  async prepare(): Promise<void> {
    for (const [known, { judgement }] of this.#wishes) {
      const { statement, basis } = judgement;
      this.#wishes.delete(known);
      if (statement.kind !== 'empty') await this.#prepare(known, statement, basis.tree);
    }
  }

  /** After an instance was run by its template. */
  used({ known }: Instance, durationMs: number): void {
    known.slowRuns = durationMs > known.textMs * SLOWER + SLACK_MS ? known.slowRuns + 1 : 0;
    if (known.slowRuns >= MAX_SLOW_RUNS) this.#giveUp(known);
  }

  /** The server did not take an instance's values, or does not know the statement any more. */
  failed({ known }: Instance): void {
    this.#retire(known);
  }

  /** Something that may change what texts mean: settings, the catalogue. */
  forget(): void {
    for (const known of this.#known.values()) this.#retire(known);
  }

  async #prepare(known: Known, statement: Statement, tree: string | undefined): Promise<void> {
    const { statements, catalog, major, link } = this.#o;
    const { template } = known;
    const name = `${OWN_NAMES}t${++this.#named}`;
    const types = template.classes.map((literal) => PARAMETER_TYPES[literal]);
    const outcome = await statements.prepare({ ...statement, text: template.text }, name, types);
    await statements.synced(false);
    if (outcome.kind !== 'prepared') {
      known.off = true;
      return;
    }
    const { prepared } = outcome;
    const lifted = prepared.judgement.basis.tree;
    known.prepared = prepared;
    known.text = undefined;
    known.catalog = catalog();
    known.slowRuns = 0;
    const same =
      statement.kind === 'transaction' ||
      (tree !== undefined && lifted !== undefined && isSameTree(tree, lifted, types.length, major));
    if (!same || prepared.parameters.length !== types.length || link.transaction !== 'I') this.#giveUp(known);
  }

  #touch(known: Known): Known {
    if (this.#recent[0] === known) return known;
    const key = known.template.text;
    this.#known.delete(key);
    this.#known.set(key, known);
    this.#recent = [known, ...this.#recent.filter((other) => other !== known)].slice(0, RECENT);
    for (const [oldest, other] of this.#known) {
      if (this.#known.size <= MAX_TEMPLATES) break;
      this.#retire(other);
      this.#known.delete(oldest);
    }
    return known;
  }

  #giveUp(known: Known): void {
    known.off = true;
    this.#retire(known);
  }

  /** Closes its statement at the server; its texts are counted anew. */
  #retire(known: Known): void {
    known.sights = 0;
    known.text = undefined;
    this.#wishes.delete(known);
    if (known.prepared === undefined) return;
    const target = { kind: 'statement', name: known.prepared.name } as const;
    known.prepared = undefined;
    this.#o.link.send(encodeClose(target), { kind: 'close', tell: false, target });
  }
}

function newcomer(template: Template): Known {
  const untried = { prepared: undefined, catalog: undefined, sights: 0, off: false, textMs: 0, slowRuns: 0 };
  return { template, ...untried, text: undefined, locks: -1 };
}

function mayRepeat({ statement, writes }: Judgement): boolean {
  if (statement.kind === 'transaction') return REPEATED.has(statement.operation);
  return statement.kind === 'query' && statement.command === 'select' && !writes && !statement.mentionsSetConfig;
}
