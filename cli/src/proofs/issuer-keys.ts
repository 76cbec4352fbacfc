import { createReadStream } from 'node:fs';
import { createLocalJWKSet, type JWK } from 'jose';
import type { IssuerKeys } from '@chaperone/policy/attest';
import { z } from 'zod';
import { CliError, EXIT, usage } from '../errors.ts';
import { readText } from './files.ts';

/** Key sets have 2 to 20 KiB. */
const MAX_BYTES = 256 * 1024;
/** Of all files together: years of an issuer that changes its key every week. */
const MAX_KEYS = 512;
const TIMEOUT_MS = 5_000;

const KeySet = z.object({ keys: z.array(z.looseObject({ kty: z.string().max(16) })).max(MAX_KEYS) });
const Discovery = z.object({ issuer: z.string(), jwks_uri: z.string().max(2048) });
type Keys = z.infer<typeof KeySet>['keys'];

/** The issuer's public keys as an auditor has kept them, in one file (a JWK set, RFC 7517 §5) or several. @throws CliError Usage, NotFound */
export async function readKeys(paths: readonly string[]): Promise<IssuerKeys> {
  const all: Keys = [];
  for (const path of paths) {
    const found = keysIn(await readText(createReadStream(path), path, MAX_BYTES));
    if (found === undefined) throw usage(`${path} is no JWK set; it holds {"keys": [{"kty": "…", …}]}`);
    if (found.some((key) => 'd' in key || key.kty === 'oct'))
      throw usage(`${path} holds a private key; take the public ones that the issuer publishes`);
    all.push(...found);
  }
  if (all.length > MAX_KEYS) throw usage(`--keys holds more than ${MAX_KEYS} keys`);
  return keySet(all);
}

/** Its keys as they are now, over https alone; follows no redirect. @throws CliError IssuerUnreachable, Usage */
export async function fetchKeys(issuer: string): Promise<IssuerKeys> {
  const at = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const found = Discovery.safeParse(parsed(await fetchText(at, issuer))).data;
  if (found === undefined || found.issuer !== issuer)
    throw unreachable(issuer, 'its discovery document is not one of this issuer');
  const keys = keysIn(await fetchText(found.jwks_uri, issuer));
  if (keys === undefined) throw unreachable(issuer, 'it publishes no JWK set');
  return keySet(keys);
}

/** Each once: two of one name would be told apart by nobody. */
function keySet(keys: Keys): IssuerKeys {
  const unique = new Map(keys.map((key) => [JSON.stringify(key), key]));
  return createLocalJWKSet({ keys: [...unique.values()] as JWK[] });
}

function keysIn(text: string): Keys | undefined {
  return KeySet.safeParse(parsed(text)).data?.keys;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function fetchText(url: string, issuer: string): Promise<string> {
  if (URL.parse(url)?.protocol !== 'https:')
    throw usage(`keys are fetched over https alone, and those of ${issuer} are not there; name them with --keys`);
  try {
    const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!response.ok) throw unreachable(issuer, `it answers ${response.status}`);
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for await (const part of response.body ?? []) {
      bytes += part.byteLength;
      if (bytes > MAX_BYTES) throw unreachable(issuer, `it answers with more than ${MAX_BYTES / 1024} KiB`);
      parts.push(part);
    }
    return Buffer.concat(parts).toString('utf8');
  } catch (cause) {
    throw cause instanceof CliError ? cause : unreachable(issuer, 'it does not answer', cause);
  }
}

function unreachable(issuer: string, why: string, cause?: unknown): CliError {
  return new CliError('IssuerUnreachable', `keys of the issuer ${issuer}: ${why}`, { cause, exit: EXIT.unreachable });
}
