import type { IncomingMessage, RequestListener } from 'node:http';
import { RequestPath } from '@chaperone/api';
import { AttestError, type AttestCode, judgeSignIn, readIdToken, type Terms } from '@chaperone/policy/attest';
import { z } from 'zod';
import { AnswerBody, type At, type DecideDesk, RegistrationBody, RemovalBody } from './desk.ts';
import { CALLBACK_PATH, type Issuer } from './issuer.ts';
import type { Page } from './page.ts';
import type { Seal } from './seal.ts';
import { randomValue, type Session, type Sessions } from './sessions.ts';

/** An answer with a passkey has 10 KiB. */
const MAX_BODY_BYTES = 64 * 1024;
/** Issuers give codes of some hundred characters. */
const MAX_URL = 8 * 1024;
/** How long somebody may take at the issuer. */
const SIGN_IN_MS = 10 * 60_000;
/** Their prefix has browsers take them from this host alone, over TLS (RFC 6265bis §4.1.3.2). */
const SIGN_IN_COOKIE = '__Host-chaperone-sign-in';
const SESSION_COOKIE = '__Host-chaperone-decide';

const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'publickey-credentials-get=(self), publickey-credentials-create=(self)',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

const STATUS: Readonly<Record<AttestCode, number>> = {
  SignInNeeded: 401,
  SignInFailed: 401,
  PersonRefused: 403,
  SignatureRefused: 400,
  RequestUnknown: 404,
  RequestOver: 410,
  ContentGone: 410,
  RequestChanged: 409,
  ChallengeUsed: 409,
  DecisionNotPermitted: 403,
  AnswerGiven: 409,
  PageForeign: 403,
  PageUnavailable: 503,
  PasskeyRefused: 403,
};

/** What is kept, sealed, with a browser while its person is at the issuer. */
const Pending = z.object({
  state: z.string(),
  verifier: z.string(),
  nonce: z.string(),
  fresh: z.boolean(),
  namespace: z.string(),
  name: z.string(),
  until: z.number(),
});
const SignInBody = z.strictObject({ nonce: z.string().regex(/^[A-Za-z0-9_-]{43}$/), fresh: z.boolean(), ...RequestPath.shape });

export interface DoorOptions {
  readonly origin: string;
  readonly terms: Terms;
  readonly page: Page;
  readonly desk: DecideDesk;
  readonly issuer: Pick<Issuer, 'authorizationUrl' | 'redeem' | 'keys'>;
  readonly sessions: Sessions;
  readonly seal: Seal;
  /** Whether the API server would take this token for a credential. */
  readonly isCredential: (token: string) => Promise<boolean>;
  /** Whether this replica leads; another one knows nothing of who is signed in here. */
  readonly leads: () => boolean;
  readonly now: () => number;
  readonly onError: (error: unknown) => void;
}

interface Reply {
  readonly status: number;
  readonly type?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
}

/** The way in for browsers: the page, sign-in, and what the page asks. Everybody may knock. */
export function createDoor(options: DoorOptions): RequestListener {
  return (request, response) => {
    response.on('error', () => undefined);
    const respond = ({ status, type = 'text/plain; charset=utf-8', body = '', headers = {} }: Reply): void => {
      // What was not read of a request would be read as the next one.
      const connection = request.complete ? {} : { connection: 'close' };
      response.writeHead(status, { ...HEADERS, 'content-type': type, ...headers, ...connection });
      response.end(request.method === 'HEAD' ? '' : body);
    };
    answer(options, request).then(respond, (error: unknown) => respond(refusal(options, error)));
  };
}

function refusal({ onError }: DoorOptions, error: unknown): Reply {
  if (!(error instanceof AttestError)) onError(error);
  const { code, message } =
    error instanceof AttestError ? error : new AttestError('PageUnavailable', 'this does not work now; try again in a moment');
  return { status: STATUS[code], type: 'application/json', body: JSON.stringify({ code, message }) };
}

async function answer(options: DoorOptions, request: IncomingMessage): Promise<Reply> {
  if ((request.url?.length ?? 0) > MAX_URL) return { status: 414 };
  const url = new URL(request.url ?? '/', options.origin);
  const { method = '' } = request;
  if (!url.pathname.startsWith('/decide/')) return { status: 404 };
  if (!options.leads()) throw new AttestError('PageUnavailable', 'another replica answers now; try again in a moment');
  if (method === 'POST') return await post(options, request, url.pathname);
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, headers: { allow: 'GET, HEAD, POST' } };
  if (url.pathname === CALLBACK_PATH) return await callback(options, request, url);
  const read = readOf(options, url.pathname);
  if (read !== undefined) {
    if (isForeign(request)) throw foreign();
    return json(await read(sessionOf(options, request)));
  }
  const file = options.page.get(atOf(url.pathname, '/decide/') === undefined ? url.pathname : '/decide/');
  return file === undefined ? { status: 404 } : { status: 200, ...file };
}

/** What the page reads under a path. */
function readOf({ desk }: DoorOptions, path: string): ((session: Session) => Promise<object>) | undefined {
  const at = atOf(path, '/decide/api/');
  if (at !== undefined) return (session) => desk.sheet(session, at);
  const beside = atOf(path, '/decide/api/', '/content');
  return beside && ((session) => desk.content(session, beside));
}

