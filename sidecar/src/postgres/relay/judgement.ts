import type { AgentCode } from '@chaperone/api';
import { type Access, type Action, type Effect, judge, type Verdict } from '@chaperone/policy';
import { hiddenLabels } from '../../masking/labels.ts';
import { blankLiterals, type Statement, utilityAction } from '../actions/index.ts';
import {
  type Analysis,
  analyse,
  type Catalog,
  copyFormatOf,
  countGuesses,
  judgeExplain,
  judgeInference,
  judgeWrites,
  type MaskPlan,
  parseTree,
  planResult,
  strictestPlan,
  TreeError,
} from '../masking/index.ts';
import type { FieldDescription } from '../wire/index.ts';
import type { Refusal } from './texts.ts';

/** What was decided about one statement: it holds for every execution while the policy and the server's tree stay the same. */
export interface Judgement {
  readonly statement: Held;
  readonly verdict: Verdict;
  /** Set: it must not run. */
  readonly refusal: Refusal | undefined;
  /** It must not run unless people approve it; then this holds in its place, for one execution. */
  readonly approved: Judgement | undefined;
  /** How each row is masked; undefined: rows pass as they are. */
  readonly plan: MaskPlan | undefined;
  /** It can write, call or change the session: it runs only once its record is synced. */
  readonly writes: boolean;
  /** Labelled data may be in its errors and notices. */
  readonly touchesLabelled: boolean;
  /** Its literals and bound values may be of labelled columns: evidence keeps none of them. */
  readonly blank: boolean;
  /** The statement as evidence keeps it. */
  readonly text: string;
  /** Comparisons with masked columns, for the hourly budget of `inference: limit`. */
  readonly guesses: number;
  /** Code of the database's owner runs, of which nobody knows what it does. */
  readonly ownersCode: boolean;
  /** It shows what earlier statements of the session may have left there. */
  readonly readsSession: boolean;
  /** It met something that the catalogue does not know. */
  readonly unknownObjects: boolean;
  /** What was judged, so that it can be judged again under another policy. */
  readonly basis: Basis;
  /** Other readings of it that may be the one that runs; what any of them asks for holds already. */
  readonly also: readonly Judgement[];
}

/** A text without a statement: it may be parsed and run, and does nothing. */
export const EMPTY_STATEMENT = {
  kind: 'empty',
  text: '',
  mentionsSetConfig: false,
  harmlessSetConfigs: 0,
  maskSentinel: false,
} as const;
export type Held = Statement | typeof EMPTY_STATEMENT;

interface Basis {
  readonly policy: string;
  /** Its tree was only looked through, so that nobody knows which columns without labels it reads. See {@link ByText}. */
  readonly byText?: true;
  /** As the server printed it. */
  readonly tree: string | undefined;
  readonly action: Action;
  readonly analysis: Analysis | undefined;
  readonly fields: readonly FieldDescription[];
}

export interface JudgeContext {
  readonly access: Access;
  readonly catalog: Catalog;
  readonly major: number;
}

/** After it the same text may mean something else: it changes settings or the catalogue. */
export function changesMeaning({ statement: { kind } }: Judgement): boolean {
  return kind === 'set' || kind === 'reset' || kind === 'utility' || kind === 'deallocate';
}

/** It speaks of names that cursors and portals share. */
export function usesCursors({ statement: { kind } }: Judgement): boolean {
  return kind === 'declare' || kind === 'fetch' || kind === 'close';
}

/** What it finds under a name, or takes away, must not depend on whether what is under way fails. */
export function waitsForNames(judgement: Judgement): boolean {
  return usesCursors(judgement) || judgement.statement.kind === 'deallocate';
}

/** It commits what was done before it, or gives it up. */
export function endsTransaction({ statement }: Judgement): boolean {
  return statement.kind === 'transaction' && (statement.operation === 'commit' || statement.operation === 'rollback');
}

