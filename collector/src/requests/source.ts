import type { AccessRequest, ApprovalDecision } from '@chaperone/api';
import type { Code } from '@chaperone/api/codes';
import type { Viewer } from '@chaperone/api/requests';
import { HTTPException } from 'hono/http-exception';
import { z } from 'zod';
import type { Identity } from '../access.ts';

const name = z.string().min(1).max(256);
/** What a person decides; who that is, is not theirs to say but by playing somebody. */
export const DecisionBody = z.strictObject({
  requestUid: name,
  digest: z.string().regex(/^[0-9a-f]{64}$/, 'digest is the whole one, 64 hexadecimal digits'),
  decision: z.enum(['Approve', 'Deny']),
  reason: z.string().min(1).max(1024).optional(),
  /** Seconds for which the same may run again. */
  grantFor: z.int().optional(),
  as: z.strictObject({ user: name, groups: z.array(name).max(512).default([]) }).optional(),
});
export type DecisionBody = z.infer<typeof DecisionBody>;
/** The end of what an approval lets run again. */
export const RevocationBody = DecisionBody.omit({ decision: true, grantFor: true });
export type RevocationBody = z.infer<typeof RevocationBody>;

/** What was made of an answer. `made`: it was not given before. */
export interface Decided {
  readonly made: boolean;
  readonly decision: ApprovalDecision;
  readonly request: AccessRequest;
  /** As whom it was given, for people. */
  readonly as: string;
}

/** What is known of an action beside its request, such as rows that it would have met, masked: shown to people, kept nowhere. */
export interface RequestContent {
  readonly columns?: readonly string[] | undefined;
  readonly rows?: readonly (readonly (string | null)[])[] | undefined;
  /** What it would change, line by line. */
  readonly change?: readonly string[] | undefined;
  /** All of a text of which the request has only the beginning. */
  readonly text?: string | undefined;
}

/** Where people answer requests. */
export interface RequestDesk {
  /** @throws RequestRefused */
  content(request: AccessRequest): RequestContent;
  /** Takes an answer; the same one of the same person is given once. @throws RequestRefused */
  decide(request: AccessRequest, answer: DecisionBody, identity: Identity): Decided;
  /** Ends what a request grants; of one that grants nothing nothing changes. @throws RequestRefused */
  revoke(request: AccessRequest, answer: RevocationBody, identity: Identity): Decided;
}

/** Requests for approval: those of `chaperone up`, or a cluster's, which are read and not decided on here. */
export interface RequestSource {
  /** Why what there is cannot be told now, as a sentence. */
  notReady?(): string | undefined;
  /** All that there are. */
  list(): readonly AccessRequest[];
  /** Calls with every request that is new or changed, until the function that it returns is called. */
  watch(tell: (request: AccessRequest) => void): () => void;
  /** Who this person is to requests. */
  viewer(identity: Identity): Viewer;
  /** Absent: people answer elsewhere. */
  readonly desk?: RequestDesk;
}

/** What is wrong with a question about requests, answered as `{code, message}`. */
export class RequestRefused extends HTTPException {
  readonly code: Code;
  constructor(status: 400 | 403 | 404 | 409 | 410 | 413 | 415 | 503, code: Code, message: string) {
    super(status, { message });
    this.code = code;
  }
}
