import { createHash } from 'node:crypto';
import type { SigningKey } from '@chaperone/api';
import { canonicalJson } from '../canonical.ts';

/** What a key is made to say, so that it can never be taken for anything else. These lines are part of what auditors check. */
const DECISION_DOMAIN = 'chaperone.dev/decision/v1\n';
const PASSKEY_DOMAIN = 'chaperone.dev/passkey/v1\n';
const REMOVAL_DOMAIN = 'chaperone.dev/passkey-removal/v1\n';
const KEY_DOMAIN = 'chaperone.dev/key/v1\n';

/** All that a person agrees to, or not. */
export interface Answer {
  /** Of the AccessRequest. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly digest: string;
  readonly decision: 'Approve' | 'Deny';
  /** Empty: none was given. */
  readonly reason: string;
  /** Seconds for which the same may run again; absent: this once, or a denial. */
  readonly grantFor?: number | undefined;
  /** Given by the operator for one answer. */
  readonly challenge: string;
  /** SHA-256 (hex) of what the page drew. */
  readonly shown: string;
}

/**
 * What is signed: `chaperone.dev/decision/v1`, a line feed, and the answer as canonical JSON, in UTF-8.
 * An approval for some time has `grantFor` as well. Example: {"challenge":"…","decision":"Approve","digest":"9c1f…","name":"ar-…","namespace":"agents","reason":"","shown":"…","uid":"…"}
 */
export function decisionMessage({ namespace, name, uid, digest, decision, reason, grantFor, challenge, shown }: Answer): Buffer {
  return Buffer.from(
    DECISION_DOMAIN + canonicalJson({ namespace, name, uid, digest, decision, reason, grantFor, challenge, shown }),
    'utf8',
  );
}

/** What is signed of a new passkey: what the browser answered to the registration, as text. */
export function passkeyMessage(registration: string): Buffer {
  return Buffer.from(PASSKEY_DOMAIN + registration, 'utf8');
}

/** What is signed where somebody gives up a passkey: its name. A passkey that is made anew has another one. */
export function removalMessage(credential: string): Buffer {
  return Buffer.from(REMOVAL_DOMAIN + credential, 'utf8');
}

/**
 * The nonce of a sign-in: what binds the ID token to the key of one browser, as in OpenPubkey. SHA-256, base64url, of
 * `chaperone.dev/key/v1`, a line feed, and {"key":…,"opening":…} as canonical JSON. The opening keeps the issuer from knowing the key.
 */
export function commitmentOf({ kty, crv, x, y }: SigningKey, opening: string): string {
  return createHash('sha256')
    .update(KEY_DOMAIN + canonicalJson({ key: { kty, crv, x, y }, opening }))
    .digest('base64url');
}

/** Bytes of base64url that is written in the one way there is; undefined for anything else. */
export function bytesOf(text: string, length?: number): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text && (length === undefined || bytes.length === length) ? bytes : undefined;
}
