import { matchWord, type SegmentGlob } from '@chaperone/policy';
import { type Mask, strictest } from '../../masking/strategies.ts';
import { MAX_REMEMBERED_KEY } from './limits.ts';
import type { Plan } from './plan.ts';

/**
 * What a place is, apart from labels.
 * value: text for detectors · object: one with kind and metadata, a list or table of such, or an event of a watch · identity: ObjectMeta ·
 * exempt: names and versions that clients know objects by · references: to owners, which are such names · applied: an annotation
 * that is looked into, or hidden whole · owners: managedFields · owned: names of fields, and values of sets · variables: `env` ·
 * binary: base64 · refusal: a text that may quote stored values behind `value:`
 */
export type Role =
  | 'value'
  | 'object'
  | 'identity'
  | 'exempt'
  | 'references'
  | 'annotations'
  | 'annotation'
  | 'applied'
  | 'owners'
  | 'owned'
  | 'variables'
  | 'rows'
  | 'cells'
  | 'cell'
  | 'binary'
  | 'refusal';

/** What stands at the end of a path. */
export type Ending = { readonly mask: Mask } | { readonly role: Role };

/** One name of a path, and what follows it. */
export interface Step {
  readonly id: number;
  readonly name: SegmentGlob;
  readonly next: Step | Ending;
  /** Printed columns, and the keys by which managedFields tell members of lists, may show what it leads to. */
  readonly isTold: boolean;
}

/** What covers a name wherever it stands. */
export interface Named {
  readonly name: SegmentGlob;
  readonly mask: Mask;
  /** To the value, where the name stands beside it. */
  readonly value: Step;
}

const APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** Annotations of Secrets by the machinery that made them: names, no content. By the second an informer knows that it has seen all. */
const HARMLESS = /^(?:[a-z0-9-]+\.)*kubernetes\.io\/|^k8s\.io\/initial-events-end$|^meta\.helm\.sh\/|^cert-manager\.io\//;
const IDENTITY = 'name namespace uid resourceVersion generateName selfLink creationTimestamp deletionTimestamp continue'.split(
  ' ',
);
type Keys = { readonly [key in string]?: Role };
const ANYWHERE: Keys = { env: 'variables', annotations: 'annotations', managedFields: 'owners' };
const KEYS: { readonly [role in Role]?: Keys } = {
  value: ANYWHERE,
  object: {
    ...ANYWHERE,
    metadata: 'identity',
    kind: 'exempt',
    apiVersion: 'exempt',
    items: 'object',
    object: 'object',
    rows: 'rows',
  },
  identity: {
    annotations: 'annotations',
    managedFields: 'owners',
    ownerReferences: 'references',
    ...Object.fromEntries(IDENTITY.map((key) => [key, 'exempt'])),
  },
  annotations: { [APPLIED]: 'applied' },
  owners: { fieldsV1: 'owned' },
  rows: { cells: 'cells', object: 'object' },
};
/** What every other key leads to; absent: a value. */
const OTHERS: { readonly [role in Role]?: Role } = {
  references: 'exempt',
  annotations: 'annotation',
  owned: 'owned',
  binary: 'binary',
  cells: 'cell',
  cell: 'cell',
};
/** The longest name of a kind, characters: a DNS label, and List (apiextensions, validation of names). */
const MAX_KIND = 67;
/** Kinds that a state remembers; of others it is found anew what they mean. */
const MAX_REMEMBERED = 512;

/**
 * What is known of places of an answer that are alike: what they are, what covers them, and which labels may lie below. What
 * follows from a key is found once and remembered.
 */
export class State {
  readonly role: Role;
  /** How all that is here is hidden. */
  readonly cover: Mask | undefined;
  readonly steps: readonly Step[];
  /** By the first byte of a key: 0 where it is {@link unmarked}. */
  readonly marks = new Uint8Array(256);
  readonly #plan: Plan;
  /** An object of what was asked for; absent: this. */
  readonly #root: State | undefined;
  readonly #keys: Slots;
  readonly #names: Slots;
  readonly #kinds = new Map<string, State>();
  #unmarked: Pick<KnownKey, 'text' | 'state'> | undefined;

