import type { AccessRequest } from '@chaperone/api';
import { isOpen, stateOf, TRANSACTION_WORDS } from '@chaperone/api/requests';
import { drawn } from '@chaperone/api/hostile';
import type { JSX } from 'preact';
import type { PageProps } from '../app.tsx';
import { useLoad } from '../load.ts';
import { Decide } from '../requests/decide.tsx';
import { EffectSentence, effectTitle, Name, STATE_LOOKS, stateWord } from '../requests/effect.tsx';
import { live, type LiveViewer } from '../requests/live.ts';
import { Progress } from '../requests/progress.tsx';
import { Cut, Whole } from '../requests/whole.tsx';
import { get } from '../server.ts';
import { useStore } from '../store.ts';
import { CopyButton } from '../ui/copy.tsx';
import { PageHeading } from '../ui/heading.tsx';
import { ObjectLink } from '../ui/object-link.tsx';
import { RecordedBlock } from '../ui/recorded.tsx';
import { Failure, Skeleton } from '../ui/states.tsx';
import { Mark } from '../ui/verdict.tsx';

/** What would run, what it touches, who asks, and whether this person decides. It stays readable when all is over. */
export default function Request({ caught: key }: PageProps): JSX.Element {
  const { requests, viewer } = useStore(live);
  const known = requests?.get(key);
  if (known !== undefined && viewer !== undefined) return <Shown key={known.metadata.uid} request={known} viewer={viewer} />;
  return (
    <>
      <Back />
      <PageHeading title={nameOf(key)}>{nameOf(key)}</PageHeading>
      {requests === undefined ? <Skeleton rows={8} label="Loading the request" /> : <Unknown path={key} viewer={viewer} />}
    </>
  );
}

function nameOf(key: string): string {
  return key.slice(key.indexOf('/') + 1);
}

/** It is not among those that are followed: the collector may know it all the same. */
function Unknown({ path, viewer }: { path: string; viewer: LiveViewer | undefined }): JSX.Element {
  const { data, error, reload } = useLoad(path, (signal) => get<AccessRequest>(`/v1/requests/${path}`, signal));
  if (data !== undefined && viewer !== undefined) return <Shown request={data} viewer={viewer} />;
  if (error !== undefined) return <Failure error={error} what={`Request ${nameOf(path)}`} onRetry={reload} />;
  return <Skeleton rows={8} label="Loading the request" />;
}

function Back(): JSX.Element {
  return (
    <p class="back">
      <a href="/requests">‹ Requests</a>
    </p>
  );
}

function Shown({ request, viewer }: { request: AccessRequest; viewer: LiveViewer }): JSX.Element {
  const { metadata, spec } = request;
  const state = stateOf(request);
  const look = STATE_LOOKS[state] ?? 'none';
  return (
    <article class="request">
      <Back />
      <p class="request-name">
        <Mark look={look} word={stateWord(request)} /> <code>{metadata.name}</code>{' '}
        <CopyButton text={metadata.name} label="Copy" />
      </p>
      <PageHeading
        title={`${stateWord(request)}: ${effectTitle(request)} for ${drawn(spec.agent.serviceAccount, { names: true })}`}
      >
        <Name of={spec.agent.serviceAccount} /> {state === 'Pending' ? 'wants' : 'wanted'} to <EffectSentence request={request} />{' '}
        on <ObjectLink to="resources" of={spec.resource} />
      </PageHeading>
      {spec.transaction && isOpen(request.status?.state) && (
        <p class="notice">
          <Mark look="held" word={`${TRANSACTION_WORDS}: others may be blocked`} />
        </p>
      )}
      <Progress request={request} />
      <RecordedBlock text={spec.text} title="Statement" bytes={spec.textBytes} />
      <Cut request={request} />
      <Whole request={request} viewer={viewer} />
      <Decide request={request} viewer={viewer} />
    </article>
  );
}