/** `text` as evidence keeps it, an instance of the template that was judged. */
export function shownInstance({ blank }: Judgement, text: string): string {
  return blank ? blankLiterals(text) : text;
}

/** Whether what a statement turned out to do was foretold: its record says what it does, and it may be running. */
export function isNoWorse(found: Judgement, foretold: Judgement): boolean {
  return (
    found.refusal === undefined &&
    !found.writes &&
    found.guesses <= foretold.guesses &&
    (foretold.blank || !found.blank) &&
    // Mostly it is the very same.
    (found.verdict === foretold.verdict || sameVerdict(found.verdict, foretold.verdict))
  );
}

/** A text and its tree name the same things in different orders. */
function sameVerdict(a: Verdict, b: Verdict): boolean {
  return inOrder(a) === inOrder(b);
}

function inOrder({ effects, ...rest }: Verdict): string {
  return JSON.stringify([rest, effects.map((effect) => JSON.stringify(effect)).toSorted()]);
}

/** Judges what needs no tree: transactions, settings, and utility statements by the names they write. */
export function judgePlain(statement: Held, access: Access): Judgement {
  const basis: Basis = { policy: access.digest, action: plainAction(statement, access), ...NO_TREE };
  if (statement.kind !== 'refused') return settle(statement, basis, access);
  const verdict: Verdict = { verdict: 'deny', code: statement.code, reason: statement.why, effects: [] };
  return { ...settle(statement, basis, access), verdict, refusal: { code: statement.code, reason: statement.why, verdict } };
}

/** Judges a query by what its text says it does, once its tree was looked through; see {@link ByText}. */
export function judgeText(
  statement: Held,
  analysis: Analysis,
  fields: readonly FieldDescription[],
  access: Access,
  tree?: string,
): Judgement {
  const basis: Basis = { policy: access.digest, byText: true, tree, action: { effects: analysis.effects }, analysis, fields };
  return settle(statement, basis, access);
}

const NO_TREE = { tree: undefined, analysis: undefined, fields: [] } as const;

function plainAction(statement: Held, access: Access): Action {
  return statement.kind === 'utility' ? utilityAction(statement, access) : { effects: [] };
}

/** Judges a statement by the trees that the server printed for it; the last one is the one that runs. */
export function judgeTree(
  statement: Held,
  trees: readonly string[],
  fields: readonly FieldDescription[],
  context: JudgeContext,
): Judgement {
  const { access, catalog, major } = context;
  const tree = trees.at(-1);
  const read = readTree(tree, catalog, major);
  const action: Action = typeof read === 'string' ? { effects: [], notAnalysable: read } : treeAction(statement, read);
  const analysis = typeof read === 'string' ? undefined : read;
  return settle(statement, { policy: access.digest, tree, action, analysis, fields }, access);
}

/** Judges a FETCH by what was decided about its cursor's query, under the policy in force. */
export function judgeFetch(statement: Held, declared: Judgement, access: Access): Judgement {
  const judgement = judgeAgain({ ...declared, statement }, declared.basis.fields, access);
  // Its literals and its comparisons were looked at when it was declared.
  return { ...judgement, statement, text: statement.text, guesses: 0 };
}

/** Judges again under the policy in force; the same policy gives the same judgement. */
export function judgeAgain(judgement: Judgement, fields: readonly FieldDescription[], access: Access): Judgement {
  if (judgement.basis.policy === access.digest) return judgement;
  // Another policy may speak of columns.
  if (judgement.basis.byText) return { ...judgement, refusal: READ_BY_TEXT, approved: undefined };
  const again = settle(judgement.statement, { ...judgement.basis, fields, policy: access.digest }, access);
  return judgement.also.map((other) => judgeAgain(other, fields, access)).reduce(combine, again);
}

