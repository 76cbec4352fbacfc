import type { AuthState, SignInFailure } from '@chaperone/evidence';
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { PageProps } from '../app.tsx';
import { go, type Place, place } from '../router.ts';
import { asServerError, auth, type ServerError, signIn } from '../server.ts';
import { useStore } from '../store.ts';
import { CopyButton } from '../ui/copy.tsx';
import { PageHeading } from '../ui/heading.tsx';
import { Skeleton } from '../ui/states.tsx';

const COMMAND = 'chaperone console';
/** One exchange for each link, however often the page is drawn: a second one would find it spent. */
const exchanges = new Map<string, Promise<string>>();

/** In our words: nothing that a provider said is drawn. */
const FAILURES: Readonly<Record<SignInFailure, string>> = {
  ProviderUnavailable:
    'The identity provider cannot be used at the moment. Try again; whoever runs this collector finds why in its log.',
  ProviderRefused: 'The identity provider refused. Whoever runs this collector finds why in its log.',
  SignInDenied: 'The identity provider let nobody in: it was cancelled there, or this account may not use Chaperone.',
  SignInUnknown: 'This sign-in was used already, took longer than ten minutes, or was begun in another browser or tab.',
  SignInRejected: 'What the identity provider sent is not accepted. Whoever runs this collector finds why in its log.',
  ClaimMissing: 'This account lacks what is required here. Whoever runs the identity provider can say why.',
  ClaimUnreadable: 'The name or the groups of this account cannot be used here: too many, too long, or not readable.',
  NameReserved: 'This account, or a group of it, has a name that is reserved for the cluster itself.',
};

/** Signs in by a link or through an identity provider, or says how to get in. */
export default function SignIn({ caught: token }: PageProps): JSX.Element {
  const state = useStore(auth);
  const here = useStore(place);
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
      {state !== undefined && <WayIn state={state} here={here} />}
    </div>
  );
}

/** How one signs in here. */
function WayIn({ state, here }: { state: AuthState; here: Place }): JSX.Element {
  return (
    <>
      {(state.way === 'oidc' || state.way === 'saml') && (
        <ThroughProvider way={state.way} provider={state.provider ?? ''} here={here} />
      )}
      {state.way === 'link' && (
        <>
          <p>
            Where Chaperone runs, print a new link and open it in this browser. It works once, within ten minutes. Add{' '}
            <code>--data DIR</code> where <code>chaperone up</code> has one.
          </p>
          <p class="command">
            <code>{COMMAND}</code>
            <CopyButton text={COMMAND} label="Copy" />
          </p>
        </>
      )}
      {state.way === 'none' && (
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
      {state.user !== undefined && (
        <p>
          This browser is signed in already. <a href="/sessions">Go to the sessions</a>
        </p>
      )}
    </>
  );
}

/** What came of the last try, and the one way on. The collector keeps the path, and takes none that is not a page of its own. */
function ThroughProvider({ way, provider, here }: { way: 'oidc' | 'saml'; provider: string; here: Place }): JSX.Element {
  const failed = here.query.get('failed') ?? '';
  const path = here.path === '/sign-in' ? (here.query.get('path') ?? '/') : `${location.pathname}${location.search}`;
  const words = Object.entries(FAILURES).find(([code]) => code === failed)?.[1];
  return (
    <>
      {here.path === '/sign-in' && words !== undefined && (
        <p class="notice" role="alert">
          <span aria-hidden="true">✗</span> {words} <span class="mute">{failed}</span>
        </p>
      )}
      <p>
        <a class="way" href={`/auth/${way}/start?${new URLSearchParams({ path }).toString()}`}>
          Sign in with {provider}
        </a>
      </p>
    </>
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
