/**
 * A copy in memory of its own, for what lives as long as a session. Buffer.from and Buffer.concat copy into a slab of 64 KiB that
 * many share, and the slab stays for as long as one slice of it does.
 */
export function ownBytes(bytes: Uint8Array): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length);
  own.set(bytes);
  return own;
}