const READ_BY_TEXT: Refusal = { code: 'NotAnalysable', reason: 'the policy changed while it was parsed; prepare it again' };
/** Readings of one statement that are told apart; a view that changes more often under a session is somebody's attack. */
const MAX_READINGS = 16;
const TOO_MANY_READINGS: Refusal = { code: 'NotAnalysable', reason: 'what it reads changed too often; prepare it again' };

/**
 * Takes in a tree that the server printed at Bind or Describe of a statement that was judged before. Either the server analysed
 * the statement anew, since something it names was changed, or it printed the body of a function that it inlines; nobody can
 * tell which. A statement may not change the names of its columns, so a tree with others is a function's. Of all that remain the
 * strictest holds.
 */
export function judgeReprint(
  judgement: Judgement,
  tree: string,
  fields: readonly FieldDescription[],
  context: JudgeContext,
): Judgement {
  if ([judgement, ...judgement.also].some(({ basis }) => basis.tree === tree)) return judgement;
  const again = judgeTree(judgement.statement, [tree], fields, context);
  const columns = again.basis.analysis?.columns;
  const another =
    columns !== undefined &&
    again.basis.analysis?.refused === undefined &&
    (columns.length !== fields.length || columns.some(({ name }, at) => name !== fields[at]?.name));
  if (another) return judgement;
  if (judgement.also.length >= MAX_READINGS) return { ...judgement, refusal: TOO_MANY_READINGS, approved: undefined };
  return combine(judgement, again);
}

const CHANGED_WHILE_HELD: Refusal = {
  code: 'NotAnalysable',
  reason: 'what it reads changed while people were asked; prepare it again',
};

/** A refusal that no approval lifts. */
function final({ refusal, approved }: Judgement): Refusal | undefined {
  return approved === undefined ? refusal : undefined;
}

function combine(a: Judgement, b: Judgement): Judgement {
  return {
    ...a,
    verdict: a.refusal === undefined && b.refusal !== undefined ? b.verdict : a.verdict,
    refusal: final(a) ?? final(b) ?? (a.approved === undefined && b.approved === undefined ? undefined : CHANGED_WHILE_HELD),
    // What was asked for has one reading; of one that changed nothing is approved.
    approved: undefined,
    plan: strictestPlan(a.plan, b.plan),
    writes: a.writes || b.writes,
    touchesLabelled: a.touchesLabelled || b.touchesLabelled,
    blank: a.blank || b.blank,
    text: a.blank ? a.text : b.text,
    guesses: Math.max(a.guesses, b.guesses),
    ownersCode: a.ownersCode || b.ownersCode,
    readsSession: a.readsSession || b.readsSession,
    unknownObjects: a.unknownObjects || b.unknownObjects,
    also: [...a.also, b],
  };
}

function readTree(text: string | undefined, catalog: Catalog, major: number): Analysis | string {
  if (text === undefined) return 'the server did not say what it touches';
  try {
    return analyse(parseTree(text, major), catalog, major);
  } catch (error) {
    if (error instanceof TreeError) return 'what the server says of it cannot be read';
    throw error;
  }
}

function treeAction(statement: Held, analysis: Analysis): Action {
  const effects =
    statement.kind === 'copy-in' ? analysis.effects.map((effect): Effect => ({ ...effect, verb: 'insert' })) : analysis.effects;
  const why =
    analysis.refused?.why ??
    (analysis.command === 'utility' ? 'the server takes it for another kind of statement' : undefined) ??
    (setsWhatMatters(statement, analysis) ? 'set_config changes settings that judging rests upon' : undefined);
  return why === undefined ? { effects } : { effects, notAnalysable: why };
}

/** The text must name every call that the server found, each of a harmless setting; a view, say, may hide one. */
function setsWhatMatters({ mentionsSetConfig, harmlessSetConfigs }: Held, { setConfigs }: Analysis): boolean {
  return (mentionsSetConfig || setConfigs > 0) && (harmlessSetConfigs === 0 || harmlessSetConfigs !== setConfigs);
}

