import { Hono } from 'hono';
import type { BrowserSessions } from '../browser-sessions.ts';
import { clearSignInCookie, readCookie, readSignInCookie, setCookie, setSignInCookie } from '../cookies.ts';
import { isPagePath } from '../sign-in.ts';
import { PENDING_MS } from './pending.ts';
import { CALLBACK_PATH } from './provider.ts';
import { type Failed, HOME, type OidcSignIn } from './sign-in.ts';

/** The two addresses of a sign-in through a provider. Both answer with the way on, never with a text. */
export function createOidcRoutes(signIn: OidcSignIn, sessions: BrowserSessions): Hono {
  const routes = new Hono();

  routes.get('/auth/oidc/start', async (context) => {
    const url = new URL(context.req.url);
    const asked = url.searchParams.get('path') ?? HOME;
    const path = isPagePath(asked) ? asked : HOME;
    // The cookie of another address would not come back, and no other site signs somebody in: there people press the link themselves.
    if (url.origin !== signIn.consoleOrigin || !isOwnNavigation(context.req.header('sec-fetch-site')))
      return context.redirect(`${signIn.consoleOrigin}${path}`, 303);
    const begun = await signIn.begin({ path, before: readCookie(url, context.req.header('cookie')) });
    if ('failed' in begun) return context.redirect(failurePage(begun), 303);
    context.header('set-cookie', setSignInCookie(begun.browser, PENDING_MS));
    return context.redirect(begun.to.href, 303);
  });

  routes.get(CALLBACK_PATH, async (context) => {
    const url = new URL(context.req.url);
    const outcome = await signIn.finish(url.searchParams, readSignInCookie(context.req.header('cookie')));
    if ('failed' in outcome) return context.redirect(failurePage(outcome), 303);
    if (outcome.before !== undefined) sessions.end(outcome.before);
    // A new id for every sign-in: whoever planted one beforehand has nothing.
    const { id } = sessions.begin(outcome.identity);
    context.header('set-cookie', setCookie(url, id, sessions.lastMs));
    context.header('set-cookie', clearSignInCookie(), { append: true });
    return context.redirect(outcome.path, 303);
  });
  return routes;
}

/** Whether a person came here from our page, or typed the address. */
function isOwnNavigation(site: string | undefined): boolean {
  return site === undefined || site === 'same-origin' || site === 'none';
}

/** The page that says what went wrong, in our words, and leads on to where the person wanted to go. */
function failurePage({ failed, path }: Failed): string {
  return `/sign-in?${new URLSearchParams({ failed, path }).toString()}`;
}
