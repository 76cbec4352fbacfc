import type { AccessRequest } from '@chaperone/api';
import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { type KeyAction, useKeys } from '../keys.ts';
import { GrantCard } from '../requests/grant-card.tsx';
import { grantsOf, SHOWN_ENDED } from '../requests/grants.ts';
import { live, type LiveViewer } from '../requests/live.ts';
import { You } from '../requests/you.tsx';
import { serverNow } from '../server.ts';
import { useStore } from '../store.ts';
import { counted } from '../time.ts';
import { PageHeading } from '../ui/heading.tsx';
import { Empty, Skeleton } from '../ui/states.tsx';

/** Whether one is over may change with time alone. */
const AGAIN_MS = 1_000;

/** What agents may run again without anybody being asked: for what, by whom, until when, how often it was used; and how to end it. */
export default function Grants(): JSX.Element {
  const { requests, viewer } = useStore(live);
  return (
    <>
      <div class="head">
        <PageHeading title="Grants">Grants</PageHeading>
        {viewer !== undefined && <You viewer={viewer} />}
      </div>
      {requests === undefined || viewer === undefined ? (
        <Skeleton rows={8} label="Loading grants" />
      ) : (
        <List all={requests} viewer={viewer} />
      )}
    </>
  );
}

function List({ all, viewer }: { all: ReadonlyMap<string, AccessRequest>; viewer: LiveViewer }): JSX.Element {
  const [now, setNow] = useState(serverNow);
  const [shown, setShown] = useState(SHOWN_ENDED);
  useEffect(() => {
    const timer = setInterval(() => setNow(serverNow()), AGAIN_MS);
    return () => clearInterval(timer);
  }, []);
  const { open, ended } = grantsOf([...all.values()], now);
  useGrantKeys();
  const card = (request: AccessRequest, isOpen: boolean): JSX.Element => (
    <GrantCard key={request.metadata.uid} request={request} all={all} viewer={viewer} isOpen={isOpen} />
  );
  if (open.length + ended.length === 0)
    return (
      <Empty title="None open">
        <p>
          Where a rule has a <code>maxGrant</code>, an approval may be for some time: it is chosen with Approve…, and shows here.
        </p>
      </Empty>
    );
  // In one row of siblings: a grant that ends moves, and keeps what was said of it.
  return (
    <div class="grants">
      <h2 key="open">{open.length === 0 ? 'None open' : `${open.length.toLocaleString('en')} open`}</h2>
      {[
        ...open.map((each) => card(each, true)),
        heading(ended.length),
        ...ended.slice(0, shown).map((each) => card(each, false)),
      ]}
      {ended.length > shown && (
        <p class="more">
          <button type="button" onClick={() => setShown(shown + SHOWN_ENDED)}>
            Show {counted(Math.min(SHOWN_ENDED, ended.length - shown), 'more', 'more')}
          </button>
        </p>
      )}
      <p class="mute grants-note">
        A request that ran by a grant is kept for an hour, a grant for a day: what was used before that is in the record of its
        session.
      </p>
    </div>
  );
}

function heading(ended: number): JSX.Element | null {
  return ended === 0 ? null : <h2 key="ended">{ended.toLocaleString('en')} ended</h2>;
}

/** Walks the grants, and begins to end the one that has the focus. */
function useGrantKeys(): void {
  const actions = useMemo((): KeyAction[] => {
    const cards = (): HTMLElement[] => [...document.querySelectorAll<HTMLElement>('.grant')];
    const chosen = (): HTMLElement | null => document.activeElement?.closest<HTMLElement>('.grant') ?? null;
    const step = (by: number): void => {
      const all = cards();
      const before = chosen();
      const at = before === null ? -1 : all.indexOf(before);
      const next = all[at < 0 ? 0 : Math.max(0, Math.min(all.length - 1, at + by))];
      next?.focus({ preventScroll: true });
      next?.scrollIntoView({ block: 'nearest' });
    };
    return [
      { keys: ['j', 'ArrowDown'], does: 'next grant', run: () => step(1) },
      { keys: ['k', 'ArrowUp'], does: 'grant before', run: () => step(-1) },
      {
        keys: ['r'],
        does: 'revoke…: asks first, ends nothing',
        run: () => chosen()?.querySelector<HTMLElement>('.revoke')?.click(),
      },
    ];
  }, []);
  useKeys(actions);
}