function settle(statement: Held, basis: Basis, access: Access): Judgement {
  const { analysis, action, fields } = basis;
  const verdict = judge(access, action);
  const writes = canWrite(statement, action);
  const blank = mustBlank(statement, analysis, access);
  const common = {
    statement,
    verdict,
    writes,
    guesses: analysis === undefined || access.inference !== 'limit' ? 0 : countGuesses(analysis, access),
    touchesLabelled: maySpeakOfLabelled(statement, analysis, access),
    blank,
    text: blank ? blankLiterals(statement.text) : statement.text,
    ownersCode: runsOwnersCode(statement, analysis),
    readsSession: analysis?.readsSession ?? statement.kind === 'show',
    unknownObjects: analysis?.unknownObjects ?? false,
    basis,
    also: [],
  };
  const refusal = firstRefusal(statement, basis, verdict, access);
  if (refusal !== undefined) return { ...common, plan: undefined, refusal, approved: undefined };
  const shown =
    analysis === undefined || statement.kind === 'explain'
      ? { plan: undefined, refusal: undefined }
      : planOf(statement, analysis, fields, access);
  const approved: Judgement = { ...common, ...shown, approved: undefined };
  if (verdict.verdict === 'allow' || shown.refusal !== undefined) return approved;
  return { ...common, plan: shown.plan, refusal: policyRefusal(verdict, action), approved };
}

/** Why it must not run, whoever approves it and whatever it would show. */
function firstRefusal(statement: Held, { action, analysis, tree }: Basis, verdict: Verdict, access: Access): Refusal | undefined {
  if (verdict.verdict === 'deny') return policyRefusal(verdict, action);
  if (verdict.verdict === 'approve' && statement.kind === 'copy-in') return COPY_UNSEEN;
  if (verdict.verdict === 'approve' && tree?.includes(CURRENT_ROW) === true) return ROW_UNSEEN;
  return analysis === undefined ? undefined : dataRefusal(statement, analysis, access);
}

/** How the rows are masked, or why they cannot be. */
function planOf(
  statement: Held,
  analysis: Analysis,
  fields: readonly FieldDescription[],
  access: Access,
): { plan: MaskPlan | undefined; refusal: Refusal | undefined } {
  if (fields.length > 0 && hiddenLabels(access).size > 0 && analysis.targets.some((target) => target.hasOwnTriggers)) {
    return { plan: undefined, refusal: RETURNING_OF_TRIGGERS };
  }
  const planned = planResult({ analysis, fields, access });
  if (planned.kind === 'refuse') return { plan: undefined, refusal: { code: planned.code, reason: planned.reason } };
  const masks = planned.masks.some((mask) => mask !== undefined);
  const scans = planned.scan.length > 0 && planned.families.some((family) => family !== 'plain');
  const plan = masks || scans ? planned : undefined;
  if (plan !== undefined && statement.kind === 'copy-out' && copyFormatOf(statement.options) === undefined) {
    return { plan: undefined, refusal: COPY_UNREADABLE };
  }
  return { plan, refusal: undefined };
}

const RETURNING_OF_TRIGGERS: Refusal = {
  code: 'NotAnalysable',
  reason: 'a trigger of the table may put anything into what RETURNING shows; leave RETURNING out',
};
const COPY_UNREADABLE: Refusal = {
  code: 'NotAnalysable',
  reason: 'COPY with these options writes rows that cannot be masked; use FORMAT, DELIMITER, NULL, HEADER, QUOTE and ESCAPE only',
};
/** How the server prints WHERE CURRENT OF. */
const CURRENT_ROW = 'CURRENTOFEXPR';
const ROW_UNSEEN: Refusal = {
  code: 'NotAnalysable',
  reason: 'which row a cursor stands at nobody who is asked can see; name the row by its key',
};
const COPY_UNSEEN: Refusal = {
  code: 'NotAnalysable',
  reason: 'what COPY FROM STDIN brings is not there to be approved; use INSERT',
};
export const MASK_WRITTEN_BACK: Refusal = { code: 'MaskedValueWrite', reason: 'a value of the statement is masked text' };
const COPY_INTO_LABELLED: Refusal = {
  code: 'NotAnalysable',
  reason: 'COPY into a table with masked columns cannot be checked for masked text; use INSERT',
};

