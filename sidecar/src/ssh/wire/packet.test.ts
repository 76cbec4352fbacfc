import { createCipheriv, createHmac, randomBytes } from 'node:crypto';
import { randomSegments, seededRandom, twoWaySplits } from '@chaperone/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CIPHERS, createOpener, createSealer, type Keys, keyLengths, MACS, type MacName, type Protection } from './ciphers.ts';
import { DISCONNECT, SshError } from './error.ts';
import { MAX_PACKET, MAX_PACKET_BEFORE_AUTHENTICATION, PacketReader, PacketWriter } from './packet.ts';
import { nameOf, pieces, PROTECTIONS } from './pair.test-support.ts';

/** Undefined: before keys. */
const ALL = [undefined, ...PROTECTIONS].map((protection) => [nameOf(protection), protection] as const);
const PROTECTED = PROTECTIONS.map((protection) => [nameOf(protection), protection] as const);

function keysFor(protection: Protection, iv?: Buffer): Keys {
  const bytes = keyLengths(protection);
  return { iv: iv ?? randomBytes(bytes.iv), key: randomBytes(bytes.key), mac: randomBytes(bytes.mac) };
}

function aPair(
  protection?: Protection,
  keys = protection && keysFor(protection),
): { writer: PacketWriter; reader: PacketReader } {
  const [writer, reader] = [new PacketWriter(), new PacketReader()];
  if (protection !== undefined && keys !== undefined) {
    writer.rekey(createSealer(protection, keys), false);
    reader.rekey(createOpener(protection, keys), false);
  }
  return { writer, reader };
}

function packetOf(writer: PacketWriter, ...parts: Buffer[]): Buffer {
  const sent: Buffer[] = [];
  writer.write(parts, (bytes) => sent.push(Buffer.from(bytes)));
  return Buffer.concat(sent);
}

const written = (writer: PacketWriter, ...payloads: Buffer[]): Buffer =>
  Buffer.concat(payloads.map((payload) => packetOf(writer, payload)));

function read(reader: PacketReader, chunks: Iterable<Buffer>): Buffer[] {
  const found: Buffer[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let payload = reader.next(); payload !== undefined; payload = reader.next()) found.push(payload);
  }
  return found;
}

function refusal(step: () => unknown): SshError {
  try {
    step();
  } catch (error) {
    expect(error).toBeInstanceOf(SshError);
    return error as SshError;
  }
  throw new Error('nothing was refused');
}

/** A packet as its fields say, right or wrong. */
function frame(length: number, padding: number, payload: Buffer, pad: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(length);
  head[4] = padding;
  return Buffer.concat([head, payload, pad]);
}

/** The first packet under some keys, sealed with nothing of ours. */
function sealed(protection: Protection, { iv, key, mac }: Keys, plain: Buffer): Buffer {
  const { openssl, aead } = CIPHERS[protection.cipher];
  const length = plain.subarray(0, 4);
  const rest = plain.subarray(4);
  if (aead) {
    const cipher = createCipheriv(openssl as 'aes-128-gcm', key, iv).setAAD(length);
    return Buffer.concat([length, cipher.update(rest), cipher.final(), cipher.getAuthTag()]);
  }
  const { etm, hash } = MACS[protection.mac as MacName];
  const stream = createCipheriv(openssl, key, iv);
  const encrypted = etm ? Buffer.concat([length, stream.update(rest)]) : stream.update(plain);
  const tag = createHmac(hash, mac)
    .update(Buffer.alloc(4))
    .update(etm ? encrypted : plain);
  return Buffer.concat([encrypted, tag.digest()]);
}

