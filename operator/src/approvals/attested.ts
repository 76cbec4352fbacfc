import { API_VERSION, ATTESTED_BY, type DecisionSpec } from '@chaperone/api';
import { FIELD_MANAGER, KINDS, type Kube, pathOf } from '@chaperone/kube';

/** A person waits. */
const TIMEOUT_MS = 5_000;

/** Writes a decision for the person who gave it elsewhere; whether they may is checked before. @throws ApiError Conflict where the name is taken */
export async function writeAttested(
  kube: Kube,
  at: { readonly namespace: string; readonly name: string },
  via: 'page' | 'slack',
  spec: DecisionSpec,
): Promise<void> {
  const kind = KINDS.approvalDecisions;
  await kube.request({
    method: 'POST',
    path: pathOf(kind, { namespace: at.namespace }),
    query: { fieldManager: FIELD_MANAGER },
    body: { apiVersion: API_VERSION, kind: kind.kind, metadata: { ...at, annotations: { [ATTESTED_BY]: via } }, spec },
    timeoutMs: TIMEOUT_MS,
  });
}
