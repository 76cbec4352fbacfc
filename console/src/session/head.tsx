import type { SessionDetail } from '@chaperone/evidence';
import type { JSX } from 'preact';
import { OrderList } from '../evidence/orders.tsx';
import { ReadList } from '../evidence/reads.tsx';
import { auth, serverNow } from '../server.ts';
import { useStore } from '../store.ts';
import { bytesOf, counted, lengthOf } from '../time.ts';
import { CopyButton } from '../ui/copy.tsx';
import { Fact } from '../ui/fact.tsx';
import { PageHeading } from '../ui/heading.tsx';
import { ObjectLink } from '../ui/object-link.tsx';
import { Recorded } from '../ui/recorded.tsx';
import { Time } from '../ui/time.tsx';
import { EvidenceMark, Mark } from '../ui/verdict.tsx';
import { Take } from './take.tsx';

/** Who, on what, when, and whether the evidence is here. */
export function SessionHead({ session, title, stale }: { session: SessionDetail; title: string; stale: boolean }): JSX.Element {
  const { name, agent, resource, startedAt, endedAt, state, purpose, mode } = session;
  const length = startedAt === undefined ? undefined : (endedAt ?? serverNow()) - startedAt;
  return (
    <>
      <PageHeading title={state === 'open' ? `● ${title}` : title}>
        <Recorded text={agent.serviceAccount} names frame={false} />
        <span aria-hidden="true"> → </span>
        <span class="sr"> on </span>
        {resource === undefined ? (
          <span class="mute">resource not received yet</span>
        ) : (
          <ObjectLink to="resources" of={resource} />
        )}
      </PageHeading>
      <dl class="meta">
        <Fact name="Session">
          <code>{name}</code> <CopyButton text={name} label="Copy" />
        </Fact>
        <Fact name="When">
          {startedAt === undefined ? '–' : <Time at={startedAt} date="always" />}
          {state === 'open' ? (
            <>
              {' '}
              <Mark look="live" word="live" />
            </>
          ) : (
            length !== undefined && <> + {lengthOf(length)}</>
          )}
        </Fact>
        <Fact name="Agent">
          <Recorded text={`${agent.namespace}/${agent.pod ?? agent.serviceAccount}`} names frame={false} />
        </Fact>
        {resource !== undefined && (
          <Fact name="Protocol">
            <Recorded text={resource.protocol} names frame={false} />
            {mode === 'Audit' && <span class="mute">, audit: nothing is refused</span>}
          </Fact>
        )}
        {purpose !== undefined && purpose !== '' && (
          <Fact name="Purpose">
            <Recorded text={purpose} />
          </Fact>
        )}
        <EvidenceFacts session={session} />
      </dl>
      <Findings session={session} />
      <Ordered session={session} />
      <ReadBy session={session} />
      {stale && (
        <p class="notice" role="status">
          <span aria-hidden="true">◌</span> The collector does not answer; this is what it said last.
        </p>
      )}
    </>
  );
}

function EvidenceFacts({ session }: { session: SessionDetail }): JSX.Element {
  return (
    <>
      <Fact name="Evidence">
        <EvidenceMark {...session} />{' '}
        <span class="mute">
          {counted(session.records, 'record')} in {counted(session.segments, 'segment')}, {bytesOf(session.bytes)}
          {receiptsOf(session)}
        </span>
      </Fact>
      <Fact name="Take away">
        <Take session={session} />
      </Fact>
    </>
  );
}

function Ordered({ session: { orders, erased, onHold } }: { session: SessionDetail }): JSX.Element | null {
  if (orders.length === 0) return null;
  return (
    <section class={`banner ${erased || onHold ? 'held' : ''}`} aria-label="Erasures and holds">
      <OrderList orders={orders} />
    </section>
  );
}

/** Who has read it, where anybody has: under a line, since it is longer than what is said of the session. */
function ReadBy({ session: { reads } }: { session: SessionDetail }): JSX.Element | null {
  if (reads.length === 0) return null;
  return (
    <details class="read-by">
      <summary>Who read this session: {counted(reads.length, 'entry', 'entries')} of the log</summary>
      <ReadList reads={reads} sessions={false} />
    </details>
  );
}

/** A pod is given a receipt of what is in the log. */
function receiptsOf({ logged, segments }: SessionDetail): string {
  if (logged === undefined || segments === 0) return '';
  return logged + 1 >= segments ? '; in the log, all of it' : `; in the log, the first ${(logged + 1).toLocaleString('en')}`;
}

function Findings({ session: { evidence, state, missing, findings, name } }: { session: SessionDetail }): JSX.Element | null {
  const command = `chaperone verify ${name}${useStore(auth)?.place ?? ''}`;
  if (evidence === 'received' && state !== 'interrupted') return null;
  return (
    <div class={`banner ${evidence === 'altered' ? 'deny' : 'held'}`}>
      {evidence === 'altered' && (
        <p>
          <Mark look="deny" word="The pod of this session signed segments that contradict each other." /> Both are kept:{' '}
          {findings.map(({ code, number }) => `${code} at segment ${number}`).join(', ')}.
        </p>
      )}
      {evidence === 'incomplete' && (
        <p>
          <Mark look="finding" word="Part of this session is missing." />{' '}
          {missing.length === 0
            ? 'The pod declared records that it could not keep.'
            : `${missing.length > 1 ? 'Segments' : 'Segment'} ${missing.slice(0, 12).join(', ')}${missing.length > 12 ? ', …' : ''} never arrived.`}
        </p>
      )}
      {state === 'interrupted' && (
        <p>
          <Mark look="finding" word="No end is recorded:" /> the process that recorded ended before the session did.
        </p>
      )}
      <p class="mute">
        This page shows what is stored and checks no signature. <code>{command}</code> does, and so does{' '}
        <a href={`/evidence?session=${name}`}>the page that verifies</a>.
      </p>
    </div>
  );
}
