import type { SearchList, SessionFacets, SessionList } from '@chaperone/evidence';
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { type KeyAction, useKeys } from '../keys.ts';
import { type Loaded, useLoad, usePoll } from '../load.ts';
import { zone } from '../preferences.ts';
import { go, place } from '../router.ts';
import { asServerError, auth, get, post, ServerError, serverNow } from '../server.ts';
import { addressOf, filterOf, type ListFilter, NO_FILTER, queryOf } from '../sessions/filter.ts';
import { FilterBar } from '../sessions/filter-bar.tsx';
import { type Row, SessionTable } from '../sessions/rows.tsx';
import { useStore } from '../store.ts';
import { counted, timeOf, zoneName } from '../time.ts';
import { PageHeading } from '../ui/heading.tsx';
import { Empty, Failure, Skeleton } from '../ui/states.tsx';

const PAGE = 50;
const POLL_MS = 5_000;

interface Listed {
  readonly items: readonly Row[];
  readonly next?: string | undefined;
  readonly total?: number | undefined;
  readonly partial: boolean;
  readonly at: number;
}

async function load(filter: ListFilter, after: string | undefined, signal?: AbortSignal): Promise<Listed> {
  const query = { ...queryOf(filter, serverNow()), limit: String(PAGE), ...(after === undefined ? {} : { after }) };
  const at = serverNow();
  if (filter.text === '') {
    const { items, next, total } = await get<SessionList>(`/v1/sessions?${new URLSearchParams(query).toString()}`, signal);
    return { items, next, total, partial: false, at };
  }
  const { items, next, partial } = await post<SearchList>('/v1/sessions/search', { ...query, text: filter.text }, signal);
  return { items, next, partial, at };
}

/** Who did what where, was anything refused, and is it all here. */
export default function Sessions(): JSX.Element {
  const filter = filterOf(useStore(place));
  const key = addressOf(filter);
  const list = useLoad(key, (signal) => load(filter, undefined, signal));
  const facets = useLoad('facets', (signal) => get<SessionFacets>('/v1/facets', signal));
  const arrivals = useArrivals(key, filter, list);
  const { data, error } = list;
  useListKeys();
  return (
    <>
      <div class="head">
        <PageHeading title="Sessions">Sessions</PageHeading>
        <p class="count" aria-live="polite">
          {data !== undefined && <Count listed={data} searched={filter.text !== ''} />}
        </p>
      </div>
      <FilterBar filter={filter} facets={facets.data} onChange={change} />
      <p class="arrivals" aria-live="polite">
        {arrivals.count > 0 && (
          <button type="button" id="show-new" onClick={arrivals.show}>
            ↑ {counted(arrivals.count, 'new session')}: show
          </button>
        )}
      </p>
      {data === undefined && error === undefined && <Skeleton rows={10} label="Loading sessions" />}
      {data === undefined && error !== undefined && <Failure error={error} what="The list" onRetry={list.reload} />}
      {data !== undefined && (
        <List key={key} filter={filter} listed={data} onMore={(more) => list.change((before) => append(before, more))} />
      )}
    </>
  );
}

function change(filter: ListFilter): void {
  go(addressOf(filter), 'replace');
}

function List(props: { filter: ListFilter; listed: Listed; onMore: (more: Listed) => void }): JSX.Element {
  const zoneLabel = zoneName(useStore(zone));
  if (props.listed.items.length === 0) return <NoSessions filter={props.filter} onChange={change} />;
  return (
    <>
      <SessionTable rows={props.listed.items} zoneLabel={zoneLabel} />
      <More {...props} />
    </>
  );
}

