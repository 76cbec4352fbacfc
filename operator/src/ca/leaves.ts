import type { LeafIssuer } from '../sidecars/hub.ts';
import type { Authority } from './authority.ts';
import { importPublicKey, issueLeaf } from './pem.ts';

export const LEAF_LIFE_MS = 86_400_000;
/** A certificate needs a name; a sidecar without resources serves nobody. */
const NO_NAMES = ['no-resource.chaperone.invalid'];

/** Certificates for sidecars' keys: 24 hours, renewed after 16, made anew when the CA changes. */
export function leafIssuer(authority: Authority, now: () => number = Date.now): LeafIssuer {
  return {
    get issuer() {
      return authority.issuer;
    },
    bundle: () => authority.bundle(now()),
    async issue(publicKey, names) {
      const issuer = authority.issuer;
      const at = now();
      const certificate = await issueLeaf(issuer, {
        commonName: 'chaperone-sidecar',
        publicKey: await importPublicKey(publicKey),
        names: names.length === 0 ? NO_NAMES : names,
        now: at,
        lifeMs: LEAF_LIFE_MS,
      });
      return { certificate, renewAt: at + (LEAF_LIFE_MS * 2) / 3, issuer };
    },
  };
}