  constructor(plan: Plan, role: Role, cover: Mask | undefined, steps: readonly Step[], root?: State) {
    this.#plan = plan;
    this.role = role;
    this.cover = cover;
    this.steps = steps;
    this.#root = root;
    this.#keys = new Slots((key) => this.#follow(key), plan.room);
    this.#names = new Slots((name) => this.named(name), plan.room);
    const words = [...Object.keys(KEYS[role] ?? {}), 'kind', 'apiVersion', ...steps.map(({ name }) => name[0]?.text ?? '')];
    if (words.includes('') || this.#named.length > 0) this.marks.fill(1);
    else for (const word of words) this.marks[Buffer.from(word)[0] ?? 0] = 1;
  }

  get root(): State {
    return this.#root ?? this;
  }

  /** Whether keys and printed columns may tell what an owner labelled in such an object. */
  get isTold(): boolean {
    return this.steps.some((step) => step.isTold);
  }

  /** Whether a text about such an object may quote what is hidden. */
  get isQuoted(): boolean {
    return this.#plan.variables.length > 0 || this.#plan.annotations.length > 0 || this.steps.some(leadsToMask);
  }

  /** Whether a text that stands here is hidden, or may hold an object with something that is. */
  get hidesText(): boolean {
    return this.cover !== undefined || (this.root.isQuoted && (this.role === 'annotation' || this.role === 'applied'));
  }

  /** Any key without a mark. */
  get unmarked(): Pick<KnownKey, 'text' | 'state'> {
    this.#unmarked ??= { text: '', state: this.#plan.state(OTHERS[this.role] ?? 'value', this.cover, [], this.root) };
    return this.#unmarked;
  }

  /** Where a key leads; a list leads to itself. */
  next(key: string): State {
    return this.#follow(key);
  }

  /** As {@link next}, for a key that is written from `from` to `to`. No string is made of one that was seen before. */
  key(bytes: Buffer, from: number, to: number): KnownKey {
    return this.#keys.find(bytes, from, to);
  }

  /**
   * Where a part of a JSON Pointer leads. A number may be a key or a place in a list, from its end too: then what holds of either holds.
   * Of a list it may be any variable.
   */
  pointed(part: string): State {
    const variable = this.unnamed();
    const next = variable.next(part);
    if (!/^(?:[-+]?[0-9]+|-)$/.test(part)) return next;
    return this.#plan.state(this.role, next.cover, union(variable.steps, next.steps), this.root);
  }

  /** The cell at this place of a row: the first is the name. */
  cell(index: number): State {
    return index > 0 && this.#plan.hidesCells(this.root)
      ? this.#plan.state('cell', { kind: 'redact' }, [], this.root)
      : this.unmarked.state;
  }

  /** The same place, in an object that says to be of this kind. */
  withKind(text: string): State {
    const kind = text.length > MAX_KIND ? '' : text;
    return remembered(this.#kinds, kind, () => this.#with(this.#plan.stepsOfKind(kind)));
  }

  /** The same place, in an object that may say to be of any kind. */
  ofAnyKind(): State {
    return this.#with(this.#plan.stepsOfAny());
  }

  /** One variable of `env`, which has this name. */
  named(name: string): State {
    return this.#with(this.#named.filter((named) => matchWord(named.name, name)).map(({ value }) => value));
  }

  /** As {@link named}, for a name that is written from `from` to `to`. */
  nameAt(bytes: Buffer, from: number, to: number): KnownKey {
    return this.#names.find(bytes, from, to);
  }

  /** One variable of `env`, which may have any name. */
  unnamed(): State {
    return this.#with(this.role === 'variables' ? this.#named.map(({ value }) => value) : []);
  }

  get #named(): readonly Named[] {
    if (this.role === 'annotations') return this.#plan.annotations;
    return this.role === 'variables' ? this.#plan.variables : [];
  }

  #with(added: readonly Step[]): State {
    const steps = union(this.steps, added);
    return steps === this.steps ? this : this.#plan.state(this.role, this.cover, steps, this.root);
  }

