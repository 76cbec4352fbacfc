import { ARCHIVE_END, archived } from '../src/file/archive.ts';
import { type Member, members } from '../src/index.ts';
import * as world from './world.ts';

/*
 * The files that corpus.ts breaks, and what breaks them.
 */
export interface Expected {
  readonly exit: 0 | 3 | 8 | 9;
  /** Of the whole file, where it is not sound. */
  readonly file?: string;
  /** Of session A, where something is expected of it: verdict, segment and code of its break. */
  readonly a?: readonly [verdict: string, segment?: number, code?: string];
  readonly since?: string;
}
export interface Case {
  /** What was done. */
  readonly name: string;
  readonly bytes: Buffer;
  readonly expected: Expected;
  readonly since?: Buffer;
}

export const written = (list: readonly Member[]): Buffer => Buffer.concat([...list.flatMap(archived), ARCHIVE_END]);

/** The log: sessions A, B and C interleaved, among others that no file has. */
export const tree = new world.World();
export const [other, late] = [world.aSession({ segments: 2 }), world.aSession({ segments: 1 })];
export const a = world.aSession({ segments: 4 });
export const b = world.aSession({ segments: 2, close: false });
export const c = world.aSession({ segments: 1, torn: true, close: false });
export const at = (made: world.Made, number: number): number => tree.add(made.segments[number] ?? Buffer.alloc(0));
at(other, 0);
export const early = tree.checkpoint();
export const a0 = at(a, 0);
export const b0 = at(b, 0);
export const a1 = at(a, 1);
export const kept = tree.checkpoint();
// An entry of a kind that nobody knows yet, and one of another version.
tree.entries.push(Buffer.concat([Buffer.of(1, 9), Buffer.alloc(64), Buffer.from('{}')]), Buffer.from('a later version'));
export const a2 = at(a, 2);
at(c, 0);
export const a3 = at(a, 3);
export const b1 = at(b, 1);
at(other, 1);
at(late, 0);
export const { size } = tree;
export const note = tree.checkpoint();
export const head = [members.head(world.ORIGIN), members.checkpoint(note)];

export const proofsOfA = [a0, a1, a2, a3].map((index) => tree.proof(index, note));
/** Session A behind a checkpoint and the proofs of its segments. */
export const sealedFile = [...head, ...world.sealed(a, proofsOfA)];
export const sessionFile = [...head, ...world.told(a, proofsOfA)];
export const consistency = tree.consistency(4);
/** Entries 2 to 9: of A the first is before it, of B all are in it. */
export const range = tree.range(b0, b1 + 1);
export const periodFile = [
  ...head,
  consistency,
  ...range,
  ...world.told(a, proofsOfA.slice(0, 1)),
  ...world.told(b),
  ...world.told(c),
];

export const SOUND: Expected = { exit: 0, a: ['complete'] };
export const cases: Case[] = [];
export const add = (name: string, file: readonly Member[] | Buffer, expected: Expected, since?: Buffer): void => {
  const bytes = Buffer.isBuffer(file) ? file : written(file);
  cases.push({ name, bytes, expected, ...(since === undefined ? {} : { since }) });
};
export const altered = (file: string): Expected => ({ exit: 3, file });
export const ofA = (verdict: string, segment: number, code: string): Expected => ({
  exit: verdict === 'incomplete' ? 8 : verdict === 'not in the log' ? 9 : 3,
  a: [verdict, segment, code],
});
export const without = (file: readonly Member[], ...names: readonly string[]): Member[] =>
  file.filter(({ name }) => !names.includes(name));
export const changed = (file: readonly Member[], name: string, change: (bytes: Buffer) => Buffer): Member[] =>
  file.map((member) => (member.name === name ? { name, bytes: change(member.bytes) } : member));
export const segmentOf = (made: world.Made, number: number): string => `segment/${made.session}/${number}`;
export const bytesOf = (made: world.Made, number: number): Buffer => made.segments[number] ?? Buffer.alloc(0);
export const flip = (bytes: Buffer, place: number, bit: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(place) ^ (1 << bit), place);
  return copy;
};
/** A session file of another session, each segment proved, in the log as it would then be. */
export function fileOf(made: world.Made): Member[] {
  const own = new world.World();
  own.entries.push(...tree.entries);
  const places = own.addSession(made);
  const checkpoint = own.checkpoint();
  const proofs = places.map((place) => own.proof(place, checkpoint));
  return [members.head(world.ORIGIN), members.checkpoint(checkpoint), ...world.told(made, proofs)];
}
