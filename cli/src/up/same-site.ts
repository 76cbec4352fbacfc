import { hash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';

/** Of a request what says where it comes from. */
export interface Sent {
  header(name: string): string | undefined;
}

/**
 * Why a request may come from another site's page, by way of a browser of this machine; undefined: it does not. A page elsewhere can
 * make its own name lead here, and the browser then takes the two for one site: so only addresses, localhost and the name given
 * with --console are answered to. An address needs no name to lead anywhere.
 */
export function foreignSite(request: Sent, ownName: string): string | undefined {
  const host = request.header('host') ?? '';
  const name = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/@\s]+))(?::\d{1,5})?$/.exec(host);
  const spoken = (name?.[1] ?? name?.[2] ?? '').toLowerCase();
  if (isIP(spoken) === 0 && spoken !== 'localhost' && spoken !== ownName.toLowerCase())
    return 'the request names another host than this one';
  const origin = request.header('origin');
  if (origin !== undefined && origin !== `http://${host}`) return 'the request comes from a page of another site';
  return undefined;
}

/** Whether the request has the bearer token, in constant time. */
export function hasToken(request: Sent, token: string): boolean {
  const given = /^Bearer (\S+)$/.exec(request.header('authorization') ?? '')?.[1];
  return given !== undefined && timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}
