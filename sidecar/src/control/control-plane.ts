import type { Code } from '@chaperone/api';
import type { Snapshot } from '@chaperone/policy';
import type { Approvals } from './approvals.ts';

/** Where policy and credentials come from: the operator in a cluster, manifest files in embedded mode. */
export interface ControlPlane {
  /** The snapshot in force, or undefined before the first one and after it became stale (PolicyStale). */
  current(): Snapshot | undefined;
  /** Called with every new snapshot, the first included. */
  onSnapshot(listener: (snapshot: Snapshot) => void): void;
  /** Called when sessions that are open must end (right withdrawn, pod deleted, stale for too long). */
  onRevoke(listener: (revoked: Revoked) => void): void;
  /** Tells that a session is over which a revocation named. Absent: nobody wants to know. */
  closed?(session: string): void;
  /** Tells what this sidecar saw of a resource at the upstream (condition Reachable, UpstreamSuitable, CredentialsAvailable). */
  report(observation: Observation): void;
  /** Where people are asked about what a rule holds. */
  readonly approvals: Approvals;
  /** Private key (PEM, PKCS#8) that belongs to snapshot.certificate; made in this process, never sent. */
  readonly tlsKey: string;
  stop(): Promise<void>;
}

export interface Revoked {
  readonly code: 'SessionEnded' | 'PolicyStale' | 'ResourceNotReady';
  /** Its agent reads it. */
  readonly reason: string;
  /** Undefined: all of them. */
  readonly session?: string | undefined;
  /** The person who ends it, for its record alone. */
  readonly by?: string | undefined;
}

export interface Observation {
  readonly resource: { namespace: string; name: string };
  readonly type: 'Reachable' | 'UpstreamSuitable' | 'CredentialsAvailable';
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: Code;
  readonly message: string;
}
