import { byte, names, Reader, string, uint32 } from './data.ts';
import { SshError } from './error.ts';
import { SIGNATURE_ALGORITHMS } from './keys.ts';
import { MESSAGE } from './messages.ts';

/** More than anybody sends. */
const MAX_EXTENSIONS = 64;

/** SSH_MSG_EXT_INFO (RFC 8308, section 2.3) of what we understand: signatures of a server's users, and pings. */
export function encodeExtInfo(role: 'client' | 'server'): Buffer {
  const signatures = role === 'server' ? [string('server-sig-algs'), names(SIGNATURE_ALGORITHMS)] : [];
  const fields = [...signatures, string('ping@openssh.com'), string('0')];
  return Buffer.concat([byte(MESSAGE.extInfo), uint32(fields.length / 2), ...fields]);
}

/** @returns `server-sig-algs`, where the message has it. @throws SshError */
export function parseExtInfo(payload: Buffer): readonly string[] | undefined {
  const reader = new Reader(payload, 1);
  const count = reader.uint32();
  if (count > MAX_EXTENSIONS) throw new SshError('too many extensions');
  let signatures: readonly string[] | undefined;
  for (let n = 0; n < count; n++) {
    if (reader.ascii() === 'server-sig-algs') signatures = reader.names();
    else reader.string();
  }
  reader.end();
  return signatures;
}
