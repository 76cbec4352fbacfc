import type { Detector } from '@chaperone/api';
import { type Access, strategyFor } from '@chaperone/policy';
import { type DetectorBits, detectorBits } from '../../masking/detectors.ts';
import { hiddenLabels, maskOfFinds, maskOfLabel } from '../../masking/labels.ts';
import { type Mask, strictest } from '../../masking/strategies.ts';
import type { Analysis, OutputColumn } from './lineage.ts';
import { BPCHAR_TYPE, familyOf, type Family, UUID_TYPE } from './types.ts';

/** What of RowDescription a plan needs. */
export interface ResultField {
  readonly name: string;
  readonly tableOid: number;
  readonly attributeNumber: number;
  readonly typeOid: number;
}
/** How one column is masked. */
export interface ColumnMask {
  readonly labels: readonly string[];
  readonly family: Family;
  /** For exact values of text and, by hash, of UUIDs; anything else is hidden whole. */
  readonly mask: Mask;
  /** NULL is hidden too: the value is made of others, and whether it is NULL may say something of them. */
  readonly hidesNull: boolean;
}
/** One detector at work, with the way its finds are shown. */
export interface Scan {
  readonly label: string;
  readonly detector: Detector;
  readonly mask: Mask;
}
/** What evidence says of a masked column. */
export interface MaskNote {
  readonly column: number;
  readonly name: string;
  readonly labels: readonly string[];
  readonly strategy: Mask['kind'];
}
export interface MaskPlan {
  readonly kind: 'plan';
  /** By column; undefined: shown, after the detectors. */
  readonly masks: readonly (ColumnMask | undefined)[];
  readonly families: readonly Family[];
  readonly scan: readonly Scan[];
  /** Those of `scan`: asked for each value. */
  readonly detectors: DetectorBits;
  readonly notes: readonly MaskNote[];
}
export interface PlanRefusal {
  readonly kind: 'refuse';
  readonly code: 'NotAnalysable';
  readonly reason: string;
}
export interface DataRefusal {
  readonly code: 'LabelledValueWrite' | 'InferenceLimited' | 'NotAnalysable';
  /** For the agent: names, no literals. */
  readonly reason: string;
}

export interface PlanInput {
  readonly analysis: Analysis;
  /** The server's own description of the result; empty where it has none. */
  readonly fields: readonly ResultField[];
  readonly access: Access;
}

const refuse = (reason: string): PlanRefusal => ({ kind: 'refuse', code: 'NotAnalysable', reason });

/** How the rows of one statement are masked for one agent, or why they cannot be. */
export function planResult({ analysis, fields, access }: PlanInput): MaskPlan | PlanRefusal {
  if (analysis.refused) return refuse(analysis.refused.why);
  const hidden = hiddenLabels(access);
  if (analysis.columns.length !== fields.length && hidden.size > 0) return refuse('its columns are not those that were analysed');
  const families = fields.map((field) => familyOf(field.typeOid));
  const masks = fields.map(({ typeOid }, at) => {
    const column = analysis.columns[at];
    return column && columnMask(column, typeOid, hidden, access);
  });
  for (const [at, field] of fields.entries()) {
    const labels = analysis.labelled.get(field.tableOid)?.get(field.attributeNumber) ?? [];
    const named = [...labels].filter((label) => hidden.has(label));
    // A second opinion: what the server names as the column's origin must have been found by lineage too.
    if (named.some((label) => masks[at]?.labels.includes(label) !== true))
      return refuse('a labelled column was not found by its lineage');
  }
  const scan = access.sensitive.flatMap(({ label, detector }): Scan[] =>
    detector && hidden.has(label) ? [{ label, detector, mask: maskOfFinds(access, label) }] : [],
  );
  const notes = masks.flatMap((mask, column): MaskNote[] =>
    mask ? [{ column, name: fields[column]?.name ?? '', labels: mask.labels, strategy: shownAs(mask) }] : [],
  );
  const detectors = detectorBits(scan.map(({ detector }) => detector));
  return { kind: 'plan', masks, families, scan, detectors, notes };
}

function columnMask(column: OutputColumn, typeOid: number, hidden: ReadonlySet<string>, access: Access): ColumnMask | undefined {
  const family = familyOf(typeOid);
  const whole = { family, mask: { kind: 'redact' }, hidesNull: true } as const;
  if (column.top !== undefined) return hidden.size > 0 ? { labels: [...hidden], ...whole } : undefined;
  const labels = [...new Set(column.sources.flatMap((source) => [...source.labels]))].filter((label) => hidden.has(label));
  if (labels.length === 0) return undefined;
  if (!column.exact) return { labels, ...whole };
  const mask = strictest(labels.map((label) => maskOfLabel(access, label)));
  if (mask.kind !== 'hash') return { labels, family, mask, hidesNull: false };
  // Beside a constant or a column without all of these labels, the agent could have its guesses hashed.
  if (column.pure !== true || !column.sources.every((source) => labels.every((label) => source.labels.has(label))))
    return { labels, ...whole, hidesNull: false };
  if (typeOid === UUID_TYPE) return { labels, family: 'uuid', mask, hidesNull: false };
  return { labels, family, mask: typeOid === BPCHAR_TYPE ? { ...mask, padded: true } : mask, hidesNull: false };
}