describe('packets of RFC 4253, section 6', () => {
  const payloads = [1, 2, 7, 8, 11, 12, 15, 16, 27, 28, 200].map((bytes) => randomBytes(bytes));

  it.each(ALL)('are read back at every split with %s', (_, protection) => {
    const stream = written(aPair(protection).writer, ...payloads).length;
    for (let at = 0; at <= stream; at++) {
      const { writer, reader } = aPair(protection);
      const bytes = written(writer, ...payloads);
      expect(read(reader, [bytes.subarray(0, at), bytes.subarray(at)])).toEqual(payloads);
      expect(reader.sequence).toBe(payloads.length - 1);
    }
  });

  it.each(ALL)('are read back byte by byte, and cut at random, with %s', (_, protection) => {
    const long = [...payloads, randomBytes(32_768), Buffer.of(1), randomBytes(200_000)];
    const { writer, reader } = aPair(protection);
    reader.maxBytes = MAX_PACKET;
    expect(read(reader, pieces(written(writer, ...long), 1))).toEqual(long);
    const random = seededRandom(7);
    for (const longest of [3, 100, 50_000])
      expect(read(reader, randomSegments(written(writer, ...long), random, longest))).toEqual(long);
    expect(reader.traffic).toEqual({ packets: long.length * 4, bytes: expect.any(Number) });
  });

  it.each(ALL)('are read by reference to nothing of ours with %s', (_, protection) => {
    const keys = protection && keysFor(protection);
    const isLengthCounted = protection === undefined || (protection.mac !== undefined && !MACS[protection.mac].etm);
    const padding = isLengthCounted ? 7 : 11;
    const plain = frame(21 + padding, padding, Buffer.from('a message of 20 byte'), Buffer.alloc(padding));
    const bytes = protection && keys ? sealed(protection, keys, plain) : plain;
    expect(read(aPair(protection, keys).reader, [bytes]).map(String)).toEqual(['a message of 20 byte']);
  });

  it.each(ALL)('have the least padding, of 4 to 19 bytes, and are whole blocks, with %s', (_, protection) => {
    const block = protection === undefined ? 8 : 16;
    const keys = protection && keysFor(protection);
    const { uncounted } = protection && keys ? createSealer(protection, keys) : { uncounted: 0 };
    const tag = protection && keys ? createOpener(protection, keys).tagBytes : 0;
    for (let bytes = 1; bytes < 70; bytes++) {
      const counted = written(aPair(protection).writer, Buffer.alloc(bytes)).length - tag - uncounted;
      const padding = counted + uncounted - 5 - bytes;
      expect(counted % block).toBe(0);
      expect(padding).toBeGreaterThanOrEqual(4);
      expect(padding).toBeLessThan(4 + block);
    }
  });

  it('have padding that differs', () => {
    const { writer } = aPair();
    const pads = Array.from({ length: 600 }, () => written(writer, Buffer.alloc(6)).subarray(11).toString('hex'));
    expect(new Set(pads).size).toBeGreaterThan(590);
  });

  it('join the parts of a message', () => {
    const { writer, reader } = aPair({ cipher: 'aes128-gcm@openssh.com' });
    const bytes = packetOf(writer, Buffer.from('ab'), Buffer.alloc(0), Buffer.from('c'));
    expect(read(reader, [bytes]).map(String)).toEqual(['abc']);
  });

  it.each(ALL)('take nothing of who writes and reads but what is lent, with %s', (_, protection) => {
    const { writer, reader } = aPair(protection);
    const data = Buffer.alloc(32_768, 'd');
    const lent: Buffer[] = [];
    const sent: Buffer[] = [];
    writer.write([data], (bytes) => {
      lent.push(bytes);
      sent.push(Buffer.from(bytes));
    });
    const found: Buffer[] = [];
    for (const chunk of pieces(Buffer.concat(sent), 20_000)) {
      reader.push(chunk);
      found.push(...[reader.next()].filter((message) => message !== undefined));
    }
    expect(found.map((message) => message.equals(data))).toEqual([true]);
    reader.free();
    expect(data.equals(Buffer.alloc(32_768, 'd'))).toBe(true);
    // OpenSSL's own are freed; what the plain MAC joins is the garbage collector's.
    if (protection !== undefined) expect(lent.filter(({ length }) => length > 1_000)).toEqual([]);
    if (protection?.mac?.startsWith('hmac-sha2-256-etm') ?? protection !== undefined) expect(found[0]).toHaveLength(0);
  });

  it('leave messages that no later packet touches', () => {
    const { writer, reader } = aPair({ cipher: 'aes128-ctr', mac: 'hmac-sha2-256-etm@openssh.com' });
    const found = read(reader, pieces(written(writer, Buffer.from('first'), Buffer.from('later')), 3));
    expect(found.map(String)).toEqual(['first', 'later']);
  });
});

