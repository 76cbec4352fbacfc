import { certified, judgeCertificate, parseCertificate, plainAlgorithm } from './cert.ts';
import type { AlgorithmSet } from './algorithms.ts';
import { DISCONNECT, SshError } from './error.ts';
import { parsePublicKey, type PublicKey, verify } from './keys.ts';

/** How a server is known. There is no way to accept just any. */
export type HostKeyCheck =
  /** By its key: blobs, one of which it must hold. */
  | { readonly kind: 'pinned'; readonly keys: readonly [Buffer, ...Buffer[]] }
  /** By a certificate for the name `host`, good at `nowMs`, of an authority among these blobs. */
  | {
      readonly kind: 'certified';
      readonly authorities: readonly [Buffer, ...Buffer[]];
      readonly host: string;
      readonly nowMs: number;
    };

/** The algorithms that a server can pass `check` with. @throws SshError where a pinned blob is no key */
export function algorithmsFor(check: HostKeyCheck, set: AlgorithmSet): string[] {
  if (check.kind === 'certified') return set.hostKeys.map(certified);
  return check.keys.flatMap((blob) => parsePublicKey(blob).algorithms);
}

/** What a server shows as proof of who it is. */
export interface HostProof {
  readonly blob: Buffer;
  /** Negotiated. */
  readonly algorithm: string;
  readonly exchangeHash: Buffer;
  readonly signature: Buffer;
}

/** @throws SshError unless the server is the one that `check` is for */
export function checkHost(check: HostKeyCheck, { blob, algorithm, exchangeHash, signature }: HostProof): void {
  const key = check.kind === 'pinned' ? pinnedKey(check.keys, blob) : certifiedKey(check, blob);
  // A certificate's key signs under its own name.
  if (!verify(key, plainAlgorithm(algorithm) ?? algorithm, exchangeHash, signature))
    throw refused('the host did not prove that it holds its key');
}

function pinnedKey(keys: readonly Buffer[], blob: Buffer): PublicKey {
  if (!keys.some((key) => key.equals(blob))) throw refused('the host key is none of those expected');
  return parsePublicKey(blob);
}

function certifiedKey(check: HostKeyCheck & { kind: 'certified' }, blob: Buffer): PublicKey {
  const certificate = parseCertificate(blob);
  const { authorities, host, nowMs } = check;
  const verdict = judgeCertificate(certificate, { kind: 'host', authorities, principal: host, nowMs });
  if (verdict.kind === 'refused') throw refused(`the host's certificate is refused: ${verdict.refusal}`);
  return certificate.key;
}

const refused = (message: string): SshError => new SshError(message, DISCONNECT.hostKeyNotVerifiable);
