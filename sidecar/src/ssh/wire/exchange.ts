import { randomBytes } from 'node:crypto';
import {
  type AlgorithmSet,
  encodeKexInit,
  guessedRight,
  type KexInit,
  type Negotiated,
  negotiate,
  offer,
  parseKexInit,
} from './algorithms.ts';
import { createOpener, createSealer, type Keys, keyLengths, type Opener, type Protection, type Sealer } from './ciphers.ts';
import { byte, Reader, string } from './data.ts';
import { SshError } from './error.ts';
import { algorithmsFor, checkHost, type HostKeyCheck } from './host-key.ts';
import { type Agreed, deriveKey, hashExchange, type Idents, KEX, type Started } from './kex.ts';
import type { Signer } from './keys.ts';
import { kept } from '../../lent.ts';
import { MESSAGE } from './messages.ts';

/** Who one is, and how that is proved. */
export type Side =
  | { readonly role: 'server'; readonly hostKeys: readonly [Signer, ...Signer[]] }
  | { readonly role: 'client'; readonly hostKey: HostKeyCheck };

/** What both sides have agreed on and proved. */
export interface Finished {
  /** The server's last word; a client has none. */
  readonly reply: Buffer | undefined;
  readonly sessionId: Buffer;
  readonly negotiated: Negotiated;
  /** The server's key or certificate, as its blob. */
  readonly hostKey: Buffer;
  /** For what is sent behind NEWKEYS. */
  readonly sealer: Sealer;
  /** For what comes behind the other side's NEWKEYS. */
  readonly opener: Opener;
}

/** A KEXINIT of each side has come. */
interface Begun {
  readonly peerInit: Buffer;
  readonly idents: Idents;
  readonly negotiated: Negotiated;
  readonly started: Started | undefined;
}

/** One exchange of keys (RFC 4253, sections 7 and 8), from our KEXINIT to new keys. Messages in, messages out. */
export class Exchange {
  /** Our KEXINIT. */
  readonly init: Buffer;
  readonly #side: Side;
  readonly #offer: KexInit;
  #begun: Begun | undefined;
  /** Whether the next message is the other side's guess, and a wrong one. */
  #guess = false;

  /** @param markers what the first KEXINIT of a connection says beside. @throws SshError where `set` has no way to prove who the server is */
  constructor(side: Side, set: AlgorithmSet, markers: readonly string[]) {
    const hostKeys = side.role === 'server' ? side.hostKeys.flatMap((key) => key.algorithms) : algorithmsFor(side.hostKey, set);
    this.#side = side;
    this.#offer = offer(set, hostKeys, markers);
    this.init = encodeKexInit(this.#offer, randomBytes(16));
  }

  /**
   * @param payload the other side's KEXINIT
   * @returns what it offers, and the client's share
   * @throws SshError where nothing can be agreed on
   */
  begin(payload: Buffer, idents: Idents): { readonly peer: KexInit; readonly share: Buffer | undefined } {
    const peer = parseKexInit(payload);
    const [client, server] = this.#side.role === 'client' ? [this.#offer, peer] : [peer, this.#offer];
    const negotiated = negotiate(client, server);
    this.#guess = peer.guessFollows && !guessedRight(client, server);
    const started = this.#side.role === 'client' ? KEX[negotiated.kex].start() : undefined;
    this.#begun = { peerInit: Buffer.from(payload), idents, negotiated, started };
    return { peer, share: started && Buffer.concat([byte(MESSAGE.kexShare), string(started.share)]) };
  }

  /**
   * @param payload the other side's share
   * @param sessionId of the connection's first exchange; undefined in it
   * @returns undefined where it was a wrong guess, to be passed over
   * @throws SshError where it is no share, or the server is not the one that it should be
   */
  finish(payload: Buffer, sessionId: Buffer | undefined): Finished | undefined {
    if (this.#begun === undefined) throw new SshError('a share of a key exchange that has not begun');
    if (this.#guess) {
      this.#guess = false;
      return undefined;
    }
    return this.#side.role === 'server'
      ? this.#answer(this.#side.hostKeys, this.#begun, payload, sessionId)
      : this.#conclude(this.#side.hostKey, this.#begun, payload, sessionId);
  }

  #answer(hostKeys: readonly Signer[], begun: Begun, payload: Buffer, sessionId: Buffer | undefined): Finished {
    const { negotiated, peerInit: clientInit, idents } = begun;
    const reader = readerOf(payload, MESSAGE.kexShare);
    const clientShare = reader.string();
    reader.end();
    const { hash, answer } = KEX[negotiated.kex];
    const { share: serverShare, secret } = answer(clientShare);
    const signer = hostKeys.find(({ algorithms }) => algorithms.includes(negotiated.hostKey)) as Signer;
    const hostKey = signer.blob;
    const digest = hashExchange(hash, {
      idents,
      clientInit,
      serverInit: this.init,
      hostKey,
      clientShare,
      serverShare,
      secret,
    });
    const signature = signer.sign(negotiated.hostKey, digest);
    const reply = Buffer.concat([byte(MESSAGE.kexReply), ...[hostKey, serverShare, signature].map(string)]);
    return this.#finished({ hash, secret, exchangeHash: digest, sessionId: sessionId ?? digest }, { negotiated, hostKey, reply });
  }

  #conclude(check: HostKeyCheck, begun: Begun, payload: Buffer, sessionId: Buffer | undefined): Finished {
    const { negotiated, peerInit: serverInit, idents, started } = begun as Begun & { started: Started };
    const reader = readerOf(payload, MESSAGE.kexReply);
    const hostKey = kept(reader.string());
    const serverShare = reader.string();
    const signature = reader.string();
    reader.end();
    const { hash } = KEX[negotiated.kex];
    const secret = started.finish(serverShare);
    const digest = hashExchange(hash, {
      idents,
      clientInit: this.init,
      serverInit,
      hostKey,
      clientShare: started.share,
      serverShare,
      secret,
    });
    checkHost(check, { blob: hostKey, algorithm: negotiated.hostKey, exchangeHash: digest, signature });
    const agreed = { hash, secret, exchangeHash: digest, sessionId: sessionId ?? digest };
    return this.#finished(agreed, { negotiated, hostKey, reply: undefined });
  }

  #finished(agreed: Agreed, rest: Pick<Finished, 'negotiated' | 'hostKey' | 'reply'>): Finished {
    const { clientToServer, serverToClient } = rest.negotiated;
    // The letters of RFC 4253, section 7.2.
    const toServer = { protection: clientToServer, keys: keysOf(agreed, clientToServer, { iv: 'A', key: 'C', mac: 'E' }) };
    const toClient = { protection: serverToClient, keys: keysOf(agreed, serverToClient, { iv: 'B', key: 'D', mac: 'F' }) };
    const [out, back] = this.#side.role === 'client' ? [toServer, toClient] : [toClient, toServer];
    return {
      ...rest,
      sessionId: agreed.sessionId,
      sealer: createSealer(out.protection, out.keys),
      opener: createOpener(back.protection, back.keys),
    };
  }
}

function readerOf(payload: Buffer, type: number): Reader {
  const reader = new Reader(payload);
  if (reader.byte() !== type) throw new SshError('a message that has no place in this key exchange');
  return reader;
}

function keysOf(agreed: Agreed, protection: Protection, letters: { iv: string; key: string; mac: string }): Keys {
  const bytes = keyLengths(protection);
  return {
    iv: deriveKey(agreed, letters.iv, bytes.iv),
    key: deriveKey(agreed, letters.key, bytes.key),
    mac: deriveKey(agreed, letters.mac, bytes.mac),
  };
}
