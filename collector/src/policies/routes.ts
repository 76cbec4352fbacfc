import { type AccessPolicy, type ProtectedResource, Ref } from '@chaperone/api';
import type { ApiError } from '@chaperone/evidence';
import { Hono } from 'hono';
import { z } from 'zod';
import { type Access, type Identity, permitted, type Resource } from '../access.ts';
import type { PolicySource } from './source.ts';

/** Objects of one list, and bytes of their JSON: about what the API server gives of a list at once, and what a browser reads in time. */
const MAX_LISTED = 1_000;
const MAX_LIST_BYTES = 4 * 1024 * 1024;
/** Of mistakes in files, so many are told, and so much of each. */
const MAX_MISTAKES = 20;
const MAX_MISTAKE = 512;
/** A copy of the object within itself, kept by kubectl for kubectl. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

const Name = z.string().min(1).max(256);
const ListQuery = z.strictObject({ namespace: Name.optional() });
const PolicyQuery = ListQuery.extend({
  /** NAMESPACE/NAME of a resource that its rules name. */
  resource: z
    .string()
    .max(512)
    .regex(/^[^/]+\/[^/]+$/)
    .optional(),
});

export interface PolicyRoutesOptions {
  readonly source: PolicySource;
  readonly access: Access;
}

type Env = { Variables: { identity: Identity } };
type Listed = AccessPolicy | ProtectedResource;
/** What is listed of a kind, for whom. */
interface Kind {
  readonly path: 'policies' | 'resources';
  readonly word: 'policy' | 'resource';
  readonly right: Resource;
  readonly all: () => readonly Listed[];
}

/**
 * Policies and resources, for whoever is known by now: GET /v1/policies and /v1/resources (of one `namespace`; policies also by the
 * `resource` that they name), sorted by name, and GET …/NAMESPACE/NAME. What is answered are AccessPolicy and ProtectedResource as a
 * cluster has them, without what only programs write for themselves. A list that is too long is cut, and says in
 * `metadata.remainingItemCount` by how many; where files have mistakes, `metadata.invalid` of either has them, and what is answered is the
 * version before, which is in force. What somebody may not get is not there.
 */
export function policyRoutes({ source, access }: PolicyRoutesOptions): Hono<Env> {
  const app = new Hono<Env>();
  const policies: Kind = { path: 'policies', word: 'policy', right: 'accesspolicies', all: () => source.policies() };
  const resources: Kind = { path: 'resources', word: 'resource', right: 'protectedresources', all: () => source.resources() };

  for (const { path } of [policies, resources])
    app.use(`/v1/${path}/*`, async (context, next) => {
      const message = source.notReady?.();
      if (message !== undefined) return context.json<ApiError>({ code: 'Unavailable', message }, 503);
      return next();
    });
  app.get('/v1/policies', async (context) => {
    const query = PolicyQuery.safeParse(context.req.query());
    if (!query.success) return context.json(unread(query.error), 400);
    const { namespace, resource } = query.data;
    const found = source.policies().filter((policy) => isIn(namespace, policy) && names(policy, resource));
    return list(await permitted(access, context.get('identity'), policies.right, found), invalidOf(source));
  });
  app.get('/v1/resources', async (context) => {
    const query = ListQuery.safeParse(context.req.query());
    if (!query.success) return context.json(unread(query.error), 400);
    const found = source.resources().filter((resource) => isIn(query.data.namespace, resource));
    return list(await permitted(access, context.get('identity'), resources.right, found), invalidOf(source));
  });
  for (const kind of [policies, resources])
    app.get(`/v1/${kind.path}/:namespace/:name`, async (context) => {
      const { namespace, name } = context.req.param();
      const isNamed = Ref.safeParse({ namespace, name }).success;
      const found = isNamed
        ? kind.all().filter(({ metadata }) => metadata.name === name && metadata.namespace === namespace)
        : [];
      const [object] = await permitted(access, context.get('identity'), kind.right, found);
      if (object !== undefined) {
        const { metadata, ...rest } = shown(object);
        return context.json({ ...rest, metadata: { ...metadata, ...invalidOf(source) } });
      }
      const message = `no ${kind.word} ${`${namespace}/${name}`.slice(0, 128)} is known here`;
      return context.json<ApiError>({ code: 'NotFound', message }, 404);
    });
  return app;
}

function isIn(namespace: string | undefined, { metadata }: Listed): boolean {
  return namespace === undefined || metadata.namespace === namespace;
}

function names({ spec }: AccessPolicy, wanted: string | undefined): boolean {
  return wanted === undefined || spec.rules.some(({ resource }) => `${resource.namespace}/${resource.name}` === wanted);
}

function unread(error: z.ZodError): ApiError {
  const fields = error.issues.map(({ path }) => path.join('.') || 'query').join(', ');
  return { code: 'BadRequest', message: `cannot be read: ${fields}` };
}

interface Mistakes {
  readonly invalid?: readonly string[];
}

function invalidOf({ invalid }: PolicySource): Mistakes {
  if (invalid === undefined) return {};
  const lines = invalid.split('\n').slice(0, MAX_MISTAKES);
  return { invalid: lines.map((line) => line.slice(0, MAX_MISTAKE)) };
}

/** As many of the objects as fit, as a List; the first one always does. */
function list(found: readonly Listed[], mistakes: Mistakes): Response {
  const texts: string[] = [];
  let bytes = 0;
  for (const object of found.toSorted(byName)) {
    const text = JSON.stringify(shown(object));
    bytes += Buffer.byteLength(text);
    if (texts.length > 0 && (texts.length >= MAX_LISTED || bytes > MAX_LIST_BYTES)) break;
    texts.push(text);
  }
  const rest = found.length - texts.length;
  const metadata = JSON.stringify({ ...(rest > 0 && { remainingItemCount: rest }), ...mistakes });
  const body = `{"apiVersion":"v1","kind":"List","metadata":${metadata},"items":[${texts.join(',')}]}`;
  return new Response(body, { headers: { 'content-type': 'application/json' } });
}

function byName(a: Listed, b: Listed): number {
  const [first, second] = [a, b].map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`) as [string, string];
  return first < second ? -1 : Number(first > second);
}

function shown(object: Listed): Listed {
  const { managedFields: _managed, annotations = {}, ...metadata } = object.metadata;
  const { [LAST_APPLIED]: _applied, ...kept } = annotations;
  return { ...object, metadata: Object.keys(kept).length === 0 ? metadata : { ...metadata, annotations: kept } };
}