  #follow(key: string): State {
    const keys = KEYS[this.role];
    let role = (keys && Object.hasOwn(keys, key) ? keys[key] : undefined) ?? OTHERS[this.role] ?? 'value';
    const masks = this.#named.filter(({ name }) => matchWord(name, key)).map(({ mask }) => mask);
    if (this.cover !== undefined) masks.push(this.cover);
    const steps: Step[] = [];
    for (const { name, next } of this.steps) {
      if (!matchWord(name, key)) continue;
      if ('mask' in next) masks.push(next.mask);
      else if ('name' in next) steps.push(next);
      else if (next.role !== 'applied' || !HARMLESS.test(key)) role = next.role;
    }
    const whole = role === 'object' ? union(this.root.steps, steps) : steps;
    return this.#plan.state(role, masks.length > 1 ? strictest(masks) : masks[0], whole, this.root);
  }
}

/** A key, and where it leads. */
export interface KnownKey {
  readonly bytes: Buffer;
  readonly text: string;
  readonly state: State;
}
/** A state remembers one key in each of so many slots, by their number's bits. */
const SLOT_BITS = 8;
/** Bytes at its end by which a key's slot is found. */
const HASHED = 12;

/** Where texts of JSON lead that were seen before, by their bytes with escapes: no string is made of these. */
class Slots {
  readonly #known: (KnownKey | undefined)[] = [];
  readonly #follow: (text: string) => State;
  readonly #room: { texts: number };

  constructor(follow: (text: string) => State, room: { texts: number }) {
    this.#follow = follow;
    this.#room = room;
  }

  find(bytes: Buffer, from: number, to: number): KnownKey {
    const slot = slotOf(bytes, from, to);
    const known = this.#known[slot];
    if (known !== undefined && isSame(known.bytes, bytes, from, to)) return known;
    const raw = bytes.toString('utf8', from, to);
    const text = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
    const found = { bytes: Buffer.from(bytes.subarray(from, to)), text, state: this.#follow(text) };
    if (to - from <= MAX_REMEMBERED_KEY && (known !== undefined || this.#room.texts-- > 0)) this.#known[slot] = found;
    return found;
  }
}

function slotOf(bytes: Buffer, from: number, to: number): number {
  let hash = to - from;
  for (let at = Math.max(from, to - HASHED); at < to; at++) hash = (Math.imul(hash, 31) + (bytes[at] ?? 0)) | 0;
  // Knuth's multiplicative hash: keys that differ in one digit fall apart.
  return Math.imul(hash, 0x9e3779b1) >>> (32 - SLOT_BITS);
}

function isSame(one: Buffer, bytes: Buffer, from: number, to: number): boolean {
  const length = to - from;
  if (one.length !== length) return false;
  for (let at = 0; at < length; at++) if (one[at] !== bytes[from + at]) return false;
  return true;
}

function remembered(map: Map<string, State>, key: string, find: () => State): State {
  const known = map.get(key);
  if (known !== undefined) return known;
  const state = find();
  if (map.size < MAX_REMEMBERED) map.set(key, state);
  return state;
}

/** The very array where nothing is added. */
function union(one: readonly Step[], other: readonly Step[]): readonly Step[] {
  const added = other.filter((step) => !one.includes(step));
  return added.length === 0 ? one : [...one, ...added].toSorted((a, b) => a.id - b.id);
}

/** Whether something is hidden at its end. */
export function leadsToMask({ next }: Step): boolean {
  return 'name' in next ? leadsToMask(next) : 'mask' in next;
}
