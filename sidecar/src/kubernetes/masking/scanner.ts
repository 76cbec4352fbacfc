import { isUtf8 } from 'node:buffer';
import { firstPlace } from '../../masking/detectors.ts';
import { REDACTED } from '../../masking/strategies.ts';
import { AnswerError, notJson } from './errors.ts';
import { CLOSE_LIST, CLOSE_OBJECT, COLON, JsonError, OPEN_LIST, OPEN_OBJECT, QUOTE, Reader } from '../wire/json.ts';
import { MAX_DEPTH, MAX_TEXT_DEPTH } from './limits.ts';
import type { Plan } from './plan.ts';
import type { KnownKey, State } from './state.ts';
import { covered, decoded, isPacked, refusal, searched } from './text.ts';

/** Bytes `start` to `end` are shown as `shown`. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly shown: Buffer;
}

/** What was found out about one value. */
export interface Scanned {
  /** In order, without overlaps. Empty: it is shown as it is. */
  readonly edits: readonly Edit[];
  /** What the outermost object says to be; absent: nothing. */
  readonly kind?: string;
}

export interface ScanOptions {
  /** How often it is JSON in a text. */
  readonly depth?: number;
  /** The object with metadata that it stands in. */
  readonly object?: State;
}

const REDACTED_JSON = Buffer.from(`"${REDACTED}"`);
const REDACTED_BASE64 = Buffer.from(`"${Buffer.from(REDACTED).toString('base64')}"`);
const NOTHING = Buffer.from('null');
const EMPTY_OBJECT = Buffer.from('{}');
const KIND = 'kind';
const NAME = 'name';
const API_VERSION = 'apiVersion';
const CAPITAL_H = 0x48;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
/** A number as long may be that of a card. */
const LONG_NUMBER = 13;

/**
 * Finds what of one JSON value must be hidden, in one walk over its bytes; a second where an object says its kind, or a variable
 * its name, behind what that decides on.
 *
 * @throws AnswerError where it is no JSON, or too deep
 */
export function scan(plan: Plan, bytes: Buffer, state: State, { depth = 0, object = state.root }: ScanOptions = {}): Scanned {
  if (!isUtf8(bytes)) throw new AnswerError('NotJson', 'the API server’s answer is no UTF-8');
  try {
    const first = new Walk(plan, bytes, depth, object, new Map());
    const found = first.run(state);
    return first.late.size === 0 ? found : new Walk(plan, bytes, depth, object, first.late).run(state);
  } catch (error) {
    throw error instanceof JsonError ? notJson() : error;
  }
}

/** The bytes as they may be shown: the very same where nothing is hidden. */
export function spliced(bytes: Buffer, edits: readonly Edit[]): Buffer {
  if (edits.length === 0) return bytes;
  const parts: Buffer[] = [];
  let from = 0;
  for (const { start, end, shown } of edits) {
    parts.push(bytes.subarray(from, start), shown);
    from = end;
  }
  return Buffer.concat([...parts, bytes.subarray(from)]);
}

/** What an object says of itself too late, by where it begins. */
interface Late {
  readonly kinds: string[];
  readonly names: string[];
}

class Walk {
  readonly late: Map<number, Late>;
  readonly #plan: Plan;
  readonly #reader: Reader;
  readonly #depth: number;
  readonly #known: boolean;
  readonly #edits: Edit[] = [];
  #level = 0;
  /** The object with metadata that is walked through. */
  #object: State;
  #kind: string | undefined;

  constructor(plan: Plan, bytes: Buffer, depth: number, object: State, late: Map<number, Late>) {
    this.#plan = plan;
    this.#reader = new Reader(bytes, plan.stops);
    this.#depth = depth;
    this.#known = late.size > 0;
    this.late = late;
    this.#object = object;
  }

