import { ProviderSignIn, type ProviderSignInOptions } from '../provider/sign-in.ts';
import { SamlProvider, type SamlSecrets } from './provider.ts';
import type { SamlSettings } from './settings.ts';

/** Signs people in by SAML 2.0, web browser single sign-on. */
export function createSamlSignIn(
  settings: SamlSettings,
  { now, logger }: Pick<ProviderSignInOptions, 'now' | 'logger'>,
): ProviderSignIn<SamlSecrets> {
  return new ProviderSignIn(new SamlProvider(settings), { ...settings, now, logger });
}
