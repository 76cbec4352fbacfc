import { type ApiError, LOGIN_HEADERS } from '@chaperone/evidence';
import type { Access } from '../access.ts';
import { createAuth } from './auth.ts';
import { type BrowserSession, BrowserSessions, SIGNED_IN_MS } from './browser-sessions.ts';
import { browserSession, isFromNobodyElse, isFromPage } from './cookies.ts';
import { DATA_POLICY, PAGE_POLICY, SAFE_HEADERS } from './headers.ts';
import { isRoute } from './page-paths.ts';
import { SAML_CALLBACK_PATH } from './provider/routes.ts';
import type { SignIn } from './sign-in.ts';
import type { StaticFile, StaticFiles } from './static-files.ts';

export interface DoorOptions {
  /** Answers /v1 and what watches the collector; `signedIn` is who is signed in with a browser. */
  readonly api: (request: Request, signedIn: BrowserSession | undefined) => Response | Promise<Response>;
  /** Whether there are requests for approval. */
  readonly requests: boolean;
  /** Whether policies and resources are known here. */
  readonly policies: boolean;
  readonly files: StaticFiles;
  readonly signIn: SignIn;
  readonly access: Access;
  readonly origin: string;
  readonly now: () => number;
}

const DATA = /^\/(?:v1|auth)(?:\/|$)|^\/(?:healthz|readyz|metrics)$/;
const YEAR = 'public, max-age=31536000, immutable';

/**
 * The way in for browsers: the page's files at every path that is not the API's (with 404 where the page has nothing there), sign-in, and the API for whoever is signed in.
 * A request that changes something without a proof of its own in `authorization` must come from our page.
 */
export function createDoor(options: DoorOptions): (request: Request) => Promise<Response> {
  const { api, files, now } = options;
  const { signIn } = options;
  const sessions = new BrowserSessions(now, 'sessionMs' in signIn ? signIn.sessionMs : SIGNED_IN_MS);
  const auth = createAuth({ ...options, sessions });

  const data = (request: Request, url: URL): Response | Promise<Response> => {
    const header = (name: string): string | undefined => request.headers.get(name) ?? undefined;
    // A page of another site cannot send either header.
    const proven = header('authorization') !== undefined || header(LOGIN_HEADERS.login) !== undefined;
    const reads = request.method === 'GET' || request.method === 'HEAD';
    // A SAML provider's answer comes from its site, and proves itself.
    const answers = signIn.way === 'saml' && request.method === 'POST' && url.pathname === SAML_CALLBACK_PATH;
    if (!reads && !proven && !answers && !isFromPage(url, { header })) return foreign();
    if (url.pathname.startsWith('/auth/')) return auth.fetch(request);
    // Who reads leaves an entry of the log in their name, and has only so many: a page of a neighbour, which the cookie goes to, makes none.
    if (!proven && !isFromNobodyElse({ header })) return foreign();
    return api(request, proven ? undefined : browserSession(url, { header }, sessions));
  };
  return async (request) => {
    const url = new URL(request.url);
    if (!DATA.test(url.pathname)) return page(request, url, files);
    const response = await data(request, url);
    for (const [name, value] of Object.entries(SAFE_HEADERS)) response.headers.set(name, value);
    response.headers.set('content-security-policy', DATA_POLICY);
    response.headers.set('cache-control', 'no-store');
    return response;
  };
}

function foreign(): Response {
  const error: ApiError = { code: 'Forbidden', message: 'this request is not from the console' };
  return Response.json(error, { status: 403 });
}

function page(request: Request, url: URL, { index, files }: StaticFiles): Response {
  if (request.method !== 'GET' && request.method !== 'HEAD') return answer(null, 405, { allow: 'GET, HEAD' });
  const found = files.get(url.pathname);
  // A file that is gone is not the page: a browser with an old page would take it for a script.
  if (found === undefined && url.pathname.startsWith('/assets/')) return answer(null, 404, { 'cache-control': 'no-store' });
  return found === undefined ? send(request, index, isRoute(url.pathname) ? 200 : 404) : send(request, found);
}

function send(request: Request, file: StaticFile, status = 200): Response {
  const packed = file.gzip !== undefined && /\bgzip\b/.test(request.headers.get('accept-encoding') ?? '') ? file.gzip : undefined;
  const bytes = packed ?? file.bytes;
  return answer(request.method === 'HEAD' ? null : bytes, status, {
    'content-type': file.type,
    'content-length': String(bytes.length),
    'cache-control': file.hashed ? YEAR : 'no-cache',
    vary: 'accept-encoding',
    ...(packed === undefined ? {} : { 'content-encoding': 'gzip' }),
  });
}

function answer(body: Buffer<ArrayBuffer> | null, status: number, headers: Record<string, string>): Response {
  return new Response(body, { status, headers: { ...SAFE_HEADERS, 'content-security-policy': PAGE_POLICY, ...headers } });
}