  run(state: State): Scanned {
    this.#value(state, this.#reader.peek());
    if (this.#reader.peek() !== undefined) throw this.#reader.foreign();
    return { edits: this.#edits, ...(this.#kind !== undefined && { kind: this.#kind }) };
  }

  /** @param byte the next one that is no blank */
  #value(state: State, byte: number | undefined): void {
    if (byte === QUOTE) {
      this.#reader.string();
      this.#text(state);
    } else if (byte === OPEN_OBJECT) this.#nested(state, CLOSE_OBJECT);
    else if (byte === OPEN_LIST) this.#nested(state, CLOSE_LIST);
    else this.#plain(state, byte);
  }

  #plain({ cover, role }: State, byte: number | undefined): void {
    const reader = this.#reader;
    const start = reader.at;
    if (byte === undefined) throw reader.foreign();
    reader.plain();
    const isLong = reader.at - start >= LONG_NUMBER && role !== 'exempt';
    const isHidden =
      cover === undefined
        ? isLong && searched(reader.bytes.subarray(start, reader.at), this.#plan) !== undefined
        : byte !== NOTHING[0];
    if (isHidden) this.#edit(start, reader.at, NOTHING);
  }

  #nested(state: State, close: number): void {
    const reader = this.#reader;
    if (++this.#level > MAX_DEPTH) throw new AnswerError('TooDeep', `the API server’s answer has more than ${MAX_DEPTH} levels`);
    const start = reader.at++;
    const outer = this.#object;
    if (reader.peek() === close) reader.at++;
    else if (close === CLOSE_LIST) this.#list(state);
    else this.#members(state, start);
    this.#object = outer;
    this.#level--;
  }

  #list(state: State): void {
    const reader = this.#reader;
    for (let index = 0; ; index++) {
      this.#value(state.role === 'cells' ? state.cell(index) : state, reader.peek());
      if (reader.isLast(CLOSE_LIST)) return;
    }
  }

