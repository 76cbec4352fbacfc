import type { ServerMessageFields } from '../wire/index.ts';

/** LOG is the severity that the printed trees and nothing an agent needs arrive with. */
const HIDDEN_SEVERITIES = new Set(['LOG', 'DEBUG', 'DEBUG1', 'DEBUG2', 'DEBUG3', 'DEBUG4', 'DEBUG5']);

/**
 * The text of a printed tree, or undefined for any other notice. Message and routine together cannot be forged by
 * RAISE LOG: its routine is exec_stmt_raise.
 */
export function treeOf(fields: ServerMessageFields): string | undefined {
  return fields.V === 'LOG' && fields.R === 'elog_node_display' && fields.M === 'rewritten parse tree:'
    ? (fields.D ?? '')
    : undefined;
}

export function isHidden(fields: ServerMessageFields): boolean {
  return HIDDEN_SEVERITIES.has(fields.V ?? fields.S ?? 'LOG');
}
