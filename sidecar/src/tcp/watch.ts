import type { GrantedResource } from '@chaperone/policy';
import { DialError } from '../capture/dial.ts';
import { errorCode } from '../capture/missing-family.ts';
import type { Observation } from '../control/control-plane.ts';
import { addressOf, ownerText, type UpstreamFailureCode } from '../control/owner-text.ts';
import type { Clock } from '../platform.ts';
import { ProofError } from './proof.ts';

/** The operator forgets what it heard when the resource changes, so the same is told again after this time. */
const REPEAT_MS = 30_000;
/** Why OpenSSL refused a chain; every other code is of the socket or of TLS itself. */
const VERIFIER = /^(CERT|CRL|UNABLE|DEPTH|SELF|INVALID|PATH|ERROR_IN)_[A-Z0-9_]{1,60}$/;

/** Tells the owners of tcp resources how their upstreams are found. One for all sessions of a sidecar. */
export interface Watch {
  /** The upstream has proven its name and is connected to. */
  reached(resource: GrantedResource): void;
  /** It could not be connected to, or did not prove that it is `serverName`. */
  failed(resource: GrantedResource, serverName: string, error: unknown): void;
  /** A host of SSH has let us in, or why not. */
  signedIn(
    resource: GrantedResource,
    failure: { readonly code: UpstreamFailureCode; readonly message: string } | undefined,
  ): void;
}

export function createWatch({ clock, report }: { clock: Clock; report: (observation: Observation) => void }): Watch {
  const told = new Map<string, { reason: Observation['reason']; since: number; at: number }>();
  const tell = (resource: GrantedResource, reason: Observation['reason'], message: (since: number) => string): void => {
    const { namespace, name } = resource.access.resource;
    const key = `${namespace}/${name}`;
    const before = told.get(key);
    const same = before?.reason === reason;
    const at = clock.monotonic();
    if (same && at - before.at < REPEAT_MS) return;
    const since = same ? before.since : clock.now();
    told.set(key, { reason, since, at });
    const status = reason === 'UpstreamReachable' ? 'True' : 'False';
    report({ resource: { namespace, name }, type: 'Reachable', status, reason, message: message(since) });
  };
  return {
    reached: (resource) => tell(resource, 'UpstreamReachable', () => `${addressOf(resource.upstream)} answers`),
    signedIn: (resource, failure) => {
      if (failure === undefined) return tell(resource, 'UpstreamReachable', () => `${addressOf(resource.upstream)} answers`);
      const { host, port } = resource.upstream;
      const { username } = resource.credentials ?? {};
      return tell(resource, failure.code, (since) =>
        ownerText(failure.code, { host, port, since, username, detail: failure.message }),
      );
    },
    failed: (resource, serverName, error) => {
      const { host, port, tls } = resource.upstream;
      const { code, ...seen } = classify(error);
      const known = { ...seen, address: seen.address === host ? undefined : seen.address, ownCa: tls.ca !== undefined };
      tell(resource, code, (since) => ownerText(code, { host, port, since, serverName, ...known }));
    },
  };
}

interface Seen {
  readonly code: UpstreamFailureCode;
  readonly detail: string;
  readonly address?: string | undefined;
  readonly verifier?: string;
  readonly issuer?: string | undefined;
}

function classify(error: unknown): Seen {
  if (error instanceof DialError) return { code: error.code, detail: error.message };
  const detail = 'the upstream cannot be reached';
  if (error instanceof ProofError) {
    const why = errorCode(error.cause);
    if (why === 'ERR_TLS_CERT_ALTNAME_INVALID') return { code: 'TLSNameMismatch', detail };
    return VERIFIER.test(why)
      ? { code: 'TLSUntrusted', detail, verifier: why, issuer: error.issuer }
      : { code: 'TLSFailed', detail };
  }
  if (errorCode(error) !== 'ECONNREFUSED') return { code: 'UpstreamUnreachable', detail };
  return { code: 'UpstreamRefused', detail, address: (error as { address?: string }).address };
}
