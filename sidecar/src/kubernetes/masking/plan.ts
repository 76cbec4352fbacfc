import { type Detector, KUBERNETES_SECRET } from '@chaperone/api';
import { type Access, isRevealed, matchWord, parseSegment, type SegmentGlob } from '@chaperone/policy';
import { type DetectorBits, detectorBits, triggers } from '../../masking/detectors.ts';
import { maskedFinds, maskOfLabel } from '../../masking/labels.ts';
import type { Mask } from '../../masking/strategies.ts';
import { FieldError } from './errors.ts';
import { type Field, parseField } from './fields.ts';
import { stopsAt } from '../wire/json.ts';
import { type Ending, leadsToMask, type Named, type Role, State, type Step } from './state.ts';

/** What was asked for. */
export interface Asked {
  /** Plural, without a subresource: `pods`. */
  readonly resource: string;
  /** Empty: the core group. */
  readonly group: string;
}

interface Rule {
  readonly resource: SegmentGlob;
  /** Absent: of any group. */
  readonly group?: string | undefined;
  readonly first: Step;
}

/** Beyond so many, states are made anew: which there are depends on keys that others choose. */
const MAX_STATES = 4096;
/** Keys that all states together remember, some 500 bytes each at most. */
const MAX_REMEMBERED_KEYS = 65_536;

/** What is masked where, for one agent on one cluster; serves any number of answers. */
export class Plan {
  readonly access: Access;
  readonly finds: ReadonlyMap<Detector, Mask>;
  readonly bits: DetectorBits;
  /** Where a reader of strings stops for them. */
  readonly stops: Uint8Array;
  /** For keys that states remember. */
  readonly room = { texts: MAX_REMEMBERED_KEYS };
  /** Whether what is packed is hidden. */
  readonly hidesPacked: boolean;
  /** By the names of variables, and by the keys of annotations. */
  readonly variables: readonly Named[];
  readonly annotations: readonly Named[];
  readonly #rules: readonly Rule[];
  readonly #states = new Map<string, State>();
  /** By what is labelled in them: as many as there are sets of rules. */
  readonly #objects = new Map<string, State>();
  readonly #roots = new Map<State, { readonly id: number; readonly hidesCells: boolean }>();
  readonly #masks: Mask[] = [];
  readonly #listed = new Map<Step, Step>();
  #steps = 0;

