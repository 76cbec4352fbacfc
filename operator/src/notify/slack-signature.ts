import { createHmac, timingSafeEqual } from 'node:crypto';

/** A request of Slack is good for so long, before and after (docs.slack.dev, "Verifying requests from Slack"). */
const WINDOW_MS = 5 * 60_000;
/** While the signing secret is replaced there are two. */
const MAX_SECRETS = 2;
/** Only what Slack signed is remembered, so nobody else fills it. */
const MAX_SEEN = 10_000;

export interface SignedRequest {
  readonly timestamp: string | undefined;
  readonly signature: string | undefined;
  /** As it came, before anything reads it. */
  readonly body: Buffer;
}

/** `v0=` and the HMAC-SHA-256 of `v0:TIMESTAMP:BODY`, hex. */
export function slackSignature(secret: string, timestamp: string, body: Buffer): string {
  return `v0=${createHmac('sha256', secret).update(`v0:${timestamp}:`).update(body).digest('hex')}`;
}

export type Distrust = 'NotSigned' | 'TooOld' | 'Forged' | 'Seen' | 'TooMany';

/** Takes each request of Slack once. */
export class SlackVerifier {
  /** Signatures, until when they would be good, in the order of arrival. */
  readonly #seen = new Map<string, number>();

  /** Why it is not taken; undefined: it is, and never again. */
  refuse({ timestamp, signature, body }: SignedRequest, secrets: string, now: number): Distrust | undefined {
    if (timestamp === undefined || signature === undefined) return 'NotSigned';
    if (!/^\d{1,12}$/.test(timestamp) || !/^v0=[0-9a-f]{64}$/.test(signature)) return 'NotSigned';
    const at = Number(timestamp) * 1000;
    if (Math.abs(now - at) > WINDOW_MS) return 'TooOld';
    const given = Buffer.from(signature);
    const known = secrets
      .split(/\s+/)
      .filter((secret) => secret !== '')
      .slice(0, MAX_SECRETS);
    const signed = known.filter((secret) => timingSafeEqual(Buffer.from(slackSignature(secret, timestamp, body)), given));
    if (signed.length === 0) return 'Forged';
    this.#forget(now);
    if (this.#seen.has(signature)) return 'Seen';
    if (this.#seen.size >= MAX_SEEN) return 'TooMany';
    this.#seen.set(signature, at + WINDOW_MS);
    return undefined;
  }

  #forget(now: number): void {
    for (const [signature, until] of this.#seen) if (until < now) this.#seen.delete(signature);
  }
}
