import type { AccessRequest, CountedDecision } from '@chaperone/api';
import {
  cutWords,
  fullWords,
  grantedWords,
  grantWords,
  heldEffects,
  isOfKubernetes,
  isOpen,
  isRevocation,
  LOOKING_WORDS,
  previewWords,
  purposeWords,
  recentWords,
  ofSameRun,
  ruleWords,
  runOf,
  rulesThatAsk,
  shortDigest,
  showsWhatItMeets,
  waitsWords,
  type Words,
} from '@chaperone/api/requests';
import type { ComponentChildren, JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { useLoad } from '../load.ts';
import { get, serverNow } from '../server.ts';
import { useStore } from '../store.ts';
import { counted as countOf } from '../time.ts';
import { Change } from '../ui/change.tsx';
import { CopyButton } from '../ui/copy.tsx';
import { Fact } from '../ui/fact.tsx';
import { ObjectLink } from '../ui/object-link.tsx';
import { Recorded } from '../ui/recorded.tsx';
import { Time } from '../ui/time.tsx';
import { Mark, verdictLook, VERDICT_WORDS } from '../ui/verdict.tsx';
import { Said } from '../ui/words.tsx';
import { waitingAlike } from './alike.ts';
import { EffectLine, stateWord } from './effect.tsx';
import { keyOf, live, type LiveViewer } from './live.ts';
import { useLooking } from './looking.ts';

interface Content {
  readonly columns?: readonly string[];
  readonly rows?: readonly (readonly (string | null)[])[];
  readonly change?: readonly string[];
}

/** All that is known of what would run, below its text: what it does, to what, for whom, and who decides. */
export function Whole({ request, viewer }: { request: AccessRequest; viewer: LiveViewer }): JSX.Element {
  const { metadata, spec, status } = request;
  const { agent } = spec;
  return (
    <dl class="whole">
      <Values request={request} />
      <Fact name="Effects">
        <Effects request={request} />
      </Fact>
      <Fact name="Touches">
        <Touches request={request} canLook={viewer.decides} />
      </Fact>
      <Fact name="Who">
        <Recorded text={`${metadata.namespace ?? ''}/${agent.pod ?? agent.serviceAccount}`} names />{' '}
        <span class="mute">ServiceAccount</span> <Recorded text={agent.serviceAccount} names />
        {purposeWords(request).map((words, at) => (
          <span key={at}>
            {' '}
            · <Said words={words} />
          </span>
        ))}
        {(status?.asked ?? 1) > 1 && (
          <p>
            <Mark look="finding" word={`the agent asked for the very same ${status?.asked} times while it was pending`} />
          </p>
        )}
      </Fact>
      <Client request={request} />
      <Alike request={request} />
      <Listed name="Before" lines={recentWords(request)} />
      <Listed name="Granted" lines={[grantedWords(request), grantWords(request)].filter((words) => words !== undefined)}>
        {status?.grantedUntil !== undefined && <a href="/grants">Grants</a>}
      </Listed>
      <Fact name={spec.rules.length > 1 ? 'Rules' : 'Rule'}>
        <Rules request={request} viewer={viewer} />
      </Fact>
      <Fact name="Waits">{waitsWords(request)}</Fact>
      <Fact name="Digest">
        <code>{shortDigest(spec.digest)}</code> <CopyButton text={spec.digest} label="Copy whole" />
      </Fact>
      <Fact name="Session">
        <a href={`/sessions/${spec.session}`}>{spec.session}</a> <span class="mute">action {spec.action}</span>
      </Fact>
      <Fact name="Asked">
        {metadata.creationTimestamp !== undefined && <Time at={Date.parse(metadata.creationTimestamp)} date="always" />}
        <span class="mute"> until </span>
        <Time at={Date.parse(spec.expiresAt)} />
      </Fact>
      <Answers request={request} />
    </dl>
  );
}

interface ListedProps {
  readonly name: string;
  readonly lines: readonly Words[];
  readonly children?: ComponentChildren;
}

function Listed({ name, lines, children }: ListedProps): JSX.Element | null {
  if (lines.length === 0) return null;
  return (
    <Fact name={name}>
      <ul class="facts">
        {lines.map((words, at) => (
          <li key={at}>
            <Said words={words} />
          </li>
        ))}
      </ul>
      {children}
    </Fact>
  );
}

/** Others that wait for the same: each is decided by itself. */
function Alike({ request }: { request: AccessRequest }): JSX.Element | null {
  const { requests } = useStore(live);
  const alike = useMemo(() => waitingAlike(request, requests?.values() ?? []), [request, requests]);
  const [next] = alike;
  if (next === undefined) return null;
  return (
    <Fact name="Alike">
      {countOf(alike.length, 'more waits', 'more wait')} for the same with other values:{' '}
      <a href={`/requests/${keyOf(next)}`}>{next.metadata.name}</a> next
    </Fact>
  );
}

/** Which run of kubectl it is of, and what else that asked for. */
function Client({ request }: { request: AccessRequest }): JSX.Element | null {
  const { requests } = useStore(live);
  const run = runOf(request);
  const others = useMemo(() => ofSameRun(request, requests?.values() ?? []), [request, requests]);
  if (run === undefined) return null;
  return (
    <Fact name="Client">
      <Recorded text={run} /> <span class="mute">by its own word</span>
      {others.length > 0 && (
        <ul class="facts">
          {others.slice(0, SHOWN_OF_RUN).map((each) => (
            <li key={each.metadata.uid}>
              <a href={`/requests/${keyOf(each)}`}>{each.metadata.name}</a> <EffectLine request={each} />{' '}
              <span class="mute">{stateWord(each)}</span>
            </li>
          ))}
          {others.length > SHOWN_OF_RUN && <li class="mute">and {others.length - SHOWN_OF_RUN} more of this run</li>}
        </ul>
      )}
    </Fact>
  );
}
const SHOWN_OF_RUN = 10;

function Values({ request: { spec } }: { request: AccessRequest }): JSX.Element | null {
  const { parameters = [] } = spec;
  if (parameters.length === 0) return null;
  return (
    <Fact name="Values">
      <ul class="inline-list">
        {parameters.map((value, at) => (
          <li key={at}>
            <span class="mute">${at + 1}</span> <Recorded text={value} />
          </li>
        ))}
      </ul>
      <More text={fullWords(parameters, 'values')} />
    </Fact>
  );
}

function Effects({ request }: { request: AccessRequest }): JSX.Element {
  const { effects } = request.spec;
  const held = heldEffects(request);
  const others = effects.filter((each) => !held.includes(each));
  return (
    <>
      <ul class="facts">
        {[...held, ...others].map(({ verb, object, via, verdict, rule }, at) => (
          <li key={at}>
            <Mark look={verdictLook(verdict)} word={VERDICT_WORDS[verdict] ?? verdict} quiet />{' '}
            <Recorded text={verb} names frame={false} /> <Recorded text={object} names />{' '}
            {via !== 'direct' && (
              <span class="mute">through a {via === 'nested' ? 'nested statement' : <Recorded text={via} frame={false} />} </span>
            )}
            {rule !== undefined && (
              <span class="mute">
                by rule <Recorded text={rule} names frame={false} />
              </span>
            )}
          </li>
        ))}
      </ul>
      <More text={fullWords(effects, 'effects')} />
    </>
  );
}

function Touches({ request, canLook }: { request: AccessRequest; canLook: boolean }): JSX.Element {
  const isLooking = useLooking(request);
  const words = previewWords(request);
  const { count, estimate, why } = request.status?.preview ?? {};
  const isCounted = count !== undefined;
  const isMissed = !isOfKubernetes(request) && !isCounted && (why !== undefined || estimate === undefined);
  return (
    <>
      {words.length === 0 && (
        <p>
          <Mark look={isLooking ? 'held' : 'none'} word={isLooking ? LOOKING_WORDS : 'not previewed: nobody looked'} />
        </p>
      )}
      {words.map((each, at) => (
        <p key={at}>
          {isMissed && at === words.length - 1 && <Mark look="none" word="not previewed:" />} <Said words={each} />
          {isCounted && isOpen(request.status?.state) && <span class="mute">; the number may move</span>}
        </p>
      ))}
      {(isCounted || showsWhatItMeets(request)) && canLook && <Met key={keyOf(request)} request={request} />}
    </>
  );
}

/** Some of the rows, or what is changed. */
function Met({ request }: { request: AccessRequest }): JSX.Element | null {
  const key = keyOf(request);
  const { data, error, reload } = useLoad(key, (signal) => get<Content>(`/v1/requests/${key}/content`, signal));
  const { columns = [], rows = [], change = [] } = data ?? {};
  if (error !== undefined && data === undefined)
    return (
      <p>
        <Mark look="finding" word={`${isOfKubernetes(request) ? 'What it changes' : 'The rows'} could not be loaded:`} />{' '}
        {error.message}.{' '}
        <button type="button" onClick={reload}>
          Try again
        </button>
      </p>
    );
  if (change.length > 0) return <Change lines={change} />;
  if (rows.length === 0) return null;
  const count = request.status?.preview?.count ?? rows.length;
  return (
    <>
      <div class="preview" role="region" tabIndex={0} aria-label="Rows as they are before it">
        <table>
          <thead>
            <tr>
              {columns.map((name, at) => (
                <th key={at} scope="col">
                  <Recorded text={name} names frame={false} />
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row, at) => (
              <tr key={at}>
                {row.map((cell, column) => (
                  <td key={column}>
                    <Cell value={cell} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="mute">
        {rows.length} of {count.toLocaleString('en')} as {count === 1 ? 'it is' : 'they are'} before it, masked. Kept nowhere.
      </p>
    </>
  );
}

/** NULL and empty are structure, which no value can imitate. */
function Cell({ value }: { value: string | null }): JSX.Element {
  if (value === null || value === '') return <span class="none">{value === null ? 'NULL' : 'empty'}</span>;
  return <Recorded text={value} frame={false} />;
}

function Rules({ request, viewer }: { request: AccessRequest; viewer: LiveViewer }): JSX.Element {
  const asking = new Set(rulesThatAsk(request, viewer, serverNow()));
  return (
    <ul class="facts">
      {request.spec.rules.map((rule) => (
        <li key={`${rule.policy.namespace}/${rule.policy.name} ${rule.rule}`}>
          <Said words={ruleWords(rule)} />
          {asking.has(rule) ? ', you are asked' : ', you are not asked'}{' '}
          <span class="mute">
            policy <ObjectLink to="policies" of={rule.policy} />
          </span>
        </li>
      ))}
    </ul>
  );
}

function Answers({ request: { status } }: { request: AccessRequest }): JSX.Element | null {
  const { decisions = [], conditions = [] } = status ?? {};
  const wordOf = (answer: CountedDecision): string =>
    isRevocation(status ?? {}, answer) ? 'revoked' : answer.decision === 'Approve' ? 'approved' : 'denied';
  if (decisions.length === 0 && conditions.length === 0) return null;
  return (
    <Fact name="Answers">
      <ul class="facts">
        {decisions.map((answer) => {
          const { name, by, decision, reason, at, counted, why } = answer;
          return (
            <li key={name}>
              <Mark look={counted ? (decision === 'Approve' ? 'allow' : 'deny') : 'none'} word={wordOf(answer)} /> by{' '}
              <Recorded text={by} names /> <Time at={Date.parse(at)} />
              {reason !== undefined && (
                <>
                  : <Recorded text={reason} />
                </>
              )}
              {!counted && (
                <span class="mute">
                  {' '}
                  does not count: <Recorded text={why ?? 'it is not said why'} frame={false} />
                </span>
              )}
            </li>
          );
        })}
        {conditions.map(({ type, message }) => (
          <li key={type} class="mute">
            <Recorded text={type} frame={false} />: <Recorded text={message} frame={false} />
          </li>
        ))}
      </ul>
    </Fact>
  );
}

function More({ text }: { text: string | undefined }): JSX.Element | null {
  return text === undefined ? null : (
    <p>
      <Mark look="finding" word={text} />
    </p>
  );
}

/** What is missing of the statement that is shown. */
export function Cut({ request }: { request: AccessRequest }): JSX.Element | null {
  return <More text={cutWords(request)} />;
}
