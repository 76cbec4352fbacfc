import { jetstream } from '@nats-io/jetstream';
import { connect, credsAuthenticator, headers as natsHeaders, type NatsConnection } from '@nats-io/transport-node';
import { SinkError, type SinkErrorCode } from '../errors.ts';
import type { Batch, Sink } from '../sink.ts';
import { readOptional } from './files.ts';

export interface NatsSettings {
  /** tls://HOST:PORT each. */
  readonly servers: readonly string[];
  readonly subject: string;
  readonly credentialsFile?: string | undefined;
  readonly caFile?: string | undefined;
}

const LIMITS = { events: 500, bytes: 1_000_000 };
const TIMEOUT_MS = 10_000;

/** Of the client's and the server's words, what they mean here; others are a matter of time. */
const CAUSES: readonly (readonly [RegExp, SinkErrorCode, string])[] = [
  [/payload.*(?:exceeded|maximum)|message size exceeds/i, 'SinkRefused', 'the message is too large'],
  [/no responders|no stream/i, 'SinkMisconfigured', 'no stream takes the subject'],
  [/authori[sz]ation|permissions? violation|authentication/i, 'SinkUnauthorized', 'the broker lets us not publish'],
  [/timeout|timed out/i, 'SinkUnconfirmed', 'no acknowledgement in time'],
  [/insufficient|maximum (?:bytes|messages)/i, 'SinkBusy', 'the stream is full'],
];

/**
 * One message an event on a subject of NATS, confirmed by the stream that takes it (JetStream); `Nats-Msg-Id` is the event's id, by which the
 * stream drops repeats. The last message of a batch has the checkpoint as a header, in base64.
 */
export function openNats({ servers, subject, credentialsFile, caFile }: NatsSettings, limits = LIMITS): Sink {
  let open: NatsConnection | undefined;
  const connection = async (): Promise<NatsConnection> => {
    if (open !== undefined && !open.isClosed()) return open;
    const [credentials, ca] = await Promise.all([readOptional(credentialsFile), readOptional(caFile)]);
    open = await connect({
      servers: [...servers],
      name: 'chaperone-sink',
      timeout: TIMEOUT_MS,
      // A failed batch is tried on a connection of its own, with credentials as they are then.
      reconnect: false,
      tls: ca === undefined ? {} : { ca },
      ...(credentials === undefined ? {} : { authenticator: credsAuthenticator(Buffer.from(credentials)) }),
    });
    return open;
  };
  const close = async (): Promise<void> => {
    const closing = open;
    open = undefined;
    await closing?.close().catch(() => undefined);
  };
  return {
    limits,
    async deliver(batch) {
      try {
        const client = jetstream(await connection(), { timeout: TIMEOUT_MS });
        await published(batch, (id, text, headers) => client.publish(subject, text, { msgID: id, headers, retries: 0 }));
      } catch (error) {
        await close();
        throw causeOf(error);
      }
    },
    close,
  };
}

/** All at once, in their order; rejects with the first that is not confirmed when each was or was not. */
async function published(
  { events, checkpoint }: Batch,
  publish: (id: string, text: string, headers: ReturnType<typeof natsHeaders>) => Promise<unknown>,
): Promise<void> {
  const last = events.at(-1);
  const results = await Promise.allSettled(
    events.map((event) => {
      const headers = natsHeaders();
      headers.set('Content-Type', 'application/json');
      if (event === last) headers.set('Chaperone-Checkpoint', Buffer.from(checkpoint.note).toString('base64'));
      return publish(event.id, event.text, headers);
    }),
  );
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

function causeOf(error: unknown): unknown {
  if (error instanceof SinkError || !(error instanceof Error)) return error;
  const [, code, message] = CAUSES.find(([words]) => words.test(`${error.name} ${error.message}`)) ?? [];
  return code === undefined ? error : new SinkError(code, message ?? code, { cause: error });
}
