import { isResolved } from '../actions/files.ts';
import { uint32 } from '../wire/data.ts';
import { PacketStream, packet, SFTP_VERSION, STATUS, TYPE } from '../wire/sftp.ts';
import { parseVersion } from '../wire/sftp-response.ts';
import { SftpPaths } from './sftp-paths.ts';
import { SftpUpstream } from './sftp-upstream.ts';

export interface Place {
  /** Absolute. */
  readonly path: string;
  /** false: there is no such directory, and the path is as it reads. */
  readonly canBe: boolean;
  /** The path as it reads, absolute. */
  readonly written: string;
  /** What it goes through beside: {@link detoursOf} it. */
  readonly detours: readonly string[];
}

/** Where a path leads; undefined: nobody can say. */
export type Resolve = (path: string) => Promise<Place | undefined>;

export const nobodyCanSay: Resolve = () => Promise.resolve(undefined);

/** For servers that cannot be asked: a path is what it reads, links or not. */
export function asWritten(text: string): Promise<Place | undefined> {
  const path = trimmed(text);
  return Promise.resolve(isResolved(path) ? { path, canBe: true, written: path, detours: [] } : undefined);
}

/** Whether REALPATH of a server follows links, by what it calls itself: OpenSSH's does. */
export function followsLinks(ident: string): boolean {
  return /^SSH-2[.]0-OpenSSH/.test(ident);
}

/** Without the slashes behind it. */
export function trimmed(path: string): string {
  return path.replace(/(?<=.)\/+$/, '');
}

/**
 * Asks a server where paths lead, by an SFTP channel of its own: for copies by scp, whose own protocol cannot ask. It owns no socket and
 * no clock.
 */
export class PathLookup {
  readonly #upstream: SftpUpstream;
  readonly #paths: SftpPaths;
  readonly #packets = new PacketStream();
  #hasVersion = false;

  /**
   * @param toServer - what goes to the channel
   * @param resolvesLinks - as of {@link SftpPaths}
   */
  constructor(toServer: (bytes: Buffer) => void, resolvesLinks: boolean) {
    this.#upstream = new SftpUpstream(toServer);
    this.#paths = new SftpPaths(this.#upstream, resolvesLinks);
    toServer(packet(TYPE.init, uint32(SFTP_VERSION)));
  }

  /** @throws SshError when the server breaks the protocol: nothing more is answered */
  fromServer(chunk: Buffer): void {
    this.#packets.push(chunk);
    for (let next = this.#packets.next(); next; next = this.#packets.next()) {
      if (this.#hasVersion) this.#upstream.receive(next);
      else parseVersion(next);
      this.#hasVersion = true;
    }
  }

  /** Where a path leads, its last link followed; undefined: the server does not say. It stays open when the channel ends first. */
  async resolve(path: string): Promise<Place | undefined> {
    const resolved = await this.#paths.resolve(path, 'target');
    const written = await this.#paths.lexical(path);
    const detours = await this.#paths.detours(path);
    if ('path' in resolved) return { path: resolved.path, canBe: true, written, detours };
    const isNowhere = 'failed' in resolved && resolved.failed.code === STATUS.noSuchFile;
    return isNowhere ? { path: written, canBe: false, written, detours } : undefined;
  }
}