/** Rows that are shown are brought up to date where they stand; new ones wait until they are asked for. */
function useArrivals(
  key: string,
  filter: ListFilter,
  { data, change: changeList }: Loaded<Listed>,
): { count: number; show: () => void } {
  const [waiting, setWaiting] = useState<{ key: string; fresh: Listed }>();
  const poll = async (): Promise<void> => {
    const fresh = await load(filter, undefined);
    const byName = new Map(fresh.items.map((row) => [row.name, row]));
    changeList((before) => ({ ...before, at: fresh.at, items: before.items.map((row) => byName.get(row.name) ?? row) }));
    setWaiting({ key, fresh });
  };
  // The time beside the heading says how old the list is where this fails.
  usePoll(POLL_MS, data !== undefined, () => void poll().catch(() => undefined));
  const known = new Set(data?.items.map(({ name }) => name));
  const fresh = waiting?.key === key && data !== undefined ? waiting.fresh : undefined;
  const arrived = fresh?.items.filter(({ name }) => !known.has(name)) ?? [];
  const show = (): void => {
    changeList((before) => ({ ...before, total: fresh?.total, items: [...arrived, ...before.items] }));
    setWaiting(undefined);
  };
  return { count: arrived.length, show };
}

function append(before: Listed, more: Listed): Listed {
  const known = new Set(before.items.map(({ name }) => name));
  return { ...before, next: more.next, items: [...before.items, ...more.items.filter(({ name }) => !known.has(name))] };
}

function Count({ listed, searched }: { listed: Listed; searched: boolean }): JSX.Element {
  const chosen = useStore(zone);
  const { items, total, next, at, partial } = listed;
  const shown = total ?? items.length;
  return (
    <>
      {next !== undefined && total === undefined ? 'the newest ' : ''}
      {counted(shown, 'session')}
      {searched ? ' with such a command' : ''}, as of {timeOf(at, chosen)} {zoneName(chosen)}
      {partial && ' · so many commands match that older ones were not looked at'}
    </>
  );
}

function More({
  filter,
  listed,
  onMore,
}: {
  filter: ListFilter;
  listed: Listed;
  onMore: (more: Listed) => void;
}): JSX.Element | null {
  const [state, setState] = useState<'idle' | 'loading' | ServerError>('idle');
  const { next } = listed;
  if (next === undefined) return <p class="mute end">Newest first. That is all.</p>;
  const more = async (): Promise<void> => {
    setState('loading');
    try {
      onMore(await load(filter, next));
      setState('idle');
    } catch (error) {
      setState(asServerError(error));
    }
  };
  return (
    <p class="end">
      <button type="button" onClick={() => void more()} disabled={state === 'loading'}>
        Show older sessions
      </button>{' '}
      <span role="status">
        {state === 'loading' && 'loading'}
        {state instanceof ServerError && `${state.message} (${state.code})`}
      </span>
    </p>
  );
}

function NoSessions({ filter, onChange }: { filter: ListFilter; onChange: (filter: ListFilter) => void }): JSX.Element {
  const local = useStore(auth)?.way === 'link';
  if (addressOf(filter) !== addressOf(NO_FILTER))
    return (
      <Empty title="No session matches">
        <p>
          <button type="button" onClick={() => onChange(NO_FILTER)}>
            Clear filters
          </button>
        </p>
      </Empty>
    );
  return (
    <Empty title="No sessions yet">
      {local ? (
        <p>
          Connect an agent to an address that <code>chaperone up</code> printed; what it does shows here within seconds.
        </p>
      ) : (
        <p>
          Label a namespace <code>chaperone.dev/inject=enabled</code>; sessions of its agents that you may list show here.
        </p>
      )}
    </Empty>
  );
}

function useListKeys(): void {
  const actions = useMemo((): KeyAction[] => {
    const step = (by: number): void => {
      const links = [...document.querySelectorAll<HTMLAnchorElement>('a.row-link')];
      const at = links.findIndex((link) => link === document.activeElement);
      links[Math.max(0, Math.min(links.length - 1, at + by))]?.focus();
    };
    return [
      { keys: ['j', 'ArrowDown'], does: 'next session', run: () => step(1) },
      { keys: ['k', 'ArrowUp'], does: 'session before', run: () => step(-1) },
      { keys: ['n'], does: 'show new sessions', run: () => document.getElementById('show-new')?.click() },
      { keys: ['/'], does: 'search commands', run: () => document.getElementById('search')?.focus() },
    ];
  }, []);
  useKeys(actions);
}
