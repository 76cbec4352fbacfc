import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { randomSegments, seededRandom } from '@chaperone/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UPSTREAM_LEGACY } from './algorithms.ts';
import { byte, string, uint32 } from './data.ts';
import { DISCONNECT } from './error.ts';
import { signerOf } from './keys.ts';
import { HOST_KEY, Pair, pieces } from './pair.test-support.ts';
import { Rogue, STAGES, type Stage } from './rogue.test-support.ts';

const FAST = { ...UPSTREAM_LEGACY, kex: ['curve25519-sha256'] } as const;
const OTHER_KEY = signerOf(generateKeyPairSync('ed25519').privateKey);
const ROLES = ['client', 'server'] as const;

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, at) => from + at);
const CHATTER = [2, 3, 4];
const OF_SERVICES = [5, 6, ...range(50, 127)];
const UNKNOWN = [0, ...range(8, 19), ...range(128, 191), ...range(194, 255)];
/** The message numbers that do not end a connection in a stage, where what follows them is 24 zeros. */
const HARMLESS: Record<Exclude<Stage, 'ident'>, readonly number[]> = {
  start: [],
  share: [],
  newKeys: [],
  open: [...CHATTER, ...OF_SERVICES, ...UNKNOWN],
  authenticated: [...CHATTER, ...OF_SERVICES, ...UNKNOWN],
  'share again': CHATTER,
  'newKeys again': CHATTER,
};

describe.each(ROLES)('a rogue %s', (role) => {
  it.each(STAGES.slice(1) as Exclude<Stage, 'ident'>[])(
    'ends the connection by each message that has no place, at %s',
    (stage) => {
      for (const type of range(0, 255)) {
        const rogue = new Rogue(role, { algorithms: FAST }).to(stage);
        const before = rogue.end.payloads.length;
        rogue.say(Buffer.concat([byte(type), Buffer.alloc(24)]));
        if (HARMLESS[stage].includes(type)) {
          expect([type, rogue.end.ended]).toEqual([type, []]);
          expect(rogue.end.payloads.length - before).toBe(OF_SERVICES.includes(type) ? 1 : 0);
        } else {
          expect([type, rogue.end.ended.length]).toEqual([type, 1]);
          expect(rogue.end.ended[0]?.error?.message).not.toContain('fault of our own');
          expect(rogue.end.payloads).toHaveLength(before);
          rogue.say(byte(2));
          rogue.target.send(byte(94));
          expect(rogue.end.ended).toHaveLength(1);
        }
      }
    },
  );

  it.each(STAGES)('ends the connection or not, and throws nothing, by noise in and between packets, at %s', (stage) => {
    const types = fc.oneof(fc.constantFrom(1, 7, 20, 21, 30, 31, 192), fc.integer({ min: 0, max: 255 }));
    const messages = fc.array(fc.tuple(types, fc.uint8Array({ maxLength: 300 })), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(messages, fc.uint8Array({ maxLength: 60 }), (said, noise) => {
        const rogue = new Rogue(role, { algorithms: FAST }).to(stage);
        for (const [type, body] of said) rogue.say(byte(type), Buffer.from(body));
        rogue.target.receive(Buffer.from(noise));
        rogue.target.tick(1);
        expect(rogue.end.ended.length).toBeLessThan(2);
        for (const { error } of rogue.end.ended) expect(error?.message ?? '').not.toContain('fault of our own');
      }),
      { numRuns: 60 },
    );
  });
});

describe('noise', () => {
  it('in place of any bit changes nothing that is delivered, and ends all but what has it in the padding before keys', () => {
    const random = seededRandom(11);
    let ended = 0;
    for (let run = 0; run < 300; run++) {
      let at = Math.floor(random() * 1_800);
      const bit = 1 << Math.floor(random() * 8);
      const pair = new Pair({
        algorithms: FAST,
        cut: (bytes) => {
          const changed = Buffer.from(bytes);
          if (at >= 0 && at < changed.length) changed[at] = (changed[at] as number) ^ bit;
          at -= changed.length;
          return [changed];
        },
      });
      pair.authenticate();
      pair.client.send(byte(94));
      pair.pump();
      if (pair.atServer.payloads.length === 0) ended++;
      else expect(pair.atServer.payloads).toEqual([byte(94)]);
    }
    expect(ended).toBeGreaterThan(250);
  });

  it('is no stream of SSH, whatever it is and however it comes', () => {
    const random = seededRandom(12);
    for (let run = 0; run < 200; run++) {
      const pair = new Pair({ algorithms: FAST });
      pair.server.receive(Buffer.from('SSH-2.0-Noise\r\n'));
      for (const chunk of randomSegments(randomBytes(36_000), random, 5_000)) pair.server.receive(chunk);
      expect(pair.atServer.ended).toMatchObject([{ error: { name: 'SshError' } }]);
    }
  });
});

