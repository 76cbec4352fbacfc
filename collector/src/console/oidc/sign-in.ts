import { randomNonce, randomPKCECodeVerifier } from 'openid-client';
import type { Logger } from '../../ingest.ts';
import type { SignedIn } from '../sign-in.ts';
import { identityOf } from './claims.ts';
import { PendingSignIns } from './pending.ts';
import { Provider } from './provider.ts';
import type { OidcSettings } from './settings.ts';
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

/** Signs people in through an OpenID provider: code flow with PKCE (OpenID Connect Core §3.1). */
export class OidcSignIn {
  readonly way = 'oidc';
  /** Whom people are sent to, as they would recognise it. */
  readonly provider: string;
  readonly consoleOrigin: string;
  readonly sessionMs: number;
  readonly #settings: OidcSettings;
  readonly #logger: Logger;
  readonly #pending: PendingSignIns;
  readonly #provider: Provider;

  constructor(settings: OidcSettings, { now, logger }: { now: () => number; logger: Logger }) {
    this.#settings = settings;
    this.#logger = logger;
    this.provider = new URL(settings.issuerUrl).host;
    this.consoleOrigin = settings.consoleOrigin;
    this.sessionMs = settings.sessionMs;
    this.#pending = new PendingSignIns(now);
    this.#provider = new Provider(settings, now);
  }

  /** Where the browser goes, and what it alone keeps. `path` is one of ours. */
  async begin({ path, before }: Before & { path: string }): Promise<{ readonly to: URL; readonly browser: string } | Failed> {
    const secrets = { nonce: randomNonce(), verifier: randomPKCECodeVerifier() };
    const { state, browser } = this.#pending.begin({ ...secrets, path, before });
    try {
      return { to: await this.#provider.authorizationUrl({ ...secrets, state }), browser };
    } catch (error) {
      return this.#failed(error, path);
    }
  }

  /** What came of it when a browser returned with the provider's answer; each answer counts once. */
  async finish(answer: URLSearchParams, browser: string | undefined): Promise<Outcome> {
    const state = answer.get('state') ?? '';
    const underWay = this.#pending.take(state, browser);
    if (underWay === undefined)
      return this.#failed(new SignInError('SignInUnknown', 'no sign-in of this browser waits for this answer'), HOME);
    const { path, before } = underWay;
    try {
      const identity = identityOf(await this.#provider.claims(answer, { ...underWay, state }), this.#settings);
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