  /** @throws FieldError where a labelled field cannot be read */
  constructor(access: Access) {
    this.access = access;
    this.finds = maskedFinds(access);
    this.bits = detectorBits(this.finds.keys());
    this.stops = stopsAt(triggers(this.bits));
    this.hidesPacked = !isRevealed(access, KUBERNETES_SECRET);
    const hidden = access.sensitive
      .filter(({ label }) => !isRevealed(access, label))
      .flatMap(({ label, fields = [] }) => fields.map((text) => ({ field: readField(text), mask: maskOfLabel(access, label) })));
    const named = (of: Field['of']): Named[] =>
      hidden.flatMap(({ field, mask }) => (field.of === of && field.of !== 'resource' ? [this.#named(field.name, mask)] : []));
    this.variables = named('env');
    this.annotations = named('annotations');
    const owners = hidden.flatMap(({ field, mask }) => (field.of === 'resource' ? [this.#ownersRule(field, mask)] : []));
    this.#rules = [
      ...this.#shapes(),
      ...(this.hidesPacked ? this.#secrets(maskOfLabel(access, KUBERNETES_SECRET)) : []),
      ...owners,
    ];
  }

  /** An object of what was asked for, a list or table of such, or an event of a watch. */
  object({ resource, group }: Asked): State {
    const rules = this.#rules.filter((rule) => matchWord(rule.resource, resource) && (rule.group ?? group) === group);
    const steps = rules.map(({ first }) => first).toSorted((a, b) => a.id - b.id);
    const isCustom = isOfOthers(group);
    // A column of a kind that someone defined may show any of its fields.
    const hidesCells = steps.some(({ isTold }) => isTold) || (isCustom && this.annotations.length + this.variables.length > 0);
    const key = `${hidesCells} ${steps.map(({ id }) => id).join()}`;
    const known = this.#objects.get(key);
    if (known !== undefined) return known;
    const state = new State(this, 'object', undefined, steps);
    this.#objects.set(key, state);
    this.#roots.set(state, { id: this.#roots.size, hidesCells });
    return state;
  }

  /** Whether an object may hold others of which something is hidden, such as a Secret that a controller is to make. */
  mayEmbed({ group }: Asked): boolean {
    return isOfOthers(group) && this.#rules.some(({ first }) => leadsToMask(first));
  }

  /** What is labelled in objects of whatever kind. */
  stepsOfAny(): readonly Step[] {
    return this.#rules.map(({ first }) => first);
  }

  hidesCells(root: State): boolean {
    return this.#roots.get(root)?.hidesCells ?? true;
  }

  /** What is labelled in objects that say to be of a kind, wherever they stand, whatever their group. What a list holds is in its items. */
  stepsOfKind(kind: string): readonly Step[] {
    const single = kind.endsWith('List') ? kind.slice(0, -'List'.length) : kind;
    const plurals = pluralsOf(single.toLowerCase());
    const steps = this.#rules
      .filter(({ resource }) => plurals.some((plural) => matchWord(resource, plural)))
      .map(({ first }) => first);
    return single === kind ? steps : steps.map((step) => this.#inItems(step));
  }

  /** The one state for places that are so. */
  state(role: Role, cover: Mask | undefined, steps: readonly Step[], root: State): State {
    const key = `${role} ${this.#maskId(cover)} ${this.#roots.get(root)?.id} ${steps.map(({ id }) => id).join()}`;
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    const state = new State(this, role, cover, steps, root);
    if (this.#states.size < MAX_STATES) this.#states.set(key, state);
    return state;
  }

  #maskId(mask: Mask | undefined): number {
    if (mask === undefined) return -1;
    const known = this.#masks.findIndex((other) => isSameMask(other, mask));
    return known < 0 ? this.#masks.push(mask) - 1 : known;
  }

  #inItems(step: Step): Step {
    const known = this.#listed.get(step);
    if (known !== undefined) return known;
    const listed: Step = { id: this.#steps++, name: parseSegment('items'), next: step, isTold: step.isTold };
    this.#listed.set(step, listed);
    return listed;
  }

  #path(names: readonly SegmentGlob[], ending: Ending, isTold: boolean): Step {
    const rest = names.slice(1).reduceRight<Step | Ending>((next, name) => ({ id: this.#steps++, name, next, isTold }), ending);
    return { id: this.#steps++, name: names[0] ?? [], next: rest, isTold };
  }

  #rule(resource: string, path: readonly string[], ending: Ending): Rule {
    return { resource: parseSegment(resource), first: this.#path(path.map(parseSegment), ending, false) };
  }

  /** What built-in kinds hold that is no plain text. */
  #shapes(): Rule[] {
    return [
      this.#rule('secrets', ['data', '*'], { role: 'binary' }),
      this.#rule('configmaps', ['binaryData', '*'], { role: 'binary' }),
      this.#rule('certificatesigningrequests', ['status', 'certificate'], { role: 'binary' }),
      // Why a change is refused may quote what is stored.
      this.#rule('statuses', ['message'], { role: 'refusal' }),
      this.#rule('statuses', ['details', 'causes', 'message'], { role: 'refusal' }),
    ];
  }

  #secrets(mask: Mask): Rule[] {
    return [
      this.#rule('secrets', ['data'], { mask }),
      this.#rule('secrets', ['stringData'], { mask }),
      this.#rule('secrets', ['metadata', 'annotations', '*'], { role: 'applied' }),
      this.#rule('tokenrequests', ['status', 'token'], { mask }),
      this.#rule('tokenreviews', ['spec', 'token'], { mask }),
      this.#rule('certificatesigningrequests', ['status', 'certificate'], { mask }),
    ];
  }

  #ownersRule({ resource, group, path }: Extract<Field, { of: 'resource' }>, mask: Mask): Rule {
    // Columns count the keys of these, and show none of their values.
    const isMap = ['secrets', 'configmaps'].some((plural) => matchWord(resource, plural)) && resource.length === 1;
    return { resource, group, first: this.#path(path, { mask }, !isMap) };
  }

  #named(name: SegmentGlob, mask: Mask): Named {
    return { name, mask, value: this.#path([parseSegment('value')], { mask }, false) };
  }
}

/** Whether it is no group of Kubernetes' own: its kinds are what somebody defined. */
function isOfOthers(group: string): boolean {
  return group.includes('.') && !group.endsWith('.k8s.io');
}

function readField(text: string): Field {
  const field = parseField(text);
  if (field === undefined) throw new FieldError('a labelled field is no RESOURCE:PATH, env:NAME or annotations:KEY');
  return field;
}

/** What the plural of a kind may be: as clients guess it (k8s.io/apimachinery, UnsafeGuessKindToResource), and more. */
function pluralsOf(single: string): string[] {
  return [single, `${single}s`, `${single}es`, single.replace(/y$/, 'ies')];
}

function isSameMask(one: Mask, other: Mask): boolean {
  if (one.kind === 'hash') return other.kind === 'hash' && one.key.equals(other.key);
  if (one.kind === 'partial') return other.kind === 'partial' && one.first === other.first && one.last === other.last;
  return one.kind === other.kind;
}
