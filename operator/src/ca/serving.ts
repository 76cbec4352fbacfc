import type { Server } from 'node:https';
import type { Authority } from './authority.ts';
import { exportKey, generateKeys, issueLeaf } from './pem.ts';

export const SERVING_LIFE_MS = 7 * 86_400_000;
const CHECK_MS = 10_000;

export interface ServingOptions {
  readonly authority: Authority;
  /** Names under which this replica is reached. */
  readonly names: readonly string[];
  readonly now?: () => number;
  readonly onError?: (error: unknown) => void;
}

/**
 * This replica's own certificate, in memory: 7 days, new at two thirds and whenever the CA changes, handed to running servers
 * without a restart. The wall clock is looked at every 10 s, so that a host that slept is noticed.
 */
export class ServingCertificate {
  readonly #options: ServingOptions;
  readonly #servers = new Set<Server>();
  #current: { key: string; cert: string; expiresAt: number; renewAt: number; issuer: unknown } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> = Promise.resolve();

  constructor(options: ServingOptions) {
    this.#options = options;
  }

  /** ms since 1970. */
  get expiresAt(): number | undefined {
    return this.#current?.expiresAt;
  }

  /** Issues the first certificate and keeps it fresh until stop(). */
  async start(): Promise<{ key: string; cert: string }> {
    await this.#renewIfDue();
    if (this.#current === undefined) throw new Error('no serving certificate could be issued');
    this.#options.authority.onChange(() => this.#check());
    this.#timer = setInterval(() => this.#check(), CHECK_MS).unref();
    return { key: this.#current.key, cert: this.#current.cert };
  }
  attach(server: Server): void {
    this.#servers.add(server);
    if (this.#current !== undefined) server.setSecureContext({ key: this.#current.key, cert: this.#current.cert });
  }
  stop(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    this.#working = this.#working.then(() => this.#renewIfDue()).catch((error: unknown) => this.#options.onError?.(error));
  }

  async #renewIfDue(): Promise<void> {
    const now = (this.#options.now ?? Date.now)();
    const { authority, names } = this.#options;
    const issuer = authority.issuer;
    if (this.#current !== undefined && this.#current.issuer === issuer && now < this.#current.renewAt) return;
    const keys = await generateKeys();
    const cert = await issueLeaf(issuer, {
      commonName: names[0] ?? 'chaperone-operator',
      publicKey: keys.publicKey,
      names,
      now,
      lifeMs: SERVING_LIFE_MS,
    });
    const key = await exportKey(keys.privateKey);
    this.#current = { key, cert, issuer, expiresAt: now + SERVING_LIFE_MS, renewAt: now + (SERVING_LIFE_MS * 2) / 3 };
    for (const server of this.#servers) server.setSecureContext({ key, cert });
  }
}
