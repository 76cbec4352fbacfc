import { isUtf8 } from 'node:buffer';
import { CLOSE_LIST, CLOSE_OBJECT, COLON, JsonError, OPEN_LIST, OPEN_OBJECT, QUOTE, Reader } from '../wire/json.ts';

export { JsonError, type JsonFault } from '../wire/json.ts';

/** A JSON text that was read; objects have no prototype, so that every key is only a key. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** kube-apiserver takes no larger body (3 MiB, its limitedReadBody). */
export const MAX_BODY_BYTES = 3 * 2 ** 20;
/** Objects of the API nest a dozen levels; a few of others some dozens. */
export const MAX_DEPTH = 128;
/** Values of all levels together: what a large list of rules or data has, some times over. */
export const MAX_VALUES = 250_000;

/**
 * Reads one JSON text (RFC 8259) that every reader reads alike: no key twice in one object, escapes resolved; no lone surrogates; no
 * number that a double does not hold exactly as it is written, but for fractions. Takes time linear in its length, which is bounded,
 * as are depth and number of values.
 *
 * JSON.parse is not asked for objects: besides taking a key twice, that of V8 14.6 takes every key that begins with an escape for a
 * backslash once it has read an object of the same shape with that key.
 *
 * @throws JsonError
 */
export function readJson(bytes: Buffer): Json {
  if (bytes.length > MAX_BODY_BYTES) throw new JsonError('TooLarge');
  if (!isUtf8(bytes)) throw new JsonError('NotUtf8');
  return new Parser(bytes).whole();
}

const WORDS: Readonly<Record<string, null | boolean>> = { null: null, true: true, false: false };

class Parser {
  readonly #reader: Reader;
  #values = 0;

  constructor(bytes: Buffer) {
    this.#reader = new Reader(bytes);
  }

  whole(): Json {
    const value = this.#value(0);
    if (this.#reader.peek() !== undefined) throw this.#reader.foreign();
    return value;
  }

  #value(depth: number): Json {
    if (depth > MAX_DEPTH) throw new JsonError('TooDeep');
    if (++this.#values > MAX_VALUES) throw new JsonError('TooMany');
    switch (this.#reader.peek()) {
      case OPEN_OBJECT:
        return this.#object(depth);
      case OPEN_LIST:
        return this.#array(depth);
      case QUOTE:
        return this.#string();
      default:
        return this.#wordOrNumber();
    }
  }

  #object(depth: number): JsonObject {
    const found = Object.create(null) as Record<string, Json>;
    const reader = this.#reader;
    reader.at++;
    if (reader.takes(CLOSE_OBJECT)) return found;
    do {
      if (reader.peek() !== QUOTE) throw reader.foreign();
      const key = this.#string();
      if (key in found) throw new JsonError('DuplicateKey');
      reader.take(COLON);
      found[key] = this.#value(depth + 1);
    } while (!reader.isLast(CLOSE_OBJECT));
    return found;
  }

  #array(depth: number): Json[] {
    const found: Json[] = [];
    const reader = this.#reader;
    reader.at++;
    if (reader.takes(CLOSE_LIST)) return found;
    do found.push(this.#value(depth + 1));
    while (!reader.isLast(CLOSE_LIST));
    return found;
  }

  #string(): string {
    this.#reader.string();
    const text = this.#reader.text();
    if (!text.isWellFormed()) throw new JsonError('Surrogate');
    return text;
  }

  #wordOrNumber(): null | boolean | number {
    const reader = this.#reader;
    const from = reader.at;
    if (reader.peek() === undefined) throw reader.foreign();
    reader.plain();
    const text = reader.bytes.toString('latin1', from, reader.at);
    const word = WORDS[text];
    return word === undefined ? numberOf(text) : word;
  }
}

function numberOf(text: string): number {
  const value = Number(text);
  const isInteger = /^-?[0-9]+$/.test(text);
  if (text.length > MAX_NUMBER || !Number.isFinite(value) || (isInteger && !Number.isSafeInteger(value)))
    throw new JsonError('Number');
  return value;
}

/** Characters of a number. */
const MAX_NUMBER = 32;

/**
 * Writes a value as JSON that is YAML 1.1 and 1.2 too, and means the same there: what those take for line breaks, or for no
 * character at all, is escaped.
 */
export function writeJson(value: Json): Buffer {
  const text = JSON.stringify(value).replaceAll(/[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g, escaped);
  return Buffer.from(text);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
