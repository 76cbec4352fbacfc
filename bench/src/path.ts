/** One way to the same database. */
export interface Path {
  readonly name: 'direct' | 'pgbouncer' | 'chaperone' | 'sidecar' | 'bare relay' | 'framing relay';
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Undefined: the client is not asked for one. */
  readonly password: string | undefined;
  /** PEM: the client itself speaks TLS, verify-full. Undefined: plain. */
  readonly ca: string | undefined;
  /** The process in between, if any. */
  readonly pid: number | undefined;
}
