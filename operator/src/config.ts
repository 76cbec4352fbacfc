import { MAX_RECIPIENTS, NO_WITNESSES, orUndefined, parseRecipient } from '@chaperone/evidence';
import { readTracing, type TracingConfig } from '@chaperone/policy/tracing';
import { z } from 'zod';
import { AddressBook } from './addresses/address-book.ts';
import { DecideConfig } from './decide/config.ts';
import { CAPTURE_MODES, type CaptureMode } from './injection/profile.ts';
import type { LogConfig } from './nats/log-policy.ts';
import { NetworkConfig } from './networks/policy.ts';
import { NotifyConfig } from './notify/config.ts';
import { VaultConfig } from './vault/config.ts';

const MINUTE_MS = 60_000;
const deviceList = z.array(z.string().regex(/^[a-z0-9.-]{1,253}\/[A-Za-z0-9._-]{1,63}$/)).max(64);
const hostPatterns = z.record(z.string().max(63), z.array(z.string().regex(/^[a-z0-9*.-]{1,253}$/)).max(256));

/** What one operator process is told, all of it by its environment. */
const Environment = z.object({
  POD_NAME: z.string().min(1),
  POD_UID: z.string().min(1),
  POD_IP: z.union([z.ipv4(), z.ipv6()]),
  POD_NAMESPACE: z.string().min(1).max(63),
  CHAPERONE_CLUSTER_NAME: z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,98}[a-z0-9])?$/),
  CHAPERONE_IMAGE: z.string().min(1).max(512),
  CHAPERONE_IMAGE_PULL_POLICY: z.enum(['Always', 'IfNotPresent', 'Never']).default('IfNotPresent'),
  /** Who writes the rules of pods in namespaces that do not say it themselves. */
  CHAPERONE_CAPTURE_MODE: z.enum(CAPTURE_MODES).default('pod'),
  CHAPERONE_SIDECAR_UID: z.coerce.number().int().min(1).default(24_601),
  CHAPERONE_SIDECAR_CPU_REQUEST: z.string().max(32).default('10m'),
  CHAPERONE_SIDECAR_MEMORY_REQUEST: z.string().max(32).default('64Mi'),
  CHAPERONE_SIDECAR_MEMORY_LIMIT: z.string().max(32).default('384Mi'),
  CHAPERONE_SIDECAR_READINESS_PROBE: z.enum(['true', 'false']).default('true'),
  /** JSON: extended resources that agents may ask for. */
  CHAPERONE_DEVICES: z.string().max(8192).default('[]'),
  /** Addresses and CIDRs, comma-separated, that no sidecar ever dials, beside those that the operator finds out. */
  CHAPERONE_FORBIDDEN_RANGES: z
    .string()
    .regex(/^[0-9a-fA-F:.,/]*$/)
    .max(8192)
    .default(''),
  CHAPERONE_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  CHAPERONE_SERVICE: z.string().max(63).default('chaperone-operator'),
  CHAPERONE_WEBHOOK_SERVICE: z.string().max(63).default('chaperone-webhook'),
  CHAPERONE_NATS_URL: z.string().min(1).max(1024),
  /** Whether the broker is the chart's own: its certificate is then by the cluster's CA. */
  CHAPERONE_NATS_INSTALLED: z.enum(['true', 'false']).default('false'),
  CHAPERONE_NATS_CA_FILE: z.string().optional(),
  /** Of the collector, which is asked what it has; absent: nothing is compared. */
  CHAPERONE_COLLECTOR_URL: z
    .url({ protocol: /^https$/ })
    .max(1024)
    .optional(),
  /** NAME/KEY of the Secret with the key of the log, where somebody else keeps it. */
  CHAPERONE_LOG_KEY_SECRET: z
    .string()
    .regex(/^[a-z0-9.-]{1,253}\/[A-Za-z0-9._-]{1,253}$/)
    .optional(),
  /** What a C2SP tlog-policy says of witnesses: lines `witness`, `group` and `quorum`. */
  CHAPERONE_LOG_WITNESSES: z.string().max(65_536).default(NO_WITNESSES),
  /** Recipients of sessions' keys beside the collector, comma-separated. */
  CHAPERONE_RECIPIENTS: z.string().max(8192).default(''),
  CHAPERONE_ADDRESSES_IPV4: z.string().default('240.240.0.0/16'),
  CHAPERONE_ADDRESSES_IPV6: z.string().default('2001:2::/48'),
  /** JSON: namespace → host patterns that it may claim; the namespace `*` stands for all. */
  CHAPERONE_HOST_PATTERNS: z.string().max(65_536).default('{}'),
  /** JSON: webhooks and Slack, by {@link NotifyConfig}. */
  CHAPERONE_NOTIFY: z.string().max(65_536).default('{}'),
  /** JSON: NetworkPolicies of governed namespaces, by {@link NetworkConfig}; absent: none is written. */
  CHAPERONE_NETWORK_POLICY: z.string().max(65_536).optional(),
  CHAPERONE_SLACK_SERVICE: z.string().max(63).default('chaperone-slack'),
  CHAPERONE_SLACK_PORT: z.coerce.number().int().min(0).max(65_535).default(8444),
  /** JSON: the page where people decide with a signature, by {@link DecideConfig}; absent: there is none. */
  CHAPERONE_DECIDE: z.string().max(65_536).optional(),
  /** JSON: where credentials are kept beside Secrets, by {@link VaultConfig}; absent: nowhere. */
  CHAPERONE_VAULT: z.string().max(262_144).optional(),
  CHAPERONE_DECIDE_SERVICE: z.string().max(63).default('chaperone-decide'),
  CHAPERONE_DECIDE_PORT: z.coerce.number().int().min(0).max(65_535).default(8445),
  CHAPERONE_VALID_FOR_MINUTES: z.coerce.number().int().min(1).max(60).default(15),
  CHAPERONE_SIDECAR_PORT: z.coerce.number().int().min(0).max(65_535).default(8443),
  CHAPERONE_WEBHOOK_PORT: z.coerce.number().int().min(0).max(65_535).default(9443),
  CHAPERONE_HEALTH_PORT: z.coerce.number().int().min(0).max(65_535).default(8080),
});

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'ConfigurationInvalid';
}

