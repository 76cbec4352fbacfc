import type { ApiRequest } from '../access.ts';
import type { BrowserSession, BrowserSessions } from './browser-sessions.ts';
import { SIGNED_IN_MS } from './browser-sessions.ts';

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

export function setCookie(url: URL, id: string): string {
  return cookie(url, id, SIGNED_IN_MS / 1000);
}

export function clearCookie(url: URL): string {
  return cookie(url, '', 0);
}

function cookie(url: URL, value: string, seconds: number): string {
  const secure = url.protocol === 'https:' ? '; Secure' : '';
  return `${cookieName(url)}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`;
}

/** The id that the browser has for this address. Two of a name mean that somebody else set one: neither counts. */
export function readCookie(url: URL, header: string | undefined): string | undefined {
  const name = cookieName(url);
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
