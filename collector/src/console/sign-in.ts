import { randomBytes } from 'node:crypto';
import type { Identity } from '../access.ts';
import { digest } from './browser-sessions.ts';
import type { ThroughProvider } from './provider/sign-in.ts';

export interface SignedIn {
  readonly identity: Identity;
  /** Where the person wanted to go: a path of the page, kept here and never taken from the browser. */
  readonly path: string;
}

/**
 * How a person becomes somebody. One for each kind of installation: by a link that works once where `chaperone up` runs, through an
 * identity provider in a cluster, or not at all.
 */
export type SignIn = LinkSignIn | ThroughProvider | NoSignIn;

/** A collector that nobody signs in to with a browser. */
export interface NoSignIn {
  readonly way: 'none';
}
export const NO_SIGN_IN: NoSignIn = { way: 'none' };

/** How long a printed link works. */
export const LINK_MS = 10 * 60_000;
/** Links that were printed and not used; older ones give way. */
const MAX_LINKS = 100;
const TOKEN_BYTES = 32;

/** Signs in whoever has a link, as the one who had it made. */
export class LinkSignIn {
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

  /** Whom a link is from; undefined where it is used up, too old or unknown. It counts once. */
  finish(token: string): SignedIn | undefined {
    const key = digest(token);
    const link = this.#links.get(key);
    this.#links.delete(key);
    const works = link !== undefined && link.expiresAt > this.#now();
    return works ? { identity: link.identity, path: link.path } : undefined;
  }
}
