import { isUtf8 } from 'node:buffer';

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

export type JsonFault = 'TooLarge' | 'NotUtf8' | 'Syntax' | 'TooDeep' | 'TooMany' | 'DuplicateKey' | 'Surrogate' | 'Number';

/** Thrown and caught within this room. */
export class JsonError extends Error {
  override readonly name = 'JsonError';
  readonly fault: JsonFault;
  constructor(fault: JsonFault) {
    super(fault);
    this.fault = fault;
  }
}

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
  return new Parser(bytes.toString()).whole();
}

const BLANK = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
// eslint-disable-next-line no-control-regex -- JSON names them
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORDS = [
  ['null', null],
  ['true', true],
  ['false', false],
] as const;

class Parser {
  readonly #text: string;
  #at = 0;
  #values = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): Json {
    const value = this.#value(0);
    this.#blank();
    if (this.#at !== this.#text.length) throw new JsonError('Syntax');
    return value;
  }

  #value(depth: number): Json {
    if (depth > MAX_DEPTH) throw new JsonError('TooDeep');
    if (++this.#values > MAX_VALUES) throw new JsonError('TooMany');
    this.#blank();
    switch (this.#text.charAt(this.#at)) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#array(depth);
      case '"':
        return this.#string();
      default:
        return this.#wordOrNumber();
    }
  }

  #object(depth: number): JsonObject {
    const found = Object.create(null) as Record<string, Json>;
    this.#at++;
    if (this.#takes('}')) return found;
    do {
      this.#blank();
      const key = this.#string();
      if (key in found) throw new JsonError('DuplicateKey');
      if (!this.#takes(':')) throw new JsonError('Syntax');
      found[key] = this.#value(depth + 1);
    } while (this.#takes(','));
    if (!this.#takes('}')) throw new JsonError('Syntax');
    return found;
  }

  #array(depth: number): Json[] {
    const found: Json[] = [];
    this.#at++;
    if (this.#takes(']')) return found;
    do found.push(this.#value(depth + 1));
    while (this.#takes(','));
    if (!this.#takes(']')) throw new JsonError('Syntax');
    return found;
  }

  #string(): string {
    const text = JSON.parse(this.#match(STRING)) as string;
    if (!text.isWellFormed()) throw new JsonError('Surrogate');
    return text;
  }

  #wordOrNumber(): null | boolean | number {
    const found = WORDS.find(([word]) => this.#text.startsWith(word, this.#at));
    if (found === undefined) return this.#number();
    this.#at += found[0].length;
    return found[1];
  }

  #number(): number {
    const text = this.#match(NUMBER);
    const value = Number(text);
    const isInteger = /^-?[0-9]+$/.test(text);
    if (text.length > MAX_NUMBER || !Number.isFinite(value) || (isInteger && !Number.isSafeInteger(value)))
      throw new JsonError('Number');
    return value;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) throw new JsonError('Syntax');
    this.#at += found.length;
    return found;
  }

  #blank(): void {
    this.#match(BLANK);
  }

  #takes(character: string): boolean {
    this.#blank();
    if (this.#text.charAt(this.#at) !== character) return false;
    this.#at++;
    return true;
  }
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
