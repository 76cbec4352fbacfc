import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { BrowserSessions } from '../browser-sessions.ts';
import { isFromNobodyElse, readCookie, readSignInCookie, setCookie, setSignInCookie } from '../cookies.ts';
import { isPagePath } from '../page-paths.ts';
import { PENDING_MS } from './pending.ts';
import { type Failed, HOME, type ThroughProvider } from './sign-in.ts';

/** An answer with an assertion, signatures and many groups has up to 100 KiB. */
const MAX_ANSWER_BYTES = 256 * 1024;
/** Where a SAML provider has browsers post its answer to: the one request that may come from another site and change something. */
export const SAML_CALLBACK_PATH = '/auth/saml/callback';
export const OIDC_CALLBACK_PATH = '/auth/oidc/callback';

/** The addresses of a sign-in through a provider. All answer with the way on, never with a text. */
export function createProviderRoutes(signIn: ThroughProvider, sessions: BrowserSessions): Hono {
  const routes = new Hono();
  const { way, consoleOrigin } = signIn;

  routes.get(`/auth/${way}/start`, async (context) => {
    const url = new URL(context.req.url);
    const asked = url.searchParams.get('path') ?? HOME;
    const path = isPagePath(asked) ? asked : HOME;
    // The cookie of another address would not come back, and no other site signs somebody in: there people press the link themselves.
    if (url.origin !== consoleOrigin || !isFromNobodyElse(context.req)) return context.redirect(`${consoleOrigin}${path}`, 303);
    const begun = await signIn.begin({ path, before: readCookie(url, context.req.header('cookie')) });
    if ('failed' in begun) return context.redirect(failurePage(begun), 303);
    context.header('set-cookie', setSignInCookie(way, begun.browser, PENDING_MS));
    return context.redirect(begun.to.href, 303);
  });

  const finish = async (context: Context, answer: URLSearchParams, state: string | null): Promise<Response> => {
    const outcome = await signIn.finish(answer, state ?? '', readSignInCookie(way, context.req.header('cookie')));
    if ('failed' in outcome) return context.redirect(failurePage(outcome), 303);
    if (outcome.before !== undefined) sessions.end(outcome.before);
    // A new id for every sign-in: whoever planted one beforehand has nothing.
    const { id } = sessions.begin(outcome.identity);
    context.header('set-cookie', setCookie(new URL(context.req.url), id, sessions.lastMs));
    context.header('set-cookie', setSignInCookie(way, '', 0), { append: true });
    return context.redirect(outcome.path, 303);
  };
  if (way === 'oidc')
    routes.get(OIDC_CALLBACK_PATH, (context) => {
      const answer = new URL(context.req.url).searchParams;
      return finish(context, answer, answer.get('state'));
    });
  else
    routes.post(SAML_CALLBACK_PATH, bodyLimit({ maxSize: MAX_ANSWER_BYTES }), async (context) => {
      const answer = new URLSearchParams(await context.req.text());
      return finish(context, answer, answer.get('RelayState'));
    });
  return routes;
}

/** The page that says what went wrong, in our words, and leads on to where the person wanted to go. */
function failurePage({ failed, path }: Failed): string {
  return `/sign-in?${new URLSearchParams({ failed, path }).toString()}`;
}
