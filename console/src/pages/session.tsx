import { drawn } from '@chaperone/api/hostile';
import type { SessionDetail } from '@chaperone/evidence';
import type { JSX } from 'preact';
import { useMemo, useRef, useState } from 'preact/hooks';
import type { PageProps } from '../app.tsx';
import { type KeyAction, useKeys } from '../keys.ts';
import { useLoad, usePoll } from '../load.ts';
import { address, go, type Place, place } from '../router.ts';
import { get } from '../server.ts';
import { EntryDetail } from '../session/detail.tsx';
import { type Entry, entryAt, runsProgram, stands, type View, VIEWS } from '../session/entries.ts';
import { EntryRow, rowClass } from '../session/entry-row.tsx';
import { SessionHead } from '../session/head.tsx';
import { type LoadedOutline, useOutline } from '../session/load-outline.ts';
import { Timeline } from '../session/timeline.tsx';
import { useStore } from '../store.ts';
import { counted } from '../time.ts';
import { CopyButton } from '../ui/copy.tsx';
import { PageHeading } from '../ui/heading.tsx';
import { Empty, Failure, Skeleton } from '../ui/states.tsx';
import { VirtualList } from '../ui/virtual-list.tsx';

const POLL_MS = 5_000;
const ROW_PX = 36;
const VIEW_WORDS: Readonly<Record<View, string>> = {
  all: 'all',
  denied: 'denied',
  held: 'held',
  errors: 'errors',
  masked: 'masked',
};

/** One session as it happened: asked, decided, delivered. `?at=` is the record that is looked at. */
export default function Session({ caught: id }: PageProps): JSX.Element {
  const detail = useLoad(id, (signal) => get<SessionDetail>(`/v1/sessions/${id}`, signal));
  const { data } = detail;
  usePoll(POLL_MS, data?.state === 'open', detail.reload);
  if (data === undefined)
    return (
      <>
        <p class="back">
          <a href="/sessions">‹ Sessions</a>
        </p>
        <PageHeading title={id}>{id}</PageHeading>
        {detail.error === undefined ? (
          <Skeleton rows={10} label="Loading the session" />
        ) : (
          <Failure error={detail.error} what={`Session ${id}`} onRetry={detail.reload} />
        )}
      </>
    );
  return <Replay key={data.name} session={data} stale={detail.error !== undefined} />;
}

function Replay({ session, stale }: { session: SessionDetail; stale: boolean }): JSX.Element {
  const { name, agent, resource, state, startedAt, endedAt } = session;
  const loaded = useOutline(name, state === 'open');
  const { entries } = loaded.outline;
  const here = useStore(place);
  const [view, setView] = useState<View>('all');
  const shown = useMemo(() => entries.filter(VIEWS[view]), [entries, view]);
  const asked = askedFor(here);
  // Nothing is asked for: the first action, on a screen that has room beside the list.
  const chosen = asked === undefined ? entries.find(({ kind }) => kind === 'action') : entries[entryAt(entries, asked)];
  const selected = chosen === undefined ? -1 : shown.indexOf(chosen);
  const choose = (entry: Entry | undefined): void => {
    if (entry !== undefined) go(address(here.path, { at: String(entry.seq) }), 'replace');
  };
  useReplayKeys({ shown, selected, choose, setView, view });
  const title = `${drawn(agent.serviceAccount)} → ${resource === undefined ? name : drawn(resource.name)}`;
  return (
    <div class={asked === undefined ? 'replay' : 'replay at-entry'}>
      <p class="back">
        <a href="/sessions">‹ Sessions</a>
      </p>
      <SessionHead session={session} title={title} stale={stale} />
      {entries.length > 0 && (
        <Timeline
          entries={entries}
          lengthMs={endedAt === undefined || startedAt === undefined ? 0 : endedAt - startedAt}
          selected={chosen}
          onSelect={(index) => choose(entries[index])}
        />
      )}
      <Progress loaded={loaded} />
      {entries.length > 0 && (
        <>
          <Views entries={entries} view={view} onView={setView} />
          <div class="panes">
            <div class="list-pane">
              <VirtualList
                id="entries"
                label="What happened"
                items={shown}
                rowHeight={ROW_PX}
                selected={selected}
                onSelect={(index) => choose(shown[index])}
                onOpen={() => document.getElementById('entry')?.focus()}
                row={(entry) => <EntryRow entry={entry} />}
                rowClass={rowClass}
              />
              {loaded.outline.more && !loaded.loading && state !== 'open' && (
                <p class="end">
                  <button type="button" onClick={loaded.load}>
                    Load more of this session
                  </button>
                </p>
              )}
            </div>
            <section class="entry-pane" id="entry" tabIndex={-1} aria-label="The chosen moment">
              {chosen !== undefined && (
                <Chosen
                  session={session}
                  entry={chosen}
                  list={here.path}
                  before={shown[selected - 1]}
                  after={selected < 0 ? undefined : shown[selected + 1]}
                  onChoose={choose}
                />
              )}
            </section>
          </div>
        </>
      )}
    </div>
  );
}

function askedFor({ query }: Place): number | undefined {
  const at = query.get('at');
  return at !== null && /^\d{1,12}$/.test(at) ? Number(at) : undefined;
}

