import type { Transfer } from '../actions/index.ts';
import { SshError } from '../wire/error.ts';

/** Of all rules together, as they come. */
const MAX_BYTES = 64 * 1024;
/** PATH_MAX of Linux, and what stands in front of a path. */
const MAX_RULE = 4_096 + 16;
const NUMBER_BYTES = 4;
const NOTHING = Buffer.alloc(0);
/** The first version in which rules say what they are. */
const LEAST_VERSION = 29;
/** What a frame of data has in front of its length (MPLEX_BASE of rsync's io.c). */
const DATA = 7;
/**
 * Rules that hold their pattern themselves, as clients write them (rsync(1), "filter rules in depth"): a file of rules (`.` and `:`) is one
 * of the host, whichever the agent names, and so is the account's that `C` adds.
 */
const OWN = /^(!$|[+-][/!srpx]{0,8}[ _]|[PRHS][/!rpx]{0,8}[ _])/;

/**
 * The filter rules that an agent's rsync sends to the host's before anything else, by version 29 of its protocol:
 *
 *     version | length, rule | length, rule | … | 0        numbers have 32 bits, the least byte first
 *
 * The host's would read any file that a rule names, and tell the lines of it by what it leaves out, and by what it complains of.
 * None goes on before all of them were looked at.
 */
export class RsyncRules {
  readonly #isFramed: boolean;
  readonly #held: Buffer[] = [];
  #bytes = 0;
  readonly #head = Buffer.alloc(NUMBER_BYTES);
  #headFilled = 0;
  #frameLeft = 0;
  #at: 'version' | 'length' | 'rule' | 'over' = 'version';
  /** Of what is expected, what came. */
  #part = Buffer.alloc(NUMBER_BYTES);
  #filled = 0;

  /** @param rules - how they come */
  constructor(rules: NonNullable<Transfer['rules']>) {
    this.#isFramed = rules === 'framed';
  }

  /**
   * What of a chunk, and of those before it, goes on; empty while that is not known. The version goes ahead, since it is waited for.
   * @throws SshError where there is a rule that may not be, or what comes is none
   */
  push(chunk: Buffer): Buffer {
    if (this.#at === 'over') return chunk;
    if (this.#at === 'version') return this.#version(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_BYTES) throw new SshError('it has more filter rules than are read');
    this.#held.push(Buffer.from(chunk));
    for (const byte of chunk) if (this.#isContent(byte) && this.#isLast(byte)) return this.#release();
    return NOTHING;
  }

  #version(chunk: Buffer): Buffer {
    const copied = chunk.copy(this.#part, this.#filled);
    this.#filled += copied;
    if (this.#filled < this.#part.length) return NOTHING;
    const version = this.#part;
    if (version.readUInt32LE() < LEAST_VERSION) throw new SshError('its version of rsync is too old');
    this.#expect('length', NUMBER_BYTES);
    return Buffer.concat([version, this.push(chunk.subarray(copied))]);
  }

  #release(): Buffer {
    this.#at = 'over';
    return Buffer.concat(this.#held.splice(0));
  }

  /** Whether a byte is none of a frame's head. */
  #isContent(byte: number): boolean {
    if (!this.#isFramed) return true;
    if (this.#frameLeft > 0) {
      this.#frameLeft--;
      return true;
    }
    this.#head[this.#headFilled++] = byte;
    if (this.#headFilled < this.#head.length) return false;
    if (byte !== DATA) throw new SshError('what comes before its filter rules is not known');
    this.#headFilled = 0;
    this.#frameLeft = this.#head.readUIntLE(0, 3);
    return false;
  }

  /** Whether it ends the rules. */
  #isLast(byte: number): boolean {
    this.#part[this.#filled++] = byte;
    if (this.#filled < this.#part.length) return false;
    if (this.#at === 'rule') {
      this.#look(this.#part.toString('latin1'));
      this.#expect('length', NUMBER_BYTES);
      return false;
    }
    const length = this.#part.readUInt32LE();
    if (length > MAX_RULE) throw new SshError('a filter rule is longer than paths can be');
    if (length > 0) this.#expect('rule', length);
    return length === 0;
  }

  #expect(what: 'length' | 'rule', bytes: number): void {
    this.#at = what;
    this.#part = Buffer.alloc(bytes);
    this.#filled = 0;
  }

  #look(rule: string): void {
    if (!OWN.test(rule)) throw new SshError('a filter rule of rsync may name a file of the host, which is read');
  }
}
