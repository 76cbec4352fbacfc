import type { Access } from '@chaperone/policy';
import type { Clock } from '../../platform.ts';
import { instanceOf, PARAMETER_TYPES, type StatementOf, type Template, templateOf } from '../actions/index.ts';
import { type Catalog, isSameTree } from '../masking/index.ts';
import { encodeClose } from '../wire/index.ts';
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
  /** The owner's switch. */
  readonly enabled: () => boolean;
  readonly clock: Clock;
}

/** One template of this session. Without `prepared` its texts are run as they are; `off`: for good. */
interface Known {
  readonly template: Template;
  prepared: Prepared | undefined;
  catalog: Catalog | undefined;
  sights: number;
  off: boolean;
  textMs: number;
  slowRuns: number;
}

export interface Instance {
  readonly known: Known;
  readonly values: readonly string[];
}

/**
 * Statements that an agent repeats by simple query run as server-side prepared statements, with their literals bound: no Parse, no
 * plan, no round trip before the verdict. A text is taken for an instance only if the server's own tree of one of its instances
 * equals its tree of the template, and only outside transactions. Printing of trees stays on, so a template that the server
 * analyses anew is judged anew, as any prepared statement is.
 */
export class Templates {
  readonly #o: TemplatesOptions;
  readonly #known = new Map<string, Known>();
  #recent: Known[] = [];
  #named = 0;

  constructor(options: TemplatesOptions) {
    this.#o = options;
  }

  /** What `text` is an instance of; undefined: it is run as it is, and need not be told to {@link ran}. */
  find(text: string): Instance | undefined {
    const { link, enabled } = this.#o;
    if (link.transaction !== 'I' || !enabled() || this.#o.access().searchPath.length > 1) return undefined;
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
    if (known.prepared === undefined || stale()) return undefined;
    if (known.catalog === catalog() && known.prepared.judgement.also.length === 0) return known.prepared;
    // Judged by another catalogue, or analysed anew since: it has to prove itself again.
    this.#retire(known);
    return undefined;
  }

  /** After an instance was run by its own text. The second time it becomes a prepared statement; resolves when that is settled. */
  async ran({ known }: Instance, text: Prepared, durationMs: number): Promise<void> {
    known.textMs = durationMs;
    if (known.prepared !== undefined || ++known.sights < 2) return;
    const { judgement } = text;
    const { statement } = judgement;
    if (statement.kind !== 'query' || statement.command !== 'select' || judgement.writes || statement.mentionsSetConfig) {
      known.off = true;
      return;
    }
    await this.#prepare(known, text.judgement.basis.tree, statement);
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

  async #prepare(known: Known, tree: string | undefined, statement: StatementOf<'query'>): Promise<void> {
    const { statements, catalog, major, link } = this.#o;
    const { template } = known;
    const name = `${OWN_NAMES}t${++this.#named}`;
    const types = template.classes.map((literal) => PARAMETER_TYPES[literal]);
    const outcome = await statements.prepare({ ...statement, text: template.text }, name, types);
    await (await statements.sync(false)).done;
    if (outcome.kind !== 'prepared') {
      known.off = true;
      return;
    }
    const { prepared } = outcome;
    const lifted = prepared.judgement.basis.tree;
    known.prepared = prepared;
    known.catalog = catalog();
    known.slowRuns = 0;
    const same = tree !== undefined && lifted !== undefined && isSameTree(tree, lifted, types.length, major);
    if (!same || prepared.parameters !== types.length || link.transaction !== 'I') this.#giveUp(known);
  }

  #touch(known: Known): Known {
    const key = known.template.text;
    this.#known.delete(key);
    this.#known.set(key, known);
    if (this.#recent[0] !== known) this.#recent = [known, ...this.#recent.filter((other) => other !== known)].slice(0, RECENT);
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
    if (known.prepared === undefined) return;
    const target = { kind: 'statement', name: known.prepared.name } as const;
    known.prepared = undefined;
    this.#o.link.send(encodeClose(target), { kind: 'close', tell: false, target });
  }
}

function newcomer(template: Template): Known {
  return { template, prepared: undefined, catalog: undefined, sights: 0, off: false, textMs: 0, slowRuns: 0 };
}
