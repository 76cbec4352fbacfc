/** Bytes that came and are not a whole frame yet. They are put together once there are enough, however small the pieces. */
export class Pending {
  #parts: Buffer[] = [];
  #size = 0;
  #need = 0;

  /** All bytes, once there are as many as {@link keep} was told; undefined before that. */
  take(chunk: Buffer): Buffer | undefined {
    this.#parts.push(chunk);
    this.#size += chunk.length;
    if (this.#size < this.#need) return undefined;
    const bytes = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#size = 0;
    return bytes;
  }

  /** @param need - how many bytes there must be to say more */
  keep(bytes: Buffer, need: number): void {
    // A little of much would hold all of it.
    this.#parts = bytes.length === 0 ? [] : [2 * bytes.length < bytes.buffer.byteLength ? Buffer.from(bytes) : bytes];
    this.#size = bytes.length;
    this.#need = need;
  }
}
