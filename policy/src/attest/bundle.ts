import { AccessRequest, ApprovalDecision, ATTESTED_BY, type RequestState, type Validation, validator } from '@chaperone/api';
import { isOpen } from '@chaperone/api/requests';
import { canonicalJson } from '../canonical.ts';

/** What an auditor was given: requests and the decisions on them, from a cluster or from copies of its objects. */
export interface Bundle {
  /** The newest copy of each. */
  readonly requests: readonly AccessRequest[];
  /** Copies of the same, as they were at other times: what they say has to follow as well. */
  readonly older: readonly AccessRequest[];
  readonly decisions: readonly ApprovalDecision[];
  readonly unreadable: readonly Unreadable[];
  /** Objects of other kinds, which are passed over. */
  readonly others: number;
}

/** An object that is not understood whole. */
export interface Unreadable {
  readonly code: 'RequestUnreadable' | 'DecisionUnreadable' | 'CopiesDiffer';
  readonly namespace: string;
  readonly name: string;
  /** Of a decision: the request that it says to be on. */
  readonly request?: string;
  readonly message: string;
}

/** Names of Kubernetes have at most so many characters. */
const MAX_NAME = 253;
/** Copies of one object that differ in anything; an honest request is written a dozen times at most. */
const MAX_COPIES = 64;
/** Problems of one object that are said; the rest would be their echo. */
const MAX_PROBLEMS = 3;

const requestIn = validator(AccessRequest);
const decisionIn = validator(ApprovalDecision);

/**
 * Reads objects of the API server, a List or its items among them, as the API server would take them and stricter: a field that
 * is not known, or a time that is none, makes an object unreadable. Never throws on what they hold.
 */
export function readBundle(objects: readonly unknown[]): Bundle {
  const requests = new Copies<AccessRequest>();
  const decisions = new Copies<ApprovalDecision>();
  const unreadable: Unreadable[] = [];
  let others = 0;
  for (const object of objects.flatMap(itemsOf)) {
    const kind = member(object, 'kind');
    if (kind === 'AccessRequest') unreadable.push(...requests.add(read(object, requestIn, requestProblem, 'RequestUnreadable')));
    else if (kind === 'ApprovalDecision')
      unreadable.push(...decisions.add(read(object, decisionIn, timeProblem, 'DecisionUnreadable')));
    else others += 1;
  }
  const copies = requests.believed.map(newestFirst);
  return {
    requests: copies.flatMap((all) => all.slice(0, 1)),
    older: copies.flatMap((all) => all.slice(1)),
    decisions: decisions.believed.flatMap((all) => all.slice(-1)),
    unreadable,
    others,
  };
}

export function keyOf({ metadata: { namespace = '', name } }: Pick<AccessRequest, 'metadata'>): string {
  return `${namespace}/${name}`;
}

function itemsOf(object: unknown): readonly unknown[] {
  const [kind, items] = [member(object, 'kind'), member(object, 'items')];
  return typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items) ? (items as unknown[]) : [object];
}

function member(object: unknown, name: string): unknown {
  return typeof object === 'object' && object !== null && Object.hasOwn(object, name) ? Reflect.get(object, name) : undefined;
}

function read<T extends AccessRequest | ApprovalDecision>(
  object: unknown,
  reader: (value: unknown) => Validation<T>,
  problemOf: (object: T) => string | undefined,
  code: Unreadable['code'],
): T | Unreadable {
  const found = reader(object);
  const problem =
    'value' in found
      ? (unnamed(found.value) ?? problemOf(found.value))
      : found.problems
          .slice(0, MAX_PROBLEMS)
          .map(({ message }) => message)
          .join('; ');
  if ('value' in found && problem === undefined) return found.value;
  const metadata = member(object, 'metadata');
  const request = member(member(object, 'spec'), 'request');
  return {
    code,
    namespace: text(member(metadata, 'namespace')),
    name: text(member(metadata, 'name')),
    ...(typeof request === 'string' && { request: text(request) }),
    message: problem ?? 'it cannot be read',
  };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, MAX_NAME) : '';
}

/** What the API server gives every object, and what all that follows depends on. */
function unnamed({ metadata: { namespace, uid } }: Pick<AccessRequest, 'metadata'>): string | undefined {
  if (namespace === undefined || namespace === '') return 'metadata.namespace is missing';
  return uid === undefined || uid === '' ? 'metadata.uid is missing' : undefined;
}

