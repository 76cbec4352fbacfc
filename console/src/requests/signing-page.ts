import type { AccessRequest } from '@chaperone/api';
import { DECIDE_PAGE } from '@chaperone/api/requests';

/** A longer address is none that an operator makes. */
const MAX_LENGTH = 2_048;

/**
 * Where a request is decided on with a signature, as the operator wrote it on the request; undefined where it wrote nothing, or
 * anything but an https address without credentials, which no link may lead to.
 */
export function signingPage({ metadata }: AccessRequest): URL | undefined {
  const text = metadata.annotations?.[DECIDE_PAGE] ?? '';
  if (text.length > MAX_LENGTH || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  return url.protocol === 'https:' && url.username === '' && url.password === '' ? url : undefined;
}