/** Two readings of one statement, of which nobody can say which one runs: what either masks is masked. */
export function strictestPlan(a: MaskPlan | undefined, b: MaskPlan | undefined): MaskPlan | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  const masks = a.masks.map((mask, at) => stricterMask(mask, b.masks[at]));
  const names = new Map([...a.notes, ...b.notes].map((note) => [note.column, note.name]));
  const notes = masks.flatMap((mask, column): MaskNote[] =>
    mask ? [{ column, name: names.get(column) ?? '', labels: mask.labels, strategy: shownAs(mask) }] : [],
  );
  return { ...a, masks, notes };
}

function stricterMask(a: ColumnMask | undefined, b: ColumnMask | undefined): ColumnMask | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return {
    family: a.family,
    labels: [...new Set([...a.labels, ...b.labels])],
    mask: strictest([a.mask, b.mask]),
    hidesNull: a.hidesNull || b.hidesNull,
  };
}

/** Only text can be shown in part; JSON keeps a place holder; every other type becomes NULL, but for the hash of a UUID. */
function shownAs({ family, mask }: ColumnMask): Mask['kind'] {
  if (family === 'text' || (family === 'uuid' && mask.kind === 'hash')) return mask.kind;
  return mask.kind !== 'null' && (family === 'json' || family === 'jsonb') ? 'redact' : 'null';
}

const unrevealed = (labels: ReadonlySet<string>, hidden: ReadonlySet<string>): string[] =>
  [...labels].filter((label) => hidden.has(label));

/** A masked value may be written only where it stays masked: into a column that carries the same labels. */
export function judgeWrites(analysis: Analysis, access: Access): DataRefusal | undefined {
  const hidden = hiddenLabels(access);
  for (const assign of analysis.assigns) {
    const labels = assign.top === undefined ? unrevealed(assign.labels, hidden) : [...hidden];
    const lost = labels.filter((label) => !assign.kept.has(label));
    if (lost.length === 0) continue;
    const name = analysis.targets.find((target) => target.relation === assign.relation)?.name ?? 'a table';
    const what = assign.top === undefined ? `a value labelled ${lost.join(', ')}` : 'a value that may hold labelled data';
    return { code: 'LabelledValueWrite', reason: `it writes ${what} to a column of ${name} that is not labelled so` };
  }
  return undefined;
}

/** Whether the agent may steer a statement by masked columns as this one does, or feed hashes with guesses. */
export function judgeInference(analysis: Analysis, access: Access): DataRefusal | undefined {
  if (access.inference === 'allow') return undefined;
  const hidden = hiddenLabels(access);
  const fed = analysis.assigns.flatMap(({ kept }) => unrevealed(kept, hidden)).find((label) => strategyFor(access, label).hash);
  if (fed !== undefined) {
    const reason = `it writes to a column whose values are shown as hashes (${fed}); the hash of a value of one's own tells whose it is`;
    return { code: 'InferenceLimited', reason };
  }
  for (const reference of analysis.references) {
    const labels = reference.top === undefined ? unrevealed(reference.labels, hidden) : [...hidden];
    if (labels.length === 0 || (access.inference === 'limit' && reference.equality)) continue;
    const allowed = access.inference === 'limit' ? 'only equality with one value is allowed' : 'none is allowed';
    const what = {
      predicate: 'in a condition',
      order: 'to order, group or compare rows',
      argument: 'in a function that can fail',
    }[reference.kind];
    return {
      code: 'InferenceLimited',
      reason: `it uses masked data (${labels.join(', ')}) ${what}; on masked columns ${allowed}`,
    };
  }
  return undefined;
}

/** The planner computes what it can while it plans, and EXPLAIN shows the results: of functions whose bodies nobody judged too. */
export function judgeExplain(analysis: Analysis, access: Access): DataRefusal | undefined {
  const calls = analysis.ownersCode || analysis.effects.some(({ kind }) => kind === 'function');
  if (!calls || hiddenLabels(access).size === 0) return undefined;
  return { code: 'NotAnalysable', reason: 'a plan may show what functions of your own return; EXPLAIN a statement without them' };
}

/** Comparisons of masked columns with a value: what counts against the budget of `inference: limit`. */
export function countGuesses(analysis: Analysis, access: Access): number {
  const hidden = hiddenLabels(access);
  return analysis.references.filter((reference) => reference.equality && unrevealed(reference.labels, hidden).length > 0).length;
}
