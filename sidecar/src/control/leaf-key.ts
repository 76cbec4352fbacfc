import { generateKeyPairSync, type KeyObject } from 'node:crypto';

/** A new P-256 key. `pem` is PKCS #8. */
export function newLeafKey(): { pem: string; publicKey: KeyObject } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { pem: privateKey.export({ type: 'pkcs8', format: 'pem' }), publicKey };
}
