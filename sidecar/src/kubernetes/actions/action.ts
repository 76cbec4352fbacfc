import type { Action, ApiObject, Effect } from '@chaperone/policy';
import type { Body } from './body.ts';
import { isObject } from './json.ts';
import type { PathRequest, ResourceRequest } from './request.ts';

/** By these clients find what there is; the same for everybody (RBAC's own system:discovery), and no object of anybody. */
const DISCOVERY = /^\/(api|apis|version|openapi\/v2|api\/[^/]+|apis\/[^/]+(\/[^/]+)?|openapi\/v3(\/.+)?)$/;

/**
 * The effects of a call, for the judge. Discovery has none, so that a right to anything is enough. Server-side apply makes what is not
 * there, and of some kinds an update does, so that it is both: patch or update, and create.
 *
 * @param body - tells the name of what is created
 */
export function apiAction(request: ResourceRequest | PathRequest, body: Body | undefined): Action {
  if (request.kind === 'path')
    return DISCOVERY.test(request.path)
      ? { effects: [] }
      : { effects: [{ verb: 'get', object: request.path, via: 'direct', kind: 'api-path' }] };
  const { group, resource, subresource, namespace } = request;
  const api: ApiObject = { group, resource, subresource, namespace, name: nameIn(request, body) };
  const makes = request.body === 'apply-patch' || mayMake(request, body);
  const verbs = makes ? [request.verb, 'create'] : [request.verb];
  return { effects: verbs.map((verb): Effect => ({ verb, object: objectText(api), via: 'direct', kind: 'api-object', api })) };
}

/** Kinds of which PUT makes what is not there (AllowCreateOnUpdate of their strategies in k8s.io/kubernetes), those of RBAC aside. */
const MADE_BY_UPDATE: ReadonlySet<string> = new Set([
  '/endpoints',
  '/events',
  '/limitranges',
  '/services',
  'coordination.k8s.io/leasecandidates',
  'coordination.k8s.io/leases',
  'events.k8s.io/events',
  'node.k8s.io/runtimeclasses',
]);

/** Whether an update may make the object. One that names the uid of what is there does not: the API server answers 409. */
function mayMake({ verb, group, resource }: ResourceRequest, body: Body | undefined): boolean {
  if (verb !== 'update' || !MADE_BY_UPDATE.has(`${group}/${resource}`)) return false;
  const metadata = body?.kind === 'object' ? body.value['metadata'] : undefined;
  const uid = isObject(metadata) ? metadata['uid'] : undefined;
  return typeof uid !== 'string' || uid === '';
}

/** Of what is created the body has the name. What the API server names itself has none yet. */
export function nameIn({ name: named, verb, subresource }: ResourceRequest, body: Body | undefined): string {
  if (named !== '') return named;
  if (verb !== 'create' || subresource !== '' || body?.kind !== 'object') return '';
  const { metadata } = body.value;
  const name = isObject(metadata) ? metadata['name'] : undefined;
  return typeof name === 'string' ? name : '';
}

/** `deployments.apps/scale web in shop`. */
export function objectText({ group, resource, subresource, namespace, name }: ApiObject): string {
  const plural = `${resource}${group === '' ? '' : `.${group}`}${subresource === '' ? '' : `/${subresource}`}`;
  const isItself = group === '' && resource === 'namespaces';
  return [plural, name, ...(namespace === '' || isItself ? [] : ['in', namespace])].filter((word) => word !== '').join(' ');
}