function timeProblem({ metadata: { creationTimestamp } }: Pick<AccessRequest, 'metadata'>): string | undefined {
  return isTime(creationTimestamp) ? undefined : 'metadata.creationTimestamp is no time';
}

function requestProblem(request: AccessRequest): string | undefined {
  const { decidedAt, grantedUntil, grantEnded } = request.status ?? {};
  if (!isTime(request.spec.expiresAt)) return 'spec.expiresAt is no time';
  if (decidedAt !== undefined && !isTime(decidedAt)) return 'status.decidedAt is no time';
  if (grantEnded !== undefined && !isTime(grantEnded.at)) return 'status.grantEnded.at is no time';
  return grantedUntil === undefined || isTime(grantedUntil) ? undefined : 'status.grantedUntil is no time';
}

function isTime(value: string | undefined): boolean {
  return value !== undefined && !Number.isNaN(Date.parse(value));
}

/** Objects of one kind. The same may be given several times, as it was at other times; of those that say different things none is believed. */
class Copies<T extends AccessRequest | ApprovalDecision> {
  /** By name, then by all that they say. */
  readonly #kept = new Map<string, Map<string, T>>();
  readonly #differing = new Set<string>();

  /** The copies of each, as they were given. */
  get believed(): readonly (readonly T[])[] {
    return [...this.#kept].filter(([key]) => !this.#differing.has(key)).map(([, copies]) => [...copies.values()]);
  }

  /** @returns What is wrong with it, or with those of its name. */
  add(found: T | Unreadable): Unreadable[] {
    if ('code' in found) return [found];
    const key = keyOf(found);
    if (this.#differing.has(key)) return [];
    const copies = this.#kept.get(key) ?? new Map<string, T>();
    this.#kept.set(key, copies.set(canonicalJson(found), found));
    const message = difference(found, [...copies.values()]);
    if (message === undefined) return [];
    this.#differing.add(key);
    const { namespace = '', name } = found.metadata;
    const on = 'request' in found.spec ? { request: found.spec.request } : {};
    return [{ code: 'CopiesDiffer', namespace, name, ...on, message }];
  }
}

/** Why the last of copies cannot have been the same object as those before, which can; undefined: it can. */
function difference<T extends AccessRequest | ApprovalDecision>(last: T, copies: readonly T[]): string | undefined {
  if (copies.slice(0, 1).some((first) => said(first) !== said(last)))
    return 'there is another one of this name that says something else';
  if (new Set(copies.map(endOf).filter((state) => state !== undefined)).size > 1)
    return 'there is another one of this name that came to another end';
  return copies.length > MAX_COPIES ? `there are more than ${MAX_COPIES} of this name that differ` : undefined;
}

function said({ metadata, spec }: AccessRequest | ApprovalDecision): string {
  return canonicalJson([metadata.uid, metadata.creationTimestamp, metadata.annotations?.[ATTESTED_BY], spec]);
}

/** The state that nothing comes after. */
function endOf(object: AccessRequest | ApprovalDecision): RequestState | undefined {
  const state = stateOf(object);
  return isOpen(state) || state === 'Released' ? undefined : state;
}

function stateOf({ status = {} }: AccessRequest | ApprovalDecision): RequestState | undefined {
  return 'state' in status ? status.state : undefined;
}

/** By what the API server counts up, where every copy has it; else by how far it came. */
function newestFirst(copies: readonly AccessRequest[]): AccessRequest[] {
  const isNumbered = copies.every(({ metadata }) => /^\d{1,20}$/.test(metadata.resourceVersion ?? ''));
  const rank = isNumbered ? versionOf : stageOf;
  return copies.toSorted((a, b) => (rank(a) === rank(b) ? 0 : rank(a) < rank(b) ? 1 : -1));
}

function versionOf({ metadata }: AccessRequest): bigint {
  return BigInt(metadata.resourceVersion ?? '');
}

const STAGES: readonly RequestState[] = ['Pending', 'Approved', 'Released'];

function stageOf({ status = {} }: AccessRequest): number {
  const { state = 'Pending', preview, revokedBy, grantEnded } = status;
  const stage = STAGES.includes(state) ? STAGES.indexOf(state) : STAGES.length;
  return stage * 4 + (revokedBy === undefined && grantEnded === undefined ? 0 : 2) + (preview === undefined ? 0 : 1);
}
