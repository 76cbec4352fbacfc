import type { AccessRequest } from '@chaperone/api';
import { askedWords, isOpen, isOwn, rulesThatAsk, stateOf } from '@chaperone/api/requests';
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { type KeyAction, useKeys } from '../keys.ts';
import { go } from '../router.ts';
import { serverNow } from '../server.ts';
import { useStore } from '../store.ts';
import { Recorded } from '../ui/recorded.tsx';
import { Said } from '../ui/words.tsx';
import { type Attempt, type Decision, useDeciding } from './attempt.ts';
import { Elsewhere, SigningLink } from './elsewhere.tsx';
import { Countdown, useLeft } from './left.tsx';
import { live, type LiveViewer } from './live.ts';
import { hasApproved } from './order.ts';
import { Panel } from './panel.tsx';
import { Pressed } from './progress.tsx';
import { You } from './you.tsx';

/** What this person can do about a request. */
interface Stance {
  readonly isOpen: boolean;
  /** A rule asks this person. */
  readonly asked: boolean;
  /** They may answer it here. */
  readonly may: boolean;
  readonly mayApprove: boolean;
  /** Every rule that asks this person wants an approval that is signed, which is not made here. */
  readonly signs: boolean;
}

function stanceOf(request: AccessRequest, viewer: LiveViewer): Stance {
  const open = isOpen(request.status?.state);
  const asking = rulesThatAsk(request, viewer, serverNow());
  const asked = open && asking.length > 0;
  const may = asked && viewer.decides;
  const signs = asked && asking.every(({ assurance = 'kubernetes' }) => assurance !== 'kubernetes');
  const mayApprove = may && !signs && stateOf(request) === 'Pending' && !hasApproved(request, viewer);
  return { isOpen: open, asked, may, mayApprove, signs };
}

/** What was lost keeps its panel, and the reason in it. */
const ENDS: ReadonlySet<Attempt['kind']> = new Set(['given', 'refused']);

interface DecideProps {
  readonly request: AccessRequest;
  readonly viewer: LiveViewer;
}

/** Both acts of a decision, in a bar that never leaves the screen; or why there is none to make, and who can. */
export function Decide({ request, viewer }: DecideProps): JSX.Element | null {
  const isLive = useStore(live).state === 'live';
  // Who may decide can change with time alone, so this is drawn with each second of it.
  const leftMs = useLeft(request);
  const [open, setOpen] = useState<Decision>();
  const { attempt, send, reset } = useDeciding(request, viewer.user);
  const stance = stanceOf(request, viewer);
  const isSending = attempt.kind === 'sending' || attempt.kind === 'unknown';
  const blocked = isLive ? undefined : 'This page is not up to date: it is reconnecting.';
  const panel = open === 'Approve' ? stance.mayApprove : stance.may;
  const start = (decision: Decision): void => {
    if (isSending || blocked !== undefined) return;
    reset();
    setOpen(decision);
  };
  const frame = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // On a phone the panel lies over the page: what is decided on stays above it.
    if (open === undefined || frame.current === null || getComputedStyle(frame.current).position !== 'fixed') return;
    document.querySelector('.request .block')?.scrollIntoView({ block: 'nearest' });
  }, [open]);
  const close = (): void => {
    const opener = open === undefined ? null : document.getElementById(open);
    setOpen(undefined);
    // The button may be hidden while the panel is open.
    setTimeout(() => opener?.focus({ preventScroll: true }));
  };
  useEffect(() => {
    if (ENDS.has(attempt.kind)) setOpen(undefined);
  }, [attempt.kind]);
  useRequestKeys(stance, start, open === undefined ? undefined : close);
  if (!stance.isOpen && attempt.kind === 'none') return null;
  return (
    <div ref={frame} class={open !== undefined && panel ? 'decide open' : 'decide'}>
      <div class="pressed" role="alert">
        <Pressed attempt={attempt} request={request} />
      </div>
      {open !== undefined && panel && (
        <Panel
          key={open}
          request={request}
          viewer={viewer}
          decision={open}
          blocked={blocked}
          isSending={isSending}
          onSend={(saying) => send(open, saying)}
          onCancel={close}
        />
      )}
      {stance.isOpen && (
        <div class="bar">
          <div class="bar-text">
            <Countdown ms={leftMs} />
            <Stand request={request} viewer={viewer} stance={stance} />
          </div>
          <Openers stance={stance} open={open} disabled={isSending || !isLive} onOpen={start} />
        </div>
      )}
    </div>
  );
}

