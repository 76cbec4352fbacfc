import { hash } from 'node:crypto';
import { type Detector, MAX_REQUEST_TEXT, visible } from '@chaperone/api';
import {
  type Access,
  describeEffect,
  type Preview,
  qualifiedName,
  type SealedAction,
  sealAction,
  type Verdict,
} from '@chaperone/policy';
import type { Clock } from '../../platform.ts';
import type { HeldAction, HoldOutcome, Holds } from '../../session/holds.ts';
import { approvalRecord, approvalRefusal } from '../../session/outcome.ts';
import { wholeText } from '../../session/whole-text.ts';
import { blankLiterals } from '../actions/index.ts';
import { type Catalog, hide, isSteady, parseTree, type PlainLiterals, plainLiterals } from '../masking/index.ts';
import type { BindMessage } from '../wire/index.ts';
import { shownParameters } from './bound-values.ts';
import type { Judgement } from './judgement.ts';
import type { Link } from './link.ts';
import type { Recorder } from './recorder.ts';
import type { Run } from './run.ts';
import { preview, type PreviewOptions } from './preview.ts';
import type { Refusal, Texts } from './texts.ts';

const MAX_SHOWN = 64;
const MAX_VALUE = 256;
/** In place of a bound value that may be of a labelled column. */
const HIDDEN = '(hidden)';
/** Effects that are shown, those that need approval first. */
const MAX_EFFECTS = 64;

/** What an approval is for beside the statement: fixed for the session. */
export interface ApprovalContext {
  readonly agent: SealedAction['agent'];
  /** The human or task behind it, where its token was verified. */
  readonly onBehalfOf: SealedAction['onBehalfOf'];
  readonly database: string;
  readonly role: string;
  /** What the agent brought with its startup packet. */
  readonly settings: () => string;
}

export interface ApprovalOptions {
  readonly link: Link;
  readonly recorder: Recorder;
  readonly texts: Texts;
  readonly access: () => Access;
  readonly catalog: () => Catalog;
  /** Reads the catalogue again. */
  readonly refresh: () => Promise<Catalog>;
  readonly major: number;
  readonly clock: Clock;
  readonly session: string;
  readonly holds: Holds;
  readonly context: ApprovalContext;
  /** A connection of its own, with the agent's credential and settings. */
  readonly connect: PreviewOptions['connect'];
}

/** One execution that wants to be approved. */
export interface Execution {
  readonly judgement: Judgement;
  /** Of a prepared statement that SQL executes: EXECUTE as evidence keeps it. */
  readonly executed?: string | undefined;
  readonly bytes: number;
  /** Bound values as {@link StatementApproval.values} has them. */
  readonly parameters?: readonly (string | null)[] | undefined;
  /** All that the agent gave to it beside the text, which the approval is for: values, types, formats. */
  readonly bound: unknown;
  /** The same, to look at the rows that it would meet; undefined: it is too large. */
  readonly values: PreviewOptions['bound'] | undefined;
}

export type Approval =
  /** It may run now, once, as this action. */
  | {
      readonly kind: 'released';
      readonly request: string;
      readonly action: number;
      readonly judgement: Judgement;
      /** Call with what runs, or with why nothing does. */
      readonly ended: (run: Run | string) => void;
    }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** The agent gave up on it. */
  | { readonly kind: 'cancelled' };

/** Holds statements that a rule wants people to approve, and tells the agent what becomes of them. */
export class StatementApproval {
  readonly #o: ApprovalOptions;

  constructor(options: ApprovalOptions) {
    this.#o = options;
  }

