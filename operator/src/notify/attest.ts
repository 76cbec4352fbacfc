import { randomBytes } from 'node:crypto';
import { AccessRequest } from '@chaperone/api';
import { FIELD_MANAGER, getObject, isNotFound, isPermitted, KINDS, type Kube, pathOf } from '@chaperone/kube';
import { writeAttested } from '../approvals/attested.ts';
import type { ChatDecision, ChatVerdict } from './slack-actions.ts';
import { SLACK_MARK } from './slack.ts';

/** Slack's person waits. */
const TIMEOUT_MS = 5_000;

/** The request as the API server has it now; undefined: there is none. */
export async function readRequest(
  kube: Kube,
  at: { readonly namespace: string; readonly name: string },
): Promise<AccessRequest | undefined> {
  const object = await getObject(kube, KINDS.accessRequests, at, { timeoutMs: TIMEOUT_MS });
  return object === undefined ? undefined : AccessRequest.parse(object);
}

/** Writes a person's Deny into the cluster for them, if they might write it themselves. Nothing but a Deny passes. */
export async function attestDeny(kube: Kube, decision: ChatDecision): Promise<ChatVerdict> {
  const { request, uid, digest, by, groups, reason } = decision;
  const { namespace, name } = request;
  const right = { namespace, resource: KINDS.approvalDecisions.plural, verb: 'create' } as const;
  if (!(await isPermitted(kube, { user: by, groups }, right)))
    return { ok: false, why: `${by} may not create approvaldecisions in ${namespace}` };
  const own = { namespace, name: `${name}-slack-${randomBytes(5).toString('hex')}` };
  await writeAttested(kube, own, 'slack', {
    request: name,
    requestUid: uid,
    digest,
    decision: 'Deny',
    by,
    groups: [...groups],
    ...(reason !== undefined && { reason }),
  });
  return { ok: true };
}

/** Notes on exactly this request which message in Slack is its own. One that is gone needs no note. */
export async function rememberMessage(kube: Kube, { metadata }: AccessRequest, mark: string): Promise<void> {
  const { namespace, name, uid } = metadata;
  try {
    await kube.request({
      method: 'PATCH',
      path: pathOf(KINDS.accessRequests, { namespace, name }),
      query: { fieldManager: FIELD_MANAGER },
      contentType: 'application/merge-patch+json',
      // Another uid is a conflict.
      body: { metadata: { uid, annotations: { [SLACK_MARK]: mark } } },
      timeoutMs: TIMEOUT_MS,
    });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
