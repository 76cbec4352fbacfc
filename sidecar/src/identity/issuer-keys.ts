import type { TokenDemand } from '@chaperone/policy';
import type { JWK } from 'jose';
import { z } from 'zod';
import type { Clock, Logger } from '../platform.ts';
import { TokenError } from './errors.ts';
import { fetchJson, type FetchOptions } from './fetch.ts';
import { type PublicKey, readKeySet, selectKey } from './key-set.ts';
import type { Algorithm } from './token.ts';

/** Keys that the issuer withdrew are used for no longer than this while it answers. */
const FRESH_MS = 10 * 60_000;
/** Keys are used for this long while it does not. */
const KEEP_MS = 24 * 60 * 60_000;
/** Between two attempts while there are keys: tokens with made-up key ids must not make us hammer the issuer. */
const RETRY_MS = 30_000;
/** Between two attempts while there are none. */
const FIRST_RETRY_MS = 5_000;
/** Issuers whose keys are kept; the least recently used goes. */
const MAX_ISSUERS = 64;

/** Where keys come from: an issuer, and what its TLS is checked against. */
export type Issuer = Pick<TokenDemand, 'issuer' | 'ca'>;

export interface KeySource {
  /** @throws TokenError KeyUnknown, IssuerUnavailable */
  key(issuer: Issuer, alg: Algorithm, kid: string | undefined): Promise<JWK>;
}

export interface IssuerKeysOptions extends Omit<FetchOptions, 'ca'> {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Keys of issuers, found by OpenID discovery and kept. */
export class IssuerKeys implements KeySource {
  readonly #o: IssuerKeysOptions;
  readonly #issuers = new Map<string, Kept>();

  constructor(options: IssuerKeysOptions) {
    this.#o = options;
  }

  key({ issuer, ca }: Issuer, alg: Algorithm, kid: string | undefined): Promise<JWK> {
    const name = JSON.stringify([issuer, ca]);
    const kept = this.#issuers.get(name) ?? new Kept({ issuer, ca }, this.#o);
    this.#issuers.delete(name);
    this.#issuers.set(name, kept);
    for (const oldest of this.#issuers.keys()) {
      if (this.#issuers.size <= MAX_ISSUERS) break;
      this.#issuers.delete(oldest);
    }
    return kept.key(alg, kid);
  }
}

class Kept {
  readonly #issuer: Issuer;
  readonly #o: IssuerKeysOptions;
  #keys: readonly PublicKey[] | undefined;
  #fetchedAt = -Infinity;
  #triedAt = -Infinity;
  #trying: Promise<void> | undefined;

  constructor(issuer: Issuer, options: IssuerKeysOptions) {
    this.#issuer = issuer;
    this.#o = options;
  }

  async key(alg: Algorithm, kid: string | undefined): Promise<JWK> {
    if (this.#age() > FRESH_MS) await this.#refresh();
    let found = this.#select(alg, kid);
    if (found === undefined) {
      await this.#refresh();
      found = this.#select(alg, kid);
    }
    if (found === undefined) throw new TokenError('KeyUnknown', 'its issuer has no key that it could be signed with');
    return found;
  }

  #select(alg: Algorithm, kid: string | undefined): JWK | undefined {
    if (this.#keys === undefined || this.#age() > KEEP_MS)
      throw new TokenError('IssuerUnavailable', 'the issuer of tokens does not answer');
    return selectKey(this.#keys, alg, kid);
  }

  #age(): number {
    return this.#o.clock.monotonic() - this.#fetchedAt;
  }

  /** Never rejects: what is kept may still do. All who ask meanwhile wait for the one attempt. */
  #refresh(): Promise<void> {
    if (this.#trying !== undefined) return this.#trying;
    const now = this.#o.clock.monotonic();
    if (now - this.#triedAt < (this.#keys === undefined ? FIRST_RETRY_MS : RETRY_MS)) return Promise.resolve();
    this.#triedAt = now;
    this.#trying = this.#fetch()
      .catch((error: unknown) => {
        const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : 'unreadable';
        this.#o.logger.warn('the keys of an issuer could not be read', { issuer: this.#issuer.issuer, cause });
      })
      .finally(() => {
        this.#trying = undefined;
      });
    return this.#trying;
  }

  async #fetch(): Promise<void> {
    const { issuer, ca } = this.#issuer;
    const options = { ...this.#o, ca };
    const document = await fetchJson(new URL(`${issuer.replace(/[/]$/, '')}/.well-known/openid-configuration`), options);
    const keys = readKeySet(await fetchJson(keysUrl(document, issuer), options));
    this.#keys = keys;
    this.#fetchedAt = this.#o.clock.monotonic();
  }
}

const Discovery = z.object({ issuer: z.string().max(512), jwks_uri: z.url().max(2048) });

/**
 * Where the discovery document (OpenID Connect Discovery §3) says that the keys are.
 * @throws TokenError IssuerUnavailable where the document is another issuer's, or the place is not safe.
 */
export function keysUrl(document: unknown, issuer: string): URL {
  const read = Discovery.safeParse(document);
  if (!read.success) throw unusable('the discovery document cannot be read');
  if (read.data.issuer !== issuer) throw unusable('the discovery document is of another issuer');
  const url = new URL(read.data.jwks_uri);
  const local = isLocal(url) && isLocal(new URL(issuer));
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && local)) throw unusable('the keys are not served over TLS');
  if (url.username !== '' || url.password !== '') throw unusable('the address of the keys has a password');
  return url;
}

function isLocal({ hostname }: URL): boolean {
  return ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
}

function unusable(why: string): TokenError {
  return new TokenError('IssuerUnavailable', 'the issuer of tokens does not answer as one does', { cause: new Error(why) });
}
