import { ProviderSignIn, type ProviderSignInOptions } from '../provider/sign-in.ts';
import { OidcProvider, type OidcSecrets } from './provider.ts';
import type { OidcSettings } from './settings.ts';

/** Signs people in through an OpenID provider: code flow with PKCE (OpenID Connect Core §3.1). */
export function createOidcSignIn(
  settings: OidcSettings,
  { now, logger }: Pick<ProviderSignInOptions, 'now' | 'logger'>,
): ProviderSignIn<OidcSecrets> {
  return new ProviderSignIn(new OidcProvider(settings, now), { ...settings, now, logger });
}
