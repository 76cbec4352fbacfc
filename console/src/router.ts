import { createStore } from './store.ts';

/** Where the page is: the path, what follows ?, and what follows #, which no server sees. */
export interface Place {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly fragment: URLSearchParams;
}

const here = (): Place => ({
  path: location.pathname,
  query: new URLSearchParams(location.search),
  fragment: new URLSearchParams(location.hash.slice(1)),
});

export const place = createStore<Place>(here());

/** Goes to a path of the page, as a new entry of the history or in place of this one. */
export function go(to: string, how: 'push' | 'replace' = 'push'): void {
  const url = new URL(to, location.origin);
  if (url.origin !== location.origin) return;
  history[how === 'push' ? 'pushState' : 'replaceState'](null, '', url);
  place.set(here());
}

/** The address of a path with its query and fragment; what is empty is left out. */
export function address(
  path: string,
  query: Readonly<Record<string, string>>,
  fragment: Readonly<Record<string, string>> = {},
): string {
  const [search, hash] = [encode(query), encode(fragment)];
  return `${path}${search === '' ? '' : `?${search}`}${hash === '' ? '' : `#${hash}`}`;
}

function encode(values: Readonly<Record<string, string>>): string {
  return new URLSearchParams(Object.entries(values).filter(([, value]) => value !== '')).toString();
}

/** Follows links of the page without loading it anew, and the history. */
export function startRouter(): void {
  addEventListener('popstate', () => place.set(here()));
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (link === null || link.target !== '' || link.hasAttribute('download') || link.origin !== location.origin) return;
    // Where the collector itself leads on: to an identity provider.
    if (link.pathname.startsWith('/auth/')) return;
    // A place on this page, such as the skip link's, is the browser's own to go to.
    if (link.getAttribute('href')?.startsWith('#') === true) return;
    event.preventDefault();
    go(link.href);
  });
}