interface OpenersProps {
  readonly stance: Stance;
  readonly open: Decision | undefined;
  readonly disabled: boolean;
  readonly onOpen: (decision: Decision) => void;
}

/** The first act. Nobody sees a button who may not press it. */
function Openers({ stance, open, disabled, onOpen }: OpenersProps): JSX.Element {
  const opener = (decision: Decision, key: string): JSX.Element => (
    <button
      type="button"
      id={decision}
      class={decision === 'Approve' ? 'primary' : ''}
      disabled={disabled}
      aria-expanded={open === decision}
      onClick={() => onOpen(decision)}
    >
      {decision}…{' '}
      <kbd class="inline" aria-hidden="true">
        {key}
      </kbd>
    </button>
  );
  return (
    <>
      {stance.may && opener('Deny', 'd')}
      {stance.mayApprove && opener('Approve', 'a')}
    </>
  );
}

/** As whom somebody answers, and where else they do. */
function Stand({ request, viewer, stance }: DecideProps & { stance: Stance }): JSX.Element {
  if (!stance.asked) return <WhyNot request={request} viewer={viewer} />;
  if (!stance.may) return <Elsewhere request={request} viewer={viewer} signs={stance.signs} />;
  return (
    <>
      <You viewer={viewer} />
      {stance.signs && (
        <>
          <p class="count">It is approved with a signature only, on the page of the operator.</p>
          <SigningLink request={request} />
        </>
      )}
    </>
  );
}

/** Why somebody sees no button, and who has one. */
function WhyNot({ request, viewer }: DecideProps): JSX.Element {
  const { namespace = '' } = request.metadata;
  if (isOwn(namespace, request.spec, viewer.user)) return <p class="count">Nobody decides on a request of their own.</p>;
  return (
    <p class="count">
      You cannot decide on it: it needs <Said words={askedWords(request)} frame={false} />; you are{' '}
      <Recorded text={viewer.user} names frame={false} />.
    </p>
  );
}

function useRequestKeys({ may, mayApprove }: Stance, start: (decision: Decision) => void, close: (() => void) | undefined): void {
  const latest = useRef({ start, close });
  latest.current = { start, close };
  const isOpenPanel = close !== undefined;
  const keys = useMemo((): KeyAction[] => {
    const opens = (key: string, decision: Decision): KeyAction => ({
      keys: [key],
      does: `${decision.toLowerCase()}…: asks first, decides nothing`,
      run: () => latest.current.start(decision),
    });
    return [
      ...(mayApprove ? [opens('a', 'Approve')] : []),
      ...(may ? [opens('d', 'Deny')] : []),
      ...(isOpenPanel ? [{ keys: ['Escape'], does: 'leave it undecided', run: () => latest.current.close?.() }] : []),
      {
        keys: ['c'],
        does: 'copy the statement as it is shown',
        run: () => document.querySelector<HTMLElement>('.request .block .copy button')?.click(),
      },
      {
        keys: ['y'],
        does: 'copy a link to this request',
        run: () => void navigator.clipboard.writeText(location.href).catch(() => undefined),
      },
      { keys: ['u'], does: 'back to the requests', run: () => go('/requests') },
    ];
  }, [may, mayApprove, isOpenPanel]);
  useKeys(keys);
}
