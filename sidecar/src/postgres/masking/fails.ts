import { child, field, integer, list, outputEntries, rangeEntry, token } from './nodes.ts';
import { RTE } from './majors.ts';
import { grows } from './total.ts';
import { isNode, LONG_CONSTANT, type TreeNode, type TreeValue } from './tree.ts';
import type { Scopes } from './values.ts';

/**
 * Whether a statement fails is an answer to the agent. Nodes that cannot fail for any value of their parts, beside those that call
 * functions and those that are looked at for themselves; every other one can, for all that is known.
 */
const NEVER_FAIL: ReadonlySet<string> = new Set(
  `ALIAS BOOLEANTEST CASETESTEXPR CASEWHEN COLLATEEXPR COMMONTABLEEXPR CONST CONVERTROWTYPEEXPR CTECYCLECLAUSE CTESEARCHCLAUSE
  CURRENTOFEXPR FIELDSELECT FIELDSTORE FROMEXPR GROUPINGFUNC GROUPINGSET INFERENCEELEM JOINEXPR JSONBEHAVIOR JSONFORMAT
  JSONRETURNING MERGEACTION MERGESUPPORTFUNC MINMAXEXPR NAMEDARGEXPR NEXTVALUEEXPR NULLTEST ONCONFLICTEXPR PARAM QUERY
  RANGETBLENTRY RANGETBLFUNCTION RANGETBLREF RELABELTYPE RETURNINGEXPR ROWCOMPAREEXPR ROWEXPR ROWMARKCLAUSE RTEPERMISSIONINFO
  SETOPERATIONSTMT SETTODEFAULT SORTGROUPCLAUSE SQLVALUEFUNCTION TABLEFUNC TARGETENTRY VAR WINDOWCLAUSE WITHCHECKOPTION`.split(
    /\s+/,
  ),
);
/** primnodes.h JsonConstructorType, as printed: arrays are built of anything. */
const JSON_ARRAYS: ReadonlySet<string> = new Set(['2', '4']);
/** primnodes.h SubLinkType ARRAY_SUBLINK, as printed. */
const ARRAY_SUBLINK = '6';

/** The parts of a node that may make it fail, or give other rows; undefined: none can. */
export function failing(node: TreeNode): TreeValue | undefined {
  switch (node.tag) {
    case 'ARRAYEXPR':
      // Arrays in an array must be of one size.
      return token(node, 'multidims') === 'true' ? field(node, 'elements') : undefined;
    case 'SUBLINK':
      return token(node, 'subLinkType') === ARRAY_SUBLINK ? field(node, 'subselect') : undefined;
    case 'SUBSCRIPTINGREF':
      return field(node, 'refassgnexpr') === null ? undefined : Object.values(node.fields);
    case 'JSONCONSTRUCTOREXPR':
      return JSON_ARRAYS.has(token(node, 'type')) && field(node, 'coercion') === null ? undefined : Object.values(node.fields);
    default:
      return NEVER_FAIL.has(node.tag) ? undefined : Object.values(node.fields);
  }
}

/** Leaves and steps of one argument that are looked at; one that has more counts as too large. */
const MAX_LEAVES = 1000;
/**
 * Whether what functions that grow are given is bounded by what is stored: columns, short constants, and what such functions make of
 * few of them. Anything else could be blown up until the server's limit of one gigabyte tells the length of what is labelled.
 */
export function isBounded(items: readonly TreeValue[], scopes: Scopes, nameOf: (node: TreeNode) => string): boolean {
  let left = MAX_LEAVES;
  const bounded = (part: TreeValue, around: Scopes): boolean => {
    if (--left < 0) return false;
    if (!isNode(part)) return part === null || (typeof part !== 'string' && part.every((item) => bounded(item, around)));
    switch (part.tag) {
      case 'CONST':
        return field(part, 'constvalue') !== LONG_CONSTANT;
      case 'TARGETENTRY':
        return bounded(field(part, 'expr'), around);
      case 'RELABELTYPE':
      case 'COERCEVIAIO':
      case 'COLLATEEXPR':
        return bounded(field(part, 'arg'), around);
      case 'COALESCEEXPR':
      case 'ROWEXPR':
        return bounded(list(part, 'args'), around);
      case 'SQLVALUEFUNCTION':
        return true;
      case 'VAR':
        return column(part, around);
      case 'FUNCEXPR':
      case 'OPEXPR':
        return grows(nameOf(part)) && bounded(list(part, 'args'), around);
      default:
        return false;
    }
  };
  const column = (part: TreeNode, around: Scopes): boolean => {
    const outer = around.slice(integer(part, 'varlevelsup'));
    const entry = outer[0] && rangeEntry(outer[0], integer(part, 'varno'));
    if (!entry) return false;
    const attribute = integer(part, 'varattno');
    const query = child(entry, 'subquery', 'QUERY');
    switch (token(entry, 'rtekind')) {
      case RTE.relation:
        return true;
      case RTE.group:
        return bounded(list(entry, 'groupexprs')[attribute - 1] ?? 'none', outer);
      case RTE.join:
        return bounded(list(entry, 'joinaliasvars')[attribute - 1] ?? 'none', outer);
      case RTE.subquery: {
        if (!query || field(query, 'setOperations') !== null) return false;
        const shown = outputEntries(query);
        return bounded(attribute === 0 ? shown : (shown[attribute - 1] ?? 'none'), [query, ...outer]);
      }
      default:
        return false;
    }
  };
  return bounded(items, scopes);
}
