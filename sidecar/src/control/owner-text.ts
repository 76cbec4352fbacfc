import { visible } from '@chaperone/api/text';
import { UNNAMED_SECRET } from '@chaperone/policy';

/**
 * What is known about a failure at an upstream. Goes into the status of the ProtectedResource, which its owner reads and agents do
 * not; what agents are told names none of it.
 */
export interface UpstreamFailure {
  readonly host: string;
  readonly port: number;
  /** Since when every try has failed in this way, milliseconds of the epoch. */
  readonly since: number;
  /** The bare sentence that the agent's side has. */
  readonly detail: string;
  readonly username?: string | undefined;
  readonly database?: string | undefined;
  /** The address that was dialled, where it is known and not the host itself. */
  readonly address?: string | undefined;
  /** What the server gave as its reason. */
  readonly sqlstate?: string | undefined;
  /** Whether spec.upstream.tls.caRef names an authority; the system's are used otherwise. */
  readonly ownCa?: boolean;
  /** Why a certificate was refused, the server's or ours, as OpenSSL names it. */
  readonly verifier?: string | undefined;
  /** Who signed the certificate, as it says; the server chose it. */
  readonly issuer?: string | undefined;
  /** The name that the certificate should be for, and those that it is for (`DNS:a, IP Address:b`). */
  readonly serverName?: string | undefined;
  readonly certificateNames?: string | undefined;
}

type Text = (failure: UpstreamFailure) => string;
/** host:port, as the resource writes it. */
export const addressOf = ({ host, port }: { readonly host: string; readonly port: number }): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;
const since: Text = (failure) => `${new Date(failure.since).toISOString().slice(11, 19)} UTC`;
const coded = (code: string | undefined): string => (code === undefined ? '' : ` (${code})`);
/** A token has no user name. */
const user: Text = ({ username = '' }) => (username === '' ? 'the credential' : `user ${shown(username)}`);
const MAX_NAME = 63;
const MAX_NAMES = 3;

/** Names as people write them are shown so; whatever could be mistaken for a part of the sentence is quoted. */
function shown(name: string): string {
  return /^[\w.@-]{1,63}$/.test(name) ? name : JSON.stringify(name.slice(0, MAX_NAME));
}

/** The names of a certificate that have the form of one; the server chose them. */
function namesIn({ certificateNames = '' }: UpstreamFailure): string[] {
  const names = [...certificateNames.matchAll(/(?:^|, )(?:DNS|IP Address):([A-Za-z0-9*._:-]{1,253})(?=,|$)/g)].map(
    ([, name = '']) => name,
  );
  return names.slice(0, MAX_NAMES);
}

/** A sentence for each failure, by its code: it begins with its subject and ends with the change to make. */
const TEXTS = {
  UpstreamNotFound: ({ host }) => `${host} has no address; change spec.upstream.address`,
  UpstreamForbidden: (f) => `${addressOf(f)} is not dialled: ${f.detail}; change spec.upstream.address`,
  UpstreamRefused: (f) =>
    `${addressOf(f)}${coded(f.address)} refuses connections since ${since(f)}; is the server running, does a NetworkPolicy allow Chaperone?`,
  UpstreamUnreachable: (f) =>
    `${addressOf(f)} cannot be reached since ${since(f)}: ${f.detail}; check spec.upstream.address and the network between`,
  UpstreamTimeout: (f) =>
    `${addressOf(f)} does not answer in time since ${since(f)}; see how busy it is, and the network between`,
  UpstreamViolation: (f) =>
    `what answers at ${addressOf(f)} does not speak the protocol of PostgreSQL; check spec.upstream.address`,
  TLSUnavailable: (f) => `${addressOf(f)} offers no TLS; turn it on there or set spec.upstream.tls.mode: disable`,
  TLSUntrusted: (f) => {
    const certificate = `the certificate of ${addressOf(f)}`;
    if (f.verifier === 'CERT_HAS_EXPIRED') return `${certificate} has expired; renew it there`;
    const signer = f.issuer === undefined ? undefined : `"${visible(f.issuer, MAX_NAME).replaceAll('"', "'")}"`;
    if (f.ownCa === true) {
      const by = signer === undefined ? 'an authority that' : `${signer}, which`;
      return `${certificate} is signed by ${by} spec.upstream.tls.caRef does not contain${coded(f.verifier)}; put it there`;
    }
    const by = signer === undefined ? 'no authority of the system' : `${signer}, which is no authority of the system`;
    return `${certificate} is signed by ${by}${coded(f.verifier)}; name the one that signed it in spec.upstream.tls.caRef`;
  },
  TLSNameMismatch: (f) => {
    const names = namesIn(f);
    const usable = names.find((name) => !name.includes('*'));
    const are = names.length === 0 ? 'another name' : names.map((name) => `"${name}"`).join(', ');
    const fix = usable === undefined ? 'renew it for that name' : `set spec.upstream.tls.serverName: ${usable} or renew it`;
    return `${addressOf(f)} shows a certificate for ${are}, not "${f.serverName ?? f.host}"; ${fix}`;
  },
  TLSFailed: (f) => `TLS with ${addressOf(f)} failed; does the server speak TLS 1.2 or later?`,
  HostKeyMismatch: (f) =>
    `${addressOf(f)} does not show a host key that spec.ssh names; find out why before anything else, then put the one of ssh-keyscan there`,
  UpstreamAuthUnsupported: (f) =>
    `${addressOf(f)} asks for another proof than spec.postgres.authentication names; set scram-sha-256 or cert for ${user(f)} in pg_hba.conf, or name what it asks for`,
  UpstreamNotAuthentic: (f) =>
    `what answers at ${addressOf(f)} does not know the password that it asked for; find out who answers before anything else`,
  CredentialsRejected: (f) =>
    `${addressOf(f)} refused ${user(f)} at ${since(f)}${coded(f.sqlstate ?? f.verifier)}; update ${UNNAMED_SECRET}, the next session tries it`,
  UpstreamDatabaseMissing: (f) => `${addressOf(f)} has no database ${shown(f.database ?? '')}; change spec.postgres.database`,
  UpstreamBusy: (f) =>
    `${addressOf(f)} has no connection free for ${user(f)}${coded(f.sqlstate)}; raise the limit there or run fewer agents`,
  UpstreamLoginRefused: (f) =>
    `${addressOf(f)} refused the sign-in of ${user(f)} at ${since(f)} (${f.sqlstate ?? f.detail}); see its log`,
} as const satisfies Readonly<Record<string, Text>>;

export type UpstreamFailureCode = keyof typeof TEXTS;

/** The owner's sentence about a failure. Names in it are bounded and have no control characters; it holds no credential. */
export function ownerText(code: UpstreamFailureCode, failure: UpstreamFailure): string {
  return TEXTS[code](failure);
}
