import { createHmac } from 'node:crypto';

/** The specification asks for 24 to 64 bytes; receivers' libraries take 16 too. */
const MIN_SECRET_BYTES = 24;
const MAX_SECRET_BYTES = 64;
/** While a secret is replaced there are two; more than this is a mistake. */
const MAX_SECRETS = 4;

/** The secret of a webhook cannot be read; its message holds nothing of it. */
export class WebhookSecretError extends Error {
  override readonly name = 'WebhookSecretError';
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Reads secrets as a file has them: one per line, `whsec_` and base64. While one is replaced both stand there, and both sign.
 * @throws WebhookSecretError, which names the line and nothing of it
 */
export function parseWebhookSecrets(text: string): Buffer[] {
  const lines = text.split(/\s+/).filter((line) => line !== '');
  if (lines.length === 0 || lines.length > MAX_SECRETS)
    throw new WebhookSecretError(`the webhook's secret has ${lines.length} lines; write 1 to ${MAX_SECRETS}`);
  return lines.map((line, index) => {
    const [prefix, base64] = [line.slice(0, 6), line.slice(6)];
    const secret = Buffer.from(base64, 'base64');
    const fits = secret.length >= MIN_SECRET_BYTES && secret.length <= MAX_SECRET_BYTES;
    if (prefix !== 'whsec_' || !BASE64.test(base64) || !fits)
      throw new WebhookSecretError(`line ${index + 1} of the webhook's secret is not whsec_ and base64 of 24 to 64 bytes`);
    return secret;
  });
}

export interface SignedParts {
  /** Names the event, the same at every attempt; receivers tell repeats by it. No full stop in it. */
  readonly id: string;
  /** Seconds since 1970, of this attempt. */
  readonly timestamp: number;
  readonly body: string;
}

/** Headers of one attempt by Standard Webhooks (standardwebhooks.com, "Webhook headers"): a signature by each secret. */
export function signedHeaders({ id, timestamp, body }: SignedParts, secrets: readonly Buffer[]): Record<string, string> {
  const signatures = secrets.map((secret) => {
    const mac = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64');
    return `v1,${mac}`;
  });
  return { 'webhook-id': id, 'webhook-timestamp': `${timestamp}`, 'webhook-signature': signatures.join(' ') };
}
