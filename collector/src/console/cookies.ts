import type { ApiRequest } from '../access.ts';
import type { BrowserSession, BrowserSessions } from './browser-sessions.ts';

/** Hosts that are this machine: plain http there crosses no network. */
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;
const COOKIE = /^[\w-]{43}$/;

/**
 * The cookie of an address. Over TLS browsers themselves make sure that no other host or path set it (`__Host-`). On plain http that
 * prefix is not to be had; cookies are shared by all ports of a host, so the name has the port.
 */
export function cookieName(url: URL): string {
  return url.protocol === 'https:' ? '__Host-chaperone' : `chaperone-${url.port === '' ? '80' : url.port}`;
}

export function isLoopback({ hostname }: URL): boolean {
  return LOOPBACK.test(hostname);
}

export function setCookie(url: URL, id: string, lastsMs: number): string {
  const secure = url.protocol === 'https:' ? '; Secure' : '';
  return `${cookieName(url)}=${id}; Path=/; Max-Age=${lastsMs / 1000}; HttpOnly; SameSite=Strict${secure}`;
}

export function clearCookie(url: URL): string {
  return setCookie(url, '', 0);
}

/** The id that the browser has for this address. */
export function readCookie(url: URL, header: string | undefined): string | undefined {
  return only(cookieName(url), header);
}

/**
 * What ties a browser to a sign-in under way. It must come along when a provider, another site, sends the browser back: by a link
 * (Lax), or by a form that SAML posts (None), which is all that this cookie is for.
 */
const SIGN_IN_COOKIES = {
  oidc: { name: '__Host-chaperone-oidc', sameSite: 'Lax' },
  saml: { name: '__Host-chaperone-saml', sameSite: 'None' },
} as const;

export function setSignInCookie(way: keyof typeof SIGN_IN_COOKIES, browser: string, lastsMs: number): string {
  const { name, sameSite } = SIGN_IN_COOKIES[way];
  return `${name}=${browser}; Path=/; Max-Age=${lastsMs / 1000}; HttpOnly; SameSite=${sameSite}; Secure`;
}

export function readSignInCookie(way: keyof typeof SIGN_IN_COOKIES, header: string | undefined): string | undefined {
  return only(SIGN_IN_COOKIES[way].name, header);
}

/** Two of a name mean that somebody else set one: neither counts. */
function only(name: string, header: string | undefined): string | undefined {
  const found = (header ?? '')
    .split(';')
    .map((each) => each.trim())
    .filter((each) => each.startsWith(`${name}=`))
    .map((each) => each.slice(name.length + 1));
  const [id] = found;
  return found.length === 1 && id !== undefined && COOKIE.test(id) ? id : undefined;
}

export function browserSession(
  url: URL,
  request: Pick<ApiRequest, 'header'>,
  sessions: BrowserSessions,
): BrowserSession | undefined {
  const id = readCookie(url, request.header('cookie'));
  return id === undefined ? undefined : sessions.find(id);
}

/** What the page sends along with everything that changes something: a form or a foreign page cannot. */
export const PAGE_HEADER = 'x-chaperone-console';

/** Whether a request that changes something is from our own page. */
export function isFromPage(url: URL, request: Pick<ApiRequest, 'header'>): boolean {
  const site = request.header('sec-fetch-site');
  return (
    request.header('origin') === url.origin &&
    request.header(PAGE_HEADER) === '1' &&
    (site === undefined || site === 'same-origin')
  );
}

/** Whether a request is from our page or of a person who typed the address, as far as their browser says: no other page made it. */
export function isFromNobodyElse(request: Pick<ApiRequest, 'header'>): boolean {
  const site = request.header('sec-fetch-site');
  return site === undefined || site === 'same-origin' || site === 'none';
}
