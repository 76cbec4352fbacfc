import { encodeNkey, parsePolicy, parseRecipient, type Recipient, type Signer, type TrustPolicy } from '@chaperone/evidence';
import type { Authenticator, TlsOptions } from '@nats-io/transport-node';
import type { NatsAccess } from '@chaperone/policy';
import type { Logger } from '../platform.ts';

/** How often broker access is looked at; renewal is due at two thirds of its time. */
const LOOK_MS = 30_000;

/**
 * Signs the broker's challenge with the pod's key, under the user JWT that is valid now, and knows which log and which CA to believe and to whom
 * data keys are wrapped. Renews all in the background; while that fails the old ones are used: the JWT until the broker refuses it, and evidence
 * waits in the spool.
 */
export function keepBrokerAccess(options: {
  readonly first: NatsAccess;
  /** Said at enrolment. Throws EvidenceError MalformedKey where one cannot be read. */
  readonly recipients: readonly string[];
  readonly renew: () => Promise<NatsAccess>;
  readonly nkey: Signer;
  readonly logger: Logger;
}): {
  authenticator: Authenticator;
  tls: TlsOptions;
  logPolicy: () => TrustPolicy | undefined;
  recipients: () => readonly Recipient[];
  stop(): void;
} {
  let { jwt, log, ca } = options.first;
  let recipients: readonly Recipient[] = options.recipients.map(parseRecipient);
  let policy = readPolicy(log, undefined, options.logger);
  const renew = async (): Promise<void> => {
    try {
      const next = await options.renew();
      ({ jwt, ca } = next);
      recipients = readRecipients(next.recipients, recipients, options.logger);
      if (next.log === undefined || next.log === log) return;
      ({ log } = next);
      policy = readPolicy(log, policy, options.logger);
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
    // Read at every connect: the broker's certificate is by the authority of that day.
    tls: {
      get ca() {
        return ca ?? '';
      },
    },
    logPolicy: () => policy,
    recipients: () => recipients,
    stop: () => clearInterval(timer),
  };
}

/** Those of before stay where one of the new ones cannot be read: what nobody unwraps is lost. */
function readRecipients(
  names: readonly string[] | undefined,
  before: readonly Recipient[],
  logger: Logger,
): readonly Recipient[] {
  try {
    return names?.map(parseRecipient) ?? before;
  } catch {
    logger.error('the operator names a recipient of keys that cannot be read; those that were known before count');
    return before;
  }
}

/** What was believed before stays where the new policy cannot be read. */
function readPolicy(log: string | undefined, before: TrustPolicy | undefined, logger: Logger): TrustPolicy | undefined {
  if (log === undefined) return before;
  try {
    return parsePolicy(Buffer.from(log));
  } catch {
    logger.error('the operator says of the log what cannot be read; what was known before counts');
    return before;
  }
}
