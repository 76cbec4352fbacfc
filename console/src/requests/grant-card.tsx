import type { AccessRequest } from '@chaperone/api';
import { minutesText, rulesThatAsk, scopeWords, usesOf } from '@chaperone/api/requests';
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { serverNow } from '../server.ts';
import { useStore } from '../store.ts';
import { counted } from '../time.ts';
import { CopyButton } from '../ui/copy.tsx';
import { Fact } from '../ui/fact.tsx';
import { Recorded } from '../ui/recorded.tsx';
import { Time } from '../ui/time.tsx';
import { Mark } from '../ui/verdict.tsx';
import { Said } from '../ui/words.tsx';
import { type Saying, useDeciding } from './attempt.ts';
import { EffectLine, Name } from './effect.tsx';
import { SigningLink } from './elsewhere.tsx';
import { Template } from './grant-choice.tsx';
import { endingOf, givenBy } from './grants.ts';
import { useLeftUntil } from './left.tsx';
import { keyOf, live, type LiveViewer } from './live.ts';
import { leftText } from './order.ts';
import { Panel } from './panel.tsx';
import { Pressed } from './progress.tsx';
import { signingPage } from './signing-page.ts';

export interface GrantProps {
  readonly request: AccessRequest;
  readonly all: ReadonlyMap<string, AccessRequest>;
  readonly viewer: LiveViewer;
  readonly isOpen: boolean;
}

/** One grant, whole: nothing of what an agent may do unasked is cut. */
export function GrantCard({ request, all, viewer, isOpen }: GrantProps): JSX.Element {
  const { metadata, spec, status } = request;
  const uses = useMemo(() => usesOf(request, all.values()), [request, all]);
  return (
    <article class={isOpen ? 'grant open' : 'grant'} tabIndex={-1} aria-labelledby={`${metadata.name}-title`}>
      <div class="grant-head">
        <h3 id={`${metadata.name}-title`}>
          <Name of={spec.agent.serviceAccount} />: <EffectLine request={request} /> on{' '}
          <Name of={`${spec.resource.namespace}/${spec.resource.name}`} />
        </h3>
        <p class="grant-state">{isOpen ? <OpenUntil at={status?.grantedUntil ?? ''} /> : <Ended request={request} />}</p>
      </div>
      <Template request={request} />
      <dl class="whole">
        <Fact name="For">
          <Said words={scopeWords(request)} />
        </Fact>
        <Fact name="Given">
          <ul class="facts">
            {givenBy(request).map(({ name, by, at, grantFor, reason }) => (
              <li key={name}>
                by <Recorded text={by} names /> <Time at={Date.parse(at)} />
                {grantFor !== undefined && ` for ${minutesText(grantFor)}`}
                {reason !== undefined && (
                  <>
                    : <Recorded text={reason} />
                  </>
                )}
              </li>
            ))}
          </ul>
        </Fact>
        <Fact name="Until">
          <Time at={Date.parse(status?.grantedUntil ?? '')} />
          <span class="mute">{isOpen ? ', or until its pod goes or its policy changes' : ' at most'}</span>
        </Fact>
        <Fact name="Used">
          {uses === 0 ? 'not yet' : counted(uses, 'time')} <span class="mute">· given with</span>{' '}
          <a href={`/requests/${keyOf(request)}`}>{metadata.name}</a>
        </Fact>
      </dl>
      <Revoke request={request} viewer={viewer} isOpen={isOpen} />
    </article>
  );
}

function OpenUntil({ at }: { at: string }): JSX.Element {
  return (
    <span role="timer" aria-live="off">
      <Mark look="live" word={`open, ${leftText(useLeftUntil(at))} left`} />
    </span>
  );
}

