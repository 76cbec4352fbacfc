import { GROUP, VERSION } from '@chaperone/api';
import { pathOf, type ResourceKind } from './objects.ts';
import type { Kube } from './transport.ts';

const REVIEWS: ResourceKind = {
  apiVersion: 'authorization.k8s.io/v1',
  kind: 'SubjectAccessReview',
  plural: 'subjectaccessreviews',
  namespaced: false,
};
/** A person waits. */
const TIMEOUT_MS = 5_000;

export interface AskedRight {
  readonly namespace: string;
  /** Of Chaperone's own group. */
  readonly resource: string;
  readonly subresource?: string;
  readonly verb: string;
  readonly name?: string;
}

/** Whether the API server would let somebody do this themselves. Anything but a plain yes is a no. */
export async function isPermitted(
  kube: Kube,
  { user, groups }: { readonly user: string; readonly groups: readonly string[] },
  { namespace, resource, subresource, verb, name }: AskedRight,
): Promise<boolean> {
  const review = await kube.request<{ status?: { allowed?: unknown; denied?: unknown } }>({
    method: 'POST',
    path: pathOf(REVIEWS),
    body: {
      apiVersion: REVIEWS.apiVersion,
      kind: REVIEWS.kind,
      spec: {
        user,
        groups: [...new Set([...groups, 'system:authenticated'])],
        resourceAttributes: {
          namespace,
          group: GROUP,
          version: VERSION,
          resource,
          ...(subresource !== undefined && { subresource }),
          verb,
          ...(name !== undefined && { name }),
        },
      },
    },
    timeoutMs: TIMEOUT_MS,
  });
  return review.status?.allowed === true && review.status.denied !== true;
}
