/** Shorter pieces are gathered in buffers of this size, so that what waits costs little more than its bytes. */
const GATHERED = 4 * 1024;

/** Copies of bytes, which wait in order. */
export class Waiting {
  readonly #pieces: Buffer[] = [];
  #room: { readonly buffer: Buffer; used: number } | undefined;

  push(data: Buffer): void {
    if (data.length >= GATHERED / 4) {
      this.#room = undefined;
      this.#pieces.push(Buffer.from(data));
      return;
    }
    if (this.#room === undefined || this.#room.used + data.length > GATHERED) {
      this.#room = { buffer: Buffer.allocUnsafe(GATHERED), used: 0 };
      this.#pieces.push(this.#room.buffer.subarray(0, 0));
    }
    const room = this.#room;
    data.copy(room.buffer, room.used);
    room.used += data.length;
    this.#pieces[this.#pieces.length - 1] = room.buffer.subarray(0, room.used);
  }

  /** All of it, which waits no more. */
  takeAll(): Buffer[] {
    this.#room = undefined;
    return this.#pieces.splice(0);
  }
}
