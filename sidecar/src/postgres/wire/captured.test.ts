import { readFileSync } from 'node:fs';
import { randomSegments, seededRandom, twoWaySplits } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import * as wire from './index.ts';

/** Recorded by testdata/capture.ts. */
function recording(name: string): Buffer {
  return readFileSync(new URL(`./testdata/${name}.bin`, import.meta.url));
}

function messages(segments: Iterable<Buffer>, decide: wire.Decide): Buffer[] {
  const reader = new wire.MessageReader({ decide });
  const found: Buffer[] = [];
  for (const segment of segments) {
    reader.push(segment);
    for (let piece = reader.next(); piece !== undefined; piece = reader.next()) {
      if (piece.kind === 'message') found.push(piece.bytes);
    }
  }
  expect(reader.takeRest()).toHaveLength(0);
  return found;
}

const letters = (found: readonly Buffer[]): string => found.map((bytes) => String.fromCharCode(bytes[0] as number)).join('');

/** Decodes and encodes again; undefined for what we never say. */
const FRONTEND: Record<string, (bytes: Buffer) => Buffer> = {
  Q: (bytes) => wire.encodeQuery(wire.decodeQuery(bytes)),
  P: (bytes) => wire.encodeParse(wire.decodeParse(bytes)),
  B: (bytes) => wire.encodeBind(wire.decodeBind(bytes)),
  D: (bytes) => wire.encodeDescribe(wire.decodeDescribe(bytes)),
  E: (bytes) => wire.encodeExecute(wire.decodeExecute(bytes)),
  S: () => wire.encodeSync(),
  H: () => wire.encodeFlush(),
  X: () => wire.encodeTerminate(),
  c: () => wire.encodeCopyDone(),
};
const BACKEND: Record<string, (bytes: Buffer) => Buffer> = {
  C: (bytes) => wire.encodeCommandComplete(wire.decodeCommandComplete(bytes)),
  D: (bytes) => wire.encodeDataRow(wire.dataRowCells(bytes)),
  E: (bytes) => wire.encodeErrorResponse(wire.decodeErrorResponse(bytes)),
  I: () => wire.encodeEmptyQueryResponse(),
  K: (bytes) => wire.encodeBackendKeyData(wire.decodeBackendKeyData(bytes)),
  N: (bytes) => wire.encodeNoticeResponse(wire.decodeErrorResponse(bytes)),
  S: (bytes) => {
    const { name, value } = wire.decodeParameterStatus(bytes);
    return wire.encodeParameterStatus(name, value);
  },
  T: (bytes) => wire.encodeRowDescription(wire.decodeRowDescription(bytes)),
  Z: (bytes) => wire.encodeReadyForQuery(wire.decodeReadyForQuery(bytes)),
  n: () => wire.encodeNoData(),
  s: () => wire.encodePortalSuspended(),
  t: (bytes) => wire.encodeParameterDescription(wire.decodeParameterDescription(bytes)),
  1: () => wire.encodeParseComplete(),
  2: () => wire.encodeBindComplete(),
  3: () => wire.encodeCloseComplete(),
};

/** Client, types of what it said after its startup packet, types of what it was answered. */
const CONVERSATIONS = [
  ['psql', 'ppQQQQQQQQQQQdcQQX', 'RRRRSSSSSSSSSSSSSSSKZTDCZTDCZTDCZNCZEZCZEZCZIZCZGCZHddcCZCSZ'],
  ['node-postgres', 'ppPBDESPBDESBDESQPBDESQPBDEHEHEHSX', 'RRRRSSSSSSSSSSSSSSSKZ12TDCZ12TDCZ2TDCZCZ1EZIZ12TDDsDDsDCZ'],
] as const;

for (const [client, saidTypes, answeredTypes] of CONVERSATIONS) {
  describe(`a recorded conversation of ${client}`, () => {
    const start = wire.decodeStartup(recording(`${client}.frontend`));
    if (start.kind !== 'frame') throw new Error('the recording does not begin with a startup packet');
    const said = recording(`${client}.frontend`).subarray(start.consumed);
    const answered = recording(`${client}.backend`);

    it('begins with a startup packet that names user and database', () => {
      const { packet } = start;
      expect(packet).toMatchObject({ kind: 'startup', major: 3, minor: 0 });
      const parameters = packet.kind === 'startup' ? packet.parameters : new Map<string, string>();
      expect([parameters.get('user'), parameters.get('database')]).toEqual(['postgres', 'postgres']);
    });

    it('consists of these messages', () => {
      expect(letters(messages([said], wire.decideFrontend))).toBe(saidTypes);
      expect(letters(messages([answered], wire.decideBackend))).toBe(answeredTypes);
    });

    it('is read the same however it is cut', () => {
      for (const [bytes, decide] of [
        [said, wire.decideFrontend],
        [answered, wire.decideBackend],
      ] as const) {
        const whole = letters(messages([bytes], decide));
        for (const split of twoWaySplits(bytes)) expect(letters(messages(split, decide))).toBe(whole);
        const random = seededRandom(11);
        for (let round = 0; round < 50; round++) expect(letters(messages(randomSegments(bytes, random, 40), decide))).toBe(whole);
      }
    });

    it('comes out of our encoders byte for byte', () => {
      const compared = { said: 0, answered: 0 };
      for (const [side, found, again] of [
        ['said', messages([said], wire.decideFrontend), FRONTEND],
        ['answered', messages([answered], wire.decideBackend), BACKEND],
      ] as const) {
        for (const bytes of found) {
          const encode = again[String.fromCharCode(bytes[0] as number)];
          if (encode === undefined) continue;
          expect(encode(bytes)).toEqual(bytes);
          compared[side]++;
        }
      }
      expect(compared.said).toBeGreaterThan(10);
      expect(compared.answered).toBeGreaterThan(30);
    });
  });
}