  #members(given: State, start: number): void {
    const reader = this.#reader;
    let state = this.#known ? this.#informed(given, start) : given;
    // An object within another is one with metadata too, once it says its kind.
    if (state.role === 'object' || (state !== given && state.role !== 'variables')) this.#object = state;
    /** Whether all members up to here say what the object is. */
    let isEarly = true;
    for (;;) {
      const key = this.#key(state);
      const byte = reader.peek();
      this.#member(key.state, byte);
      if (byte === QUOTE && (key.text === KIND || (key.text === NAME && state.role === 'variables')))
        state = this.#said(key.text, state, start, isEarly);
      isEarly &&= key.text === KIND || key.text === API_VERSION;
      if (reader.isLast(CLOSE_OBJECT)) return;
    }
  }

  /** With what the first walk found out about the object. */
  #informed(given: State, start: number): State {
    const { kinds = [], names = [] } = this.late.get(start) ?? {};
    const state = kinds.reduce((known, kind) => known.withKind(kind), given);
    return names.reduce((known, name) => known.named(name), state);
  }

  #member(state: State, byte: number | undefined): void {
    if (state.role === 'owned' && byte === OPEN_OBJECT && this.#object.isTold) this.#emptied(state);
    else this.#value(state, byte);
  }

  /** Reads a key and its colon, and finds where it leads. */
  #key(state: State): Pick<KnownKey, 'text' | 'state'> {
    const reader = this.#reader;
    if (reader.peek() !== QUOTE) throw reader.foreign();
    reader.string();
    const { from, to, bytes } = reader;
    if (state.role !== 'exempt') this.#search();
    reader.take(COLON);
    const first = bytes[from] ?? 0;
    return first === BACKSLASH || state.marks[first] === 1 ? state.key(bytes, from, to) : state.unmarked;
  }

  /** The last string is what an object says of itself. Returns the state for what follows. */
  #said(key: typeof KIND | typeof NAME, state: State, start: number, isEarly: boolean): State {
    const { bytes, from, to } = this.#reader;
    if (key === NAME && state.nameAt(bytes, from, to).state === state) return state;
    const text = this.#reader.text();
    if (key === KIND && this.#level === 1) this.#kind ??= text;
    const told = key === KIND ? state.withKind(text) : state.named(text);
    if (told === state) return state;
    if (key === KIND) this.#object = told;
    if (!isEarly) {
      const late = this.late.get(start) ?? { kinds: [], names: [] };
      (key === KIND ? late.kinds : late.names).push(text);
      this.late.set(start, late);
    }
    return told;
  }

  /** An owner's labelled lists may stand in the keys of these: nothing of them is shown. */
  #emptied(state: State): void {
    const { at } = this.#reader;
    const { length } = this.#edits;
    this.#value(state, OPEN_OBJECT);
    this.#edits.length = length;
    this.#edit(at, this.#reader.at, EMPTY_OBJECT);
  }

  /** The last string is a value. */
  #text(state: State): void {
    if (state.cover !== undefined) return this.#hide(state);
    switch (state.role) {
      case 'exempt':
        return;
      case 'annotation':
      case 'applied':
        return this.#annotation(state.role === 'applied');
      case 'binary':
        return this.#binary();
      case 'refusal':
        return state.root.isQuoted ? this.#refusal(this.#plan.hidesCells(state.root)) : this.#search();
      default:
        return this.#search();
    }
  }

  #hide({ cover, role }: State): void {
    const binary = role === 'binary';
    if (cover === undefined || cover.kind === 'redact') this.#replace(binary ? REDACTED_BASE64 : REDACTED_JSON);
    else this.#replace(Buffer.from(covered(this.#reader.text(), cover, binary)));
  }

  /** Text for detectors, or a key. */
  #search(): void {
    const { bytes, from, to, escaped, marked } = this.#reader;
    const { bits, hidesPacked } = this.#plan;
    if (bytes[from] === CAPITAL_H && hidesPacked && isPacked(this.#reader.text())) return this.#replace(REDACTED_JSON);
    if (bits === 0) return;
    if (escaped) return this.#reader.mayHold() ? this.#searchEscaped() : undefined;
    if (marked === to || firstPlace(bytes, from, to, bits, marked) < 0) return;
    const shown = searched(bytes.subarray(from, to), this.#plan);
    if (shown !== undefined) this.#edit(from, to, shown);
  }

  #searchEscaped(): void {
    const text = this.#reader.text();
    if (this.#plan.hidesPacked && isPacked(text)) return this.#replace(REDACTED_JSON);
    const shown = searched(Buffer.from(text), this.#plan);
    if (shown !== undefined) this.#replace(Buffer.from(JSON.stringify(shown.toString())));
  }

  #annotation(isApplied: boolean): void {
    const { bytes, from } = this.#reader;
    const first = bytes[from] ?? 0;
    const isLikeJson = first === OPEN_OBJECT || first === OPEN_LIST || first === BACKSLASH || first === SPACE;
    if (isLikeJson && this.#within()) return;
    if (isApplied) this.#replace(REDACTED_JSON);
    else this.#search();
  }

  /** The object that an annotation holds as JSON, masked as the object around it. False: there is none. */
  #within(): boolean {
    const inner = Buffer.from(this.#reader.text());
    if (this.#depth >= MAX_TEXT_DEPTH) {
      this.#replace(REDACTED_JSON);
      return true;
    }
    try {
      const { edits } = scan(this.#plan, inner, this.#object, { depth: this.#depth + 1 });
      if (edits.length > 0) this.#replace(Buffer.from(JSON.stringify(spliced(inner, edits).toString())));
      return true;
    } catch (error) {
      if (error instanceof AnswerError) return false;
      throw error;
    }
  }

  #binary(): void {
    const text = this.#reader.text();
    const content = decoded(text);
    if (content === undefined) return this.#search();
    const isHidden = (this.#plan.hidesPacked && isPacked(text)) || searched(content, this.#plan) !== undefined;
    if (isHidden) this.#replace(REDACTED_BASE64);
  }

  #refusal(ofItself: boolean): void {
    const text = this.#reader.text();
    const kept = refusal(text, ofItself);
    const shown = searched(Buffer.from(kept), this.#plan)?.toString() ?? kept;
    if (shown !== text) this.#replace(Buffer.from(JSON.stringify(shown)));
  }

  /** The last string, quotes included, is shown as this. */
  #replace(shown: Buffer): void {
    this.#edit(this.#reader.from - 1, this.#reader.to + 1, shown);
  }

  #edit(start: number, end: number, shown: Buffer): void {
    this.#edits.push({ start, end, shown });
  }
}
