import { randomBytes } from 'node:crypto';
import type { Identity } from '../access.ts';
import { digest } from './browser-sessions.ts';

/** Ways to sign in to the console: by a link that works once, or through an identity provider. */
export type SignInWay = 'link' | 'oidc' | 'none';

export interface SignedIn {
  readonly identity: Identity;
  /** Where the person wanted to go: a path of the page, kept here and never taken from the browser. */
  readonly path: string;
}

/**
 * How a person becomes somebody. One for each kind of installation: {@link LinkSignIn} where `chaperone up` runs. For a cluster, the
 * code flow of an identity provider has its place here: what comes back from there is the proof that `finish` takes.
 */
export interface SignIn {
  readonly way: SignInWay;
  /** Whom a proof is from; undefined where it is used up, too old or unknown. It counts once. */
  finish(proof: string): Promise<SignedIn | undefined>;
}

/** A collector that nobody signs in to with a browser. */
export const NO_SIGN_IN: SignIn = { way: 'none', finish: () => Promise.resolve(undefined) };

/** How long a printed link works. */
export const LINK_MS = 10 * 60_000;
/** Links that were printed and not used; older ones give way. */
const MAX_LINKS = 100;
const TOKEN_BYTES = 32;

/** Signs in whoever has a link, as the one who had it made. */
export class LinkSignIn implements SignIn {
  readonly way = 'link';
  readonly #now: () => number;
  readonly #links = new Map<string, SignedIn & { readonly expiresAt: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** The path of a new link, which leads on to a path of the page. */
  newLink({ identity, path }: SignedIn): { link: string; expiresAt: number } {
    for (const [key, { expiresAt }] of this.#links)
      if (expiresAt <= this.#now() || this.#links.size >= MAX_LINKS) this.#links.delete(key);
      else break;
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    const expiresAt = this.#now() + LINK_MS;
    this.#links.set(digest(token), { identity, path, expiresAt });
    return { link: `/l/${token}`, expiresAt };
  }

  finish(token: string): Promise<SignedIn | undefined> {
    const key = digest(token);
    const link = this.#links.get(key);
    this.#links.delete(key);
    const works = link !== undefined && link.expiresAt > this.#now();
    return Promise.resolve(works ? { identity: link.identity, path: link.path } : undefined);
  }
}

/** Whether a text is the path of a page of ours: what leads to another origin, or into the API, is not. */
export function isPagePath(path: string): boolean {
  return /^\/(?:sessions(?:\/[\w.-]{1,64})?|requests(?:\/[a-z0-9-]{1,63}\/[\w.-]{1,64})?)?(?:\?[\w.~%&=+-]{0,500})?$/.test(path);
}
