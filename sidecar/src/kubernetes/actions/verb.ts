import type { ApiPath } from './path.ts';
import { Refusal } from './refusal.ts';

/** What is done. The last four are told by the subresource, whatever the method: a WebSocket is opened by GET. */
export type Verb =
  | 'get'
  | 'list'
  | 'watch'
  | 'create'
  | 'update'
  | 'patch'
  | 'delete'
  | 'deletecollection'
  | 'exec'
  | 'attach'
  | 'portforward'
  | 'proxy';

/** Of RFC 9110 those that the API has a verb for. HEAD tells nothing that GET does not. */
export const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
export type Method = (typeof METHODS)[number];

/** Subresources that are verbs of their own. */
export const CONNECTS = ['exec', 'attach', 'portforward', 'proxy'] as const;

/** The verb as far as the path tells it: a list may be a watch. @throws Refusal Method */
export function verbOf(method: Method, at: ApiPath): Exclude<Verb, 'watch'> {
  const connect = CONNECTS.find((known) => known === at.subresource);
  if (connect === 'proxy') return connect;
  if (connect !== undefined) return only(method === 'GET' || method === 'POST', connect);
  if (at.legacyWatch) return only(method === 'GET', 'list');
  const isNamed = at.name !== '';
  switch (method) {
    case 'GET':
      return isNamed ? 'get' : 'list';
    case 'DELETE':
      return isNamed ? 'delete' : 'deletecollection';
    case 'POST':
      return only(!isNamed || at.subresource !== '', 'create');
    default:
      return only(isNamed, method === 'PUT' ? 'update' : 'patch');
  }
}

function only<V extends Verb>(isMethod: boolean, verb: V): V {
  if (!isMethod) throw new Refusal('Method');
  return verb;
}

/** Whether it leaves HTTP for a connection of its own, both ways. */
export function isStream(verb: Verb): boolean {
  return verb === 'exec' || verb === 'attach' || verb === 'portforward';
}
