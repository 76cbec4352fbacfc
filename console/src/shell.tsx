import type { ComponentChildren, JSX } from 'preact';
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { activeKeys, type KeyAction, useKeys } from './keys.ts';
import { letters, THEMES, theme, zone } from './preferences.ts';
import { live, waiting } from './requests/live.ts';
import { go, place } from './router.ts';
import { auth, serverNow, signOut } from './server.ts';
import { useStore } from './store.ts';
import { timeOf, zoneName } from './time.ts';
import { Mark } from './ui/verdict.tsx';

/** Where the navigation leads. A page that does not exist is not named. */
const NAV = [
  { path: '/requests', label: 'Requests', key: 'r' },
  { path: '/grants', label: 'Grants', key: 'g' },
  { path: '/sessions', label: 'Sessions', key: 's' },
  { path: '/evidence', label: 'Evidence', key: 'e' },
  { path: '/policies', label: 'Policies', key: 'p' },
  { path: '/resources', label: 'Resources', key: 'o' },
] as const;
/** What needs requests, or policies, to be there. */
const OF_REQUESTS: ReadonlySet<string> = new Set(['/requests', '/grants']);
const OF_POLICIES: ReadonlySet<string> = new Set(['/policies', '/resources']);
const THEME_WORDS = { auto: 'Theme: system', light: 'Theme: light', dark: 'Theme: dark' } as const;

/** What is around every page: where one is, who one is, and how things are shown. */
export function Shell({ children }: { children: ComponentChildren }): JSX.Element {
  const { path } = useStore(place);
  const state = useStore(auth);
  const help = useRef<HTMLDialogElement>(null);
  const [, setOpened] = useState(0);
  const openHelp = useCallback((): void => {
    // What works is known by now: the page may have come after this was drawn.
    setOpened((before) => before + 1);
    help.current?.showModal();
  }, []);
  const hasRequests = state?.requests === true;
  const hasPolicies = state?.policies === true;
  const nav = useMemo(
    () => NAV.filter(({ path: to }) => (hasRequests || !OF_REQUESTS.has(to)) && (hasPolicies || !OF_POLICIES.has(to))),
    [hasRequests, hasPolicies],
  );
  const actions = useMemo(
    (): KeyAction[] => [
      ...nav.map(({ path: to, label, key }) => ({ keys: [`g ${key}`], does: `go to ${label}`, run: () => go(to) })),
      { keys: ['t'], does: 'UTC or local time', run: () => zone.set(zone.get() === 'utc' ? 'local' : 'utc') },
      { keys: ['?'], does: 'this list', run: openHelp },
    ],
    [nav, openHelp],
  );
  useKeys(actions);
  const signedIn = state?.user !== undefined;
  return (
    <>
      <a class="skip" href="#main">
        Skip to the page
      </a>
      <header class="top">
        <a class="brand" href="/" aria-label="Chaperone">
          <Shield />
          <span aria-hidden="true">Chaperone</span>
        </a>
        {signedIn && (
          <nav aria-label="Pages">
            {nav.map(({ path: to, label }) => (
              <a key={to} href={to} {...(path.startsWith(to) ? { 'aria-current': path === to ? 'page' : 'true' } : {})}>
                {label}
                {to === '/requests' && <Waiting />}
              </a>
            ))}
          </nav>
        )}
        <div class="tools">
          {signedIn && hasRequests && <LiveMark />}
          <ZoneButton />
          <ThemeButton />
          <button type="button" class="quiet" aria-label="Keys and settings" title="Keys and settings (?)" onClick={openHelp}>
            <span aria-hidden="true">?</span>
          </button>
          {signedIn && (
            <button type="button" class="quiet who" onClick={() => void signOut()} title={`Signed in as ${state.user}`}>
              Sign out
            </button>
          )}
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        <SignInEnds />
        {children}
      </main>
      <Help dialog={help} />
    </>
  );
}

