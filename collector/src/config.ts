import { readFileSync } from 'node:fs';
import { parseDuration, UnitError } from '@chaperone/api';
import { z } from 'zod';
import { OidcEnvironment, oidcSettings, type OidcSettings } from './console/oidc/settings.ts';
import { SamlEnvironment, samlSettings, type SamlSettings } from './console/saml/settings.ts';
import type { PostgresSettings } from './evidence-index/postgres.ts';
import { PostgresEnvironment, postgresSettings } from './evidence-index/settings.ts';
import type { S3Settings } from './objects/s3-store.ts';
import { S3Environment, s3Settings } from './objects/settings.ts';
import type { RetentionClasses } from './orders/retention.ts';
import { parseSinks, SinksInvalid, type SinkSettings } from './sinks/settings.ts';

const Path = z.string().min(1);
const Listen = z
  .string()
  .regex(/^.+:\d{1,5}$/)
  .transform((text) => ({ host: text.slice(0, text.lastIndexOf(':')), port: Number(text.slice(text.lastIndexOf(':') + 1)) }));

/** Nobody means less, and nothing is erased by a mistake in a unit. */
const MIN_RETENTION_MS = 60_000;
const Life = z.string().transform((text, context) => {
  try {
    const life = parseDuration(text);
    if (life >= MIN_RETENTION_MS) return life;
  } catch (error) {
    if (!(error instanceof UnitError)) throw error;
  }
  context.addIssue('is not a time of at least a minute');
  return z.NEVER;
});
const RetentionTimes = z
  .string()
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      context.addIssue('is not JSON');
      return z.NEVER;
    }
  })
  .pipe(z.record(z.string().min(1).max(64), Life));

/** Longer than storing a batch of 16 MiB takes on a slow disk. */
const ACK_WAIT_MS = 15_000;

/**
 * The collector's settings, each an environment variable. Files are read at start; keys and credentials come as files only.
 * CHAPERONE_ENROLMENT_KEYS is a file with a JSON array of raw Ed25519 public keys (base64url), as ConfigMap chaperone-trust has it.
 */
const Environment = z.object({
  CHAPERONE_DATA: Path,
  CHAPERONE_ORIGIN: z.string().min(1).max(253),
  CHAPERONE_ENROLMENT_KEYS: Path,
  CHAPERONE_LISTEN: Listen.default({ host: '0.0.0.0', port: 8443 }),
  CHAPERONE_TLS_CERTIFICATE: Path,
  CHAPERONE_TLS_KEY: Path,
  CHAPERONE_NATS_SERVERS: z.string().min(1),
  /** A NATS credentials file (JWT and seed); read again at every connect. */
  CHAPERONE_NATS_CREDENTIALS: Path.optional(),
  CHAPERONE_NATS_CA: Path.optional(),
  /** The key that signs the log's checkpoints: 32 bytes in base64. Default: log.seed in the directory. */
  CHAPERONE_LOG_KEY_FILE: Path.optional(),
  /** A checkpoint that the log has to go on from. */
  CHAPERONE_LOG_SINCE: z
    .string()
    .max(65_536)
    .transform((note) => Buffer.from(note))
    .optional(),
  /** Who cosigns checkpoints, and how many must: lines `witness`, `group` and `quorum` of a C2SP tlog-policy. */
  CHAPERONE_LOG_WITNESSES: z.string().max(65_536).optional(),
  CHAPERONE_LOG_WITNESS_SECONDS: z.coerce.number().int().min(1).max(3600).default(5),
  /** Unwrap the data keys of sessions: a key a line, 32 bytes in base64, the newest first. Default: reader.key in the directory. */
  CHAPERONE_READER_KEY_FILE: Path.optional(),
  /** How long sessions of a class are kept, as JSON: {"default": "400d"}; `minimum` is a floor for all. Default: for ever. */
  CHAPERONE_RETENTION: RetentionTimes.default({}),
  /** A file of JSON: where events go. Secrets in it are files beside. Default: nowhere. */
  CHAPERONE_SINKS: Path.optional(),
  /** Where the operator keeps what pods counted; absent: nowhere. */
  CHAPERONE_NAMESPACE: z.string().min(1).max(63).optional(),
  CHAPERONE_STREAM_REPLICAS: z.coerce.number().int().min(1).max(5).default(1),
  CHAPERONE_STREAM_MAX_AGE_HOURS: z.coerce.number().min(1).default(168),
  CHAPERONE_STREAM_MAX_BYTES: z.coerce.number().int().min(-1).default(-1),
});

const EnrolmentKeys = z.array(z.base64url().length(43)).min(1).max(64);

export interface CollectorConfig {
  /** Holds the objects where `s3` does not, and the index where `postgres` does not. */
  readonly directory: string;
  readonly s3?: S3Settings;
  readonly postgres?: PostgresSettings;
  readonly logKeyFile?: string;
  readonly since: Buffer | undefined;
  readonly witnesses?: { readonly lines: string; readonly intervalMs: number };
  readonly readerKeyFile?: string;
  readonly retention: RetentionClasses;
  readonly sinks: readonly SinkSettings[];
  readonly namespace: string | undefined;
  readonly trust: { readonly origin: string; readonly enrolmentKeys: readonly string[] };
  readonly listen: { readonly host: string; readonly port: number };
  readonly tls: { readonly certificate: string; readonly key: string };
  /** Who signs people in to the console, one of them; without it nobody is. */
  readonly oidc?: OidcSettings;
  readonly saml?: SamlSettings;
  /** With `tls` no broker is spoken to that does not speak TLS, whatever it says of itself. */
  readonly nats: {
    readonly servers: readonly string[];
    readonly credentials?: string;
    readonly tls?: { readonly caFile?: string };
  };
  readonly stream: {
    readonly replicas: number;
    readonly maxAgeMs: number;
    readonly maxBytes: number;
    readonly ackWaitMs: number;
  };
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'ConfigurationInvalid';
}

