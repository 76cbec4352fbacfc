import { createHash } from 'node:crypto';
import type { Assertion } from '@chaperone/api';
import { verifyAuthenticationResponse } from '@simplewebauthn/server';
import { AttestError } from './errors.ts';

/** The page that a passkey is bound to. */
export interface PasskeySite {
  /** Example: https://decide.corp */
  readonly origin: string;
  /** Its host. */
  readonly rpId: string;
}

/** COSE keys of ES256, EdDSA and RS256 (2048 bits) as CTAP2 writes them: the one way to write each. */
const COSE_KEY =
  /^(?:a5010203262001215820[0-9a-f]{64}225820[0-9a-f]{64}|a4010103272006215820[0-9a-f]{64}|a401030339010020590100[0-9a-f]{512}2143010001)$/;

/** Whether a public key is of a kind that passkeys here have. */
export function isPasskeyKey(publicKey: string): boolean {
  return COSE_KEY.test(Buffer.from(publicKey, 'base64url').toString('hex'));
}

/** What a passkey is asked to sign for an answer: SHA-256 of what the browser's key signed, base64url. */
export function assertionChallenge(message: Buffer): string {
  return createHash('sha256').update(message).digest('base64url');
}

/**
 * Whether the passkey whose public key is in the assertion signed this answer, on this page, after it had made sure of its holder.
 * @param counter - what its counter was before; an authenticator that counts never goes back
 * @returns The counter now.
 * @throws AttestError PasskeyRefused
 */
export async function verifyAssertion(
  message: Buffer,
  assertion: Assertion | undefined,
  site: PasskeySite,
  counter = 0,
): Promise<number> {
  if (assertion === undefined) throw refused();
  const { credential, publicKey, authenticatorData, clientData, signature } = assertion;
  if (!isPasskeyKey(publicKey)) throw refused();
  try {
    const { verified, authenticationInfo } = await verifyAuthenticationResponse({
      response: {
        id: credential,
        rawId: credential,
        type: 'public-key',
        clientExtensionResults: {},
        response: { authenticatorData, clientDataJSON: clientData, signature },
      },
      expectedChallenge: assertionChallenge(message),
      expectedOrigin: site.origin,
      expectedRPID: site.rpId,
      expectedType: 'webauthn.get',
      requireUserVerification: true,
      credential: { id: credential, publicKey: new Uint8Array(Buffer.from(publicKey, 'base64url')), counter },
    });
    if (verified) return authenticationInfo.newCounter;
  } catch {
    // Errors of the library may quote what they read.
  }
  throw refused();
}

function refused(): AttestError {
  return new AttestError('PasskeyRefused', 'the passkey did not sign this answer on this page');
}
