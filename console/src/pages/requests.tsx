import type { AccessRequest } from '@chaperone/api';
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { type KeyAction, useKeys } from '../keys.ts';
import { zone } from '../preferences.ts';
import { inGroups, openGroups, type Row, sameKeys } from '../requests/alike.ts';
import { live, type LiveViewer } from '../requests/live.ts';
import { gather, type Section, SECTIONS, sectionOf } from '../requests/order.ts';
import { RequestRows } from '../requests/rows.tsx';
import { You } from '../requests/you.tsx';
import { place } from '../router.ts';
import { serverNow } from '../server.ts';
import { useStore } from '../store.ts';
import { counted, zoneName } from '../time.ts';
import { PageHeading } from '../ui/heading.tsx';
import { Empty, Skeleton } from '../ui/states.tsx';

const LABELS: Readonly<Record<Section, string>> = { you: 'For you', others: 'Waiting on others', decided: 'Decided' };
const HEADS = ['Left', 'Would run', 'Touches', 'Asks → where', 'Approvals'] as const;
const DECIDED_HEADS = ['State', 'Asked for', 'Touches', 'Asks → where'] as const;
/** Whose turn it is may change with time alone. */
const AGAIN_MS = 5_000;

/** What waits for me, how long it has, and what it would do. */
export default function Requests(): JSX.Element {
  const { query } = useStore(place);
  const { requests, viewer } = useStore(live);
  const asked = query.get('show');
  const section = SECTIONS.find((each) => each === asked) ?? 'you';
  return (
    <>
      <div class="head">
        <PageHeading title="Requests">Requests</PageHeading>
        {viewer !== undefined && <You viewer={viewer} />}
      </div>
      {requests === undefined || viewer === undefined ? (
        <Skeleton rows={8} label="Loading requests" />
      ) : (
        <List key={section} all={[...requests.values()]} viewer={viewer} section={section} />
      )}
    </>
  );
}

interface ListProps {
  readonly all: readonly AccessRequest[];
  readonly viewer: LiveViewer;
  readonly section: Section;
}

function List({ all, viewer, section }: ListProps): JSX.Element {
  const now = useAgain();
  const sections = useMemo(() => new Map(all.map((each) => [each, sectionOf(each, viewer, now)])), [all, viewer, now]);
  const count = (of: Section): number => [...sections.values()].filter((each) => each === of).length;
  const { rows: shown, fresh, show, onBusy } = useRows(all, section, (request) => sections.get(request) === section);
  const keys = useMemo(() => sameKeys(section === 'decided' ? [] : all), [all, section]);
  const rows = inGroups(shown, (request) => keys.get(request), useStore(openGroups));
  const [chosen, setChosen] = useState<string>();
  useListKeys(rows, chosen, show);
  const zoneLabel = zoneName(useStore(zone));
  const counts = SECTIONS.map((each) => [each, count(each)] as const);
  return (
    <>
      <nav class="chips" aria-label="Which requests">
        {counts.map(([each, number]) => (
          <a
            key={each}
            href={each === 'you' ? '/requests' : `/requests?show=${each}`}
            {...(each === section ? { 'aria-current': 'page' as const } : {})}
          >
            {LABELS[each]} <span class="number">{number.toLocaleString('en')}</span>
          </a>
        ))}
      </nav>
      <p class="arrivals" role="status">
        {fresh > 0 && (
          <button type="button" id="show-new" onClick={show}>
            ↑ {counted(fresh, 'new request')}: show
          </button>
        )}
      </p>
      {rows.length === 0 ? (
        <Nothing section={section} others={count('others')} />
      ) : (
        <RequestRows
          rows={rows}
          label={LABELS[section]}
          heads={section === 'decided' ? [...DECIDED_HEADS, `When (${zoneLabel})`] : HEADS}
          chosen={chosen}
          onChoose={setChosen}
          onBusy={onBusy}
        />
      )}
    </>
  );
}

/** The time, now and every so often. */
function useAgain(): number {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    const timer = setInterval(() => setNow(serverNow()), AGAIN_MS);
    return () => clearInterval(timer);
  }, []);
  return now;
}

interface ShownRows {
  readonly rows: readonly AccessRequest[];
  readonly fresh: number;
  readonly show: () => void;
  readonly onBusy: (what: 'pointer' | 'focus', busy: boolean) => void;
}

/** Rows that do not move while a pointer, a finger or the focus is among them. */
function useRows(all: readonly AccessRequest[], section: Section, belongs: (request: AccessRequest) => boolean): ShownRows {
  const [busy, setBusy] = useState({ pointer: false, focus: false });
  // How often new ones were asked for, and how often they were shown: what an earlier drawing leaves to do takes neither back.
  const [asked, setAsked] = useState(0);
  const answered = useRef(0);
  const drawn = useRef<ReadonlySet<string | undefined>>(undefined);
  const isBusy = (busy.pointer || busy.focus) && answered.current === asked;
  const gathered = gather(all, section, belongs, drawn.current, isBusy);
  useEffect(() => {
    answered.current = asked;
    drawn.current = new Set(gathered.rows.map(({ metadata }) => metadata.uid));
  });
  return {
    ...gathered,
    show: () => setAsked((before) => before + 1),
    onBusy: (what, is) => setBusy((before) => (before[what] === is ? before : { ...before, [what]: is })),
  };
}

function Nothing({ section, others }: { section: Section; others: number }): JSX.Element {
  if (section === 'decided')
    return (
      <Empty title="Nothing was decided yet">
        <p>What people approved and denied, and what came of it, shows here.</p>
      </Empty>
    );
  if (section === 'others') return <Empty title="Nothing waits for others">{null}</Empty>;
  return (
    <Empty title="Nothing waits for you">
      <p>
        {others === 0 ? (
          'What a rule holds for approval shows here at once.'
        ) : (
          <a href="/requests?show=others">{counted(others, 'request')} waiting on others</a>
        )}
      </p>
    </Empty>
  );
}

function useListKeys(rows: readonly Row[], chosen: string | undefined, show: () => void): void {
  const latest = useRef({ rows, chosen, show });
  latest.current = { rows, chosen, show };
  const actions = useMemo((): KeyAction[] => {
    const link = (id: string | undefined): HTMLElement | null =>
      id === undefined ? null : document.querySelector<HTMLElement>(`[data-row="${CSS.escape(id)}"]`);
    const step = (by: number): void => {
      const { rows: all, chosen: before } = latest.current;
      const at = all.findIndex(({ id }) => id === before);
      const next = link(all[at < 0 ? 0 : Math.max(0, Math.min(all.length - 1, at + by))]?.id);
      next?.focus({ preventScroll: true });
      next?.closest('[role=row]')?.scrollIntoView({ block: 'nearest' });
    };
    return [
      { keys: ['j', 'ArrowDown'], does: 'next request', run: () => step(1) },
      { keys: ['k', 'ArrowUp'], does: 'request before', run: () => step(-1) },
      { keys: ['n'], does: 'show new requests', run: () => latest.current.show() },
    ];
  }, []);
  useKeys(actions);
}
