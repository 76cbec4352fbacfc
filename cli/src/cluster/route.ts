import type { ClientRequest, OutgoingHttpHeaders } from 'node:http';
import { CliError, EXIT } from '../errors.ts';
import { seconds } from './api-server.ts';
import { TunnelError } from './tunnel.ts';

export interface Sending {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
  /** For silence, in milliseconds. */
  readonly timeout?: number;
}

/** A way to the collector; it checks who answers there before it sends anything. */
export interface Route extends Disposable {
  /** The header Host of each request. */
  readonly host: string;
  /** Begins a request; its body, where it has one, is for the caller to write. */
  request(sending: Sending): ClientRequest;
  /** Told that a connection broke before it answered. */
  lost(connection: object): void;
  /** Why the collector could not be spoken to, as CollectorUnreachable. `what` says what was tried. */
  unreachable(error: unknown, what?: string): CliError;
}

/** The other side is connected and silent. */
export function noAnswer(timeoutMs: number): TunnelError {
  return new TunnelError('Silent', `no answer in ${seconds(timeoutMs)}`);
}

export function unreachable(error: unknown, { said, fix }: { said: string; fix: readonly string[] }): CliError {
  if (error instanceof CliError) return error;
  return new CliError('CollectorUnreachable', said, { cause: error, exit: EXIT.unreachable, fix });
}

/** Whether TLS ended because the other side is not who it has to be: asking again changes nothing. */
export function isNotTrusted(error: unknown): boolean {
  return /CERT|SIGNATURE|ISSUER|ALTNAME|CHAIN|SELF_SIGNED/.test(codeOf(error));
}

/** What broke, in a few words; `trusted` says which certificate would have been right. */
export function reasonOf(error: unknown, trusted: string): string {
  if (error instanceof TunnelError) return error.message;
  return isNotTrusted(error)
    ? `its certificate is not the one ${trusted} (${codeOf(error)})`
    : `the connection broke (${codeOf(error)})`;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}