/** Refusals that protect data, whatever the rules and the enforcement mode say. */
function dataRefusal(statement: Held, analysis: Analysis, access: Access): Refusal | undefined {
  if (statement.maskSentinel && analysis.targets.length > 0) return MASK_WRITTEN_BACK;
  if (statement.kind === 'copy-in') return analysis.touchesLabelled ? COPY_INTO_LABELLED : undefined;
  const plan = statement.kind === 'explain' ? judgeExplain(analysis, access) : undefined;
  return plan ?? judgeWrites(analysis, access) ?? judgeInference(analysis, access);
}

function maySpeakOfLabelled(statement: Held, analysis: Analysis | undefined, access: Access): boolean {
  if (access.sensitive.length === 0) return false;
  // What ends a transaction runs what was deferred in it.
  return analysis === undefined
    ? ['utility', 'transaction'].includes(statement.kind)
    : analysis.touchesLabelled || analysis.impliesCode;
}

function runsOwnersCode(statement: Held, analysis: Analysis | undefined): boolean {
  if (analysis === undefined) return statement.kind === 'utility';
  const { ownersCode, impliesCode, effects, targets } = analysis;
  if (impliesCode) return true;
  // Its tree is that of a query, and has no target.
  if (statement.kind === 'copy-in') return analysis.firesOwnersCode;
  return ownersCode || targets.some((target) => target.runsOwnersCode) || effects.some(({ kind }) => kind === 'function');
}

function policyRefusal(verdict: Verdict, action: Action): Refusal {
  if (verdict.verdict === 'approve') {
    return {
      code: 'ApprovalUnavailable',
      reason: verdict.reason,
      verdict: { ...verdict, verdict: 'deny', code: 'ApprovalUnavailable' },
    };
  }
  const { code, message } = verdict;
  const reason = action.notAnalysable ?? verdict.reason;
  return { code: agentCode(code), reason, verdict, ...(message === undefined ? {} : { message }) };
}

const POLICY_CODES = ['DeniedByRule', 'NoRuleAllows', 'NotGranted', 'NotAnalysable'] as const;

function agentCode(code: string): AgentCode {
  return POLICY_CODES.find((known) => known === code) ?? 'NotAnalysable';
}

function isChange(statement: Held): boolean {
  return statement.kind === 'query' && statement.command !== 'select';
}

function canWrite(statement: Held, action: Action): boolean {
  if (['query', 'declare', 'fetch', 'prepare', 'execute'].includes(statement.kind))
    return isChange(statement) || action.effects.some((effect) => effect.verb !== 'select');
  return (
    !['transaction', 'show', 'empty', 'set', 'reset', 'close', 'deallocate', 'unlisten'].includes(statement.kind) &&
    !(statement.kind === 'explain' && !statement.analyze) &&
    statement.kind !== 'copy-out'
  );
}

/** Literals compared with or assigned to labelled columns must not be in the evidence; without lineage none is kept. */
function mustBlank(statement: Held, analysis: Analysis | undefined, access: Access): boolean {
  if (access.sensitive.length === 0 || statement.kind === 'empty') return false;
  return (
    analysis === undefined ||
    analysis.references.length > 0 ||
    analysis.assigns.length > 0 ||
    analysis.targets.some((target) => target.labelled) ||
    // What is made of a labelled column may be a comparison with a literal.
    analysis.columns.some((column) => column.top !== undefined || (column.sources.length > 0 && !column.exact))
  );
}
