/**
 * Frees the memory of bytes at once; whoever still looks at them sees nothing. OpenSSL's results and reads of a socket bring a buffer
 * of their own each, some five for every packet that is passed on. Left to the garbage collector they count as if they were on the
 * heap, all of which it then marks again for every few megabytes that pass.
 *
 * Has no effect on what is part of something larger, such as Node's pool of small buffers.
 */
export function free(bytes: Buffer): void {
  if (bytes.length > 0 && bytes.length === bytes.buffer.byteLength) (bytes.buffer as ArrayBuffer).transfer(0);
}

/**
 * A copy in memory of its own, for what a session keeps. Small buffers of Node's are cut out of 64 KiB, all of which stay for as long
 * as one of them does.
 */
export function kept(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}

/**
 * ALPNProtocols of a connection that lives as long as a session. Node cuts what it is given as a list of names out of its 64 KiB, and
 * keeps it with the connection; a view of anything but bytes it copies into memory of its own. The names are ASCII, of 255 bytes at most.
 */
export function alpn(...names: readonly string[]): DataView {
  const bytes = kept(Buffer.concat(names.map((name) => Buffer.from(`${String.fromCharCode(name.length)}${name}`, 'latin1'))));
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