/** How many wait for this person. */
function Waiting(): JSX.Element | null {
  const count = useStore(waiting);
  if (count === 0) return null;
  return (
    <span class="badge">
      {count.toLocaleString('en')}
      <span class="sr"> for you</span>
    </span>
  );
}

/** Whether what is shown of requests is what is. */
function LiveMark(): JSX.Element {
  const { state, asOf } = useStore(live);
  const chosen = useStore(zone);
  if (state === 'live') return <Mark look="live" word="Live" />;
  const since = asOf === undefined ? 'connecting' : `as of ${timeOf(asOf, chosen)}, reconnecting`;
  return (
    <span role="status">
      <Mark look="none" word={since} />
    </span>
  );
}

const WARN_MS = 2 * 60_000;

/** Says two minutes before that the sign-in ends; what is open stays as it is. */
function SignInEnds(): JSX.Element | null {
  const { expiresAt: ends, place: where = '' } = useStore(auth) ?? {};
  const [soon, setSoon] = useState(false);
  useEffect(() => {
    setSoon(false);
    if (ends === undefined) return undefined;
    const timer = setTimeout(() => setSoon(true), Math.max(0, ends - serverNow() - WARN_MS));
    return () => clearTimeout(timer);
  }, [ends]);
  if (!soon) return null;
  return (
    <p class="notice" role="status">
      <span aria-hidden="true">⧗</span> Your sign-in ends in less than two minutes. <code>chaperone console{where}</code> prints a
      new link.
    </p>
  );
}

function Shield(): JSX.Element {
  return (
    <svg width="20" height="20" viewBox="0 0 32 32" aria-hidden="true">
      <path class="shield" d="M16 2 4 6.5v8.8c0 7 5 12.2 12 14.7 7-2.5 12-7.7 12-14.7V6.5z" />
      <path class="shield-lines" d="M9.5 11.5h13M9.5 16h13M9.5 20.5h8" />
    </svg>
  );
}

function ZoneButton(): JSX.Element {
  const chosen = useStore(zone);
  return (
    <button
      type="button"
      class="quiet"
      title="Times are shown in this zone (t)"
      onClick={() => zone.set(chosen === 'utc' ? 'local' : 'utc')}
    >
      <span class="sr">Time zone: </span>
      {zoneName(chosen)}
    </button>
  );
}

function ThemeButton(): JSX.Element {
  const chosen = useStore(theme);
  const next = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length] ?? 'auto';
  return (
    <button
      type="button"
      class="quiet"
      aria-label={THEME_WORDS[chosen]}
      title={THEME_WORDS[chosen]}
      onClick={() => theme.set(next)}
    >
      <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
        <circle cx="8" cy="8" r="6.25" fill="none" stroke="currentColor" stroke-width="1.5" />
        {chosen !== 'light' && <path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor" />}
        {chosen === 'dark' && <path d="M8 2a6 6 0 0 0 0 12z" fill="currentColor" />}
      </svg>
    </button>
  );
}

function Help({ dialog }: { dialog: { current: HTMLDialogElement | null } }): JSX.Element {
  const on = useStore(letters);
  const keys = activeKeys();
  return (
    <dialog ref={dialog} aria-labelledby="help-title">
      <h2 id="help-title">Keys</h2>
      <dl class="keys">
        {keys.map(({ keys: [first = ''], does }) => (
          <div key={does}>
            <dt>
              {first.split(' ').map((key) => (
                <kbd key={key}>{KEY_WORDS[key] ?? key}</kbd>
              ))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input
          type="checkbox"
          checked={on === 'on'}
          onChange={(event) => letters.set(event.currentTarget.checked ? 'on' : 'off')}
        />
        Letters are commands
      </label>
      <p class="dialog-foot">
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </p>
    </dialog>
  );
}

const KEY_WORDS: Readonly<Record<string, string>> = { ArrowDown: '↓', ArrowUp: '↑' };
