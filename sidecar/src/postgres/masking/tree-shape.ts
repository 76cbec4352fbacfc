import { hash } from 'node:crypto';
import { LONG_CONSTANT, mayBeCut, SHORT_BYTES } from './tree.ts';

/** What needs the grammar to be read: escapes, and characters that are not of ASCII. */
const ODD = /[^\n\x20-\x5b\x5d-\x7e]/;
/** Its own node may quote any text. */
const UTILITY = / :utilityStmt (?!<>)/;
/** Fields that say where in the text something stood: those of POSITIONS. */
const POSITION = / :(?:location|stmt_location|stmt_len|list_start|list_end|rexpr_list_start|rexpr_list_end) -?\d{1,20}(?=[ })])/g;
const CONSTANT = / :constvalue -?\d{1,20} \[((?: -?\d{1,20})*) \]/g;
/** Name of a column of a query, wherever it stands. */
const NAME = / :resname (\S+)(?= :ressortgroupref )/g;

/**
 * Names a tree as `treeKey` does, without the names of its columns: of trees that name none but those of the result. Equal shapes have
 * equal analyses on equal catalogs, but for these names.
 *
 * It is not read as the server reads it, since nothing in it needs that: without escapes tokens are what stands between blanks and
 * brackets, a value that an agent names is one token, and what follows it is a field's name or a bracket. So no such value can look
 * like a position, which is followed by a number, or like a constant, by a number and bytes. It can look like one more column's name
 * (a window of the name `:resname`); then there are more names than columns, and the tree has no shape.
 *
 * @param tree - as `debug_print_rewritten` printed it
 * @param names - of the result's columns, as the server describes it
 * @returns SHA-256, hexadecimal; undefined where the tree has to be read
 */
export function treeShape(tree: string, names: readonly string[]): string | undefined {
  if (ODD.test(tree) || mayBeCut(tree)) return undefined;
  // The server breaks lines where a blank stands, by what stands before it.
  const text = tree.replaceAll('\n', ' ');
  if (UTILITY.test(text)) return undefined;
  let at = 0;
  let named = true;
  const shape = text
    .replace(NAME, (_, name: string) => {
      named &&= name === names[at++];
      return ' :resname';
    })
    .replace(POSITION, '')
    .replace(CONSTANT, (_, bytes: string) => (isLong(bytes) ? ` :constvalue ${LONG_CONSTANT}` : ' :constvalue constant'));
  return named && at === names.length ? hash('sha256', shape, 'hex') : undefined;
}

/** A byte is a blank and a digit at least. */
function isLong(bytes: string): boolean {
  return bytes.length > 2 * SHORT_BYTES && bytes.split(' ').length - 1 > SHORT_BYTES;
}
