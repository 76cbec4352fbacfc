import { randomBytes } from 'node:crypto';
import { EVIDENCE_LOGIN_LIFE_MS } from '@chaperone/api';
import { generateSigner, type Signer, signRequest } from '@chaperone/evidence';
import { z } from 'zod';
import { CliError, EXIT } from '../errors.ts';
import { type ApiServer, ApiStatusError, isStatus } from './api-server.ts';
import { asUnexpected, notInstalled } from './installation.ts';

const PATH = '/apis/chaperone.dev/v1alpha1/evidencelogins';
/** A login this close to its end is not used for another request. */
const RENEW_BEFORE_MS = 60_000;
/** Clocks closer than this are taken as equal: the API server tells whole seconds. */
const SKEW_MS = 5_000;
const MAX_MESSAGE = 300;

const SelfSubjectReview = z.object({
  status: z.object({ userInfo: z.object({ username: z.string().min(1), groups: z.array(z.string()).default([]) }) }),
});
const Created = z.object({ metadata: z.object({ name: z.string(), creationTimestamp: z.coerce.date() }) });

interface Current {
  readonly name: string;
  readonly key: Signer;
  /** By our clock, ms since 1970. */
  readonly createdAt: number;
  /** What is added to our clock to get the cluster's. */
  readonly offsetMs: number;
}

export interface LoginOptions {
  readonly api: ApiServer;
  readonly now?: () => number;
}

/**
 * Proves to the collector who somebody is, without the kubeconfig's token: an EvidenceLogin holds a public key and the API server's
 * own word for its author; requests are signed with the private key, which exists only in this object.
 */
export class Login implements AsyncDisposable {
  readonly #api: ApiServer;
  readonly #now: () => number;
  #current: Promise<Current> | undefined;

  constructor({ api, now = Date.now }: LoginOptions) {
    this.#api = api;
    this.#now = now;
  }

  /** The headers that sign one request for `target`; makes a login where there is none or it is about to end. Throws CliError. */
  async sign(target: string, method: 'GET' | 'POST' = 'GET'): Promise<Record<string, string>> {
    let current = await this.#use();
    if (this.#now() - current.createdAt > EVIDENCE_LOGIN_LIFE_MS - RENEW_BEFORE_MS) {
      await this.renew();
      current = await this.#use();
    }
    const timestamp = this.#now() + current.offsetMs;
    const nonce = randomBytes(18).toString('base64url');
    return signRequest({ login: current.name, method, target, timestamp, nonce }, current.key);
  }

  /** Forgets the login, so that the next request makes another. */
  async renew(): Promise<void> {
    const old = this.#current;
    this.#current = undefined;
    if (old !== undefined) await this.#remove(old);
  }

  /** Deletes the object; where that is not possible it ends by itself. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.renew();
  }

  #use(): Promise<Current> {
    this.#current ??= this.#create().catch((error: unknown) => {
      this.#current = undefined;
      throw error;
    });
    return this.#current;
  }

  async #create(): Promise<Current> {
    const user = await this.#whoAmI();
    const key = generateSigner();
    const name = `login-${randomBytes(10).toString('hex')}`;
    const object = {
      apiVersion: 'chaperone.dev/v1alpha1',
      kind: 'EvidenceLogin',
      metadata: { name },
      spec: { publicKey: key.publicKey.toString('base64'), user: user.username, groups: user.groups },
    };
    const before = this.#now();
    const created = await this.#api.request(Created, { method: 'POST', path: PATH, body: object }).catch((error: unknown) => {
      throw this.#refused(error, user.username);
    });
    const createdAt = (before + this.#now()) / 2;
    // The API server cuts the time of creation to whole seconds: half a second is lost on average.
    const offsetMs = Math.round(created.metadata.creationTimestamp.getTime() + 500 - createdAt);
    return { name, key, createdAt, offsetMs: Math.abs(offsetMs) > SKEW_MS ? offsetMs : 0 };
  }

  /** As the API server sees us, impersonation included: admission compares with exactly this. */
  async #whoAmI(): Promise<{ username: string; groups: readonly string[] }> {
    const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
    const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
    try {
      const { status } = await this.#api.request(SelfSubjectReview, { method: 'POST', path, body: review });
      return status.userInfo;
    } catch (error) {
      throw this.#refused(error, this.#api.access.who);
    }
  }

  #refused(error: unknown, user: string): unknown {
    if (isStatus(error, 404)) return notInstalled(this.#api, error);
    if (!(error instanceof ApiStatusError) || ![400, 403, 422].includes(error.status)) return asUnexpected(this.#api, error);
    return new CliError('NotPermitted', `${user} may not sign in at the collector: ${error.message.slice(0, MAX_MESSAGE)}`, {
      cause: error,
      exit: EXIT.notPermitted,
      fix: [`an admin runs: kubectl create clusterrolebinding NAME --clusterrole chaperone-login --user YOU`],
    });
  }

  async #remove(login: Promise<Current>): Promise<void> {
    try {
      const { name } = await login;
      await this.#api.request(z.object({}), { method: 'DELETE', path: `${PATH}/${name}` });
    } catch {
      // Nothing depends on it: the collector believes no login that is older than ten minutes.
    }
  }
}
