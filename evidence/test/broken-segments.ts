import { zstdCompressSync } from 'node:zlib';
import { parseSegment, type Member } from '../src/index.ts';
import { encryptPayload } from '../src/seal-segment.ts';
import { SegmentKeys } from '../src/sealing.ts';
import {
  SOUND,
  a,
  a1,
  a3,
  add,
  altered,
  b,
  b0,
  bytesOf,
  changed,
  head,
  kept,
  note,
  ofA,
  proofsOfA,
  range,
  segmentOf,
  sessionFile,
  size,
  tree,
  without,
} from './files.ts';
import * as world from './world.ts';

export function brokenSegments(): void {
  const replaced = (number: number, bytes: Buffer): Member[] => changed(sessionFile, segmentOf(a, number), () => bytes);
  for (let number = 0; number < 4; number++) {
    const lost = without(sessionFile, segmentOf(a, number), proofsOfA[number]?.name ?? '');
    if (number < 3) add(`segment ${number} removed`, lost, ofA('incomplete', number, 'SegmentMissing'));
    const swapped = replaced(number, bytesOf(a, (number + 1) % 4));
    add(
      `segment ${number} replaced by another of its session`,
      swapped,
      number === 3 ? ofA('altered', 3, 'SegmentMisplaced') : ofA('incomplete', number, 'SegmentMissing'),
    );
    add(
      `segment ${number} replaced by one of another session`,
      replaced(number, bytesOf(b, 0)),
      ofA('altered', number, 'KeyUnusable'),
    );
    add(`segment ${number} empty`, replaced(number, Buffer.alloc(0)), ofA('incomplete', number, 'SegmentMissing'));
    add(`segment ${number} cut`, replaced(number, bytesOf(a, number).subarray(0, -1)), { exit: 3, a: ['altered', number] });
    add(`segment ${number} with a byte more`, replaced(number, Buffer.concat([bytesOf(a, number), Buffer.alloc(1)])), {
      exit: 3,
      a: ['altered', number],
    });
  }
  add('the last segment removed, of a session', without(sessionFile, segmentOf(a, 3), `proof/${a3}`), { exit: 0, a: ['open'] });
  const [, , key, p0, s0, p1, s1, ...rest] = sessionFile;
  const order = (...list: readonly (Member | undefined)[]): Member[] => [
    ...head,
    ...[key, ...list].filter((each) => each !== undefined),
  ];
  add('two segments in another order', order(p1, s1, p0, s0, ...rest), ofA('incomplete', 0, 'SegmentMissing'));
  add('a segment twice', order(p0, s0, p0, s0, p1, s1, ...rest), ofA('altered', 1, 'SegmentMisplaced'));
  add(
    'a session in two places',
    [
      ...head,
      ...range,
      ...world.told(a, proofsOfA.slice(0, 1)),
      ...world.told(b),
      ...world.told({ ...a, segments: a.segments.slice(0, 1) }, proofsOfA.slice(0, 1)),
    ],
    altered('MalformedBundle'),
  );
  add(
    'the proof of another segment',
    order({ ...p1, bytes: p1?.bytes ?? note, name: `proof/${a1}` }, s0, p1, s1, ...rest),
    ofA('not in the log', 0, 'NotLogged'),
  );
  add('the proof of another session', order(tree.proof(b0, note), s0, p1, s1, ...rest), ofA('not in the log', 0, 'NotLogged'));
  add('no proof of a segment', order(p0, s0, s1, ...rest), ofA('not in the log', 1, 'NotLogged'));
  const short = tree.proof(a1, note).bytes.toString().split('\n');
  add(
    'a proof without its last hash',
    changed(sessionFile, `proof/${a1}`, () => Buffer.from(short.toSpliced(2, 1).join('\n'))),
    ofA('not in the log', 1, 'NotLogged'),
  );
  add(
    'a proof with an extra line',
    changed(sessionFile, `proof/${a1}`, () => Buffer.from(short.toSpliced(1, 0, 'extra aGk=').join('\n'))),
    SOUND,
  );
  add(
    'a proof whose index is written otherwise',
    changed(sessionFile, `proof/${a1}`, () => Buffer.from(short.with(1, `index 0${a1}`).join('\n'))),
    altered('MalformedProof'),
  );
  add(
    'a proof of an entry behind the log',
    order({ name: `proof/${size}`, bytes: Buffer.from(short.with(1, `index ${size}`).join('\n')) }, s0),
    ofA('not in the log', 0, 'NotLogged'),
  );
  add(
    'a proof with an older checkpoint',
    changed(sessionFile, `proof/${a1}`, () => tree.proof(a1, kept, 4).bytes),
    altered('MalformedBundle'),
  );
}

/** What no signature covers, or covers in vain: lengths, counts, a payload that unpacks to more than it may. */
export function hugeNumbers(): void {
  const first = bytesOf(a, 0);
  const parts = parseSegment(first);
  const replaced = (bytes: Buffer): Member[] => changed(sessionFile, segmentOf(a, 0), () => bytes);
  const u32 = (place: number, value: number): Buffer => {
    const copy = Buffer.from(first);
    copy.writeUInt32BE(value, place);
    return copy;
  };
  const registrationAt = 12 + parts.headerText.length + 64;
  const countAt = registrationAt + 4 + parts.registration.length;
  for (const value of [0xffff_ffff, 0x8000_0000, 4097])
    for (const [what, place] of [
      ['header', 8],
      ['registration', registrationAt],
      ['number of leaves', countAt],
    ] as const)
      add(`a ${what} of ${value}`, replaced(u32(place, value)), ofA('altered', 0, 'LimitExceeded'));
  add('a header of 4096 bytes that is not there', replaced(u32(8, 4096).subarray(0, 900)), ofA('altered', 0, 'MalformedSegment'));
  add('no leaves', replaced(u32(countAt, 0)), ofA('altered', 0, 'RecordAltered'));
  const bomb = Buffer.concat([
    first.subarray(0, first.length - parts.payload.length),
    ...encryptPayload(
      new SegmentKeys(a.key, 0, Buffer.from(parts.header.key.salt, 'hex')),
      zstdCompressSync(Buffer.alloc(64 * 1024 * 1024)),
    ),
  ]);
  add('a payload that unpacks to 64 MiB', replaced(bomb), ofA('altered', 0, 'PayloadAltered'));
  add(
    'a segment of a later version',
    replaced(Buffer.concat([Buffer.from('CHEVSEG\x7f', 'latin1'), first.subarray(8)])),
    ofA('altered', 0, 'UnsupportedVersion'),
  );
  add('a segment that is none', replaced(Buffer.from('hello')), ofA('altered', 0, 'MalformedSegment'));
}