describe('what is no packet', () => {
  const max = MAX_PACKET_BEFORE_AUTHENTICATION;
  it.each([
    ['none', 0],
    ['less than the shortest', 4],
    ['one that is no whole number of blocks', 13],
    ['more than may be', max - (max % 8) + 12],
    ['4 GiB', 0xffff_fffc],
  ])('is refused by its length alone: %s', (_, length) => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length);
    expect(refusal(() => read(new PacketReader(), [head])).reason).toBe(DISCONNECT.protocolError);
  });

  it.each(PROTECTED)('is refused by its length alone with %s', (_, protection) => {
    const keys = keysFor(protection);
    for (const length of [0, 5, 17, MAX_PACKET, 0xffff_fff0]) {
      const whole = sealed(protection, keys, frame(length, 4, Buffer.alloc(64), Buffer.alloc(7)));
      refusal(() => read(aPair(protection, keys).reader, [whole.subarray(0, 16)]));
    }
  });

  it.each([
    ['before', undefined, 34_996],
    ['after', MAX_PACKET, MAX_PACKET - 4],
  ])('is what is longer than may be %s authentication, and nothing shorter', (_, maxBytes, length) => {
    const reader = new PacketReader();
    if (maxBytes !== undefined) reader.maxBytes = maxBytes;
    const packet = frame(length, 4, randomBytes(length - 5), Buffer.alloc(4));
    expect(read(reader, [packet])).toHaveLength(1);
    refusal(() => read(reader, [frame(length + 8, 4, Buffer.alloc(0), Buffer.alloc(0))]));
  });

  it.each([
    ['too short', 3, 8],
    ['none', 0, 11],
    ['as long as the packet', 11, 0],
    ['longer than the packet', 255, 0],
  ])('is refused by its padding: %s', (_, padding, payload) => {
    refusal(() => read(new PacketReader(), [frame(12, padding, Buffer.alloc(payload), Buffer.alloc(11 - payload))]));
  });

  it.each(PROTECTED)('is every one with a bit that was changed, with %s', (_, protection) => {
    const keys = keysFor(protection);
    const packet = written(aPair(protection, keys).writer, Buffer.from('delete nothing'));
    for (let at = 0; at < packet.length * 8; at++) {
      const changed = Buffer.from(packet);
      changed[at >> 3] = (changed[at >> 3] as number) ^ (1 << (at & 7));
      const { reader } = aPair(protection, keys);
      try {
        expect(read(reader, [changed])).toEqual([]);
      } catch (error) {
        expect(error).toBeInstanceOf(SshError);
      }
    }
  });

  it.each(PROTECTED)('is one that comes twice, late or not at all, with %s', (_, protection) => {
    const keys = keysFor(protection);
    const { writer } = aPair(protection, keys);
    const [a, b, c] = ['a', 'b', 'c'].map((text) => written(writer, Buffer.from(text))) as [Buffer, Buffer, Buffer];
    for (const order of [[a, a], [b], [a, c], [b, a]]) {
      const error = refusal(() => read(aPair(protection, keys).reader, [Buffer.concat(order), Buffer.alloc(70_000)]));
      // Where the length is encrypted too, it may be what is wrong first.
      if (protection.mac === undefined || MACS[protection.mac].etm) expect(error.reason).toBe(DISCONNECT.macError);
    }
  });

  it('never throws anything but SshError, whatever comes', () => {
    const bytes = fc.uint8Array({ maxLength: 200 });
    fc.assert(
      fc.property(fc.constantFrom(...ALL), bytes, ([, protection], noise) => {
        for (const chunks of twoWaySplits(Buffer.from(noise))) {
          try {
            read(aPair(protection).reader, chunks);
          } catch (error) {
            expect(error).toBeInstanceOf(SshError);
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('numbers of packets', () => {
  it.each([true, false])('go on under new keys, or start again where both sides are strict: %s', (restart) => {
    const protection = { cipher: 'aes128-ctr', mac: 'hmac-sha2-256' } as const;
    const { writer, reader } = aPair();
    read(reader, [written(writer, Buffer.of(1), Buffer.of(2), Buffer.of(3))]);
    const keys = keysFor(protection);
    writer.rekey(createSealer(protection, keys), restart);
    reader.rekey(createOpener(protection, keys), restart);
    expect(read(reader, [written(writer, Buffer.of(4))])).toEqual([Buffer.of(4)]);
    expect(reader.sequence).toBe(restart ? 0 : 3);
    expect(reader.traffic.packets).toBe(1);
    expect(writer.traffic).toEqual({ packets: 1, bytes: 16 });
  });

  it('are read otherwise where only one side starts again', () => {
    const protection = { cipher: 'aes128-ctr', mac: 'hmac-sha2-256' } as const;
    const { writer, reader } = aPair();
    read(reader, [written(writer, Buffer.of(1))]);
    const keys = keysFor(protection);
    writer.rekey(createSealer(protection, keys), true);
    reader.rekey(createOpener(protection, keys), false);
    expect(refusal(() => read(reader, [written(writer, Buffer.of(2))])).reason).toBe(DISCONNECT.macError);
  });

  it.each(['00000000ffffffff', 'ffffffffffffffff'])('carry in the nonce of GCM from %s on', (counter) => {
    const protection = { cipher: 'aes128-gcm@openssh.com' } as const;
    const keys = keysFor(protection, Buffer.from(`01020304${counter}`, 'hex'));
    const next = (BigInt(`0x${counter}`) + 1n) & 0xffff_ffff_ffff_ffffn;
    const second = { ...keys, iv: Buffer.from(`01020304${next.toString(16).padStart(16, '0')}`, 'hex') };
    const plain = frame(16, 4, Buffer.from('the message'), Buffer.alloc(4));
    const { reader } = aPair(protection, keys);
    const stream = Buffer.concat([sealed(protection, keys, plain), sealed(protection, second, plain)]);
    expect(read(reader, [stream]).map(String)).toEqual(['the message', 'the message']);
    const { writer } = aPair(protection, keys);
    written(writer, Buffer.of(1));
    expect(read(aPair(protection, second).reader, [written(writer, Buffer.of(2))])).toEqual([Buffer.of(2)]);
  });
});
