import { dirname, isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { CONTENTS } from './ocsf/subject.ts';

/** More receivers than anybody has. */
const MAX_SINKS = 16;
const file = z.string().min(1).max(1_024);
const text = z.string().min(1).max(255);
/** What is sent is evidence, and secrets go with it: over TLS alone, to an address without a secret in it. */
const https = z
  .url({ protocol: /^https$/, error: 'is not an address that begins with https://' })
  .max(2_048)
  .refine((url) => {
    const { username, password, hash } = new URL(url);
    return username === '' && password === '' && hash === '';
  }, 'has a user, a password or a fragment');
const address = z
  .string()
  .regex(/^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]{1,253}):\d{1,5}$/, 'is not HOST:PORT')
  .transform((said) => ({
    host: said.slice(0, said.lastIndexOf(':')).replace(/^\[|\]$/g, ''),
    port: Number(said.slice(said.lastIndexOf(':') + 1)),
  }))
  .refine(({ port }) => port > 0 && port < 65_536, 'has no such port');

const Syslog = z
  .strictObject({
    address,
    serverName: text.optional(),
    caFile: file.optional(),
    certificateFile: file.optional(),
    keyFile: file.optional(),
    /** 32473 is the number for examples (RFC 5612). */
    enterpriseId: z.int().min(1).max(4_294_967_295).default(32_473),
  })
  .refine(({ certificateFile, keyFile }) => (certificateFile === undefined) === (keyFile === undefined), {
    path: ['keyFile'],
    message: 'is there without the other of certificateFile and keyFile',
  });
const Splunk = z.strictObject({
  url: https.transform((url) => url.replace(/\/+$/, '')),
  tokenFile: file,
  caFile: file.optional(),
  index: text.optional(),
  sourcetype: text.default('chaperone:ocsf'),
  acknowledge: z.boolean().default(true),
});
const Otlp = z.strictObject({ url: https, headersFile: file.optional(), caFile: file.optional() });
const Webhook = z.strictObject({ url: https, secretFile: file, caFile: file.optional() });
const Nats = z.strictObject({
  servers: z
    .array(z.string().regex(/^tls:\/\/[A-Za-z0-9.\-[\]:]{1,260}$/, 'is not tls://HOST:PORT'))
    .min(1)
    .max(16),
  subject: z
    .string()
    .max(255)
    .regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/, 'is not a subject without wildcards'),
  credentialsFile: file.optional(),
  caFile: file.optional(),
});
const Bucket = z.strictObject({
  bucket: text,
  prefix: z
    .string()
    .max(200)
    .regex(/^([a-zA-Z0-9._-]+\/)*$/, 'does not end in "/"')
    .default(''),
  region: text,
  endpoint: https.optional(),
  pathStyle: z.boolean().default(false),
  format: z.enum(['ndjson', 'parquet']).default('ndjson'),
  credentialsFile: file.optional(),
  caFile: file.optional(),
});

const KINDS = { syslog: Syslog, splunk: Splunk, otlp: Otlp, webhook: Webhook, nats: Nats, s3: Bucket } as const;
export type SinkKind = keyof typeof KINDS;
const KIND_NAMES = Object.keys(KINDS) as SinkKind[];

export const SinkSettings = z
  .strictObject({
    /** Its cursor has this name: a sink under another one is new. */
    name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'is not a name of a-z, 0-9 and "-"'),
    content: z.enum(CONTENTS).default('commands'),
    start: z.enum(['beginning', 'now']).default('beginning'),
    /** Characters of one text. */
    maxText: z.int().min(64).max(65_536).default(8_192),
    syslog: Syslog.optional(),
    splunk: Splunk.optional(),
    otlp: Otlp.optional(),
    webhook: Webhook.optional(),
    nats: Nats.optional(),
    s3: Bucket.optional(),
  })
  .refine((sink) => kindsOf(sink).length === 1, `has not one of ${KIND_NAMES.join(', ')}`);
export type SinkSettings = z.infer<typeof SinkSettings>;

const SinksFile = z
  .strictObject({ sinks: z.array(SinkSettings).max(MAX_SINKS) })
  .refine(({ sinks }) => new Set(sinks.map(({ name }) => name)).size === sinks.length, {
    path: ['sinks'],
    message: 'has a name twice',
  });

function kindsOf(sink: object): SinkKind[] {
  return KIND_NAMES.filter((kind) => Object.hasOwn(sink, kind) && (sink as Record<string, unknown>)[kind] !== undefined);
}

export function kindOfSink(sink: SinkSettings): SinkKind {
  return kindsOf(sink)[0] ?? 'syslog';
}

/** The sinks cannot be read; its message names each field, and none of their values. */
export class SinksInvalid extends Error {
  override readonly name = 'SinksInvalid';
  readonly code = 'SinksInvalid';
}

/** What a file of sinks says, parsed as YAML or JSON before; `path` is where it stands, which relative paths in it start from. Throws SinksInvalid. */
export function parseSinks(said: unknown, path: string): SinkSettings[] {
  const parsed = SinksFile.safeParse(said);
  if (!parsed.success) {
    const faults = parsed.error.issues.slice(0, 10).map((issue) => `${pathText(issue.path)}: ${issue.message}`);
    throw new SinksInvalid(`${path}: ${faults.join('; ')}`);
  }
  const directory = dirname(path);
  return parsed.data.sinks.map((sink) => resolved(sink, directory) as SinkSettings);
}

function pathText(path: readonly PropertyKey[]): string {
  return (
    path.map((part, at) => (typeof part === 'number' ? `[${part}]` : `${at === 0 ? '' : '.'}${String(part)}`)).join('') || 'sinks'
  );
}

/** Every `…File` in it as an absolute path. */
function resolved(value: unknown, directory: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]: [string, unknown]) =>
      key.endsWith('File') && typeof each === 'string' && !isAbsolute(each)
        ? [key, join(directory, each)]
        : [key, resolved(each, directory)],
    ),
  );
}
