import { skipToken, skipWords, trimSpace } from './literals.ts';

/** The rows that a plain UPDATE or DELETE is about, as slices of its text. */
export interface Predicate {
  /** The table with its alias, as written. */
  readonly target: string;
  /** The condition; undefined: every row. */
  readonly condition: string | undefined;
}

/**
 * Finds table and condition of an UPDATE or DELETE by its lexical structure. Undefined for whatever else there is in it: other
 * tables, WITH, a cursor. Whoever runs something made of the parts has to have the server compare what it understands.
 */
export function predicateOf(text: string): Predicate | undefined {
  const start = targetOf(text);
  if (start === undefined) return undefined;
  const ends = clauses(text, start.at);
  const names = ends.map(({ name }) => name).join(' ');
  if (!(start.verb === 'update' ? /^set( where)?( returning)?$/ : /^(where)? ?(returning)?$/).test(names)) return undefined;
  const at = (name: string): number | undefined => ends.find((clause) => clause.name === name)?.at;
  const target = trimSpace(text.slice(start.at, ends[0]?.at ?? text.length));
  if (target === '') return undefined;
  const where = at('where');
  if (where === undefined) return { target, condition: undefined };
  const condition = trimSpace(text.slice(skipToken(text, where), at('returning') ?? text.length));
  return /^current\b/i.test(condition) || condition === '' ? undefined : { target, condition };
}

/** Where the table stands. */
function targetOf(text: string): { readonly verb: 'update' | 'delete'; readonly at: number } | undefined {
  const start = skipWords(text, 0, []);
  const verb = word(text, start);
  const next = skipToken(text, start);
  if (verb === 'update') return { verb, at: next };
  const from = skipWords(text, next, []);
  return verb === 'delete' && word(text, from) === 'from' ? { verb, at: skipToken(text, from) } : undefined;
}

const CLAUSES: ReadonlySet<string> = new Set(['set', 'where', 'returning', 'from', 'using']);

/** Words that begin a clause, outside of parentheses and quotes. */
function clauses(text: string, from: number): { readonly name: string; readonly at: number }[] {
  const found: { name: string; at: number }[] = [];
  let depth = 0;
  for (let at = from; at < text.length; at = skipToken(text, at)) {
    if (text[at] === '(' || text[at] === '[') depth++;
    else if (text[at] === ')' || text[at] === ']') depth--;
    const name = depth === 0 ? word(text, at) : '';
    if (CLAUSES.has(name)) found.push({ name, at });
  }
  return found;
}

function word(text: string, at: number): string {
  return text.slice(at, skipToken(text, at)).toLowerCase();
}
