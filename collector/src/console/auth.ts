import { type ApiError, type AuthState, LinkRequest, type NewLink, SignInRequest, type SignInResult } from '@chaperone/evidence';
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { z } from 'zod';
import type { Access } from '../access.ts';
import type { BrowserSessions } from './browser-sessions.ts';
import { browserSession, clearCookie, isLoopback, readCookie, setCookie } from './cookies.ts';
import { isPagePath } from './page-paths.ts';
import { createProviderRoutes } from './provider/routes.ts';
import type { SignIn } from './sign-in.ts';

const MAX_BODY_BYTES = 4096;

export interface AuthOptions {
  readonly origin: string;
  readonly access: Access;
  readonly signIn: SignIn;
  readonly sessions: BrowserSessions;
  /** Whether there are requests for approval. */
  readonly requests: boolean;
  /** Whether policies and resources are known here. */
  readonly policies: boolean;
  readonly now: () => number;
  readonly place?: string | undefined;
}

/** Sign-in and sign-out of the page, below /auth. What changes something has been checked to come from the page before. */
export function createAuth({ origin, access, signIn, sessions, requests, policies, now, place }: AuthOptions): Hono {
  const auth = new Hono();
  const throughProvider = signIn.way === 'oidc' || signIn.way === 'saml';
  if (throughProvider) auth.route('/', createProviderRoutes(signIn, sessions));
  auth.use(bodyLimit({ maxSize: MAX_BODY_BYTES }));

  auth.get('/auth/state', (context) => {
    const found = browserSession(urlOf(context), context.req, sessions);
    const provider = throughProvider ? { provider: signIn.provider } : {};
    const state: AuthState = { way: signIn.way, ...provider, origin, requests, policies, now: now() };
    if (found === undefined) return context.json(state);
    return context.json<AuthState>({
      ...state,
      user: found.identity.user,
      expiresAt: found.expiresAt,
      ...(place !== undefined && place !== '' && { place }),
    });
  });

  auth.post('/auth/sign-in', async (context) => {
    const url = urlOf(context);
    const asked = await body(context, SignInRequest);
    if (asked === undefined) return refuse(context, 400, 'BadRequest', 'this is no proof of a sign-in');
    // What signs a person in must not cross a network that others read.
    if (url.protocol !== 'https:' && !isLoopback(url))
      return refuse(context, 403, 'Forbidden', 'sign in over https, or through a tunnel to this machine at 127.0.0.1');
    const signedIn = signIn.way === 'link' ? signIn.finish(asked.proof) : undefined;
    if (signedIn === undefined) return refuse(context, 410, 'LinkUnusable', 'the link was used already, or is too old');
    const before = readCookie(url, context.req.header('cookie'));
    if (before !== undefined) sessions.end(before);
    // A new id for every sign-in: whoever planted one beforehand has nothing.
    const { id } = sessions.begin(signedIn.identity);
    context.header('set-cookie', setCookie(url, id, sessions.lastMs));
    return context.json<SignInResult>({ path: signedIn.path });
  });

  auth.post('/auth/sign-out', (context) => {
    const url = urlOf(context);
    const id = readCookie(url, context.req.header('cookie'));
    if (id !== undefined) sessions.end(id);
    context.header('set-cookie', clearCookie(url));
    return context.body(null, 204);
  });

  // For the command line, which proves itself with the token of the data directory: a browser's cookie makes no links.
  auth.post('/auth/links', async (context) => {
    const url = urlOf(context);
    const identity = await access.authorise({
      method: 'POST',
      target: url.pathname + url.search,
      header: (name) => context.req.header(name),
    });
    if ('refused' in identity) return refuse(context, 401, 'NotSignedIn', identity.refused);
    if (signIn.way !== 'link') return refuse(context, 404, 'NotFound', 'this collector has no links to sign in with');
    const path = (await body(context, LinkRequest))?.path ?? (requests ? '/requests' : '/sessions');
    if (!isPagePath(path)) return refuse(context, 400, 'BadRequest', 'this is not a path of the console');
    return context.json<NewLink>(signIn.newLink({ identity, path }));
  });
  return auth;
}

function urlOf(context: Context): URL {
  return new URL(context.req.url);
}

async function body<T>(context: Context, schema: z.ZodType<T>): Promise<T | undefined> {
  const parsed = schema.safeParse(await context.req.json<unknown>().catch(() => undefined));
  return parsed.success ? parsed.data : undefined;
}

function refuse(context: Context, status: 400 | 401 | 403 | 404 | 410, code: ApiError['code'], message: string): Response {
  return context.json<ApiError>({ code, message }, status);
}
