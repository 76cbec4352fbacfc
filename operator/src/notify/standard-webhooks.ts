import { parseWebhookSecrets as parse, WebhookSecretError } from '@chaperone/api/webhooks';
import { NotifyError } from './errors.ts';

export { signedHeaders } from '@chaperone/api/webhooks';

/** Secrets as a file has them. Throws NotifyError SecretInvalid, which names the line and nothing of it. */
export function parseWebhookSecrets(text: string): Buffer[] {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof WebhookSecretError) throw new NotifyError('SecretInvalid', error.message);
    throw error;
  }
}
