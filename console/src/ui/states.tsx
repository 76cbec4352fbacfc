import { type ComponentChildren, Fragment, type JSX } from 'preact';
import { auth, type ServerError } from '../server.ts';
import { useStore } from '../store.ts';

/** Rows of fixed height in place of what is on its way; unseen for the first 150 ms. */
export function Skeleton({ rows, label }: { rows: number; label: string }): JSX.Element {
  return (
    <div class="skeleton" role="status">
      <span class="sr">{label}</span>
      {Array.from({ length: rows }, (_, at) => (
        <div key={at} aria-hidden="true" />
      ))}
    </div>
  );
}

/** Nothing here, why, and the one next step. */
export function Empty({ title, children }: { title: string; children: ComponentChildren }): JSX.Element {
  return (
    <div class="state">
      <p class="state-title">{title}</p>
      {children}
    </div>
  );
}

interface FailureProps {
  readonly error: ServerError;
  readonly what: string;
  readonly onRetry: () => void;
  /** What is still shown, and from when. */
  readonly still?: string;
  /** What somebody needs to see it. */
  readonly right?: Right;
}

interface Right {
  readonly see: string;
  readonly verbs: readonly string[];
  readonly on: string;
}
const SESSIONS: Right = { see: 'sessions of an agent', verbs: ['list', 'get', 'replay'], on: 'sessions' };
const NO_ACCESS = new Set(['Forbidden', 'NotFound']);

/** What failed, our code, what still works, and another try; or that there is no access, which looks like nothing being there. */
export function Failure({ error, what, onRetry, still, right = SESSIONS }: FailureProps): JSX.Element {
  const local = useStore(auth)?.way === 'link';
  if (NO_ACCESS.has(error.code) && local)
    return (
      <div class="state" role="alert">
        <p class="state-title">{what} is not here</p>
        <p>This data directory holds no such thing. Another one may: each chaperone up keeps its own.</p>
        <p class="mute">{error.code}</p>
      </div>
    );
  if (NO_ACCESS.has(error.code))
    return (
      <div class="state" role="alert">
        <p class="state-title">{what} is not here, or not for you</p>
        <p>
          To see {right.see} you need the {right.verbs.length === 1 ? 'verb' : 'verbs'}{' '}
          {right.verbs.map((verb, at) => (
            <Fragment key={verb}>
              {at > 0 && (at === right.verbs.length - 1 ? ' and ' : ', ')}
              <code>{verb}</code>
            </Fragment>
          ))}{' '}
          on <code>{right.on}.chaperone.dev</code> in its namespace. Whoever administers that namespace can grant them.
        </p>
        <p class="mute">{error.code}</p>
      </div>
    );
  return (
    <div class="state failed" role="alert">
      <p class="state-title">
        <span aria-hidden="true">⚠</span> {what} could not be loaded
      </p>
      <p>
        {sentence(error.message)} {still}
      </p>
      <p>
        <button type="button" onClick={onRetry}>
          Try again
        </button>{' '}
        <span class="mute">{error.code}</span>
      </p>
    </div>
  );
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? '' : '.'}`;
}
