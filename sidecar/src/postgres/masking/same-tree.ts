import { isNode, parseTree, POSITIONS, TreeError, type TreeNode, type TreeValue } from './tree.ts';

/**
 * Types whose input depends on nothing but the text: a constant of another type (a date, `'now'`, regclass) would be frozen at
 * Parse though the same text gives another value later. By OID: bool, bytea, char, name, int8, int2, int4, text, json, float4,
 * float8, bpchar, varchar, numeric, uuid, jsonb.
 */
const LASTING: ReadonlySet<string> = new Set('16 17 18 19 20 21 23 25 114 700 701 1042 1043 1700 2950 3802'.split(' '));
const EXTERNAL = '0';

/**
 * Whether the server understands a template as it understands one of its instances: their trees are equal, but that `parameters`
 * constants of the text are parameters of the same type in the template. Every constant that stays is of a type whose meaning
 * lasts. What cannot be read is not the same.
 *
 * @param text - tree of an instance, as `debug_print_rewritten` printed it
 * @param template - tree of the template
 */
export function isSameTree(text: string, template: string, parameters: number, major: number): boolean {
  try {
    const [a, b] = [parseTree(text, major), parseTree(template, major)];
    const seen = new Set<string>();
    return a.length === 1 && b.length === 1 && sameValue(a[0], b[0], seen) && seen.size === parameters;
  } catch (error) {
    if (error instanceof TreeError) return false;
    throw error;
  }
}

function sameValue(a: TreeValue | undefined, b: TreeValue | undefined, seen: Set<string>): boolean {
  if (isNode(a) && isNode(b)) return a.tag === 'CONST' && b.tag === 'PARAM' ? stands(a, b, seen) : sameNode(a, b, seen);
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item: TreeValue, at) => sameValue(item, b[at] as TreeValue, seen));
  return typeof a !== 'object' && a !== undefined ? a === b : a === null && b === null;
}

function sameNode(a: TreeNode, b: TreeNode, seen: Set<string>): boolean {
  if (a.tag !== b.tag || (a.tag === 'CONST' && !lasts(a))) return false;
  // Parameters of the text itself would be counted as ours.
  if (a.tag === 'PARAM' && a.fields['paramkind'] === EXTERNAL) return false;
  if (a.fields['utilityStmt'] === 'utility') return false;
  const names = Object.keys(a.fields);
  return (
    names.length === Object.keys(b.fields).length &&
    names.every((name) => name in b.fields && (POSITIONS.has(name) || sameValue(a.fields[name], b.fields[name], seen)))
  );
}

function lasts({ fields: { consttype } }: TreeNode): boolean {
  return typeof consttype === 'string' && LASTING.has(consttype);
}

/** A parameter that stands where a constant stood. */
function stands({ fields: a }: TreeNode, { fields: b }: TreeNode, seen: Set<string>): boolean {
  const { paramid } = b;
  if (typeof paramid !== 'string') return false;
  seen.add(paramid);
  return (
    b['paramkind'] === EXTERNAL &&
    a['constisnull'] === 'false' &&
    a['consttype'] === b['paramtype'] &&
    a['consttypmod'] === b['paramtypmod'] &&
    a['constcollid'] === b['paramcollid']
  );
}
