import { FIRST_USER_OID } from './functions.ts';
import { mayBeCut } from './tree.ts';

/** With a digit less it would be an object that came with the server. */
const NUMBER = /\s(\d{5,})(?![\w.])/g;
/** What could have been folded within a token. Names that no person gives. */
const ODD = /[^\n\x20-\x5b\x5d-\x7e]/;
/** Modifiers of types, such as of numeric(10,2), are numbers as large as those of objects. */
const MODIFIER = 'typmod';
const RELATION = /:relid\s(\S*)/g;
const CALLED = /:(?:funcid|aggfnoid|winfnoid|opfuncid)\s(\S*)/g;

/** What a text says that its statement reads. */
export interface Expected {
  readonly relations: ReadonlySet<number>;
  /** Whether a function works on its arguments alone. Its text may not name one that is called: `(x).f` is `f(x)`. */
  readonly mayCall: (oid: number) => boolean;
}

/**
 * Whether a printed tree names nothing but what came with the server and these relations, and calls nothing but what it may. Which columns
 * it reads is not looked at, so that this says nothing where any is labelled.
 * The tree is not read, but looked through: each number in it that could be an object's counts as one, and so does all that looks
 * like a relation or a function. What an agent puts into names can add to that, which makes it say no, and can take nothing away.
 *
 * The server prints a number behind a space, and folds lines at spaces or behind 78 bytes without one, so never within a number or
 * a key (outfuncs.c, and format_node_dump in print.c). Positions in long texts look like objects, and make it say no as well.
 *
 * @param tree - as `debug_print_rewritten` printed it
 */
export function confirms(tree: string, { relations, mayCall }: Expected): boolean {
  if (ODD.test(tree) || mayBeCut(tree)) return false;
  for (const found of tree.matchAll(NUMBER)) {
    const oid = Number(found[1]);
    if (oid >= FIRST_USER_OID && !relations.has(oid) && !tree.slice(0, found.index).endsWith(MODIFIER)) return false;
  }
  for (const [, relid] of tree.matchAll(RELATION)) if (relid !== '0' && !relations.has(Number(relid))) return false;
  for (const [, called] of tree.matchAll(CALLED)) if (called !== '0' && !mayCall(Number(called))) return false;
  return true;
}
