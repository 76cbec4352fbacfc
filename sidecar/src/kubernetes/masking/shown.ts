import { isDeepStrictEqual } from 'node:util';
import { MAX_DEPTH } from './limits.ts';
import { isDeeper, isObject, pointed, pointerParts, stateInside } from './members.ts';
import type { Asked, Plan } from './plan.ts';
import { scan, spliced } from './scanner.ts';
import type { State } from './state.ts';

/** What a terminal does not show, or obeys: control and format characters, and line ends. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const escaped = (text: string): string =>
  Array.from({ length: text.length }, (_, at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}`).join('');

/** What evidence and people see of one value or of a change, at most. */
export interface Bounds {
  readonly lines: number;
  /** Characters of one line; what is longer is cut, and ends with …. */
  readonly width: number;
}
export const BOUNDS: Bounds = { lines: 200, width: 200 };

/** One operation of a JSON patch (RFC 6902 §4). */
export interface Operation {
  readonly op: string;
  readonly path: string;
  readonly from?: string;
  readonly value?: unknown;
}

/** What the server keeps itself: it says nothing of a change. */
const KEPT = new Set(['managedFields', 'resourceVersion', 'generation', 'uid', 'selfLink']);
const PLAIN = /^[A-Za-z_/][\w./@:=,-]*(?: [\w./@:=,-]+)*$/;
/** What YAML would read as something else than a text. */
const NO_TEXT = /^(?:true|false|null|yes|no|on|off|y|n)$|:(?: |$)/i;

/** A body, masked, as lines that read like YAML: what a record keeps of what was written. */
export function shownValue(plan: Plan, asked: Asked, value: unknown, bounds = BOUNDS): string[] {
  const lines = new Lines(plan, bounds);
  if (isDeeper(value, MAX_DEPTH)) return TOO_DEEP;
  lines.value(0, '', value, rootPlace(plan, asked));
  return lines.done();
}

/**
 * What differs between two objects, masked, in lines that begin with `-` (before), `+` (after) or a blank (where it stands):
 *
 *       spec:
 *     -   replicas: 2
 *     +   replicas: 3
 *
 * A value that differs and looks alike, as masks do, is followed by `(changed)`. Members of lists are told by `name`, else by place.
 */
export function shownChange(plan: Plan, asked: Asked, before: unknown, after: unknown, bounds = BOUNDS): string[] {
  const lines = new Lines(plan, bounds);
  if (isDeeper(before, MAX_DEPTH) || isDeeper(after, MAX_DEPTH)) return TOO_DEEP;
  lines.change(0, '', withoutKept(before), withoutKept(after), rootPlace(plan, asked));
  return lines.done();
}

/** The operations of a JSON patch, masked. */
export function shownPatch(plan: Plan, asked: Asked, operations: readonly Operation[], bounds = BOUNDS): string[] {
  const lines = new Lines(plan, bounds);
  const place = rootPlace(plan, asked);
  for (const { op, path, from, value } of operations) {
    if (isDeeper(value, MAX_DEPTH)) return TOO_DEEP;
    const head = [op, from, path].flatMap((word) => (word === undefined ? [] : lines.text(word, place))).join(' ');
    if (value === undefined) lines.add(0, head);
    else lines.value(0, head, value, { ...place, state: pointed(place.state, pointerParts(path)) });
  }
  return lines.done();
}

const TOO_DEEP = ['… too deep to be shown'];

function withoutKept(value: unknown): unknown {
  const metadata = isObject(value) ? value['metadata'] : undefined;
  if (!isObject(value) || !isObject(metadata)) return value;
  return { ...value, metadata: Object.fromEntries(Object.entries(metadata).filter(([key]) => !KEPT.has(key))) };
}

/** What a place is, and the object that it is in. */
interface Place {
  readonly state: State;
  readonly object: State;
}

function rootPlace(plan: Plan, asked: Asked): Place {
  const state = plan.object(asked);
  return { state, object: state };
}

/** The place of what the values hold, by what they say of themselves. */
function inside({ state, object }: Place, ...values: readonly unknown[]): Place {
  const known = values.reduce<State>((at, value) => (isObject(value) ? stateInside(at, value) : at), state);
  return { state: known, object: known.role === 'object' ? known : object };
}

const below = ({ state, object }: Place, key: string): Place => ({ state: state.next(key), object });

type Side = '' | '  ' | '- ' | '+ ';

class Lines {
  readonly #plan: Plan;
  readonly #bounds: Bounds;
  readonly #lines: string[] = [];
  #side: Side = '';
  #isCut = false;

  constructor(plan: Plan, bounds: Bounds) {
    this.#plan = plan;
    this.#bounds = bounds;
  }

  done(): string[] {
    return this.#isCut ? [...this.#lines, '…'] : this.#lines;
  }