function Ended({ request }: { request: AccessRequest }): JSX.Element {
  const ending = endingOf(request);
  if (ending.kind === 'time') return <Mark look="none" word="ended with its time" />;
  if (ending.kind === 'lapsed')
    return (
      <>
        <Mark look="none" word="ended:" /> <Recorded text={ending.why} frame={false} /> <Time at={ending.at} />
      </>
    );
  if (ending.kind === 'undone')
    return <Mark look="none" word={`ended: the request that it was given with was ${ending.state.toLowerCase()}`} />;
  return (
    <>
      <Mark look="deny" word="revoked" /> by <Recorded text={ending.by} names /> <Time at={ending.at} />
      {ending.reason !== undefined && (
        <>
          : <Recorded text={ending.reason} />
        </>
      )}
    </>
  );
}

/** Both acts of ending a grant, and what became of it; or why there is none here, and who can. */
function Revoke({ request, viewer, isOpen }: Omit<GrantProps, 'all'>): JSX.Element | null {
  const { attempt, send, reset } = useDeciding(request, viewer.user);
  const place = useRef<HTMLDivElement>(null);
  // The button that was pressed is gone, and the grant is elsewhere.
  useEffect(() => {
    if (attempt.kind === 'given') place.current?.closest<HTMLElement>('.grant')?.focus();
  }, [attempt.kind]);
  if (!isOpen && attempt.kind === 'none') return null;
  const may = rulesThatAsk(request, viewer, serverNow()).length > 0;
  return (
    <div class="grant-end" ref={place}>
      <div class="pressed" role="alert">
        <Pressed attempt={attempt} request={request} />
      </div>
      {isOpen && !viewer.decides && <AtTerminal request={request} canEnd={may} />}
      {isOpen && viewer.decides && !may && (
        <p class="count">You cannot end it: no rule of it asks you. Whoever may approve it can.</p>
      )}
      {isOpen && viewer.decides && may && (
        <TwoActs
          request={request}
          viewer={viewer}
          isSending={attempt.kind === 'sending' || attempt.kind === 'unknown'}
          onBegin={reset}
          onSend={(saying) => send('Revoke', saying)}
        />
      )}
    </div>
  );
}

interface TwoActsProps {
  readonly request: AccessRequest;
  readonly viewer: LiveViewer;
  readonly isSending: boolean;
  readonly onBegin: () => void;
  readonly onSend: (saying: Saying) => void;
}

function TwoActs({ request, viewer, isSending, onBegin, onSend }: TwoActsProps): JSX.Element {
  const isLive = useStore(live).state === 'live';
  const [asks, setAsks] = useState(false);
  const opener = useRef<HTMLButtonElement>(null);
  const panel = useRef<HTMLDivElement>(null);
  useEffect(() => panel.current?.scrollIntoView({ block: 'nearest' }), [asks]);
  if (asks)
    return (
      <div ref={panel}>
        <Panel
          request={request}
          viewer={viewer}
          decision="Revoke"
          blocked={isLive ? undefined : 'This page is not up to date: it is reconnecting.'}
          isSending={isSending}
          onSend={onSend}
          onCancel={() => {
            setAsks(false);
            setTimeout(() => opener.current?.focus({ preventScroll: true }));
          }}
        />
      </div>
    );
  return (
    <button
      ref={opener}
      type="button"
      class="revoke"
      disabled={isSending || !isLive}
      onClick={() => {
        onBegin();
        setAsks(true);
      }}
    >
      Revoke…{' '}
      <kbd class="inline" aria-hidden="true">
        r
      </kbd>
    </button>
  );
}

/** Where this server takes no decisions. */
function AtTerminal({ request, canEnd }: { request: AccessRequest; canEnd: boolean }): JSX.Element {
  const { metadata } = request;
  const command = `chaperone grants revoke ${metadata.name} --namespace ${metadata.namespace ?? ''}`;
  return (
    <>
      {canEnd && <SigningLink request={request} does="Revoke" />}
      <p class="count">
        {canEnd && signingPage(request) !== undefined ? 'Or at a terminal:' : 'It is ended at a terminal:'} <code>{command}</code>{' '}
        <CopyButton text={command} label="Copy" />
      </p>
    </>
  );
}
