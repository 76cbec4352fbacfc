import { hash } from 'node:crypto';
import type { ObjectStore } from '../../objects/index.ts';
import type { S3Settings } from '../../objects/s3-store.ts';
import { SinkError } from '../errors.ts';
import type { Batch, Sink } from '../sink.ts';
import { readOptional } from './files.ts';

export interface BucketSettings {
  readonly bucket: string;
  readonly prefix: string;
  readonly region: string;
  readonly endpoint?: string | undefined;
  readonly pathStyle: boolean;
  readonly format: 'ndjson' | 'parquet';
  /** As Amazon's tools read it. Default: where they look for themselves. */
  readonly credentialsFile?: string | undefined;
  readonly caFile?: string | undefined;
}

/** Few and large: whoever reads objects pays for each. */
const LIMITS = { events: 10_000, bytes: 4_000_000 };
const LINGER_MS = 60_000;
/** Digits of the numbers of entries, so that names sort as entries do. */
const DIGITS = 12;

/** Hex digits of the SHA-256 of what is stored: nobody makes an object of 128 bits of it ahead. */
const DIGEST_DIGITS = 32;

/**
 * Objects of NDJSON or Parquet, `YYYY/MM/DD/FIRST-LAST.DIGEST.ndjson` or `….parquet` by the events in them, and beside each new checkpoint `checkpoints/SIZE.DIGEST`. What
 * was stored under a name stays: the same events again are the same object. Where an object ends a batch, its bytes were seen to be these:
 * somebody who writes into the bucket could else have put another one there, and the batch would count as delivered.
 */
export function openBucket(settings: BucketSettings, now: () => number, limits = LIMITS, lingerMs = LINGER_MS): Sink {
  let store: ObjectStore | undefined;
  const opened = async (): Promise<ObjectStore> => {
    if (store !== undefined) return store;
    const { credentialsFile, caFile, endpoint, format: _, ...rest } = settings;
    const [credentials, ca] = await Promise.all([readOptional(credentialsFile), readOptional(caFile)]);
    const s3: S3Settings = {
      ...rest,
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(credentials === undefined ? {} : { credentials: credentialsIn(credentials, credentialsFile ?? '') }),
      ...(ca === undefined ? {} : { ca }),
    };
    // Amazon's client is in the process of nobody who has no bucket.
    const { S3Store } = await import('../../objects/s3-store.ts');
    store = await S3Store.open(s3);
    return store;
  };
  const close = (): void => {
    store?.close();
    store = undefined;
  };
  return {
    limits,
    lingerMs,
    async deliver(batch) {
      try {
        const bucket = await opened();
        const { events, checkpoint } = batch;
        const place = { store: bucket, at: now() };
        await put(nameOf(batch, now()), `.${settings.format}`, await FORMATS[settings.format](events), place);
        await put(`checkpoints/${String(checkpoint.size).padStart(DIGITS, '0')}`, '', Buffer.from(checkpoint.note), place);
      } catch (error) {
        // Credentials may be others by then.
        close();
        throw error;
      }
    },
    close: () => Promise.resolve(close()),
  };
}

const FORMATS: Readonly<Record<BucketSettings['format'], (events: Batch['events']) => Buffer | Promise<Buffer>>> = {
  ndjson: (events) => Buffer.from(`${events.map(({ text }) => text).join('\n')}\n`),
  // Likewise its encoder.
  parquet: async (events) => (await import('./parquet.ts')).encodeParquet(events),
};

/** Stores bytes under a name with their digest in it. Rejects with SinkError SinkMisconfigured where something else stands there. */
async function put(
  stem: string,
  suffix: string,
  bytes: Buffer,
  { store, at }: { readonly store: ObjectStore; readonly at: number },
): Promise<void> {
  const name = `${stem}.${hash('sha256', bytes, 'hex').slice(0, DIGEST_DIGITS)}${suffix}`;
  if ((await store.create(name, bytes, at)) === 'created') return;
  const found = await store.get(name);
  if (!found?.bytes.equals(bytes)) throw new SinkError('SinkMisconfigured', `${name} is there and is another one`);
}

function nameOf({ events }: Batch, at: number): string {
  const [first, last] = [events[0], events.at(-1)].map((event) => {
    const [leaf = '', ...rest] = event?.id.slice(event.id.lastIndexOf('#') + 1).split('.') ?? [];
    return [leaf.padStart(DIGITS, '0'), ...rest].join('.');
  });
  return `${new Date(at).toISOString().slice(0, 10).replaceAll('-', '/')}/${first}-${last}`;
}

function credentialsIn(text: string, path: string): NonNullable<S3Settings['credentials']> {
  const said = (name: string): string | undefined => new RegExp(`^\\s*${name}\\s*=\\s*(\\S+)\\s*$`, 'm').exec(text)?.[1];
  const [accessKeyId, secretAccessKey, sessionToken] = ['aws_access_key_id', 'aws_secret_access_key', 'aws_session_token'].map(
    said,
  );
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw new SinkError('SinkSecretUnreadable', `${path} has no aws_access_key_id and aws_secret_access_key`);
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}
