export { type Catalog, CatalogError, type CatalogQuery, type CatalogRelation, loadCatalog } from './catalog.ts';
export { CopyMasker } from './copy.ts';
export { type CopyFormat, copyFormatOf } from './copy-format.ts';
export { type ErrorContext, filterError, hide } from './errors.ts';
export { type Analysis, analyse, type OutputColumn, type Reference } from './lineage.ts';
export {
  type ColumnMask,
  countGuesses,
  type DataRefusal,
  judgeExplain,
  judgeInference,
  judgeWrites,
  type MaskNote,
  type MaskPlan,
  type PlanRefusal,
  planResult,
  type ResultField,
  strictestPlan,
} from './plan.ts';
export { type PlainLiterals, plainLiterals } from './plain-literals.ts';
export { confirms, type Expected } from './confirm.ts';
export type { FunctionVerdict } from './functions.ts';
export { MaskError } from './cells.ts';
export { type MaskedRows, maskRows } from './row.ts';
export { isSameRows, isSteady } from './same-rows.ts';
export { isSameTree } from './same-tree.ts';
export { checkMajor, checkSuitability, type Suitability } from './suitability.ts';
export { parseTree, TreeError, treeKey, type TreeNode } from './tree.ts';
export { treeShape } from './tree-shape.ts';
