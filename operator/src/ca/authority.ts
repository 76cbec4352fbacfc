import { X509Certificate } from 'node:crypto';
import { getObject, isConflict, KINDS, type Kube, type KubeObject, pathOf } from '@chaperone/kube';
import { BACKDATE_MS, createAuthority, type Issuer, type KeyAndCertificate, loadIssuer } from './pem.ts';

const DAY_MS = 86_400_000;
/** The times of an authority, ms. */
export interface CaTimes {
  readonly lifeMs: number;
  /** A signing CA of this age gets a successor. */
  readonly renewMs: number;
  /** The successor is published beside it for this long, at least, before anything is signed with it. */
  readonly aheadMs: number;
}
export const CA_TIMES: CaTimes = { lifeMs: 365 * DAY_MS, renewMs: (365 * DAY_MS * 2) / 3, aheadMs: DAY_MS };
export const CA_SECRET = 'chaperone-ca';

/** The cluster's authorities: one signs; all of them are published. */
export interface AuthorityState {
  readonly signing: KeyAndCertificate;
  /** The next one, published and not in use yet; or the last one, still trusted. */
  readonly next?: KeyAndCertificate;
  readonly previous?: string;
}
const notAfter = (pem: string): number => new Date(new X509Certificate(pem).validTo).getTime();
const madeAt = (pem: string): number => new Date(new X509Certificate(pem).validFrom).getTime() + BACKDATE_MS;

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

export interface Rotation {
  readonly now: number;
  readonly times?: CaTimes | undefined;
  /** Whether the API server, and pods that are injected now, trust this certificate (PEM); before that nothing is signed with it, however long it takes. */
  readonly isPublished: (certificate: string) => boolean;
}

/**
 * The state that should follow: a signing CA gets a successor in time, which is published first and signs a day later; the old one
 * stays in the bundle until it expires. Returns the same object where nothing is to be done.
 */
export async function rotate(state: AuthorityState, { now, times = CA_TIMES, isPublished }: Rotation): Promise<AuthorityState> {
  const { signing, next, previous } = state;
  if (next !== undefined && now - madeAt(next.certificate) >= times.aheadMs && isPublished(next.certificate)) {
    return { signing: next, previous: signing.certificate };
  }
  if (next === undefined && now - madeAt(signing.certificate) >= times.renewMs) {
    return { ...state, next: await newAuthority(now, times) };
  }
  if (previous !== undefined && notAfter(previous) <= now) return { signing, ...(next === undefined ? {} : { next }) };
  return state;
}

const newAuthority = (now: number, { lifeMs }: CaTimes): Promise<KeyAndCertificate> =>
  createAuthority({ name: `chaperone-ca ${new Date(now).toISOString().slice(0, 10)}`, now, lifeMs });

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
export async function ensureAuthority(kube: Kube, namespace: string, rotation: Rotation): Promise<AuthorityState> {
  const at = { namespace, name: CA_SECRET };
  const existing = await getObject(kube, KINDS.secrets, at);
  try {
    if (existing === undefined) {
      const state = { signing: await newAuthority(rotation.now, rotation.times ?? CA_TIMES) };
      await kube.request({
        method: 'POST',
        path: pathOf(KINDS.secrets, { namespace }),
        body: { apiVersion: 'v1', kind: 'Secret', metadata: at, type: 'Opaque', data: writeState(state) },
      });
      return state;
    }
    const state = readState(existing);
    const rotated = await rotate(state, rotation);
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
  /** Whether certificates that are issued now are trusted by whoever has this bundle. */
  isIn(bundle: string): boolean {
    return this.#state !== undefined && bundle.includes(this.#state.signing.certificate);
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
