/** One field of a message: a string with its NUL, a number of a width, or bytes as they are. */
export type Part = string | { i8: number } | { i16: number } | { i32: number } | { raw: string | Buffer };

/** The bytes of some fields, written without any code of this folder. */
export function content(...parts: Part[]): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'string') return Buffer.from(`${part}\0`);
      if ('raw' in part) return Buffer.from(part.raw);
      const [value, width] = 'i8' in part ? [part.i8, 1] : 'i16' in part ? [part.i16, 2] : [part.i32, 4];
      const hex = BigInt.asUintN(width * 8, BigInt(value))
        .toString(16)
        .padStart(width * 2, '0');
      return Buffer.from(hex, 'hex');
    }),
  );
}

/** A message, written without any code of this folder. */
export function fixture(type: string, ...parts: Part[]): Buffer {
  const body = content(...parts);
  return Buffer.concat([Buffer.from(type, 'latin1'), content({ i32: body.length + 4 }), body]);
}

/** `bytes` cut or lengthened to `length` bytes of content, with a length word that says so. */
export function resized(bytes: Buffer, length: number): Buffer {
  const body = Buffer.alloc(length);
  bytes.copy(body, 0, 5);
  return Buffer.concat([bytes.subarray(0, 1), content({ i32: length + 4 }), body]);
}
