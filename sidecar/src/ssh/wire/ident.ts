import { DISCONNECT, SshError } from './error.ts';

/** Clients send eow@openssh.com (OpenSSH's PROTOCOL, section 2.1) only to who says that it is OpenSSH. */
export const IDENT = 'SSH-2.0-OpenSSH_9.9 Chaperone';

/** Bytes that may come until the identification has ended, lines before it included. */
const MAX_BYTES = 8 * 1024;
/** With CR and LF (RFC 4253, section 4.2). */
const MAX_LINE = 255;
const PREFIX = 'SSH-';
const LF = 0x0a;
const NOTHING = Buffer.alloc(0);

/** Finds the other side's identification, `SSH-2.0-…`, in what comes first (RFC 4253, section 4.2). */
export class IdentReader {
  readonly #ofServer: boolean;
  #held: Buffer = NOTHING;
  #seen = 0;

  /** @param ofServer whether a server speaks: it may send other lines before, and may speak version 1 as well (1.99, section 5.1) */
  constructor(ofServer: boolean) {
    this.#ofServer = ofServer;
  }

  /**
   * @returns the line without CR and LF, and what follows it; undefined when more bytes are needed
   * @throws SshError where no SSH 2.0 is spoken
   */
  read(chunk: Buffer): { readonly ident: string; readonly rest: Buffer } | undefined {
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    for (;;) {
      const end = rest.indexOf(LF);
      this.#check(end < 0 ? rest : rest.subarray(0, end + 1));
      if (end < 0) {
        this.#held = Buffer.from(rest);
        return undefined;
      }
      const line = rest.subarray(0, end + 1).toString('latin1');
      rest = rest.subarray(end + 1);
      this.#seen += line.length;
      if (line.startsWith(PREFIX)) return { ident: this.#identOf(line), rest };
    }
  }

  /** Nothing waits for the end of a line that can no longer become right. */
  #check(line: Buffer): void {
    if (this.#seen + line.length > MAX_BYTES) throw foreign('no identification where it should be');
    if (this.#ofServer) return;
    const start = line.subarray(0, PREFIX.length).toString('latin1');
    if (!PREFIX.startsWith(start) || line.length > MAX_LINE) throw foreign('what comes first is no identification');
  }

  #identOf(line: string): string {
    const ident = line.replace(/\r?\n$/, '');
    const version = /^SSH-([^-]*)-[\x20-\x7e]+$/.exec(ident)?.[1];
    if (line.length > MAX_LINE || version === undefined) throw foreign('an identification that cannot be');
    if (version !== '2.0' && !(this.#ofServer && version === '1.99')) throw foreign('a version of SSH that is not 2.0');
    return ident;
  }
}

const foreign = (message: string): SshError => new SshError(message, DISCONNECT.protocolVersionNotSupported);
