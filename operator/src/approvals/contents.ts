import type { AccessRequest } from '@chaperone/api';
import { cutWords, isOpen, showsWhatItMeets } from '@chaperone/api/requests';
import type { RequestContent } from '@chaperone/policy';

/** Of all requests together: a small part of what the operator may use. One has what one message has at most. */
const MAX_BYTES = 16 * 1024 * 1024;
/** Of which it is remembered that they had to give way. */
const MAX_DISPLACED = 1000;

/**
 * What approvers may see beside a request: in memory only, while the request is open and this replica leads. Where there is no more
 * room the oldest gives way.
 */
export class Contents {
  readonly #maxBytes: number;
  /** JSON by UID of the request. */
  readonly #kept = new Map<string, Buffer>();
  readonly #displaced = new Set<string>();
  #bytes = 0;

  constructor(maxBytes = MAX_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  keep(uid: string, content: RequestContent): void {
    this.forget(uid);
    const bytes = Buffer.from(JSON.stringify(content));
    this.#kept.set(uid, bytes);
    this.#bytes += bytes.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#displace(oldest);
    }
  }

  forget(uid: string): void {
    this.#bytes -= this.#kept.get(uid)?.length ?? 0;
    this.#kept.delete(uid);
    this.#displaced.delete(uid);
  }

  /** What there is of a request as it is now; a sentence: why it is not there any more; undefined: there never was anything. */
  of(request: AccessRequest): RequestContent | string | undefined {
    const { metadata, status } = request;
    const { uid = '' } = metadata;
    if (!isOpen(status?.state)) return 'what it meets and its whole text went when the request was over';
    const kept = this.#kept.get(uid);
    if (kept !== undefined) return JSON.parse(kept.toString('utf8')) as RequestContent;
    if (this.#displaced.has(uid)) return 'what it meets and its whole text gave way to those of newer requests';
    if (status?.preview === undefined) return undefined;
    if (!showsWhatItMeets(request) && cutWords(request) === undefined) return undefined;
    return 'what it meets and its whole text were in the memory of an operator that leads no more, and nowhere else';
  }

  #displace(uid: string): void {
    this.forget(uid);
    this.#displaced.add(uid);
    const [oldest] = this.#displaced;
    if (this.#displaced.size > MAX_DISPLACED && oldest !== undefined) this.#displaced.delete(oldest);
  }
}
