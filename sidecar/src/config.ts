import { readTracing, type TracingConfig } from '@chaperone/policy/tracing';
import { blockListOf, parseCidr } from './capture/rules.ts';

/** What a sidecar in a cluster is told by its pod's environment, which injection writes and admission compares. */
export interface SidecarConfig {
  /** `https://host:port`. */
  readonly operatorUrl: string;
  /** PEM. */
  readonly operatorCa: string;
  readonly tokenFile: string;
  readonly runDirectory: string;
  readonly spoolDirectory: string;
  /** Where the agent's containers have `known_hosts` from. */
  readonly sshDirectory: string;
  readonly ranges: { readonly ipv4: string; readonly ipv6: string };
  readonly dnsPort: number;
  readonly denyPort: number;
  readonly probePort: number;
  /** From which the sidecar looks at its own capture. */
  readonly selfPort: number;
  /** Addresses and CIDRs that are never dialled: node, Chaperone itself. */
  readonly forbidden: readonly string[];
  /** Of the API server: dialled by sessions of its protocol alone. */
  readonly apiServer: readonly string[];
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** Whose sidecar it is; undefined where nobody says. */
  readonly pod: { readonly namespace: string | undefined; readonly name: string | undefined; readonly uid: string | undefined };
  /** Undefined: nothing is traced. */
  readonly tracing: TracingConfig | undefined;
}

/** Every mistake in the environment, one per line; names variables and never their values. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'ConfigurationInvalid';
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/** @throws ConfigError with all mistakes at once. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): SidecarConfig {
  const mistakes: string[] = [];
  const value = <T>(name: string, fallback: string | undefined, read: (text: string) => T | undefined, wanted: string): T => {
    const text = env[name] ?? fallback;
    const result = text === undefined || text === '' ? undefined : attempt(() => read(text));
    if (result === undefined) mistakes.push(`${name} ${text === undefined || text === '' ? 'is missing' : `is not ${wanted}`}`);
    return result as T;
  };
  const config: SidecarConfig = {
    operatorUrl: value('CHAPERONE_OPERATOR', undefined, readAddress, 'host:port'),
    operatorCa: value('CHAPERONE_OPERATOR_CA', undefined, readPem, 'a PEM certificate'),
    tokenFile: value('CHAPERONE_TOKEN_FILE', '/var/run/secrets/chaperone/token', readPath, 'an absolute path'),
    runDirectory: value('CHAPERONE_RUN_DIRECTORY', '/run/chaperone', readPath, 'an absolute path'),
    spoolDirectory: value('CHAPERONE_SPOOL_DIRECTORY', '/var/lib/chaperone/spool', readPath, 'an absolute path'),
    sshDirectory: value('CHAPERONE_SSH_DIRECTORY', '/run/chaperone-ssh', readPath, 'an absolute path'),
    ranges: {
      ipv4: value('CHAPERONE_IPV4_RANGE', '240.240.0.0/16', (text) => parseCidr(text, 4) && text, 'an IPv4 range'),
      ipv6: value('CHAPERONE_IPV6_RANGE', '2001:2::/48', (text) => parseCidr(text, 6) && text, 'an IPv6 range'),
    },
    dnsPort: value('CHAPERONE_DNS_PORT', '15053', readPort, 'a port'),
    denyPort: value('CHAPERONE_DENY_PORT', '15001', readPort, 'a port'),
    probePort: value('CHAPERONE_PROBE_PORT', '15021', readPort, 'a port'),
    selfPort: value('CHAPERONE_SELF_PORT', '15011', readPort, 'a port'),
    forbidden: [
      value('NODE_ADDRESSES', ',', readRanges, 'a list of addresses'),
      value('CHAPERONE_FORBIDDEN_RANGES', ',', readRanges, 'a list of addresses and ranges'),
    ].flat(),
    apiServer: value('KUBERNETES_SERVICE_HOST', ',', readRanges, 'an address'),
    pod: { namespace: env['POD_NAMESPACE'], name: env['POD_NAME'], uid: env['POD_UID'] },
    tracing: attemptTracing(env, mistakes),
    logLevel: value('CHAPERONE_LOG_LEVEL', 'info', (text) => LEVELS.find((level) => level === text), LEVELS.join(', ')),
  };
  if (mistakes.length > 0) throw new ConfigError(mistakes.join('\n'));
  return config;
}

function attemptTracing(env: Readonly<Record<string, string | undefined>>, mistakes: string[]): TracingConfig | undefined {
  try {
    return readTracing(env);
  } catch (error) {
    mistakes.push(error instanceof Error ? error.message : 'tracing cannot be read');
    return undefined;
  }
}

function attempt<T>(read: () => T | undefined): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function readAddress(text: string): string | undefined {
  return /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}$/.test(text) ? new URL(`https://${text}`).origin : undefined;
}

function readPem(text: string): string | undefined {
  return text.includes('-----BEGIN CERTIFICATE-----') ? text : undefined;
}

function readPath(text: string): string | undefined {
  return text.startsWith('/') ? text : undefined;
}

function readPort(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}

function readRanges(text: string): string[] {
  const list = text.split(',').filter((part) => part !== '');
  blockListOf(list);
  return list;
}
