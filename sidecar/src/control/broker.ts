import { encodeNkey, type Signer } from '@chaperone/evidence';
import type { Authenticator } from '@nats-io/transport-node';
import type { NatsAccess } from '@chaperone/policy';

/** How often broker access is looked at; renewal is due at two thirds of its time. */
const LOOK_MS = 30_000;

/**
 * Signs the broker's challenge with the pod's key, under the user JWT that is valid now. Renews it in the background; while
 * that fails the old one is used until the broker refuses it, and evidence waits in the spool.
 */
export function keepBrokerAccess(options: {
  readonly first: NatsAccess;
  readonly renew: () => Promise<NatsAccess>;
  readonly nkey: Signer;
}): { authenticator: Authenticator; stop(): void } {
  let { jwt } = options.first;
  const renew = async (): Promise<void> => {
    try {
      ({ jwt } = await options.renew());
    } catch {
      // The control plane tells of its own trouble; the next look is soon.
    }
  };
  const timer = setInterval(() => void renew(), LOOK_MS).unref();
  return {
    authenticator: (nonce) => ({
      jwt,
      nkey: encodeNkey(options.nkey.publicKey),
      sig: options.nkey.sign(Buffer.from(nonce ?? '')).toString('base64url'),
    }),
    stop: () => clearInterval(timer),
  };
}
