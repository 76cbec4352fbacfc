import { hash } from 'node:crypto';
import { type Major, majorOf } from './majors.ts';

/** Longest printed tree that is read, in UTF-16 units; a larger one means a statement nobody wrote by hand. */
export const MAX_TREE_LENGTH = 2 * 1024 * 1024;
/** Deepest nesting of nodes and lists; keeps both the reader and the walker far from the end of the stack. */
export const MAX_TREE_DEPTH = 1000;
/**
 * The server folds its output at 78 bytes and cuts a run without a space there, in the middle of a token (print.c,
 * format_node_dump). A run this long may therefore be half a token.
 */
const LONGEST_RUN_BYTES = 75;

/**
 * Whether a run of ASCII without a blank or a new line is so long that it may be half a token. It looks back from the last character that
 * a run may have, so that it sees few of them.
 */
export function mayBeCut(text: string): boolean {
  for (let from = 0; text.length - from > LONGEST_RUN_BYTES; ) {
    let at = from + LONGEST_RUN_BYTES;
    while (at >= from && text.charCodeAt(at) !== BLANK && text.charCodeAt(at) !== NEW_LINE) at--;
    if (at < from) return true;
    from = at + 1;
  }
  return false;
}

/** A field: absent (`<>`), a token, a list, or a node. */
export type TreeValue = null | string | TreeNode | readonly TreeValue[];
/** A printed node: `tag` as PostgreSQL 15 and later name it. Objects have no prototype: a field is only what was printed. */
export interface TreeNode {
  readonly tag: string;
  readonly fields: Readonly<Record<string, TreeValue>>;
}

/** The text is not a tree that can be trusted. Messages carry no part of it. */
export class TreeError extends Error {
  override readonly name = 'TreeError';
  readonly code = 'TreeUnreadable';
}

const SPACE = 1;
const BRACKET = 2;
const CLASS = new Uint8Array(128);
for (const character of ' \n\t') CLASS[character.charCodeAt(0)] = SPACE;
for (const character of '(){}') CLASS[character.charCodeAt(0)] = BRACKET;

const NEW_LINE = 10;
const BLANK = 32;
const OPEN_LIST = 40;
const CLOSE_LIST = 41;
const BACKSLASH = 92;
const OPEN_NODE = 123;
const CLOSE_NODE = 125;
const REPLACEMENT_CHARACTER = '\uFFFD';
const KEY = /^:[A-Za-z_][A-Za-z_0-9]*$/;
const TAG = /^[A-Z_][A-Z_0-9]*$/;
const INTEGER = /^-?[0-9]{1,20}$/;

/** Cuts a text exactly as the server's own reader does (read.c, pg_strtok). */
class Tokens {
  readonly #text: string;
  #at = 0;
  /** Where the run of characters without unescaped white space began that the next token belongs to. */
  #run = 0;

  constructor(text: string) {
    if (text.length > MAX_TREE_LENGTH) throw new TreeError('the tree is too long');
    this.#text = text;
    this.skipSpace();
  }

  get ended(): boolean {
    return this.#at >= this.#text.length;
  }

  /** Code of the next character; NaN at the end. */
  get next(): number {
    return this.#text.charCodeAt(this.#at);
  }

