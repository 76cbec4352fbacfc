import type { AccessRequest } from '@chaperone/api';
import { isOpen, missingWords, overWords, stateOf } from '@chaperone/api/requests';
import type { JSX } from 'preact';
import { serverNow } from '../server.ts';
import { lengthOf } from '../time.ts';
import { Recorded } from '../ui/recorded.tsx';
import { type Look, Mark } from '../ui/verdict.tsx';
import { Said } from '../ui/words.tsx';
import type { Attempt } from './attempt.ts';
import { STATE_LOOKS } from './effect.tsx';

interface Step {
  readonly look: Look;
  readonly word: string;
}

/** What of recorded, released and ran has happened, in this order: only what the collector has said. */
export function stepsOf(request: AccessRequest): Step[] {
  const state = stateOf(request);
  const votes = (request.status?.votes ?? '0/1').replace('/', ' of ');
  const recorded: Step = { look: 'allow', word: `recorded ${votes}` };
  const released: Step = { look: 'allow', word: 'released' };
  const result: Step = { look: 'none', word: 'result' };
  switch (state) {
    case 'Pending':
      return [recorded, { look: 'none', word: 'released' }, result];
    case 'Approved':
      return [recorded, { look: 'held', word: 'to be released' }, result];
    case 'Released':
      return [recorded, released, { look: 'live', word: 'runs' }];
    case 'Ran':
      return [recorded, released, { look: 'allow', word: 'ran' }];
    case 'Failed':
      return [recorded, released, { look: 'finding', word: 'failed' }];
    case 'Denied':
      return [
        { look: 'deny', word: 'denied' },
        { look: 'none', word: 'never ran' },
      ];
    default:
      return [
        { look: STATE_LOOKS[state] ?? 'none', word: state.toLowerCase() },
        { look: 'none', word: 'never ran' },
      ];
  }
}

/** What became of a request, for everybody who looks. */
export function Progress({ request }: { request: AccessRequest }): JSX.Element | null {
  const state = stateOf(request);
  const hasVotes = (request.status?.decisions ?? []).some(({ counted }) => counted);
  if (state === 'Pending' && !hasVotes) return null;
  const decidedAt = Date.parse(request.status?.decidedAt ?? '');
  const ago = Number.isNaN(decidedAt) ? undefined : lengthOf(Math.max(1_000, serverNow() - decidedAt));
  return (
    <div class={`banner became ${STATE_LOOKS[state] ?? ''}`}>
      <ol class="steps" aria-label="What became of it">
        {stepsOf(request).map(({ look, word }) => (
          <li key={word}>
            <Mark look={look} word={word} />
          </li>
        ))}
      </ol>
      <p role="status">
        {state === 'Pending' ? <Said words={missingWords(request)} /> : <Said words={overWords(request, ago)} />}
        {state === 'Approved' && (request.spec.mode === 'retry' ? ': it runs when the agent repeats it' : ': it has not run yet')}
      </p>
    </div>
  );
}

/** What became of this person's press. */
export function Pressed({ attempt, request }: { attempt: Attempt; request: AccessRequest }): JSX.Element | null {
  if (attempt.kind === 'none' || attempt.kind === 'sending') return null;
  return (
    <p>
      <PressedWords attempt={attempt} request={request} />
    </p>
  );
}

const GIVEN_WORDS = { Approve: 'Recorded:', Deny: 'Denied:', Revoke: 'Revoked:' } as const;

interface PressedProps {
  readonly attempt: Exclude<Attempt, { kind: 'none' | 'sending' }>;
  readonly request: AccessRequest;
}

function PressedWords({ attempt, request }: PressedProps): JSX.Element {
  switch (attempt.kind) {
    case 'unknown':
      return (
        <>
          <Mark look="finding" word="We do not know yet" /> whether your answer arrived. It is being looked up, and is not sent
          again.
        </>
      );
    case 'lost':
      return (
        <>
          <Mark look="finding" word="Your answer did not arrive:" /> nothing was decided by it. You may decide again.
        </>
      );
    case 'refused':
      return <Refused attempt={attempt} request={request} />;
    default:
      if (attempt.why !== undefined)
        return (
          <>
            <Mark look="finding" word="Your answer does not count:" /> {attempt.why}.
          </>
        );
      return (
        <>
          <Mark look={attempt.decision === 'Approve' ? 'allow' : 'deny'} word={GIVEN_WORDS[attempt.decision]} /> your answer is
          given as <Recorded text={attempt.as} names frame={false} />.
        </>
      );
  }
}

function Refused({
  attempt: { decision, error, lateMs },
  request,
}: {
  attempt: Extract<Attempt, { kind: 'refused' }>;
  request: AccessRequest;
}): JSX.Element {
  if (error.code === 'RequestExpired')
    return (
      <>
        <Mark look="deny" word={lateMs === undefined ? 'Too late:' : `${lengthOf(lateMs)} too late:`} /> nothing ran.
      </>
    );
  if (error.code === 'AlreadyDecided')
    return (
      <>
        <Mark look="deny" word="Too late:" />{' '}
        {decision === 'Revoke' ? (
          <Recorded text={error.message} frame={false} />
        ) : (
          'it was decided before your answer came, which changed nothing'
        )}
        .
      </>
    );
  if (error.code === 'DigestMismatch')
    return (
      <>
        <Mark look="deny" word="It changed:" /> it is something else than what was shown, and nothing was decided.{' '}
        <button type="button" onClick={() => location.reload()}>
          Show what it is now
        </button>
      </>
    );
  return (
    <>
      <Mark look="deny" word="Your answer was not taken:" /> <Recorded text={error.message} frame={false} /> ({error.code}).
      {isOpen(request.status?.state) && ' You may decide again.'}
    </>
  );
}
