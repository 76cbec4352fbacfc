import { CIPHERS, type CipherName, MACS, type MacName, type Protection } from './ciphers.ts';
import { certified } from './cert.ts';
import { boolean, byte, names, Reader, uint32 } from './data.ts';
import { DISCONNECT, SshError } from './error.ts';
import { KEX, type KexName } from './kex.ts';
import { MESSAGE } from './messages.ts';

/** What one leg may agree on, best first. */
export interface AlgorithmSet {
  readonly kex: readonly KexName[];
  /** Signatures of host keys. With each, a certificate for such a key. */
  readonly hostKeys: readonly string[];
  readonly ciphers: readonly CipherName[];
  readonly macs: readonly MacName[];
}

/** Toward agents. Debian 12's and later clients, and every other one of the last ten years, find what they prefer. */
export const AGENT: AlgorithmSet = {
  kex: ['mlkem768x25519-sha256', 'curve25519-sha256', 'curve25519-sha256@libssh.org'],
  hostKeys: ['ssh-ed25519', 'rsa-sha2-512', 'rsa-sha2-256'],
  ciphers: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr', 'aes256-ctr'],
  macs: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com'],
};

/** Toward upstreams. Which host key is right is pinned, so ECDSA has a place here. */
export const UPSTREAM: AlgorithmSet = {
  ...AGENT,
  kex: [...AGENT.kex, 'ecdh-sha2-nistp256'],
  hostKeys: ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'rsa-sha2-512', 'rsa-sha2-256'],
};

/** Toward upstreams whose owner says that they are old: appliances, managed file transfer, dropbear. No SHA-1 and no CBC here either. */
export const UPSTREAM_LEGACY: AlgorithmSet = {
  ...UPSTREAM,
  kex: [...UPSTREAM.kex, 'diffie-hellman-group16-sha512', 'diffie-hellman-group14-sha256'],
  macs: [...UPSTREAM.macs, 'hmac-sha2-256', 'hmac-sha2-512'],
};

/** A value for each way that bytes go. */
export interface BothWays<T> {
  readonly clientToServer: T;
  readonly serverToClient: T;
}

/** SSH_MSG_KEXINIT (RFC 4253, section 7.1) without its cookie. */
export interface KexInit {
  readonly kex: readonly string[];
  readonly hostKeys: readonly string[];
  readonly ciphers: BothWays<readonly string[]>;
  readonly macs: BothWays<readonly string[]>;
  readonly compression: BothWays<readonly string[]>;
  /** Whether the sender's next message is its guess of what will be agreed on. */
  readonly guessFollows: boolean;
}

/** What two KEXINITs agree on. */
export interface Negotiated extends BothWays<Protection> {
  readonly kex: KexName;
  /** Of the host key's signature. */
  readonly hostKey: string;
}

const COOKIE_BYTES = 16;

/** Among the `kex` of a first KEXINIT, by role: what its sender understands. RFC 8308, section 2.1; OpenSSH's PROTOCOL, section 1.10. */
export const MARKERS = {
  client: { extInfo: 'ext-info-c', strict: 'kex-strict-c-v00@openssh.com' },
  server: { extInfo: 'ext-info-s', strict: 'kex-strict-s-v00@openssh.com' },
} as const;

/**
 * The KEXINIT that offers `set`.
 * @param hostKeys algorithms that there are keys for. @throws SshError when `set` has none of them
 * @param markers what is added in a connection's first
 */
export function offer(set: AlgorithmSet, hostKeys: readonly string[], markers: readonly string[]): KexInit {
  const usable = set.hostKeys.flatMap((name) => [certified(name), name]).filter((name) => hostKeys.includes(name));
  if (usable.length === 0) throw new SshError('no host key of a kind that may be used', DISCONNECT.hostKeyNotVerifiable);
  return {
    kex: [...set.kex, ...markers],
    hostKeys: usable,
    ciphers: bothWays(set.ciphers),
    macs: bothWays(set.macs),
    // Agents are in the same pod, and whoever asks for compression takes none, too: it would only cost time, and bounds.
    compression: bothWays(['none']),
    guessFollows: false,
  };
}

const bothWays = <T>(value: T): BothWays<T> => ({ clientToServer: value, serverToClient: value });

export function encodeKexInit(init: KexInit, cookie: Buffer): Buffer {
  const { ciphers, macs, compression } = init;
  const ways = [ciphers, macs, compression].flatMap((lists) => [lists.clientToServer, lists.serverToClient]);
  const lists = [init.kex, init.hostKeys, ...ways, [], []].map(names);
  return Buffer.concat([byte(MESSAGE.kexInit), cookie, ...lists, boolean(init.guessFollows), uint32(0)]);
}

/** @throws SshError */
export function parseKexInit(payload: Buffer): KexInit {
  const reader = new Reader(payload, 1 + COOKIE_BYTES);
  const both = () => ({ clientToServer: reader.names(), serverToClient: reader.names() });
  const init = { kex: reader.names(), hostKeys: reader.names(), ciphers: both(), macs: both(), compression: both() };
  both(); // Languages: nobody has any.
  const guessFollows = reader.boolean();
  reader.uint32(); // Reserved.
  reader.end();
  return { ...init, guessFollows };
}

/** RFC 4253, section 7.1: of each kind the client's first that the server has too. @throws SshError where there is none */
export function negotiate(client: KexInit, server: KexInit): Negotiated {
  const protection = (way: keyof BothWays<unknown>): Protection => {
    const cipher = choose('cipher', client.ciphers[way], server.ciphers[way], CIPHERS);
    choose('compression', client.compression[way], server.compression[way], { none: true });
    return CIPHERS[cipher].aead ? { cipher } : { cipher, mac: choose('MAC', client.macs[way], server.macs[way], MACS) };
  };
  const hostKeys = Object.fromEntries(server.hostKeys.map((name) => [name, true]));
  return {
    kex: choose('key exchange', client.kex, server.kex, KEX),
    hostKey: choose('host key', client.hostKeys, server.hostKeys, hostKeys),
    clientToServer: protection('clientToServer'),
    serverToClient: protection('serverToClient'),
  };
}

function choose<T extends string>(
  kind: string,
  client: readonly string[],
  server: readonly string[],
  known: Record<T, unknown>,
): T {
  const found = client.find((name): name is T => Object.hasOwn(known, name) && server.includes(name));
  if (found === undefined) throw new SshError(`no ${kind} that both sides have`, DISCONNECT.keyExchangeFailed);
  return found;
}

/** Whether a guess that follows a KEXINIT is one (RFC 4253, section 7.1): by the first choices, not by what was agreed on. */
export const guessedRight = (client: KexInit, server: KexInit): boolean =>
  client.kex[0] === server.kex[0] && client.hostKeys[0] === server.hostKeys[0];
