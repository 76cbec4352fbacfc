import type { Catalog } from './catalog.ts';
import { isVolatile } from './functions.ts';
import { child, field, integer, rangeEntry, token } from './nodes.ts';
import { isNode, parseTree, POSITIONS, TreeError, type TreeNode, type TreeValue } from './tree.ts';
import { FUNCTION_FIELDS } from './values.ts';

/**
 * Whether the server understands the condition of an UPDATE or DELETE and that of a SELECT alike: both are over one and the same
 * table, and under one and the same condition. What cannot be read is not the same.
 *
 * @param change - tree of the statement that changes rows, as `debug_print_rewritten` printed it
 * @param read - tree of a SELECT from that table alone
 */
export function isSameRows(change: string, read: string, major: number): boolean {
  try {
    const [a, more] = parseTree(change, major);
    const [b, others] = parseTree(read, major);
    if (a === undefined || b === undefined || more !== undefined || others !== undefined) return false;
    const table = tableOf(a);
    return table > 0 && table === tableOf(b) && same(conditionOf(a), conditionOf(b));
  } catch (error) {
    if (error instanceof TreeError) return false;
    throw error;
  }
}

/** Whether every function in a statement is the server's own, and gives the same for the same. */
export function isSteady(tree: string, catalog: Catalog, major: number): boolean {
  const steady = (part: TreeValue): boolean => {
    if (part === null || typeof part === 'string') return true;
    if (!isNode(part)) return part.every(steady);
    const name = FUNCTION_FIELDS[part.tag];
    if (name !== undefined) {
      const oid = integer(part, name) || (catalog.operators.get(integer(part, 'opno'))?.function ?? 0);
      const verdict = catalog.functions.get(oid);
      if (verdict?.kind !== 'allowed' || isVolatile(verdict)) return false;
    }
    return Object.values(part.fields).every(steady);
  };
  try {
    return parseTree(tree, major).every(steady);
  } catch (error) {
    if (error instanceof TreeError) return false;
    throw error;
  }
}

/** The relation that is the first and only entry of the range table; 0 for anything else. */
function tableOf(query: TreeNode): number {
  const entry = rangeEntry(query, 1);
  if (entry === undefined || (entry.fields['subquery'] !== null && isNode(entry.fields['subquery']))) return 0;
  const { rtable } = query.fields;
  const result = token(query, 'resultRelation');
  if (!Array.isArray(rtable) || rtable.length !== 1 || (result !== '0' && result !== '1')) return 0;
  if (field(entry, 'securityQuals') !== null) return 0;
  // ONLY leaves the rows of children out.
  return integer(entry, 'relid') * (token(entry, 'inh') === 'true' ? 1 : -1);
}

function conditionOf(query: TreeNode): TreeValue {
  const tree = child(query, 'jointree', 'FROMEXPR');
  return tree === undefined ? null : field(tree, 'quals');
}

function same(a: TreeValue | undefined, b: TreeValue | undefined): boolean {
  if (isNode(a) && isNode(b)) {
    const names = Object.keys(a.fields);
    return (
      a.tag === b.tag &&
      names.length === Object.keys(b.fields).length &&
      names.every((name) => name in b.fields && (POSITIONS.has(name) || same(a.fields[name], b.fields[name])))
    );
  }
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item: TreeValue, at) => same(item, b[at] as TreeValue));
  return typeof a !== 'object' && a !== undefined ? a === b : a === null && b === null;
}
