import { drawn } from '@chaperone/api/hostile';
import type { SessionDetail } from '@chaperone/evidence';
import type { JSX } from 'preact';
import { useMemo, useRef, useState } from 'preact/hooks';
import type { PageProps } from '../app.tsx';
import { type KeyAction, useKeys } from '../keys.ts';
import { useLoad, usePoll } from '../load.ts';
import { address, go, place } from '../router.ts';
import { get } from '../server.ts';
import { EntryDetail } from '../session/detail.tsx';
import { type Entry, entryAt, stands, type View, VIEWS } from '../session/entries.ts';
import { EntryRow, rowClass } from '../session/entry-row.tsx';
import { SessionHead } from '../session/head.tsx';
import { useOutline } from '../session/load-outline.ts';
import { Timeline } from '../session/timeline.tsx';
import { useStore } from '../store.ts';
import { counted } from '../time.ts';
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
  const { outline, error, loading, load } = useOutline(session.name, session.state === 'open');
  const here = useStore(place);
  const [view, setView] = useState<View>('all');
  const listBox = useRef<HTMLDivElement>(null);
  const { entries } = outline;
  const shown = useMemo(() => entries.filter(VIEWS[view]), [entries, view]);
  const at = here.query.get('at');
  const asked = at !== null && /^\d{1,12}$/.test(at) ? Number(at) : undefined;
  // Nothing is asked for: the first action, on a screen that has room beside the list.
  const chosen = asked === undefined ? entries.find(({ kind }) => kind === 'action') : entries[entryAt(entries, asked)];
  const selected = chosen === undefined ? -1 : shown.indexOf(chosen);
  const choose = (entry: Entry | undefined, how: 'push' | 'replace' = 'replace'): void => {
    if (entry !== undefined) go(address(here.path, { at: String(entry.seq) }), how);
  };
  useReplayKeys({ shown, selected, choose, setView, view });
  const title = `${drawn(session.agent.serviceAccount)} → ${session.resource === undefined ? session.name : drawn(session.resource.name)}`;
  return (
    <div class={asked === undefined ? 'replay' : 'replay at-entry'}>
      <p class="back">
        <a href="/sessions">‹ Sessions</a>
      </p>
      <SessionHead session={session} title={title} stale={stale} />
      {entries.length > 0 && (
        <Timeline
          entries={entries}
          lengthMs={session.endedAt === undefined || session.startedAt === undefined ? 0 : session.endedAt - session.startedAt}
          selected={chosen}
          onSelect={(index) => choose(entries[index])}
        />
      )}
      <Views entries={entries} view={view} onView={setView} />
      {error !== undefined && (
        <Failure
          error={error}
          what="The recording"
          onRetry={load}
          {...(entries.length > 0 ? { still: 'What is shown came before.' } : {})}
        />
      )}
      {entries.length === 0 && error === undefined && <Nothing loading={loading} />}
      {entries.length > 0 && (
        <div class="panes">
          <div class="list-pane" ref={listBox}>
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
            {outline.more && !loading && session.state !== 'open' && (
              <p class="end">
                <button type="button" onClick={load}>
                  Load more of this session
                </button>
              </p>
            )}
          </div>
          <section class="entry-pane" id="entry" tabIndex={-1} aria-label="The chosen moment">
            {chosen !== undefined && (
              <>
                <p class="to-list">
                  <a href={here.path}>‹ All of this session</a>
                </p>
                <h2>
                  <span class="mute">#{chosen.seq}</span> {HEADINGS[chosen.kind]}
                </h2>
                <EntryDetail session={session.name} entry={chosen} />
              </>
            )}
          </section>
        </div>
      )}
    </div>
  );
}

const HEADINGS: Readonly<Record<Entry['kind'], string>> = { action: 'Statement', other: 'Event', gap: 'Gap' };

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
        keys: ['y'],
        does: 'copy a link to this moment',
        run: () => void navigator.clipboard.writeText(location.href).catch(() => undefined),
      },
      { keys: ['u'], does: 'back to the sessions', run: () => go('/sessions') },
    ];
  }, []);
  useKeys(actions);
}
