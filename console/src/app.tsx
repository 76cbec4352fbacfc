import type { ComponentType, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { go, place } from './router.ts';
import { asServerError, auth, loadAuth, ServerError } from './server.ts';
import { Shell } from './shell.tsx';
import { useStore } from './store.ts';
import { Failure, Skeleton } from './ui/states.tsx';

export interface PageProps {
  /** What the route's pattern caught. */
  readonly caught: string;
}
type Page = ComponentType<PageProps>;

/** Each page is a chunk of its own. */
const ROUTES: readonly { readonly name: string; readonly pattern: RegExp; readonly load: () => Promise<{ default: Page }> }[] = [
  { name: 'requests', pattern: /^\/requests\/?$/, load: () => import('./pages/requests.tsx') },
  { name: 'request', pattern: /^\/requests\/([a-z0-9-]{1,63}\/ar-[a-z2-7]{16})$/, load: () => import('./pages/request.tsx') },
  { name: 'grants', pattern: /^\/grants\/?$/, load: () => import('./pages/grants.tsx') },
  { name: 'sessions', pattern: /^\/sessions\/?$/, load: () => import('./pages/sessions.tsx') },
  { name: 'session', pattern: /^\/sessions\/(s-[a-z2-7]{1,16})$/, load: () => import('./pages/session.tsx') },
  { name: 'evidence', pattern: /^\/evidence\/?$/, load: () => import('./pages/evidence.tsx') },
  { name: 'policies', pattern: /^\/policies\/?$/, load: () => import('./pages/policies.tsx') },
  { name: 'policy', pattern: /^\/policies\/([a-z0-9-]{1,63}\/[a-z0-9.-]{1,253})$/, load: () => import('./pages/policy.tsx') },
  { name: 'resources', pattern: /^\/resources\/?$/, load: () => import('./pages/resources.tsx') },
  {
    name: 'resource',
    pattern: /^\/resources\/([a-z0-9-]{1,63}\/[a-z0-9.-]{1,253})$/,
    load: () => import('./pages/resource.tsx'),
  },
];
const LINK = /^\/l\/([\w-]{1,100})$/;
/** Where a sign-in through an identity provider ends that came to nothing. */
const SIGN_IN = '/sign-in';
const signInPage = (): Promise<{ default: Page }> => import('./pages/sign-in.tsx');
const nowhere = (): Promise<{ default: Page }> => import('./pages/nowhere.tsx');

// What to draw depends on who is signed in: asked before anything is drawn.
const begun = loadAuth();
begun.catch(() => undefined);

export function App(): JSX.Element {
  const state = useStore(auth);
  const { path } = useStore(place);
  const [error, setError] = useState<ServerError>();
  useEffect(() => {
    begun.catch((cause: unknown) => setError(asServerError(cause)));
  }, []);
  useEffect(() => {
    if (path === '/' && state !== undefined) go(state.requests ? '/requests' : '/sessions', 'replace');
  }, [path, state]);
  if (state === undefined)
    return (
      <Shell>
        {error === undefined ? (
          <Skeleton rows={8} label="Loading" />
        ) : (
          <>
            <h1>Chaperone</h1>
            <Failure error={error} what="The console" onRetry={() => location.reload()} />
          </>
        )}
      </Shell>
    );
  const token = LINK.exec(path)?.[1];
  if (state.user === undefined || token !== undefined || path === SIGN_IN)
    return (
      <Shell>
        <Loaded name="sign-in" load={signInPage} caught={token ?? ''} />
      </Shell>
    );
  const route = ROUTES.find(({ pattern }) => pattern.test(path));
  const caught = route?.pattern.exec(path)?.[1] ?? '';
  return (
    <Shell>{path !== '/' && <Loaded name={route?.name ?? 'nowhere'} load={route?.load ?? nowhere} caught={caught} />}</Shell>
  );
}

/** A page as soon as its chunk is here. */
function Loaded({ name, load, caught }: { name: string; load: () => Promise<{ default: Page }>; caught: string }): JSX.Element {
  const [page, setPage] = useState<{ name: string; Page: Page }>();
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let wanted = true;
    setFailed(false);
    load().then(
      (chunk) => wanted && setPage({ name, Page: chunk.default }),
      () => wanted && setFailed(true),
    );
    return () => {
      wanted = false;
    };
  }, [name]);
  // A chunk that is gone: the collector has a newer page.
  if (failed)
    return (
      <Failure
        error={new ServerError('Offline', 'a part of this page is not there; a newer one may be')}
        what="The page"
        onRetry={() => location.reload()}
      />
    );
  return page?.name === name ? <page.Page caught={caught} /> : <Skeleton rows={8} label="Loading" />;
}
