import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { PageProps } from '../app.tsx';
import { go } from '../router.ts';
import { asServerError, auth, type ServerError, signIn } from '../server.ts';
import { useStore } from '../store.ts';
import { CopyButton } from '../ui/copy.tsx';
import { PageHeading } from '../ui/heading.tsx';
import { Skeleton } from '../ui/states.tsx';

const COMMAND = 'chaperone console';
/** One exchange for each link, however often the page is drawn: a second one would find it spent. */
const exchanges = new Map<string, Promise<string>>();

/** Signs in by a link, or says how to get one. */
export default function SignIn({ caught: token }: PageProps): JSX.Element {
  const state = useStore(auth);
  const [error, setError] = useState<ServerError>();
  useEffect(() => {
    if (token === '') return;
    exchange(token).then(
      (path) => go(path, 'replace'),
      (cause: unknown) => {
        setError(asServerError(cause));
        // What is spent stays in no history.
        history.replaceState(null, '', '/sessions');
      },
    );
  }, [token]);
  if (token !== '' && error === undefined) return <Skeleton rows={3} label="Signing in" />;
  return (
    <div class="card">
      <PageHeading title="Sign in">Sign in</PageHeading>
      <p class="mute">{state?.origin}</p>
      {error !== undefined && (
        <p class="notice" role="alert">
          <span aria-hidden="true">⧗</span>{' '}
          {error.code === 'LinkUnusable' ? 'This link was used already, or is too old.' : `That did not work: ${error.message}.`}{' '}
          <span class="mute">{error.code}</span>
        </p>
      )}
      {state?.way === 'link' ? (
        <>
          <p>Where Chaperone runs, print a new link and open it in this browser. It works once, within ten minutes.</p>
          <p class="command">
            <code>{COMMAND}</code>
            <CopyButton text={COMMAND} label="Copy" />
          </p>
          {state.user !== undefined && (
            <p>
              This browser is signed in already. <a href="/sessions">Go to the sessions</a>
            </p>
          )}
        </>
      ) : (
        <>
          <p>
            Nobody can sign in to this collector with a browser. The command line shows the same, as you are in your kubeconfig:
          </p>
          <p class="command">
            <code>kubectl chaperone sessions ls</code>
            <CopyButton text="kubectl chaperone sessions ls" label="Copy" />
          </p>
        </>
      )}
    </div>
  );
}

function exchange(token: string): Promise<string> {
  const begun = exchanges.get(token) ?? whenSeen().then(() => signIn(token));
  exchanges.set(token, begun);
  return begun;
}

/** A page that the browser loads ahead of the person is not opened yet, and may never be. */
function whenSeen(): Promise<void> {
  if (!('prerendering' in document) || document.prerendering !== true) return Promise.resolve();
  return new Promise((resolve) => document.addEventListener('prerenderingchange', () => resolve(), { once: true }));
}
