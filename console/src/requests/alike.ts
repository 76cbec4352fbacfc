import type { AccessRequest } from '@chaperone/api';
import { sameKey, stateOf } from '@chaperone/api/requests';
import { createStore } from '../store.ts';

/** Requests that ask for the same with other values, as one row that opens to them. */
export interface Group {
  readonly kind: 'group';
  readonly id: string;
  readonly requests: readonly AccessRequest[];
  readonly isOpen: boolean;
}
export type Row =
  | Group
  | { readonly kind: 'one'; readonly id: string; readonly request: AccessRequest; readonly isOfGroup: boolean };

/** Groups that are open, by id: still so when a person comes back from one of them. */
export const openGroups = createStore<ReadonlySet<string>>(new Set());

export function toggleGroup(id: string): void {
  const next = new Set(openGroups.get());
  if (!next.delete(id)) next.add(id);
  openGroups.set(next);
}

/** What requests have in common that are alike, of each that can have its like. */
export function sameKeys(requests: readonly AccessRequest[]): Map<AccessRequest, string | undefined> {
  return new Map(requests.map((each) => [each, sameKey(each.metadata.namespace, each.spec)]));
}

/**
 * Rows in their order, alike ones as one where the first of them is. Nothing else moves: what was decided meanwhile stays in its group.
 * @param keyOf - undefined: like no other
 */
export function inGroups(
  requests: readonly AccessRequest[],
  keyOf: (request: AccessRequest) => string | undefined,
  open: ReadonlySet<string>,
): Row[] {
  const groups = Map.groupBy(requests, keyOf);
  return requests.flatMap((request): Row[] => {
    const id = keyOf(request);
    const alike = id === undefined ? [] : (groups.get(id) ?? []);
    if (id === undefined || alike.length < 2) return [rowOf(request, false)];
    if (alike[0] !== request) return [];
    const isOpen = open.has(id);
    return [{ kind: 'group', id, requests: alike, isOpen }, ...(isOpen ? alike.map((each) => rowOf(each, true)) : [])];
  });
}

function rowOf(request: AccessRequest, isOfGroup: boolean): Row {
  return { kind: 'one', id: request.metadata.uid ?? request.metadata.name, request, isOfGroup };
}

/** Others that wait for the same with other values, those with the least time left first. */
export function waitingAlike(request: AccessRequest, all: Iterable<AccessRequest>): AccessRequest[] {
  const { template } = request.spec;
  if (template === undefined) return [];
  const key = sameKey(request.metadata.namespace, request.spec);
  const found: AccessRequest[] = [];
  for (const each of all)
    if (each.spec.template === template && each.metadata.uid !== request.metadata.uid && stateOf(each) === 'Pending')
      if (sameKey(each.metadata.namespace, each.spec) === key) found.push(each);
  return found.toSorted((a, b) => Date.parse(a.spec.expiresAt) - Date.parse(b.spec.expiresAt));
}