describe('what a rogue tries', () => {
  it.each(ROLES)('as a %s: packets of more than 35,000 bytes are for who has logged in', (role) => {
    const long = Buffer.concat([byte(60), Buffer.alloc(40_000)]);
    const before = new Rogue(role).to('open');
    before.say(long);
    expect(before.end.ended).toMatchObject([{ error: { reason: DISCONNECT.protocolError } }]);
    const after = new Rogue(role).to('authenticated');
    after.say(long);
    expect(after.end.ended).toEqual([]);
    expect(after.end.payloads.at(-1)).toEqual(long);
  });

  it.each(ROLES)('as a %s: keys are not exchanged anew before somebody has logged in', (role) => {
    const rogue = new Rogue(role).to('open');
    rogue.kexInit();
    expect(rogue.end.ended).toHaveLength(1);
  });

  it.each(ROLES)('as a %s: NEWKEYS with something behind it', (role) => {
    const rogue = new Rogue(role).to('newKeys');
    rogue.say(byte(21), byte(0));
    expect(rogue.end.ended).toHaveLength(1);
  });

  it.each([
    ['has another key than is pinned', OTHER_KEY],
    ['shows the key that is pinned, and does not have it', { ...OTHER_KEY, blob: HOST_KEY.blob }],
    ['signs something else', { ...HOST_KEY, sign: (name: string) => HOST_KEY.sign(name, Buffer.from('something else')) }],
    ['signs by another algorithm than was agreed on', { ...HOST_KEY, sign: () => string('nothing') }],
  ])('a server that %s hears nothing but that', (_, signer) => {
    const pair = new Pair({ server: { hostKeys: [signer] } });
    pair.client.send(byte(94));
    pair.pump();
    expect(pair.atClient).toMatchObject({ ready: 0, ended: [{ error: { reason: DISCONNECT.hostKeyNotVerifiable } }] });
    expect(pair.client.sessionId).toBe(undefined);
    expect(pair.atServer).toMatchObject({ ready: 0, payloads: [], ended: [{ error: { reason: DISCONNECT.connectionLost } }] });
  });

  it('a first packet cut out, and another put in its place, ends the connection (CVE-2023-48795)', () => {
    for (const markers of [undefined, []]) {
      const rogue = new Rogue('client', { ...(markers && { markers }) }).to('newKeys');
      rogue.say(byte(2), string('one more'));
      expect(rogue.end.ended).toHaveLength(1);
    }
  });

  it.each([
    ['extensions where none may be', [byte(7), uint32(0)], true],
    ['pings without their data', [byte(192), uint32(9)], false],
    ['pongs', [byte(193), string('')], false],
  ])('%s', (_, message, afterAnother) => {
    const rogue = new Rogue('client').to('authenticated');
    if (afterAnother) rogue.say(byte(2), string(''));
    rogue.say(...message);
    expect(rogue.end.ended).toHaveLength(1);
  });

  it('more pings than may wait for keys that it does not exchange', () => {
    const rogue = new Rogue('client', { rekey: { packets: 3 } }).to('authenticated');
    let pings = 0;
    while (rogue.end.ended.length === 0 && pings < 10_000) {
      rogue.say(byte(192), string('still there?'));
      pings++;
    }
    expect(pings).toBeGreaterThan(4_000);
    expect(rogue.end.ended).toMatchObject([{ error: { reason: DISCONNECT.byApplication } }]);
  });

  it('no identification, one byte at a time', () => {
    const pair = new Pair();
    for (const chunk of pieces(Buffer.from('SSH-2.0-'.padEnd(400, 'x')), 1)) pair.server.receive(chunk);
    expect(pair.atServer.ended).toMatchObject([{ error: { reason: DISCONNECT.protocolVersionNotSupported } }]);
  });
});