async function post(options: DoorOptions, request: IncomingMessage, path: string): Promise<Reply> {
  // Browsers say where a request comes from; no form of another site can send JSON.
  if (request.headers.origin !== options.origin || isForeign(request) || request.headers['content-type'] !== 'application/json')
    throw foreign();
  const body = await readJson(request);
  if (path === '/decide/sign-in') return await signIn(options, parsed(SignInBody, body));
  const { desk } = options;
  const session = sessionOf(options, request);
  if (path === '/decide/passkeys/options') return json(await desk.registration(session));
  if (path === '/decide/passkeys') {
    await desk.register(session, parsed(RegistrationBody, body));
    return { status: 204 };
  }
  if (path === '/decide/passkeys/remove') {
    await desk.removePasskey(session, parsed(RemovalBody, body));
    return { status: 204 };
  }
  const at = atOf(path, '/decide/api/');
  if (at === undefined) return { status: 404 };
  return json({ name: await desk.decide(session, at, parsed(AnswerBody, body)) });
}

async function signIn({ issuer, seal, now }: DoorOptions, body: z.infer<typeof SignInBody>): Promise<Reply> {
  const pending = { ...body, state: randomValue(), verifier: randomValue(), until: now() + SIGN_IN_MS };
  const location = await issuer.authorizationUrl(pending);
  const set = cookie(SIGN_IN_COOKIE, seal.close(pending), 'Lax', SIGN_IN_MS);
  return { ...json({ location }), headers: { 'set-cookie': set } };
}

/** Back from the issuer; leads to the request for which the sign-in was begun, and nowhere else. */
async function callback(options: DoorOptions, request: IncomingMessage, url: URL): Promise<Reply> {
  const { issuer, seal, sessions, terms, now } = options;
  const pending = Pending.safeParse(seal.open(cookieOf(request, SIGN_IN_COOKIE) ?? '')).data;
  if (pending === undefined || pending.state !== url.searchParams.get('state') || now() > pending.until)
    throw new AttestError('SignInFailed', 'this sign-in was not begun in this browser, or took too long; begin anew');
  const idToken = await issuer.redeem(url.search, pending);
  const signedIn = await readIdToken(idToken, terms, issuer.keys);
  judgeSignIn(signedIn, now());
  if (signedIn.nonce !== pending.nonce)
    throw new AttestError('SignInFailed', 'the token of your sign-in is bound to another key');
  // Decisions hold the token for whoever checks them: it must open nothing.
  if (await options.isCredential(idToken))
    throw new AttestError('SignInFailed', 'the API server takes tokens of this client; give the page a client of its own');
  const id = sessions.begin(idToken, signedIn);
  return {
    status: 303,
    headers: {
      location: `/decide/${pending.namespace}/${pending.name}`,
      'set-cookie': [
        cookie(SESSION_COOKIE, id, 'Strict', Math.max(0, sessions.get(id).until - now())),
        cookie(SIGN_IN_COOKIE, '', 'Lax', 0),
      ],
    },
  };
}

function sessionOf({ sessions }: DoorOptions, request: IncomingMessage): Session {
  return sessions.get(cookieOf(request, SESSION_COOKIE));
}

/** The request that a path names between `prefix` and `suffix`. */
function atOf(path: string, prefix: string, suffix = ''): At | undefined {
  if (!path.startsWith(prefix) || !path.endsWith(suffix)) return undefined;
  const [namespace, name, ...more] = path.slice(prefix.length, path.length - suffix.length).split('/');
  return more.length > 0 ? undefined : RequestPath.safeParse({ namespace, name }).data;
}

function isForeign({ headers }: IncomingMessage): boolean {
  return (headers['sec-fetch-site'] ?? 'same-origin') !== 'same-origin';
}

function foreign(): AttestError {
  return new AttestError('PageForeign', 'this request is not from the page');
}

function cookie(name: string, value: string, sameSite: 'Lax' | 'Strict', lastsMs: number): string {
  return `${name}=${value}; Path=/; Secure; HttpOnly; SameSite=${sameSite}; Max-Age=${Math.floor(lastsMs / 1000)}`;
}

function cookieOf({ headers }: IncomingMessage, name: string): string | undefined {
  const found = (headers.cookie ?? '').split('; ').filter((each) => each.startsWith(`${name}=`));
  // Of two, one may be somebody else's.
  return found.length === 1 ? found[0]?.slice(name.length + 1) : undefined;
}

function json(body: object): Reply {
  return { status: 200, type: 'application/json', body: JSON.stringify(body) };
}

function parsed<T>(schema: z.ZodType<T>, body: unknown): T {
  const read = schema.safeParse(body);
  if (read.success) return read.data;
  throw new AttestError('SignatureRefused', `what was sent cannot be read at ${read.error.issues[0]?.path.join('.') ?? ''}`);
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MAX_BODY_BYTES) throw new AttestError('SignatureRefused', 'what was sent is too long');
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8')) as unknown;
  } catch {
    throw new AttestError('SignatureRefused', 'what was sent is not JSON');
  }
}
