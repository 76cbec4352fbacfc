/** Fields of a header; what is left out is that of an empty file. */
export interface HeaderFields {
  readonly name: string;
  /** The name is a byte that no UTF-8 has. */
  readonly raw?: boolean;
  readonly type?: string;
  readonly target?: string;
  readonly size?: number;
  /** In place of the size. */
  readonly sizeField?: string | Buffer;
  /** With its version. Default: that of POSIX */
  readonly magic?: string;
}

/** A header of ustar (POSIX.1-2017, pax), written without the code that reads it. */
export function aHeader({
  name,
  raw = false,
  type = '0',
  target = '',
  size = 0,
  sizeField,
  magic = 'ustar\x0000',
}: HeaderFields): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 100);
  if (raw) block[0] = 0xff;
  block.write('0000644\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  const field = sizeField ?? `${size.toString(8).padStart(11, '0')}\0`;
  if (typeof field === 'string') block.write(field, 124, 'latin1');
  else field.copy(block, 124);
  block.write('00000000000\0', 136);
  block.write('        ', 148);
  block.write(type, 156, 'latin1');
  block.write(target, 157, 100);
  block.write(magic, 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** A header with content, filled up. */
export function aMember(fields: HeaderFields, content: string): Buffer {
  const data = Buffer.from(content);
  const filled = Buffer.alloc(Math.ceil(data.length / 512) * 512);
  data.copy(filled);
  return Buffer.concat([aHeader({ size: data.length, ...fields }), filled]);
}

/** One attribute of pax: its length counts itself. */
export function pax(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = Buffer.byteLength(rest) + 1;
  while (String(length).length + Buffer.byteLength(rest) !== length) length = String(length).length + Buffer.byteLength(rest);
  return `${length}${rest}`;
}
