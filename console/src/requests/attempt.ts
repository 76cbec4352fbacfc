import type { AccessRequest, ApprovalDecision } from '@chaperone/api';
import { useRef, useState } from 'preact/hooks';
import { asServerError, get, post, ServerError, serverNow } from '../server.ts';
import { learn } from './live.ts';

export type Decision = 'Approve' | 'Deny';
/** Revoke: a denial of what an approval lets run again. */
export type Act = Decision | 'Revoke';
/** What a person says with it. */
export interface Saying {
  readonly reason: string;
  /** Seconds for which the same may run again; 0: only this once. */
  readonly grantFor?: number;
}

/** What became of a press: nothing is shown as decided that the collector has not said is. */
export type Attempt =
  | { readonly kind: 'none' }
  | { readonly kind: 'sending'; readonly decision: Act }
  | { readonly kind: 'unknown'; readonly decision: Act }
  /** Nobody knew of it when it was looked up: it never arrived. */
  | { readonly kind: 'lost'; readonly decision: Act }
  /** `lateMs`: by how much it came too late, where it did. */
  | { readonly kind: 'refused'; readonly decision: Act; readonly error: ServerError; readonly lateMs?: number }
  | { readonly kind: 'given'; readonly decision: Act; readonly as: string; readonly why?: string | undefined };

const NONE: Attempt = { kind: 'none' };
/** A collector that has not answered by then may have taken it or not. */
const ANSWER_MS = 10_000;
const LOOK_AGAIN_MS = 1_500;
/** What was on its way when it was cut may still arrive: it is looked up that often before it counts as lost. */
const LOOKS = 3;

interface Answered {
  readonly decision: ApprovalDecision;
  readonly request: AccessRequest;
  readonly as: string;
}

export interface Deciding {
  readonly attempt: Attempt;
  readonly send: (decision: Act, saying: Saying) => void;
  readonly reset: () => void;
}

/**
 * Sends an answer about exactly what is drawn: its uid and its digest. One at a time; what is lost on the way is looked up, and never
 * sent again by itself. The collector takes the same answer of the same person once.
 */
export function useDeciding(request: AccessRequest, user: string): Deciding {
  const [attempt, setAttempt] = useState<Attempt>(NONE);
  const busy = useRef(false);
  const path = `/v1/requests/${request.metadata.namespace ?? ''}/${request.metadata.name}`;

  const lookUp = async (decision: Act): Promise<Attempt> => {
    for (let looks = 0; looks < LOOKS; ) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
      try {
        const found = await get<AccessRequest>(path, AbortSignal.timeout(ANSWER_MS));
        learn(found);
        const own = found.status?.decisions?.find(
          (each) => each.by === user && each.decision === (decision === 'Revoke' ? 'Deny' : decision),
        );
        if (own !== undefined) return { kind: 'given', decision, as: user, why: own.why };
        looks++;
      } catch (error) {
        // While nobody answers, nobody knows.
        if (asServerError(error).code === 'NotSignedIn') break;
      }
    }
    return { kind: 'lost', decision };
  };
  const give = async (decision: Act, { reason, grantFor = 0 }: Saying): Promise<Attempt> => {
    const { metadata, spec } = request;
    const body = {
      requestUid: metadata.uid,
      digest: spec.digest,
      ...(decision === 'Revoke' ? {} : { decision }),
      ...(reason === '' ? {} : { reason }),
      ...(grantFor === 0 ? {} : { grantFor }),
    };
    const where = decision === 'Revoke' ? 'revocations' : 'decisions';
    try {
      const answer = await post<Answered>(`${path}/${where}`, body, AbortSignal.timeout(ANSWER_MS));
      learn(answer.request);
      const { status } = answer.decision;
      const why = status?.counted === false ? (status.why ?? 'no rule asks you') : undefined;
      return { kind: 'given', decision, as: answer.as, why };
    } catch (cause) {
      const error = cause instanceof ServerError ? cause : new ServerError('Offline', 'the collector does not answer', { cause });
      if (error.code === 'Offline' || error.code === 'Unavailable' || error.code === 'InternalFault') {
        setAttempt({ kind: 'unknown', decision });
        return lookUp(decision);
      }
      const lateMs = serverNow() - Date.parse(spec.expiresAt);
      // What it is by now is worth more than what the no says of it.
      await get<AccessRequest>(path).then(learn, () => undefined);
      return { kind: 'refused', decision, error, ...(error.code === 'RequestExpired' && lateMs > 0 && { lateMs }) };
    }
  };
  return {
    attempt,
    send: (decision, saying) => {
      if (busy.current) return;
      busy.current = true;
      setAttempt({ kind: 'sending', decision });
      void give(decision, saying)
        .then(setAttempt)
        .finally(() => (busy.current = false));
    },
    reset: () => setAttempt(NONE),
  };
}
