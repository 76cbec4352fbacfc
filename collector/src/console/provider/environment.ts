import { z } from 'zod';
import { SIGNED_IN_MS } from '../browser-sessions.ts';

// Settings that every provider has.

const MAX_MINUTES = SIGNED_IN_MS / 60_000;

export const shortText = z.string().min(1).max(1024);
export const httpsUrl = z
  .url({ protocol: /^https$/ })
  .max(2048)
  .refine((url) => !/[?#@]/.test(url));
/** An origin as browsers write it, so that it can be compared. */
export const consoleOrigin = httpsUrl.refine((url) => new URL(url).origin === url);
export const sessionMinutes = z.coerce.number().int().min(5).max(MAX_MINUTES).default(MAX_MINUTES);

/** A prefix, which may be empty, and makes no names of the cluster's own. */
export const prefix = z
  .string()
  .max(1024)
  .refine((said) => !said.startsWith('system:'));

export function given<K extends string>(name: K, value: string | undefined): { readonly [N in K]?: string } {
  return value === undefined ? {} : ({ [name]: value } as { [N in K]: string });
}
