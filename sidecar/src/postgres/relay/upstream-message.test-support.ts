/** A message by hand. */
export function message(type: string, content: string): Buffer {
  const body = Buffer.from(content, 'latin1');
  const bytes = Buffer.alloc(5 + body.length);
  bytes.write(type);
  bytes.writeInt32BE(body.length + 4, 1);
  body.copy(bytes, 5);
  return bytes;
}