  skipSpace(): void {
    const start = this.#at;
    while (CLASS[this.#text.charCodeAt(this.#at)] === SPACE) this.#at++;
    if (this.#at > start) this.#run = this.#at;
  }

  /** Steps over one bracket. */
  step(): void {
    this.#at++;
    this.skipSpace();
  }

  /** The next token with its escapes. */
  raw(): string {
    const text = this.#text;
    const start = this.#at;
    for (; this.#at < text.length; this.#at++) {
      const code = text.charCodeAt(this.#at);
      if (code === BACKSLASH) this.#at++;
      else if (code < 128 && CLASS[code] !== 0) break;
    }
    if (this.#at === start) throw new TreeError('a token is missing');
    const token = text.slice(start, this.#at);
    if (this.#tooLong()) throw new TreeError('a token may have been cut');
    if (token.includes(REPLACEMENT_CHARACTER)) throw new TreeError('a token is not valid UTF-8');
    this.skipSpace();
    return token;
  }

  #tooLong(): boolean {
    const units = this.#at - this.#run;
    // One UTF-16 unit is at most three bytes of UTF-8: short runs need no count.
    if (units * 3 <= LONGEST_RUN_BYTES) return false;
    return units > LONGEST_RUN_BYTES || Buffer.byteLength(this.#text.slice(this.#run, this.#at)) > LONGEST_RUN_BYTES;
  }
}

const unescape = (token: string): string => (token.includes('\\') ? token.replace(/\\([\s\S])/g, '$1') : token);

function atom(token: string): string | null {
  if (token === '<>') return null;
  const quoted = token.length > 1 && token.startsWith('"') && token.endsWith('"');
  return unescape(quoted ? token.slice(1, -1) : token);
}

/** Bytes of a constant that count as little. */
export const SHORT_BYTES = 4096;
/** What stands for a constant with its value. */
const CONSTANT = 'constant';
export const LONG_CONSTANT = 'long constant';

/** Steps over `LENGTH [ BYTE … ]`, the only value of several tokens. @returns what stands for it: its length may matter */
function skipConstant(tokens: Tokens): string {
  if (!INTEGER.test(tokens.raw()) || tokens.raw() !== '[') throw new TreeError('a constant is malformed');
  for (let bytes = 0; ; bytes++) {
    const token = tokens.raw();
    if (token === ']') return bytes > SHORT_BYTES ? LONG_CONSTANT : CONSTANT;
    if (!INTEGER.test(token)) throw new TreeError('a constant is malformed');
  }
}

function readKey(tokens: Tokens): string {
  const token = tokens.raw();
  if (!KEY.test(token)) throw new TreeError('a field name is malformed');
  return token.slice(1);
}

class Reader {
  readonly #tokens: Tokens;
  readonly #renamed: Major['renamed'];
  /** A utility statement's own node is not read, nor is what follows it: see {@link parseTree}. */
  utility = false;

  constructor(text: string, { renamed }: Major) {
    this.#tokens = new Tokens(text);
    this.#renamed = renamed;
  }

  all(): TreeValue[] {
    const found: TreeValue[] = [];
    while (!this.#tokens.ended && !this.utility) found.push(this.#value(1));
    return found;
  }

  #value(depth: number): TreeValue {
    if (depth > MAX_TREE_DEPTH) throw new TreeError('the tree is too deep');
    switch (this.#tokens.next) {
      case OPEN_NODE:
        return this.#node(depth);
      case OPEN_LIST:
        return this.#list(depth);
      default:
        return atom(this.#tokens.raw());
    }
  }

  #list(depth: number): TreeValue[] {
    this.#tokens.step();
    const list: TreeValue[] = [];
    while (this.#tokens.next !== CLOSE_LIST) {
      list.push(this.#value(depth + 1));
      if (this.utility) return list;
    }
    this.#tokens.step();
    return list;
  }

  #node(depth: number): TreeNode {
    this.#tokens.step();
    const printed = this.#tokens.raw();
    if (!TAG.test(printed)) throw new TreeError('a tag is malformed');
    const tag = this.#renamed[printed] ?? printed;
    const fields: Record<string, TreeValue> = Object.create(null) as Record<string, TreeValue>;
    while (this.#tokens.next !== CLOSE_NODE) {
      const key = readKey(this.#tokens);
      if (key in fields) throw new TreeError('a field is there twice');
      if (key === 'constvalue' && this.#tokens.next !== 60) {
        fields[key] = skipConstant(this.#tokens);
      } else if (key === 'utilityStmt' && this.#tokens.next !== 60) {
        if (depth > 2 || tag !== 'QUERY') throw new TreeError('a utility statement is not at the top');
        this.utility = true;
        fields[key] = 'utility';
        break;
      } else {
        fields[key] = this.#value(depth + 1);
      }
    }
    if (!this.utility) this.#tokens.step();
    return { tag, fields };
  }
}

/** Whether a value is a node. */
export function isNode(value: TreeValue | undefined): value is TreeNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Reads what `debug_print_rewritten` prints for one statement: the DETAIL of the notice `rewritten parse tree:`, with
 * `debug_pretty_print=off`. Strict: whatever an identifier may have moved (a cut token, a field twice, a key where none
 * belongs, an open bracket) is an error, never another tree.
 *
 * Reading ends at a utility statement's own node, whose raw form may quote any text; `utilityStmt` is then the string
 * 'utility', nothing behind it was read, and such a tree says nothing about columns.
 *
 * @param major - the server's major version, one of those in majors.ts
 * @returns the top-level QUERY nodes
 * @throws TreeError
 */
export function parseTree(text: string, major: number): TreeNode[] {
  const known = majorOf(major);
  if (known === undefined) throw new TreeError('the server is of a version that is not supported');
  const queries = new Reader(text, known).all().flat(1);
  return queries.map((query) => {
    if (!isNode(query) || query.tag !== 'QUERY') throw new TreeError('something else than a query is at the top');
    return query;
  });
}

/** Fields that say where in the text something stood. */
export const POSITIONS: ReadonlySet<string> = new Set([
  'location',
  'stmt_location',
  'stmt_len',
  'list_start',
  'list_end',
  'rexpr_list_start',
  'rexpr_list_end',
]);

/**
 * Names a tree without its constants' values (it tells long ones from short ones) and source positions: equal keys have equal analyses on equal catalogs.
 * Follows the same grammar as {@link parseTree}, so that an identifier that looks like a field name removes nothing.
 *
 * @returns SHA-256, hexadecimal
 * @throws TreeError
 */
export function treeKey(text: string): string {
  const tokens = new Tokens(text);
  const nodes: boolean[] = [];
  let key = '';
  const value = (): void => {
    if (tokens.next === OPEN_NODE || tokens.next === OPEN_LIST) {
      const node = tokens.next === OPEN_NODE;
      if (nodes.push(node) > MAX_TREE_DEPTH) throw new TreeError('the tree is too deep');
      tokens.step();
      key += node ? `{${tokens.raw()}` : '(';
    } else key += ` ${tokens.raw()}`;
  };
  while (!tokens.ended) {
    const inside = nodes.at(-1);
    if (inside !== undefined && tokens.next === (inside ? CLOSE_NODE : CLOSE_LIST)) {
      key += inside ? '}' : ')';
      nodes.pop();
      tokens.step();
    } else if (inside === true) {
      const name = readKey(tokens);
      key += ` :${name}`;
      if (name === 'utilityStmt' && tokens.next !== 60) throw new TreeError('a utility statement has no key');
      if (POSITIONS.has(name)) tokens.raw();
      else if (name === 'constvalue' && tokens.next !== 60) key += ` ${skipConstant(tokens)}`;
      else value();
    } else value();
  }
  if (nodes.length > 0) throw new TreeError('a bracket is open');
  return hash('sha256', key, 'hex');
}
