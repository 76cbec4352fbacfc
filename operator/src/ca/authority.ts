import { X509Certificate } from 'node:crypto';
import { getObject, isConflict, KINDS, type Kube, type KubeObject, pathOf } from '@chaperone/kube';
import { createAuthority, type Issuer, type KeyAndCertificate, loadIssuer } from './pem.ts';

const DAY_MS = 86_400_000;
export const CA_LIFE_MS = 365 * DAY_MS;
/** The new CA is published beside the old one for this long before anything is signed with it. */
export const PUBLISH_AHEAD_MS = DAY_MS;
export const CA_SECRET = 'chaperone-ca';

/** The cluster's authorities: one signs; all of them are published. */
export interface AuthorityState {
  readonly signing: KeyAndCertificate;
  /** The next one, published and not in use yet; or the last one, still trusted. */
  readonly next?: KeyAndCertificate;
  readonly previous?: string;
}
const notAfter = (pem: string): number => new Date(new X509Certificate(pem).validTo).getTime();
const notBefore = (pem: string): number => new Date(new X509Certificate(pem).validFrom).getTime();

/**
 * PEM bundle to trust, without what has expired. In a fixed order, so that the text changes only when the set does: it is part of
 * what is injected.
 */
export function bundleOf(state: AuthorityState, now: number): string {
  const all = [state.signing.certificate, state.next?.certificate, state.previous];
  return all
    .filter((pem): pem is string => pem !== undefined && notAfter(pem) > now)
    .toSorted()
    .join('');
}

/**
 * The state that should follow: at two thirds of its life a signing CA gets a successor, which is published first and signs a
 * day later; the old one stays in the bundle until it expires. Returns the same object where nothing is to be done.
 */
export async function rotate(state: AuthorityState, now: number): Promise<AuthorityState> {
  const { signing, next, previous } = state;
  if (next !== undefined && now - notBefore(next.certificate) >= PUBLISH_AHEAD_MS) {
    return { signing: next, previous: signing.certificate };
  }
  const begin = notBefore(signing.certificate);
  const due = begin + ((notAfter(signing.certificate) - begin) * 2) / 3;
  if (next === undefined && now >= due) return { ...state, next: await newAuthority(now) };
  if (previous !== undefined && notAfter(previous) <= now) return { signing, ...(next === undefined ? {} : { next }) };
  return state;
}

const newAuthority = (now: number): Promise<KeyAndCertificate> =>
  createAuthority({ name: `chaperone-ca ${new Date(now).toISOString().slice(0, 10)}`, now, lifeMs: CA_LIFE_MS });

const decode = (value: unknown): string | undefined =>
  typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : undefined;

/** Reads the Secret. Throws if it is not whole: a CA that is half there is never replaced silently. */
export function readState(secret: KubeObject): AuthorityState {
  const data = (secret.data ?? {}) as Record<string, unknown>;
  const pair = (name: string): KeyAndCertificate | undefined => {
    const [certificate, key] = [decode(data[`${name}.crt`]), decode(data[`${name}.key`])];
    if (certificate === undefined && key === undefined) return undefined;
    if (certificate === undefined || key === undefined) throw new Error(`Secret ${CA_SECRET} has half of "${name}"`);
    return { certificate, key };
  };
  const signing = pair('tls');
  if (signing === undefined) throw new Error(`Secret ${CA_SECRET} has no keys tls.crt and tls.key`);
  const next = pair('next');
  const previous = decode(data['previous.crt']);
  return { signing, ...(next === undefined ? {} : { next }), ...(previous === undefined ? {} : { previous }) };
}

function writeState(state: AuthorityState): Record<string, string> {
  const entries: [string, string | undefined][] = [
    ['tls.crt', state.signing.certificate],
    ['tls.key', state.signing.key],
    ['next.crt', state.next?.certificate],
    ['next.key', state.next?.key],
    ['previous.crt', state.previous],
  ];
  return Object.fromEntries(
    entries.flatMap(([key, pem]) => (pem === undefined ? [] : [[key, Buffer.from(pem).toString('base64')]])),
  );
}

/** Makes the Secret if it is absent and rotates what is due. Run by the leader; a lost race is another's success. */
export async function ensureAuthority(kube: Kube, namespace: string, now: number): Promise<AuthorityState> {
  const at = { namespace, name: CA_SECRET };
  const existing = await getObject(kube, KINDS.secrets, at);
  try {
    if (existing === undefined) {
      const state = { signing: await newAuthority(now) };
      await kube.request({
        method: 'POST',
        path: pathOf(KINDS.secrets, { namespace }),
        body: { apiVersion: 'v1', kind: 'Secret', metadata: at, type: 'Opaque', data: writeState(state) },
      });
      return state;
    }
    const state = readState(existing);
    const rotated = await rotate(state, now);
    if (rotated === state) return state;
    await kube.request({
      method: 'PUT',
      path: pathOf(KINDS.secrets, at),
      body: { ...existing, data: writeState(rotated) },
    });
    return rotated;
  } catch (error) {
    const theirs = isConflict(error) ? await getObject(kube, KINDS.secrets, at) : undefined;
    if (theirs === undefined) throw error;
    return readState(theirs);
  }
}

/** The authority in use by this process: signs, and says what to trust. Kept up to date from the Secret. */
export class Authority {
  #issuer: Issuer | undefined;
  #state: AuthorityState | undefined;
  readonly #listeners = new Set<() => void>();

  get ready(): boolean {
    return this.#issuer !== undefined;
  }
  get issuer(): Issuer {
    if (this.#issuer === undefined) throw new Error('the CA is not loaded yet');
    return this.#issuer;
  }
  bundle(now: number): string {
    if (this.#state === undefined) throw new Error('the CA is not loaded yet');
    return bundleOf(this.#state, now);
  }
  /** Returns what ends the subscription. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  /** Takes a state over if it differs; a state that cannot be read throws and changes nothing. */
  async use(state: AuthorityState): Promise<void> {
    if (JSON.stringify(state) === JSON.stringify(this.#state)) return;
    const issuer = await loadIssuer(state.signing);
    this.#issuer = issuer;
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}
