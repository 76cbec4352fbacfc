import { LOGIN_HEADERS, loginMessage, verifySignature } from '@chaperone/evidence';
import { getObject, isPermitted, type Kube, KINDS } from '@chaperone/kube';
import { z } from 'zod';
import type { Access, ApiRequest, Identity, Refusal, Resource, Verb } from './access.ts';

/** A login counts for this long after the API server created it. */
const LOGIN_MS = 10 * 60_000;
/** How far a request's own time may be from ours. */
const SKEW_MS = 60_000;
/** Nonces seen within the skew; above this requests are refused until old ones fall out. */
const MAX_NONCES = 50_000;
/** Answers of the API server are asked for anew after this long. */
const CACHE_MS = 10_000;
const MAX_CACHED = 1_000;
/** A person waits. */
const TIMEOUT_MS = 5_000;

/** What is read of an EvidenceLogin. That user and groups are its author's own is enforced when it is admitted. */
const EvidenceLogin = z.object({
  metadata: z.object({ name: z.string(), creationTimestamp: z.coerce.date() }),
  spec: z.object({
    publicKey: z.string().regex(/^[A-Za-z0-9+/]{43}=$/),
    user: z.string().min(1),
    groups: z.array(z.string()).default([]),
  }),
});
type EvidenceLogin = z.infer<typeof EvidenceLogin>;

/** The two questions to the API server. */
export interface LoginServer {
  /** The object as it is; undefined where there is none. */
  login(name: string): Promise<unknown>;
  review(identity: Identity, verb: Verb, namespace: string, resource: Resource): Promise<boolean>;
}

/** Asks the cluster's API server. */
export function createLoginServer(kube: Kube): LoginServer {
  return {
    login: (name) => getObject(kube, KINDS.evidenceLogins, { name }, { timeoutMs: TIMEOUT_MS }),
    review: (identity, verb, namespace, resource) => isPermitted(kube, identity, { namespace, resource, verb }),
  };
}

/** In a cluster: each request is signed with the key of an EvidenceLogin; rights are what RBAC says. */
export function createLoginAccess(server: LoginServer, now: () => number = Date.now): Access {
  const nonces = new Map<string, number>();
  const reviews = new Cache<boolean>(now);
  const logins = new Cache<EvidenceLogin | undefined>(now);

  /** Remembers a nonce; false where it was used before or too many are remembered. */
  const takeNonce = (key: string): boolean => {
    for (const [old, at] of nonces) {
      if (now() - at <= 2 * SKEW_MS) break;
      nonces.delete(old);
    }
    if (nonces.has(key) || nonces.size >= MAX_NONCES) return false;
    nonces.set(key, now());
    return true;
  };

  return {
    async authorise(request): Promise<Identity | Refusal> {
      const signed = readHeaders(request);
      if (signed === undefined) return { refused: 'the request is not signed by an EvidenceLogin' };
      if (Math.abs(now() - signed.timestamp) > SKEW_MS) return { refused: 'the time of the request is not ours' };
      const found = await logins.get(signed.login, async () => EvidenceLogin.safeParse(await server.login(signed.login)).data);
      if (found === undefined || now() - found.metadata.creationTimestamp.getTime() > LOGIN_MS)
        return { refused: 'the EvidenceLogin does not exist or has ended' };
      const message = loginMessage({ ...signed, method: request.method, target: request.target });
      if (!verifySignature(Buffer.from(found.spec.publicKey, 'base64'), message, signed.signature))
        return { refused: 'the signature is not by the key of the EvidenceLogin' };
      if (!takeNonce(`${signed.login} ${signed.nonce}`)) return { refused: 'the request was made before' };
      return { user: found.spec.user, groups: found.spec.groups };
    },
    allowed: (identity, verb, namespace, resource = 'sessions') =>
      reviews.get(JSON.stringify([identity.user, identity.groups, verb, namespace, resource]), () =>
        server.review(identity, verb, namespace, resource),
      ),
  };
}

function readHeaders(request: ApiRequest) {
  const login = request.header(LOGIN_HEADERS.login) ?? '';
  const timestamp = request.header(LOGIN_HEADERS.timestamp) ?? '';
  const nonce = request.header(LOGIN_HEADERS.nonce) ?? '';
  const signature = request.header(LOGIN_HEADERS.signature) ?? '';
  if (!/^[a-z0-9.-]{1,253}$/.test(login) || !/^\d{1,15}$/.test(timestamp)) return undefined;
  if (!/^[A-Za-z0-9_-]{16,64}$/.test(nonce) || signature.length > 100) return undefined;
  return { login, timestamp: Number(timestamp), nonce, signature: Buffer.from(signature, 'base64url') };
}

/** Answers of the last moment. A question that is under way is not asked again, and one that fails is not remembered. */
class Cache<T> {
  /** Bounded by the time that each may take. */
  readonly #asked = new Map<string, Promise<T>>();
  readonly #entries = new Map<string, { value: T; at: number }>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  async get(key: string, ask: () => Promise<T>): Promise<T> {
    const known = this.#entries.get(key);
    if (known !== undefined && this.#now() - known.at < CACHE_MS) return known.value;
    const asked = this.#asked.get(key) ?? this.#ask(key, ask).finally(() => this.#asked.delete(key));
    this.#asked.set(key, asked);
    return await asked;
  }

  async #ask(key: string, ask: () => Promise<T>): Promise<T> {
    const value = await ask();
    this.#entries.delete(key);
    const oldest = this.#entries.keys().next();
    if (this.#entries.size >= MAX_CACHED && oldest.done !== true) this.#entries.delete(oldest.value);
    this.#entries.set(key, { value, at: this.#now() });
    return value;
  }
}
