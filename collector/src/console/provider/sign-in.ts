import type { Logger } from '../../ingest.ts';
import type { SignedIn } from '../sign-in.ts';
import type { IdentityProvider } from './identity-provider.ts';
import { PendingSignIns } from './pending.ts';
import { SignInError } from './sign-in-error.ts';

/** Where a sign-in leads that was begun for no page: the page knows its own first one. */
export const HOME = '/';

/** A sign-in that came to its end, well or not, and the path that it was begun for. */
export type Outcome = (SignedIn & Before) | Failed;

export interface Failed {
  readonly failed: SignInError['code'];
  readonly path: string;
}
interface Before {
  /** The session that the browser had when it began. */
  readonly before: string | undefined;
}

export interface ProviderSignInOptions {
  /** Where people open the console; nobody signs in at another address. */
  readonly consoleOrigin: string;
  readonly sessionMs: number;
  readonly now: () => number;
  readonly logger: Logger;
}

/** What routes and state need to know of a sign-in through a provider. */
export type ThroughProvider = Pick<
  ProviderSignIn<unknown>,
  'way' | 'provider' | 'consoleOrigin' | 'sessionMs' | 'begin' | 'finish'
>;

/** Signs people in through an identity provider: one sign-in, one browser, one answer. */
export class ProviderSignIn<Secrets> {
  readonly way: IdentityProvider<Secrets>['way'];
  readonly provider: string;
  readonly consoleOrigin: string;
  readonly sessionMs: number;
  readonly #provider: IdentityProvider<Secrets>;
  readonly #logger: Logger;
  readonly #pending: PendingSignIns<Secrets>;

  constructor(provider: IdentityProvider<Secrets>, { consoleOrigin, sessionMs, now, logger }: ProviderSignInOptions) {
    this.way = provider.way;
    this.provider = provider.host;
    this.consoleOrigin = consoleOrigin;
    this.sessionMs = sessionMs;
    this.#provider = provider;
    this.#logger = logger;
    this.#pending = new PendingSignIns(now);
  }

  /** Where the browser goes, and what it alone keeps. `path` is one of ours. */
  async begin({ path, before }: Before & { path: string }): Promise<{ readonly to: URL; readonly browser: string } | Failed> {
    const secrets = this.#provider.newSecrets();
    const { state, browser } = this.#pending.begin({ secrets, path, before });
    try {
      return { to: await this.#provider.signInUrl({ ...secrets, state }), browser };
    } catch (error) {
      return this.#failed(error, path);
    }
  }

  /** What came of it when a browser returned with the provider's answer to `state`; each counts once. */
  async finish(answer: URLSearchParams, state: string, browser: string | undefined): Promise<Outcome> {
    const underWay = this.#pending.take(state, browser);
    if (underWay === undefined)
      return this.#failed(new SignInError('SignInUnknown', 'no sign-in of this browser waits for this answer'), HOME);
    const { secrets, path, before } = underWay;
    try {
      const identity = await this.#provider.identity(answer, { ...secrets, state });
      this.#logger.info('somebody signed in', { user: identity.user });
      return { identity, path, before };
    } catch (error) {
      return this.#failed(error, path);
    }
  }

  #failed(error: unknown, path: string): Failed {
    const known = error instanceof SignInError ? error : new SignInError('SignInRejected', 'it failed', { cause: error });
    this.#logger.warn('a sign-in failed', { code: known.code, why: known.message, ...reasonOf(known.cause) });
    return { failed: known.code, path };
  }
}

/** Codes, of Node, of the library (`OAUTH_…`) or of the provider (RFC 6749 §5.2); never texts, which may be anybody's. */
function reasonOf(cause: unknown): { cause?: string } {
  if (!(cause instanceof Error)) return {};
  const { error, code } = cause as Error & { error?: unknown; code?: unknown };
  const said = [error, code].find((each) => typeof each === 'string' && /^\w{1,64}$/.test(each));
  return { cause: typeof said === 'string' ? said : cause.name };
}
