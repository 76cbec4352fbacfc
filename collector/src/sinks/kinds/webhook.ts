import { createHash } from 'node:crypto';
import { parseWebhookSecrets, signedHeaders } from '@chaperone/api/webhooks';
import { SinkError } from '../errors.ts';
import { asciiJson, type Batch, type Sink } from '../sink.ts';
import { readOptional, readSecret } from './files.ts';
import { demandSuccess, Poster } from './http.ts';

export interface WebhookSettings {
  readonly url: string;
  /** Of 24 to 64 bytes, `whsec_` and base64; a second line while it is replaced. */
  readonly secretFile: string;
  readonly caFile?: string | undefined;
}

/** Standard Webhooks asks for bodies below 20 kB. */
const LIMITS = { events: 100, bytes: 20_000 };

/**
 * Signed webhooks by Standard Webhooks (standardwebhooks.com): one body of several events, confirmed by any 2xx.
 *
 *     {"type":"chaperone.events","timestamp":"…","data":{"size":42,"checkpoint":"…","events":[…]}}
 */
export function openWebhook({ url, secretFile, caFile }: WebhookSettings, now: () => number, limits = LIMITS): Sink {
  const poster = new Poster();
  const deliver: Sink['deliver'] = async (batch, signal) => {
    const body = bodyOf(batch, now());
    const headers = signedHeaders(
      { id: idOf(batch), timestamp: Math.floor(now() / 1_000), body },
      secretsIn(await readSecret(secretFile), secretFile),
    );
    const ca = await readOptional(caFile);
    demandSuccess(await poster.post({ url, headers: { ...headers, 'content-type': 'application/json' }, body, ca }, signal));
  };
  return {
    limits,
    deliver,
    probe: (checkpoint, signal) => deliver({ events: [], checkpoint }, signal),
    close: () => Promise.resolve(poster.close()),
  };
}

/** The same for the same events, whenever they are sent; of none it is the checkpoint's. */
function idOf({ events, checkpoint }: Batch): string {
  const hash = createHash('sha256');
  if (events.length === 0) hash.update(checkpoint.note);
  for (const { id } of events) hash.update(`${id}\0`);
  return `msg_${hash.digest('hex').slice(0, 32)}`;
}

function bodyOf({ events, checkpoint: { size, note } }: Batch, at: number): string {
  const head = asciiJson({ type: 'chaperone.events', timestamp: new Date(at).toISOString() });
  return `${head.slice(0, -1)},"data":{"size":${size},"checkpoint":${asciiJson(note)},"events":[${events.map(({ text }) => text).join(',')}]}}`;
}

function secretsIn(text: string, path: string): Buffer[] {
  try {
    return parseWebhookSecrets(text);
  } catch (cause) {
    throw new SinkError('SinkSecretUnreadable', `${path} is not whsec_ and base64 of 24 to 64 bytes, on 1 to 4 lines`, { cause });
  }
}
