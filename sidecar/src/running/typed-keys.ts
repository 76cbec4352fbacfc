const ESCAPE = 0x1b;
const DELETE = 0x7f;
const DOT = Buffer.from('•');

/**
 * What people may see of keys that were typed into a terminal: controls, Enter and the sequences of arrows are as they were, and each
 * letter is a dot. Whether a terminal echoes is known to the host alone, so that any letter may be one of a password; those that were
 * echoed are on the recorded screen. A sequence may be cut between two chunks.
 */
export class TypedKeys {
  #inside: 'nothing' | 'escape' | 'sequence' | 'one' = 'nothing';

  hidden(chunk: Buffer): Buffer {
    const out: Buffer[] = [];
    for (const byte of chunk) {
      if (this.#isControl(byte)) out.push(Buffer.of(byte));
      // The other bytes of a letter in UTF-8 are no letters.
      else if ((byte & 0xc0) !== 0x80) out.push(DOT);
    }
    return Buffer.concat(out);
  }

  #isControl(byte: number): boolean {
    const inside = this.#inside;
    this.#inside = 'nothing';
    if (byte === ESCAPE) {
      this.#inside = 'escape';
      return true;
    }
    if (byte < 0x20 || byte === DELETE) return true;
    switch (inside) {
      case 'escape':
        if (byte === 0x5b) this.#inside = 'sequence';
        else if (byte === 0x4f) this.#inside = 'one';
        return this.#inside !== 'nothing';
      case 'sequence':
        // ECMA-48, section 5.4: parameters, and one byte that ends it.
        if (byte < 0x40) this.#inside = 'sequence';
        return byte <= 0x7e;
      default:
        return inside === 'one' && byte < DELETE;
    }
  }
}
