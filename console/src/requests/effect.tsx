import type { AccessRequest } from '@chaperone/api';
import { heldEffects, isOfKubernetes, metCount, stateOf } from '@chaperone/api/requests';
import { drawn } from '@chaperone/api/hostile';
import type { JSX } from 'preact';
import { Recorded } from '../ui/recorded.tsx';
import type { Look } from '../ui/verdict.tsx';

/** Named in one line, or in a sentence; the others are counted. */
const NAMED = 2;
const OF_ROWS: Readonly<Record<string, string>> = { update: 'of', delete: 'of', select: 'of', deletecollection: 'of' };
const INTO: Readonly<Record<string, string>> = { insert: 'into', delete: 'from', select: 'from' };

/** UPDATE public.tickets, DELETE public.notes + 1 more — for a line of a list. */
export function EffectLine({ request }: { request: AccessRequest }): JSX.Element {
  const held = heldEffects(request);
  if (held.length === 0) return <Recorded text={request.spec.sentence} frame={false} />;
  return (
    <>
      {held.slice(0, NAMED).map(({ verb, object }, at) => (
        <span key={at}>
          {at > 0 && ', '}
          <Verb verb={verb} /> <Name of={object} />
        </span>
      ))}
      {held.length > NAMED && ` + ${held.length - NAMED} more`}
    </>
  );
}

/** wants to UPDATE 3 rows of public.tickets — for a sentence; how many rows is said where one thing is done to them. */
export function EffectSentence({ request }: { request: AccessRequest }): JSX.Element {
  const held = heldEffects(request);
  const count = held.length === 1 ? request.status?.preview?.count : undefined;
  if (held.length === 0) return <Recorded text={request.spec.sentence} frame={false} />;
  return (
    <>
      {held.slice(0, NAMED).map(({ verb, object }, at) => {
        const of = count === undefined ? undefined : OF_ROWS[verb];
        const into = INTO[verb];
        return (
          <span key={at}>
            {at > 0 && (at === held.length - 1 ? ' and ' : ', ')}
            <Verb verb={verb} /> {of !== undefined && count !== undefined && `${metCount(request, count)} ${of} `}
            {of === undefined && into !== undefined && !isOfKubernetes(request) && `${into} `}
            <Name of={object} />
          </span>
        );
      })}
      {held.length > NAMED && ` and ${held.length - NAMED} more`}
    </>
  );
}

/** A name that reads like words of ours stands in its frame. */
export function Name({ of: name }: { of: string }): JSX.Element {
  return <Recorded text={name} names frame={!/^[\w.$/-]*$/.test(name)} />;
}

/** The verb is of our own list, and what is not of it is shown as what it is. */
function Verb({ verb }: { verb: string }): JSX.Element {
  return /^[a-z ]{1,40}$/.test(verb) ? <strong>{verb.toUpperCase()}</strong> : <Recorded text={verb} names />;
}

/** The same, for the title of a window. */
export function effectTitle(request: AccessRequest): string {
  return drawn(request.spec.sentence, { names: true });
}

export const STATE_LOOKS: Readonly<Record<string, Look>> = {
  Pending: 'held',
  Approved: 'allow',
  Denied: 'deny',
  Expired: 'none',
  Withdrawn: 'none',
  Voided: 'finding',
  Released: 'live',
  Ran: 'allow',
  Failed: 'finding',
};
const WORDS: Readonly<Record<string, string>> = {
  Pending: 'held',
  Approved: 'approved',
  Denied: 'denied',
  Expired: 'expired',
  Withdrawn: 'withdrawn',
  Voided: 'void',
  Released: 'runs',
  Ran: 'ran',
  Failed: 'failed',
};
export function stateWord(request: AccessRequest): string {
  return WORDS[stateOf(request)] ?? 'unknown';
}