/** Reads the settings; throws ConfigError that names every variable that is missing or cannot be read. */
export function readConfig(environment: Record<string, string | undefined>): CollectorConfig {
  const parsed = Environment.safeParse(environment);
  const issues = [...(parsed.error?.issues ?? [])];
  /** The settings that a variable asks for; undefined where it is not there. */
  const asked = <T>(variable: string, schema: z.ZodType<T>): T | undefined => {
    if (environment[variable] === undefined) return undefined;
    const found = schema.safeParse(environment);
    issues.push(...(found.error?.issues ?? []));
    return found.data;
  };
  const oidc = asked('CHAPERONE_OIDC_ISSUER_URL', OidcEnvironment);
  const saml = asked('CHAPERONE_SAML_ENTRY_POINT', SamlEnvironment);
  const s3 = asked('CHAPERONE_S3_BUCKET', S3Environment);
  const index = asked('CHAPERONE_INDEX_URL_FILE', PostgresEnvironment);
  const found = parsed.data;
  if (found === undefined || issues.length > 0) {
    const names = issues.map((issue) => String(issue.path[0]));
    throw new ConfigError(`missing or malformed: ${[...new Set(names)].join(', ')}`);
  }
  if (oidc !== undefined && saml !== undefined)
    throw new ConfigError('people sign in by one of CHAPERONE_OIDC_ISSUER_URL and CHAPERONE_SAML_ENTRY_POINT');
  const enrolmentKeys = readEnrolmentKeys(found.CHAPERONE_ENROLMENT_KEYS);
  return {
    directory: found.CHAPERONE_DATA,
    ...(s3 === undefined ? {} : { s3: s3Settings(s3) }),
    ...(found.CHAPERONE_LOG_KEY_FILE === undefined ? {} : { logKeyFile: found.CHAPERONE_LOG_KEY_FILE }),
    since: found.CHAPERONE_LOG_SINCE,
    ...(found.CHAPERONE_LOG_WITNESSES === undefined
      ? {}
      : {
          witnesses: { lines: found.CHAPERONE_LOG_WITNESSES, intervalMs: found.CHAPERONE_LOG_WITNESS_SECONDS * 1_000 },
        }),
    ...(found.CHAPERONE_READER_KEY_FILE === undefined ? {} : { readerKeyFile: found.CHAPERONE_READER_KEY_FILE }),
    ...(index === undefined ? {} : { postgres: readPostgres(index) }),
    retention: found.CHAPERONE_RETENTION,
    sinks: readSinks(found.CHAPERONE_SINKS),
    namespace: found.CHAPERONE_NAMESPACE,
    trust: { origin: found.CHAPERONE_ORIGIN, enrolmentKeys },
    listen: found.CHAPERONE_LISTEN,
    tls: { certificate: found.CHAPERONE_TLS_CERTIFICATE, key: found.CHAPERONE_TLS_KEY },
    ...(oidc === undefined ? {} : { oidc: oidcSettings(oidc) }),
    ...(saml === undefined ? {} : { saml: samlSettings(saml) }),
    nats: natsSettings(found),
    stream: {
      replicas: found.CHAPERONE_STREAM_REPLICAS,
      maxAgeMs: found.CHAPERONE_STREAM_MAX_AGE_HOURS * 3_600_000,
      maxBytes: found.CHAPERONE_STREAM_MAX_BYTES,
      ackWaitMs: ACK_WAIT_MS,
    },
  };
}

type NatsEnvironment = Pick<
  z.infer<typeof Environment>,
  'CHAPERONE_NATS_SERVERS' | 'CHAPERONE_NATS_CREDENTIALS' | 'CHAPERONE_NATS_CA'
>;

function natsSettings({
  CHAPERONE_NATS_SERVERS: list,
  CHAPERONE_NATS_CREDENTIALS: credentials,
  CHAPERONE_NATS_CA: caFile,
}: NatsEnvironment): CollectorConfig['nats'] {
  const servers = list.split(',');
  const isTls = caFile !== undefined || servers.some((server) => server.startsWith('tls://'));
  return {
    servers,
    ...(credentials === undefined ? {} : { credentials }),
    ...(isTls ? { tls: caFile === undefined ? {} : { caFile } } : {}),
  };
}

function readSinks(file: string | undefined): readonly SinkSettings[] {
  if (file === undefined) return [];
  try {
    return parseSinks(JSON.parse(readFileSync(file, 'utf8')), file);
  } catch (cause) {
    const why = cause instanceof SinksInvalid ? cause.message : 'the file of CHAPERONE_SINKS is not JSON';
    throw new ConfigError(why, { cause });
  }
}

function readPostgres(found: z.infer<typeof PostgresEnvironment>): PostgresSettings {
  try {
    return postgresSettings(found);
  } catch (cause) {
    throw new ConfigError(cause instanceof Error ? cause.message : 'the settings of the index cannot be read', { cause });
  }
}

function readEnrolmentKeys(file: string): readonly string[] {
  try {
    return EnrolmentKeys.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    throw new ConfigError('the file of CHAPERONE_ENROLMENT_KEYS is not a JSON array of keys', { cause: error });
  }
}