  /** Asks people. The server owes nothing meanwhile; whether it holds locks is the caller's to say. @throws RecordingError */
  ask(execution: Execution, holdsLocks: boolean): Promise<Approval> {
    const asked = this.#ask(execution, holdsLocks);
    this.#o.link.heldTold = asked.then(
      () => undefined,
      () => undefined,
    );
    return asked;
  }

  async #ask(execution: Execution, holdsLocks: boolean): Promise<Approval> {
    const { link, recorder, clock } = this.#o;
    const { judgement, bytes, parameters } = execution;
    const { verdict } = judgement;
    const cancelled = Promise.withResolvers<undefined>();
    link.giveUp = () => cancelled.resolve(undefined);
    const text = this.#shown(execution);
    const action = await recorder.judged({ text, bytes, verdict, writes: true, parameters });
    const seal = (): string => this.#seal(execution);
    const digest = seal();
    const since = clock.monotonic();
    const facts = await this.#facts(judgement);
    const whole = wholeText(text);
    const asked: HeldAction = {
      question: bounded({ ...this.#question(execution, text, action, holdsLocks), ...this.#template(execution, facts) }),
      seal,
      look: async (signal) => ({ preview: await this.#look(execution, signal), ...whole }),
      waiting: ({ name, timeoutMs }) => {
        link.say(this.#o.texts.waiting(this.#news(judgement, 'ApprovalPending', { request: name, timeoutMs })));
        link.toAgent.flush();
      },
      gone: Promise.race([cancelled.promise, link.ended.promise]),
    };
    const held = await this.#o.holds.hold(asked).finally(() => {
      link.giveUp = undefined;
    });
    const outcome = await this.#confirmed(held, judgement, facts, () => seal() === digest);
    const waitedMs = Math.round(clock.monotonic() - since);
    await recorder.approval(approvalRecord(outcome, { action, digest, waitedMs }));
    if (outcome.kind === 'gone') return { kind: 'cancelled' };
    if (outcome.kind !== 'released') return { kind: 'refused', refusal: this.#refusal(judgement, outcome) };
    const { name } = outcome.view;
    const ended = (run: Run | string): void => this.#tellEnd(name, run);
    if (link.over || judgement.approved === undefined) {
      ended('the agent was gone; it did not run');
      return { kind: 'cancelled' };
    }
    return { kind: 'released', request: name, action, judgement: judgement.approved, ended };
  }

  /** Nothing is locked while people think: what a statement meets may be another by now, or have triggers. */
  async #confirmed(
    outcome: HoldOutcome,
    judgement: Judgement,
    facts: string | undefined,
    isSealed: () => boolean,
  ): Promise<HoldOutcome> {
    if (outcome.kind !== 'released') return outcome;
    // The policy may change while the catalogue is read.
    if (facts !== undefined && (await this.#facts(judgement)) === facts && isSealed()) return outcome;
    const why = 'what it touches changed';
    this.#tellEnd(outcome.view.name, `${why}; it did not run`);
    return { kind: 'voided', view: outcome.view, why };
  }

  /** The tables that it names, as the catalogue has them now; undefined: it cannot be read. */
  async #facts({ verdict }: Judgement): Promise<string | undefined> {
    const names = new Set(verdict.effects.map(({ object }) => object));
    try {
      const { relations } = await this.#o.refresh();
      const named = [...relations.values()].filter(({ schema, name }) => names.has(qualifiedName(schema, name)));
      // What foreign keys lead to is changed with them.
      const met = new Map(named.map((relation) => [relation.oid, relation]));
      for (const { cascadesTo } of met.values())
        for (const relation of cascadesTo.flatMap((oid) => relations.get(oid) ?? [])) met.set(relation.oid, relation);
      return JSON.stringify([...met.values()].map(({ columns: _columns, ...facts }) => facts).toSorted((a, b) => a.oid - b.oid));
    } catch {
      return undefined;
    }
  }

  #tellEnd(name: string, run: Run | string): void {
    if (typeof run === 'string') return this.#o.holds.ended(name, 'Failed', run);
    run.onEnd = ({ tag, error }) => {
      // Nobody knows how it did: that it was released is all that is true.
      if (error?.code === 'SessionEnded') return;
      this.#o.holds.ended(name, error === undefined ? 'Ran' : 'Failed', tag ?? error?.message ?? '');
    };
  }

  /** What it would meet, as far as that can be said before it runs. */
  async #look({ judgement, values }: Execution, signal: AbortSignal): Promise<Preview> {
    if (judgement.statement.kind !== 'query') return { why: 'a statement of its kind meets no rows that can be looked at' };
    if (values === undefined) return { why: 'its values are too large' };
    if (!this.#o.holds.mayPreview()) return { why: 'this agent asked too often' };
    const { access, catalog, major, connect } = this.#o;
    const { met, ...said } = await preview({
      judgement,
      bound: values,
      access: access(),
      catalog: catalog(),
      major,
      connect,
      signal,
    });
    if (met === undefined) return said;
    return {
      ...said,
      count: met.count,
      columns: met.columns.map((name) => visible(name, 64)),
      rows: met.rows.map((row) => row.map((cell) => (cell === null ? null : visible(cell, 128)))),
    };
  }

  /** Bound values as people and evidence may see them: of those that may be of a labelled column nothing but that they are there. */
  values(judgement: Judgement, message: BindMessage): readonly (string | null)[] | undefined {
    const detectors = this.#detectors();
    const shown = shownParameters({ blank: false }, message)?.map((value) => (value === null ? null : hide(value, detectors)));
    if (!judgement.blank || shown === undefined) return shown;
    const { parameters } = this.#plain(judgement);
    return shown.map((value, at) => (parameters.has(at + 1) ? value : HIDDEN));
  }

  /** The statement as people may see it: what may be of a labelled column, and what detectors find, is hidden. */
  #shown({ judgement, executed }: Execution): string {
    const { blank, statement } = judgement;
    const text = blank ? blankLiterals(statement.text, this.#plain(judgement).locations) : statement.text;
    return hide(executed === undefined ? text : `${executed}; ${text}`, this.#detectors());
  }

  #detectors(): ReadonlySet<Detector> {
    const { sensitive, reveal } = this.#o.access();
    const detectors = sensitive.flatMap(({ label, detector }) =>
      detector === undefined || reveal.includes(label) ? [] : [detector],
    );
    return new Set(detectors);
  }

  #plain({ statement, basis }: Judgement): PlainLiterals {
    const none = { locations: new Set<number>(), parameters: new Set<number>() };
    // Any other tree is that of a text within the statement.
    if (statement.kind !== 'query' || basis.tree === undefined) return none;
    const [query, ...more] = parseTree(basis.tree, this.#o.major);
    return query === undefined || more.length > 0 ? none : plainLiterals(query, this.#o.catalog(), this.#o.major);
  }

  #seal({ judgement, bound }: Execution): string {
    // What the server itself makes of the text: names that stand for something else by now change it.
    const tree = judgement.basis.tree ?? '';
    return sealAction(this.#sealed(judgement.statement.text, bound, { tree }));
  }

  /**
   * Names the statement but for its values: text without literals, what it does and to what, and the types of what is bound. People
   * read its text. Where a value may say what is done, or running it again does more than that, it can be approved once only.
   */
  #template(
    { judgement, values }: Execution,
    facts: string | undefined,
  ): Pick<HeldAction['question'], 'template' | 'templateText' | 'once'> {
    const once = facts === undefined ? 'the tables that it names could not be read' : this.#once(judgement);
    if (facts === undefined || once !== undefined) return { once };
    const { statement, verdict } = judgement;
    const effects = verdict.effects.map(({ verb, object, via }) => [verb, object, via]);
    const text = blankLiterals(statement.text);
    const template = sealAction(this.#sealed(text, values?.types, { effects: JSON.stringify(effects), facts }));
    return { template, templateText: visible(hide(text, this.#detectors()), MAX_REQUEST_TEXT) };
  }

  /** Why nobody can say that the same may run again; undefined: people can. */
  #once({ statement, verdict, basis }: Judgement): string | undefined {
    if (statement.kind !== 'query') return 'a statement of its kind has no values that could be left out';
    if (verdict.effects.some(({ verb }) => verb === 'execute')) return 'its values may say what a function does that it calls';
    const { catalog, major } = this.#o;
    if (basis.tree === undefined || !isSteady(basis.tree, catalog(), major))
      return 'it calls a function that changes something, waits, or gives another result each time';
    return undefined;
  }

  #sealed(text: string, bound: unknown, meaning: Readonly<Record<string, string>>): SealedAction {
    const { link, access, context } = this.#o;
    const { resource, digest, searchPath } = access();
    return {
      agent: context.agent,
      onBehalfOf: context.onBehalfOf,
      resource: { namespace: resource.namespace, name: resource.name, generation: resource.generation },
      access: digest,
      protocol: 'postgres',
      text,
      bound,
      state: {
        database: context.database,
        role: context.role,
        searchPath: searchPath.join(','),
        settings: `${link.settings} ${link.history} ${context.settings()}`,
        transaction: link.inTransaction ? 'open' : 'none',
        ...meaning,
      },
    };
  }

  #question(execution: Execution, text: string, action: number, transaction: boolean): HeldAction['question'] {
    const { judgement, parameters } = execution;
    const { resource } = this.#o.access();
    const { verdict, statement } = judgement;
    const more = Math.max(0, (parameters?.length ?? 0) - MAX_SHOWN);
    const shown = parameters
      ?.slice(0, MAX_SHOWN)
      .map((value) => visible(value === null ? 'NULL' : value.startsWith('t:') ? `'${value.slice(2)}'` : value, MAX_VALUE));
    return {
      session: this.#o.session,
      action,
      resource: { namespace: resource.namespace, name: resource.name },
      protocol: 'postgres',
      asks: [...(verdict.asks ?? [])],
      sentence: visible(sentence(judgement), 512),
      effects: [...heldEffects(verdict), ...verdict.effects.filter((effect) => effect.verdict !== 'approve')]
        .slice(0, MAX_EFFECTS)
        .map((effect) => ({ ...effect })),
      text: visible(text, MAX_REQUEST_TEXT),
      textBytes: Buffer.byteLength(statement.text),
      ...(shown !== undefined && { parameters: more > 0 ? [...shown.slice(0, -1), `(and ${more + 1} more)`] : shown }),
      transaction,
      ...(this.#o.context.onBehalfOf !== undefined && { onBehalfOf: this.#o.context.onBehalfOf }),
    };
  }

  #news(judgement: Judgement, code: Refusal['code'], approval: Refusal['approval']): Refusal {
    const { verdict, refusal } = judgement;
    return { code, reason: refusal?.reason ?? '', verdict, ...(approval !== undefined && { approval }) };
  }

  #refusal(judgement: Judgement, outcome: Exclude<HoldOutcome, { kind: 'released' | 'gone' }>): Refusal {
    const { code, reason, approval } = approvalRefusal(outcome);
    return { ...this.#news(judgement, code, approval), ...(reason !== undefined && { reason }) };
  }
}

/** What one request to the operator takes, with room for the rest of it. */
const MAX_QUESTION_BYTES = 56 * 1024;

function fits(asked: HeldAction['question']): boolean {
  return Buffer.byteLength(JSON.stringify(asked)) <= MAX_QUESTION_BYTES;
}

/** Leaves the text of its template out, then values, where characters that take several bytes would make it too large to be asked. */
export function bounded(question: HeldAction['question']): HeldAction['question'] {
  if (fits(question)) return question;
  const { templateText: _templateText, ...rest } = question;
  const { parameters, ...bare } = rest;
  if (parameters === undefined || fits(rest)) return rest;
  return { ...bare, parameters: [`(${parameters.length} values, too large to be shown)`] };
}

/** What was approved is not what would run by now. */
export function voided(request: string, { verdict }: Judgement): Refusal {
  const why = 'what it touches changed';
  return { code: 'ApprovalVoided', reason: why, verdict, approval: { request, timeoutMs: 0, why } };
}

/** What the agent gave to a statement, for the seal: hashed, since it may be large. */
export function sealBound(given: {
  readonly values: readonly (Buffer | null)[];
  readonly types: readonly number[];
  readonly formats?: readonly number[];
  readonly resultFormats?: readonly number[];
}): unknown {
  const { values, ...rest } = given;
  return { ...rest, values: values.map((value) => (value === null ? null : hash('sha256', value, 'hex'))) };
}

/** What would run, by its effects: those that need approval first. */
function sentence({ verdict }: Judgement): string {
  const named = [...new Set(heldEffects(verdict).map(describeEffect))];
  return named.length === 0 ? 'an action without effects' : named.join(', ');
}

function heldEffects({ effects }: Verdict): Verdict['effects'] {
  return effects.filter((effect) => effect.verdict === 'approve');
}
