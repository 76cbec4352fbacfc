import { createHash } from 'node:crypto';
import { SIDECAR_AUDIENCE } from '@chaperone/policy';
import { KINDS, type Kube, pathOf } from '@chaperone/kube';

/** The pod whose projected token was shown. */
export interface PodIdentity {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly podUid: string;
}

const POD_NAME = 'authentication.kubernetes.io/pod-name';
const POD_UID = 'authentication.kubernetes.io/pod-uid';
const USERNAME = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/;
/** Deletion of the pod is watched separately, so an answer may be reused this long; only good ones are. */
const CACHE_MS = 10_000;
const MAX_CACHED = 4096;
/** A projected token is about 1.2 kB. */
const MAX_TOKEN = 8192;

interface ReviewedUser {
  readonly username?: unknown;
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** Whose token a TokenReview found good, for our audience alone. */
function userOf(status: unknown): ReviewedUser | undefined {
  const { authenticated, audiences, user } = (status ?? {}) as {
    authenticated?: unknown;
    audiences?: unknown;
    user?: ReviewedUser;
  };
  return authenticated === true && only(audiences) === SIDECAR_AUDIENCE ? user : undefined;
}

/** What a TokenReview says; undefined unless the token is good, for our audience alone, and bound to a pod. */
export function identityOf(status: unknown): PodIdentity | undefined {
  const user = userOf(status);
  const [, namespace, serviceAccount] = USERNAME.exec(typeof user?.username === 'string' ? user.username : '') ?? [];
  const pod = only(user?.extra?.[POD_NAME]);
  const podUid = only(user?.extra?.[POD_UID]);
  if (namespace === undefined || serviceAccount === undefined || pod === undefined || podUid === undefined) return undefined;
  return { namespace, serviceAccount, pod, podUid };
}

function only(value: unknown): string | undefined {
  return Array.isArray(value) && value.length === 1 && typeof value[0] === 'string' && value[0] !== '' ? value[0] : undefined;
}

/** Asks the API server who a token belongs to. Tokens are kept as digests only. */
export class TokenReviewer {
  readonly #kube: Kube;
  readonly #now: () => number;
  readonly #known = new Map<string, { identity: PodIdentity; at: number }>();

  constructor(kube: Kube, now: () => number = Date.now) {
    this.#kube = kube;
    this.#now = now;
  }

  /** The identity, or undefined for a token that is not good. Throws ApiError when nobody could say. */
  async review(token: string): Promise<PodIdentity | undefined> {
    if (token.length > MAX_TOKEN || !/^[\w.-]+$/.test(token)) return undefined;
    const key = createHash('sha256').update(token).digest('base64');
    const known = this.#known.get(key);
    if (known !== undefined && this.#now() - known.at < CACHE_MS) return known.identity;
    this.#known.delete(key);
    const review = await this.#kube.request<{ status?: unknown }>({
      method: 'POST',
      path: pathOf(KINDS.tokenReviews),
      body: {
        apiVersion: KINDS.tokenReviews.apiVersion,
        kind: KINDS.tokenReviews.kind,
        spec: { token, audiences: [SIDECAR_AUDIENCE] },
      },
      timeoutMs: 10_000,
    });
    const identity = identityOf(review.status);
    if (identity !== undefined) this.#remember(key, identity);
    return identity;
  }

  #remember(key: string, identity: PodIdentity): void {
    const oldest = this.#known.keys().next();
    if (this.#known.size >= MAX_CACHED && oldest.done === false) this.#known.delete(oldest.value);
    this.#known.set(key, { identity, at: this.#now() });
  }
}
