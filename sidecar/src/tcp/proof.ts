import { createHash } from 'node:crypto';
import { connect as connectTls } from 'node:tls';
import { connectTo, DialError } from '../capture/dial.ts';
import { issuerOf } from '../capture/issuer.ts';
import { closeSoon } from './splice.ts';
import type { Clock } from '../platform.ts';

/** How long a proof is believed: a name's address may get another owner, but not within minutes. */
export const PROOF_TTL_MS = 5 * 60_000;
const MAX_PROOFS = 1_024;

/** Why an address was not accepted for a name. */
export class ProofError extends Error {
  override readonly name = 'ProofError';
  readonly code = 'TLSUntrusted';
  /** Who signed the certificate that was refused, as it says, for the owner of the resource. */
  readonly issuer: string | undefined;
  constructor(message: string, options: ErrorOptions & { issuer?: string | undefined } = {}) {
    super(message, options);
    this.issuer = options.issuer;
  }
}

export interface Claim {
  readonly address: string;
  readonly port: number;
  readonly serverName: string;
  /** PEM; absent: the system's roots. */
  readonly ca?: string | undefined;
}

/** Remembers which addresses have shown a certificate for a name. One for all sessions of a sidecar. */
export interface Proofs {
  /**
   * Resolves once a TLS handshake of our own at this address ended with a valid certificate for the name, now or within the
   * last {@link PROOF_TTL_MS}. Failures are not remembered.
   * @throws ProofError, DialError
   */
  prove(claim: Claim, signal: AbortSignal): Promise<void>;
}

export function createProofs({ clock }: { clock: Clock }): Proofs {
  const provenAt = new Map<string, number>();
  return {
    prove: async (claim, signal) => {
      const key = keyOf(claim);
      const before = provenAt.get(key);
      if (before !== undefined && clock.monotonic() - before < PROOF_TTL_MS) return;
      provenAt.delete(key);
      const startedAt = clock.monotonic();
      await handshake(claim, signal);
      const oldest = provenAt.size < MAX_PROOFS ? undefined : provenAt.keys().next().value;
      if (oldest !== undefined) provenAt.delete(oldest);
      provenAt.set(key, startedAt);
    },
  };
}

function keyOf({ address, port, serverName, ca = '' }: Claim): string {
  return `${address} ${port} ${serverName} ${createHash('sha256').update(ca).digest('hex')}`;
}

async function handshake({ address, port, serverName, ca }: Claim, signal: AbortSignal): Promise<void> {
  const socket = await connectTo(address, port, signal);
  try {
    await new Promise<void>((resolve, reject) => {
      const secured = connectTls({
        socket,
        servername: serverName,
        rejectUnauthorized: true,
        minVersion: 'TLSv1.2',
        ...(ca === undefined ? {} : { ca }),
      });
      const issuer = issuerOf(secured);
      const abort = (): void => reject(new DialError('UpstreamTimeout', 'the upstream did not finish its TLS handshake in time'));
      signal.addEventListener('abort', abort, { once: true });
      const untrusted = (cause?: unknown): void =>
        reject(new ProofError('the upstream shows no valid certificate for the name', { cause, issuer: issuer() }));
      secured.on('error', untrusted);
      secured.on('close', () => untrusted());
      secured.on('secureConnect', () => {
        secured.end();
        resolve();
      });
    });
  } finally {
    closeSoon(socket);
  }
}
