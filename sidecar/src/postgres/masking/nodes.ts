import { RTE } from './majors.ts';
import { isNode, type TreeNode, type TreeValue } from './tree.ts';

/** parsenodes.h SetOperation, as printed. */
const SET_UNION = '1';
/** primnodes.h SubLinkType, as printed. */
export const SUBLINK = { expression: '4', multiple: '5' } as const;

export function field(node: TreeNode, name: string): TreeValue {
  return node.fields[name] ?? null;
}

/** A field that holds a token; '' where it holds anything else. */
export function token(node: TreeNode, name: string): string {
  const value = node.fields[name];
  return typeof value === 'string' ? value : '';
}

/** A field that holds a number; NaN where it holds anything else. */
export function integer(node: TreeNode, name: string): number {
  const value = token(node, name);
  return /^-?[0-9]{1,10}$/.test(value) ? Number(value) : Number.NaN;
}

export function list(node: TreeNode, name: string): readonly TreeValue[] {
  const value = node.fields[name];
  return Array.isArray(value) ? (value as readonly TreeValue[]) : [];
}

/** The nodes of a list with the wanted tag. */
export function nodes(node: TreeNode, name: string, tag: string): TreeNode[] {
  return list(node, name).filter((item): item is TreeNode => isNode(item) && item.tag === tag);
}

export function child(node: TreeNode, name: string, tag: string): TreeNode | undefined {
  const value = node.fields[name];
  return isNode(value) && value.tag === tag ? value : undefined;
}

/** One entry of a query's range table, counted from 1. */
export function rangeEntry(query: TreeNode, index: number): TreeNode | undefined {
  const entry = list(query, 'rtable')[index - 1];
  return isNode(entry) && entry.tag === 'RANGETBLENTRY' ? entry : undefined;
}

/** The relation OID of the view that a sub-query stands for; 0 where it stands for none. */
export function viewOf(entry: TreeNode): number {
  const own = integer(entry, 'relid');
  if (own > 0) return own;
  // Up to PostgreSQL 15 a view's body begins with two entries for the view itself; a query's own views are all expanded.
  const body = child(entry, 'subquery', 'QUERY');
  const first = body && rangeEntry(body, 1);
  const isOld = first && token(first, 'rtekind') === RTE.relation && token(first, 'relkind') === 'v';
  return isOld ? integer(first, 'relid') : 0;
}

/** The target list that a query shows: the columns of a SELECT, what RETURNING names otherwise. Junk entries are left out. */
export function outputEntries(query: TreeNode): TreeNode[] {
  const name = token(query, 'commandType') === '1' ? 'targetList' : 'returningList';
  return nodes(query, name, 'TARGETENTRY').filter((entry) => token(entry, 'resjunk') !== 'true');
}

/** Whether a set operation compares rows: all but UNION ALL do. */
export function compares(operation: TreeNode): boolean {
  if (token(operation, 'op') !== SET_UNION || token(operation, 'all') !== 'true') return true;
  return ['larg', 'rarg'].some((side) => {
    const part = child(operation, side, 'SETOPERATIONSTMT');
    return part !== undefined && compares(part);
  });
}

/** A column as it is, or under another type that stores it alike. */
export function isColumn(part: TreeValue): boolean {
  if (!isNode(part)) return false;
  return part.tag === 'VAR' || (part.tag === 'RELABELTYPE' && isColumn(field(part, 'arg')));
}

/** One value that the agent wrote or binds, cast by the server if need be. */
export function isConstant(part: TreeValue): boolean {
  if (!isNode(part)) return false;
  if (part.tag === 'CONST') return true;
  if (part.tag === 'PARAM') return token(part, 'paramkind') === '0';
  if (part.tag === 'RELABELTYPE' || part.tag === 'COERCEVIAIO') return isConstant(field(part, 'arg'));
  const cast = part.tag === 'FUNCEXPR' && token(part, 'funcformat') !== '0';
  return cast && list(part, 'args').every(isConstant);
}