  add(indent: number, text: string): void {
    const line = `${this.#side}${' '.repeat(indent)}${text}`;
    const { lines, width } = this.#bounds;
    if (this.#lines.length >= lines) this.#isCut = true;
    else this.#lines.push(line.length > width ? `${line.slice(0, width - 1)}…` : line);
  }

  /** @param head what its first line begins with: a key or an operation; empty: nothing */
  value(indent: number, head: string, value: unknown, place: Place): void {
    if (this.#lines.length >= this.#bounds.lines) return this.add(0, '');
    const members = typeof value === 'object' && value !== null ? Object.entries(value) : [];
    const begin = head === '' ? '' : `${head}: `;
    if (members.length === 0) return this.add(indent, `${begin}${this.text(value, place)}`);
    if (head !== '') this.add(indent, `${head}:`);
    const at = head === '' ? indent : indent + 2;
    const within = inside(place, value);
    for (const [key, member] of members) {
      if (Array.isArray(value)) this.#item(at, member, within);
      else this.value(at, this.#key(key, within), member, below(within, key));
    }
  }

  /** A member of a list: its first line has the dash. */
  #item(indent: number, value: unknown, place: Place): void {
    const first = this.#lines.length;
    this.value(indent + 2, '', value, place);
    const line = this.#lines[first];
    const at = this.#side.length + indent;
    if (line !== undefined) this.#lines[first] = `${line.slice(0, at)}-${line.slice(at + 1)}`;
  }

  change(indent: number, head: string, before: unknown, after: unknown, place: Place): void {
    if (isDeepStrictEqual(before, after)) return;
    const isList = Array.isArray(before) && Array.isArray(after);
    if (!isList && !(isObject(before) && isObject(after))) return this.#replaced(indent, head, before, after, place);
    this.#side = '  ';
    if (head !== '') this.add(indent, isItem(head) ? head : `${head}:`);
    const at = head === '' ? indent : indent + 2;
    const within = inside(place, before, after);
    if (isList) this.#lists(at, before, after, within);
    else this.#objects(at, before as Record<string, unknown>, after as Record<string, unknown>, within);
  }

  #objects(indent: number, before: Record<string, unknown>, after: Record<string, unknown>, place: Place): void {
    for (const key of new Set([...Object.keys(after), ...Object.keys(before)]))
      this.change(indent, this.#key(key, place), own(before, key), own(after, key), below(place, key));
  }

  #lists(indent: number, before: readonly unknown[], after: readonly unknown[], place: Place): void {
    const names = [before, after].map(namesOf);
    const isNamed = names.every((list) => !list.includes(undefined) && new Set(list).size === list.length);
    const [old, current] = [before, after].map(
      (list) => new Map(list.map((item, index) => [isNamed ? nameOf(item) : index, item])),
    );
    for (const which of new Set([...(current?.keys() ?? []), ...(old?.keys() ?? [])])) {
      const head = typeof which === 'string' ? `- name: ${this.#key(which, place)}` : `- # ${which}`;
      this.change(indent, head, old?.get(which), current?.get(which), place);
    }
  }

  #replaced(indent: number, head: string, before: unknown, after: unknown, place: Place): void {
    const first = this.#lines.length;
    this.#side = '- ';
    if (before !== undefined) this.#put(indent, head, before, place);
    const second = this.#lines.length;
    this.#side = '+ ';
    if (after !== undefined) this.#put(indent, head, after, place);
    const [one, other] = [this.#lines.slice(first, second), this.#lines.slice(second)];
    const isAlike =
      one.length > 0 && one.map((line) => line.slice(2)).join('\n') === other.map((line) => line.slice(2)).join('\n');
    if (isAlike) this.#lines[this.#lines.length - 1] += ' (changed)';
    this.#side = '  ';
  }

  #put(indent: number, head: string, value: unknown, place: Place): void {
    if (isItem(head)) this.#item(indent, value, place);
    else this.value(indent, head, value, place);
  }

  #key(key: string, { state, object }: Place): string {
    // What a key names is no part of what covers it.
    return this.#masked(key, {
      state: this.#plan.state(state.role === 'exempt' ? 'exempt' : 'value', undefined, [], state.root),
      object,
    });
  }

  /** A text, number or word as it may be shown, on one line. */
  text(value: unknown, place: Place): string {
    if (typeof value === 'object' && value !== null) return Array.isArray(value) ? '[]' : '{}';
    return this.#masked(value, place);
  }

  #masked(value: unknown, { state, object }: Place): string {
    const bytes = Buffer.from(JSON.stringify(value));
    const json = spliced(bytes, scan(this.#plan, bytes, state, { object }).edits).toString();
    const shown: unknown = JSON.parse(json);
    return typeof shown === 'string' && PLAIN.test(shown) && !NO_TEXT.test(shown) ? shown : json.replaceAll(UNSEEN, escaped);
  }
}

const own = (object: Record<string, unknown>, key: string): unknown => (Object.hasOwn(object, key) ? object[key] : undefined);
const nameOf = (item: unknown): string | undefined =>
  isObject(item) && typeof item['name'] === 'string' ? item['name'] : undefined;
const namesOf = (list: readonly unknown[]): (string | undefined)[] => list.map(nameOf);
/** No key begins so: it would be quoted. */
const isItem = (head: string): boolean => head.startsWith('- ');