export interface Config {
  readonly pod: { readonly name: string; readonly uid: string; readonly ip: string };
  readonly namespace: string;
  readonly clusterName: string;
  readonly services: Readonly<Record<'sidecars' | 'webhook' | 'slack' | 'decide', string>>;
  readonly ports: Readonly<Record<'sidecars' | 'webhook' | 'health' | 'slack' | 'decide', number>>;
  readonly nats: { readonly url: string; readonly installed: boolean; readonly caFile: string | undefined };
  readonly collectorUrl: string | undefined;
  /** Who reads what is recorded beside the collector, as the evidence package names recipients. */
  readonly recipients: readonly string[];
  readonly log: LogConfig;
  readonly ranges: { readonly ipv4: string; readonly ipv6: string };
  readonly hostPatterns: Readonly<Record<string, readonly string[]>>;
  readonly notify: NotifyConfig;
  readonly networks: NetworkConfig | undefined;
  readonly decide: DecideConfig | undefined;
  readonly vault: VaultConfig | undefined;
  readonly captureMode: CaptureMode;
  readonly devices: readonly string[];
  readonly forbiddenRanges: readonly string[];
  readonly validForMs: number;
  /** Undefined: nothing is traced. */
  readonly tracing: TracingConfig | undefined;
  readonly injection: {
    readonly image: string;
    readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
    readonly uid: number;
    readonly resources: { readonly cpuRequest: string; readonly memoryRequest: string; readonly memoryLimit: string };
    readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
    readonly readinessProbe: boolean;
    readonly tracing: TracingConfig | undefined;
  };
}