/** What is wrong with the recording, or not here yet. */
function Progress({ loaded: { outline, error, loading, load } }: { loaded: LoadedOutline }): JSX.Element | null {
  const some = outline.entries.length > 0;
  if (error?.code === 'EvidenceErased')
    return (
      <Empty title="What was recorded was erased">
        <p>Its key is destroyed, and nobody reads it any more. Counts, times and proofs stay; an evidence file has them.</p>
      </Empty>
    );
  if (error !== undefined)
    return (
      <Failure error={error} what="The recording" onRetry={load} {...(some ? { still: 'What is shown came before.' } : {})} />
    );
  return some ? null : <Nothing loading={loading} />;
}

interface ChosenProps {
  readonly session: SessionDetail;
  readonly entry: Entry;
  readonly list: string;
  readonly before: Entry | undefined;
  readonly after: Entry | undefined;
  readonly onChoose: (entry: Entry | undefined) => void;
}

function Chosen({ session, entry, list, before, after, onChoose }: ChosenProps): JSX.Element {
  const runs = runsProgram(session.resource?.protocol, entry);
  const link = new URL(address(list, { at: String(entry.seq) }), location.origin).href;
  return (
    <>
      <p class="to-list">
        <a href={list}>‹ All of this session</a>
      </p>
      <div class="entry-head">
        <h2>
          <span class="mute">#{entry.seq}</span> {runs ? 'Command' : HEADINGS[entry.kind]}
        </h2>
        <span class="entry-tools">
          <CopyButton text={link} label="Copy link" />
          <button
            type="button"
            class="quiet"
            aria-label="Before"
            disabled={before === undefined}
            onClick={() => onChoose(before)}
          >
            <span aria-hidden="true">↑</span>
          </button>
          <button type="button" class="quiet" aria-label="Next" disabled={after === undefined} onClick={() => onChoose(after)}>
            <span aria-hidden="true">↓</span>
          </button>
        </span>
      </div>
      <EntryDetail session={session.name} entry={entry} runs={runs} live={session.state === 'open'} />
    </>
  );
}

const HEADINGS: Readonly<Record<Entry['kind'], string>> = {
  action: 'Statement',
  file: 'File',
  line: 'Entered line',
  other: 'Event',
  gap: 'Gap',
};

function Nothing({ loading }: { loading: boolean }): JSX.Element {
  if (loading) return <Skeleton rows={10} label="Loading the recording" />;
  return (
    <Empty title="Nothing of this session has arrived yet">
      <p>Its records show here as the pod delivers them.</p>
    </Empty>
  );
}

function Views({ entries, view, onView }: { entries: readonly Entry[]; view: View; onView: (view: View) => void }): JSX.Element {
  const counts = (Object.keys(VIEWS) as View[]).map((name) => [name, entries.filter(VIEWS[name]).length] as const);
  return (
    <div class="chips" role="group" aria-label="Show">
      {counts
        .filter(([name, count]) => name === 'all' || name === 'denied' || count > 0)
        .map(([name, count]) => (
          <button key={name} type="button" aria-pressed={view === name} onClick={() => onView(name)}>
            {VIEW_WORDS[name]} {count.toLocaleString('en')}
          </button>
        ))}
      <span class="sr" aria-live="polite">
        {counted(counts.find(([name]) => name === view)?.[1] ?? 0, 'entry', 'entries')} shown
      </span>
    </div>
  );
}

interface ReplayState {
  readonly shown: readonly Entry[];
  readonly selected: number;
  readonly choose: (entry: Entry | undefined) => void;
  readonly setView: (view: View) => void;
  readonly view: View;
}

function useReplayKeys(state: ReplayState): void {
  const latest = useRef(state);
  latest.current = state;
  const actions = useMemo((): KeyAction[] => {
    const step = (by: number): void => {
      const { shown, selected, choose } = latest.current;
      choose(shown[Math.max(0, Math.min(shown.length - 1, selected + by))]);
    };
    const nextThatStands = (): void => {
      const { shown, selected, choose } = latest.current;
      choose(shown.slice(selected + 1).find(stands) ?? shown.find(stands));
    };
    const only = (wanted: View): void => latest.current.setView(latest.current.view === wanted ? 'all' : wanted);
    return [
      { keys: ['j', 'ArrowDown'], does: 'next', run: () => step(1) },
      { keys: ['k', 'ArrowUp'], does: 'before', run: () => step(-1) },
      { keys: ['v'], does: 'next that was not simply allowed', run: nextThatStands },
      { keys: ['m'], does: 'masked only', run: () => only('masked') },
      { keys: ['d'], does: 'denied only', run: () => only('denied') },
      {
        keys: ['c'],
        does: 'copy what was asked as it is shown',
        run: () => document.querySelector<HTMLElement>('#entry .block .copy button')?.click(),
      },
      {
        keys: ['y'],
        does: 'copy a link to this moment',
        run: () => void navigator.clipboard.writeText(location.href).catch(() => undefined),
      },
      { keys: ['u'], does: 'back to the sessions', run: () => go('/sessions') },
    ];
  }, []);
  useKeys(actions);
}
