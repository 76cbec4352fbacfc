import { type AccessRequest, API_VERSION, type ApprovalDecision } from '@chaperone/api';
import { groupsNamed, isOpen } from '@chaperone/api/requests';
import { type DecisionBody, type Decided, RequestRefused, type RequestSource, type RevocationBody } from '@chaperone/collector';
import type { ManifestControl } from '@chaperone/sidecar';
import { localPerson, localViewer } from '../requests/local-person.ts';
import { notGranting, over } from '../requests/outcome.ts';

type Desk = ManifestControl['approvals'];

/** Requests of `chaperone up`. Whoever is let in, by the token of the data directory or a browser's sign-in, is the person at this machine. */
export function localRequests(desk: Desk, now: () => number): RequestSource {
  return {
    list: () => desk.list(),
    watch: (tell) => desk.watch(tell),
    viewer: localViewer,
    desk: {
      content: ({ metadata }) => desk.contentOf(metadata.name) ?? {},
      decide: (request, answer) => decide(desk, request, answer, now),
      revoke: (request, answer) => revoke(desk, request, answer, now),
    },
  };
}

/** Takes the answer; one that the same person gave already is given once. @throws RequestRefused */
function decide(
  desk: Desk,
  request: AccessRequest,
  { requestUid, digest, decision, reason, grantFor, as }: DecisionBody,
  now: () => number,
): Decided {
  const { metadata, spec } = request;
  if (requestUid !== metadata.uid || digest !== spec.digest)
    throw new RequestRefused(
      409,
      'DigestMismatch',
      `${metadata.name} is something else than what was shown; nothing was decided`,
    );
  const person = localPerson(request, as);
  const said = { as: `${person.user}, ${person.note ?? ''}` };
  const before = alreadyGiven(request, person.user, decision);
  if (before !== undefined) return { made: false, decision: before, request, ...said };
  const named = groupsNamed(request);
  try {
    const taken = desk.decide({
      request: metadata.name,
      requestUid,
      digest,
      decision,
      by: person.user,
      groups: person.groups.filter((group) => named.includes(group)),
      ...(reason !== undefined && { reason }),
      ...(grantFor !== undefined && { grantFor }),
    });
    return { made: true, ...taken, ...said };
  } catch (error) {
    throw refusal(error, desk, request, now());
  }
}

/** A Deny on what grants something ends that; whoever ended it already may say so again. @throws RequestRefused */
function revoke(desk: Desk, request: AccessRequest, answer: RevocationBody, now: () => number): Decided {
  const mine = localPerson(request, answer.as).user === request.status?.revokedBy;
  const none = mine ? undefined : notGranting(request, now());
  if (none !== undefined) throw new RequestRefused(409, none.code, none.message);
  return decide(desk, request, { ...answer, decision: 'Deny' }, now);
}

function alreadyGiven(
  { metadata, spec, status }: AccessRequest,
  by: string,
  decision: DecisionBody['decision'],
): ApprovalDecision | undefined {
  const known = status?.decisions?.find((each) => each.by === by && each.decision === decision && each.counted);
  if (known === undefined) return undefined;
  const { reason, at, counted } = known;
  return {
    apiVersion: API_VERSION,
    kind: 'ApprovalDecision',
    metadata: { name: known.name, namespace: metadata.namespace, creationTimestamp: at },
    spec: {
      request: metadata.name,
      requestUid: metadata.uid ?? '',
      digest: spec.digest,
      decision,
      by,
      groups: [],
      ...(reason !== undefined && { reason }),
    },
    status: { counted },
  };
}

/** The desk's own no, in the words of the command line. */
function refusal(error: unknown, desk: Desk, request: AccessRequest, now: number): unknown {
  const { name } = request.metadata;
  if (!(error instanceof Error) || error.name !== 'DecisionError' || !('code' in error)) return error;
  if (error.code === 'RequestUnknown') return new RequestRefused(404, 'NotFound', error.message);
  if (error.code !== 'AlreadyDecided') return new RequestRefused(400, 'Usage', error.message);
  const latest = desk.list().find(({ metadata }) => metadata.uid === request.metadata.uid);
  if (latest === undefined) return new RequestRefused(404, 'NotFound', `no request ${name} is known here`);
  if (isOpen(latest.status?.state)) return new RequestRefused(409, 'LimitReached', `${name} has more answers than are counted`);
  const { code, message } = over(latest, now);
  return new RequestRefused(code === 'RequestExpired' ? 410 : 409, code, message);
}