/** Reads and checks the environment. Throws ConfigError naming every variable that is wrong, without its value. */
export function parseConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const parsed = Environment.safeParse(environment);
  if (!parsed.success) {
    throw new ConfigError(parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
  }
  const env = parsed.data;
  const ranges = { ipv4: env.CHAPERONE_ADDRESSES_IPV4, ipv6: env.CHAPERONE_ADDRESSES_IPV6 };
  try {
    void new AddressBook(ranges);
  } catch (error) {
    throw new ConfigError(`CHAPERONE_ADDRESSES: ${(error as Error).message}`, { cause: error });
  }
  return {
    pod: { name: env.POD_NAME, uid: env.POD_UID, ip: env.POD_IP },
    namespace: env.POD_NAMESPACE,
    clusterName: env.CHAPERONE_CLUSTER_NAME,
    services: {
      sidecars: env.CHAPERONE_SERVICE,
      webhook: env.CHAPERONE_WEBHOOK_SERVICE,
      slack: env.CHAPERONE_SLACK_SERVICE,
      decide: env.CHAPERONE_DECIDE_SERVICE,
    },
    ports: {
      sidecars: env.CHAPERONE_SIDECAR_PORT,
      webhook: env.CHAPERONE_WEBHOOK_PORT,
      health: env.CHAPERONE_HEALTH_PORT,
      slack: env.CHAPERONE_SLACK_PORT,
      decide: env.CHAPERONE_DECIDE_PORT,
    },
    nats: { url: env.CHAPERONE_NATS_URL, installed: env.CHAPERONE_NATS_INSTALLED === 'true', caFile: env.CHAPERONE_NATS_CA_FILE },
    collectorUrl: env.CHAPERONE_COLLECTOR_URL,
    recipients: recipientsIn(env.CHAPERONE_RECIPIENTS),
    log: { keySecret: secretOf(env.CHAPERONE_LOG_KEY_SECRET), witnesses: env.CHAPERONE_LOG_WITNESSES },
    ranges,
    hostPatterns: parseJson(
      'CHAPERONE_HOST_PATTERNS',
      env.CHAPERONE_HOST_PATTERNS,
      hostPatterns,
      'an object of lists of host patterns',
    ),
    notify: parseJson('CHAPERONE_NOTIFY', env.CHAPERONE_NOTIFY, NotifyConfig, 'webhooks and Slack as the chart writes them'),
    networks:
      env.CHAPERONE_NETWORK_POLICY === undefined
        ? undefined
        : parseJson('CHAPERONE_NETWORK_POLICY', env.CHAPERONE_NETWORK_POLICY, NetworkConfig, 'ways out as the chart writes them'),
    decide:
      env.CHAPERONE_DECIDE === undefined
        ? undefined
        : parseJson('CHAPERONE_DECIDE', env.CHAPERONE_DECIDE, DecideConfig, 'the page as the chart writes it'),
    vault:
      env.CHAPERONE_VAULT === undefined
        ? undefined
        : parseJson('CHAPERONE_VAULT', env.CHAPERONE_VAULT, VaultConfig, 'Vault as the chart writes it'),
    captureMode: env.CHAPERONE_CAPTURE_MODE,
    devices: parseJson('CHAPERONE_DEVICES', env.CHAPERONE_DEVICES, deviceList, 'a list of extended resources'),
    forbiddenRanges: env.CHAPERONE_FORBIDDEN_RANGES.split(',').filter((range) => range !== ''),
    validForMs: env.CHAPERONE_VALID_FOR_MINUTES * MINUTE_MS,
    tracing: tracingIn(environment),
    injection: {
      image: env.CHAPERONE_IMAGE,
      imagePullPolicy: env.CHAPERONE_IMAGE_PULL_POLICY,
      uid: env.CHAPERONE_SIDECAR_UID,
      resources: {
        cpuRequest: env.CHAPERONE_SIDECAR_CPU_REQUEST,
        memoryRequest: env.CHAPERONE_SIDECAR_MEMORY_REQUEST,
        memoryLimit: env.CHAPERONE_SIDECAR_MEMORY_LIMIT,
      },
      logLevel: env.CHAPERONE_LOG_LEVEL,
      readinessProbe: env.CHAPERONE_SIDECAR_READINESS_PROBE === 'true',
      tracing: tracingIn(environment),
    },
  };
}

/** Throws ConfigError; a public key is no secret, and is not said all the same. */
function recipientsIn(text: string): string[] {
  const names = text.split(',').filter((name) => name !== '');
  const wrong = names.findIndex((name) => orUndefined(() => parseRecipient(name)) === undefined);
  if (wrong >= 0) throw new ConfigError(`CHAPERONE_RECIPIENTS: number ${wrong + 1} is not x25519: or rsa-oaep: and a public key`);
  if (names.length >= MAX_RECIPIENTS)
    throw new ConfigError(
      `CHAPERONE_RECIPIENTS: there are more than ${MAX_RECIPIENTS - 1}, which with the collector is as many as a key is wrapped to`,
    );
  return names;
}

function tracingIn(environment: Readonly<Record<string, string | undefined>>): TracingConfig | undefined {
  try {
    return readTracing(environment);
  } catch (error) {
    throw new ConfigError((error as Error).message, { cause: error });
  }
}

function secretOf(text: string | undefined): LogConfig['keySecret'] {
  const [name, key] = text?.split('/') ?? [];
  return name === undefined || key === undefined ? undefined : { name, key };
}

function parseJson<T>(name: string, text: string, schema: z.ZodType<T>, wanted: string): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw new ConfigError(`${name}: not ${wanted} in JSON`, { cause: error });
  }
}
