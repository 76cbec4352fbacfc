import { isUtf8 } from 'node:buffer';
import { containsSentinel } from '../../masking/strategies.ts';
import { MAX_DEPTH, MAX_TEXT_DEPTH } from './limits.ts';
import { stateInside } from './members.ts';
import type { State } from './state.ts';
import { JsonError, QUOTE, Reader } from '../wire/json.ts';
import { decoded } from './text.ts';

/** How a hash mask writes a value. */
const HASH = /^h:[a-z2-7]{16}$/;

/**
 * Where what would be written holds a masked value: stored, it would destroy the real one. The value is a body that was read: an object,
 * any patch, or a list of operations; asterisks, hashes, and both in base64 and in JSON in a text are looked for.
 *
 * @param replaces what the place is, where the body replaces an object whole: null where a label is was a mask too
 * @returns the path as kubectl writes it, such as `.data.password`, at most 200 characters; undefined: there is none. What is too
 * deep to look at counts as one
 */
export function maskWrittenBack(body: unknown, replaces?: State): string | undefined {
  const found = search(body, replaces, 0);
  return found?.toReversed().join('').slice(0, MAX_PATH);
}
const MAX_PATH = 200;

/** What an agent is to do instead. */
export const WRITE_BACK_HINT =
  'what was shown is not the data; leave masked fields out, and patch what changes instead of replacing the object';

/** The path from its end. */
type Found = string[] | undefined;

function search(value: unknown, state: State | undefined, depth: number): Found {
  if (typeof value === 'string') return holdsMask(value, 0) ? [] : undefined;
  if (value === null) return state?.cover === undefined ? undefined : [];
  if (typeof value !== 'object') return undefined;
  // Deeper than anything that is judged.
  if (depth > MAX_DEPTH) return [];
  if (Array.isArray(value)) return inList(value, state, depth);
  const inside = state && stateInside(state, value);
  for (const [key, member] of Object.entries(value)) {
    const found = holdsMask(key, 0) ? [] : search(member, inside?.next(key), depth + 1);
    if (found !== undefined) return [...found, `.${key.replaceAll('.', '\\.')}`];
  }
  return undefined;
}

function inList(values: readonly unknown[], state: State | undefined, depth: number): Found {
  for (const [index, value] of values.entries()) {
    const found = search(value, state, depth + 1);
    if (found !== undefined) return [...found, `[${index}]`];
  }
  return undefined;
}

function holdsMask(text: string, depth: number): boolean {
  if (containsSentinel(text) || HASH.test(text)) return true;
  const content = decoded(text);
  // What is no text was not masked: three such bytes stand in any file that is large enough.
  if (content !== undefined && isUtf8(content) && (containsSentinel(content) || HASH.test(content.toString()))) return true;
  return depth < MAX_TEXT_DEPTH && /^\s*[{[]/.test(text) && holdsMaskWithin(text, depth);
}

/** JSON in a text: what any string of it holds in base64 or with escapes, keys too, also one of two that have one key. */
function holdsMaskWithin(text: string, depth: number): boolean {
  const bytes = Buffer.from(text);
  const reader = new Reader(bytes);
  try {
    for (let at = bytes.indexOf(QUOTE); at >= 0; at = bytes.indexOf(QUOTE, reader.at)) {
      reader.at = at;
      reader.string();
      if (holdsMask(reader.text(), depth + 1)) return true;
    }
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
  }
  return false;
}
