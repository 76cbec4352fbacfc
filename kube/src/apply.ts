import { isConflict, isNotFound } from './errors.ts';
import { type KubeObject, pathOf, type ResourceKind } from './objects.ts';
import type { Kube } from './transport.ts';

export interface ApplyTarget {
  readonly namespace?: string;
  readonly name: string;
  readonly subresource?: 'status';
}
/** Owner of the fields that the operator sets. */
export const FIELD_MANAGER = 'chaperone-operator';

/** Server-side apply: sets exactly the fields of `body`, as this manager, and takes them over where another holds them. */
export async function apply(
  kube: Kube,
  kind: ResourceKind,
  target: ApplyTarget,
  body: object,
  options: { signal?: AbortSignal; fieldManager?: string } = {},
): Promise<KubeObject> {
  const { namespace, name, subresource } = target;
  return await kube.request({
    method: 'PATCH',
    path: pathOf(kind, { namespace, name, ...(subresource === undefined ? {} : { subresource }) }),
    query: { fieldManager: options.fieldManager ?? FIELD_MANAGER, force: true },
    contentType: 'application/apply-patch+yaml',
    body: {
      apiVersion: kind.apiVersion,
      kind: kind.kind,
      ...body,
      metadata: { ...(body as { metadata?: object }).metadata, name, ...(namespace === undefined ? {} : { namespace }) },
    },
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

/** The object, or undefined if it does not exist. */
export async function getObject(
  kube: Kube,
  kind: ResourceKind,
  at: { namespace?: string; name: string },
  options: { signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<KubeObject | undefined> {
  try {
    return await kube.request({ path: pathOf(kind, at), ...options });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Creates the object; if somebody was faster, returns theirs. What exists is never overwritten. */
export async function createIfAbsent(
  kube: Kube,
  kind: ResourceKind,
  at: { namespace?: string; name: string },
  build: () => Promise<object>,
): Promise<KubeObject> {
  const existing = await getObject(kube, kind, at);
  if (existing !== undefined) return existing;
  const built = await build();
  try {
    return await kube.request({
      method: 'POST',
      path: pathOf(kind, { namespace: at.namespace }),
      query: { fieldManager: FIELD_MANAGER },
      body: {
        apiVersion: kind.apiVersion,
        kind: kind.kind,
        ...built,
        metadata: { ...(built as { metadata?: object }).metadata, ...at },
      },
    });
  } catch (error) {
    if (!isConflict(error)) throw error;
    const theirs = await getObject(kube, kind, at);
    if (theirs === undefined) throw error;
    return theirs;
  }
}
