import { members, type Member } from '../src/index.ts';
import {
  SOUND,
  a,
  a0,
  add,
  altered,
  b,
  b0,
  b1,
  bytesOf,
  c,
  changed,
  consistency,
  head,
  kept,
  note,
  ofA,
  periodFile,
  range,
  segmentOf,
  sessionFile,
  size,
  tree,
  without,
  late,
  other,
} from './files.ts';
import * as world from './world.ts';

export function brokenLog(): void {
  const noted = (file: readonly Member[], bytes: Buffer): Member[] => {
    const found = changed(file, 'log/checkpoint', () => bytes);
    return found.map((member) => {
      const end = member.bytes.indexOf('\n\n') + 2;
      return member.name.startsWith('proof/')
        ? { name: member.name, bytes: Buffer.concat([member.bytes.subarray(0, end), bytes]) }
        : member;
    });
  };
  add('a checkpoint that one witness cosigned', noted(sessionFile, tree.checkpoint(size, { cosigned: [0] })), {
    exit: 9,
    a: ['not witnessed'],
  });
  add('a checkpoint that nobody cosigned', noted(periodFile, tree.checkpoint(size, { cosigned: [] })), {
    exit: 9,
    a: ['not witnessed'],
  });
  add('a checkpoint that other witnesses cosigned', noted(sessionFile, tree.checkpoint(size, { cosigned: [1, 2] })), SOUND);
  add('a checkpoint that all witnesses cosigned', noted(sessionFile, tree.checkpoint(size, { cosigned: [0, 1, 2] })), SOUND);
  add(
    'a checkpoint signed anew by another key',
    noted(sessionFile, tree.checkpoint(size, { by: [world.stranger] })),
    altered('NoteUnsigned'),
  );
  add(
    'a checkpoint signed by another key alone',
    noted(sessionFile, tree.checkpoint(size, { by: [world.stranger], cosigned: [] })),
    altered('NoteUnsigned'),
  );
  add(
    'a checkpoint of another origin',
    noted(sessionFile, tree.checkpoint(size, { origin: 'elsewhere' })),
    altered('OriginMismatch'),
  );
  add('an older checkpoint', noted(sessionFile, kept), { exit: 9, a: ['not in the log', 0, 'NotLogged'] });
  const text = note.toString();
  for (const [what, bytes, code] of [
    ['without its signatures', text.slice(0, text.indexOf('\n\n') + 2), 'MalformedNote'],
    ['without its end', text.slice(0, -1), 'MalformedNote'],
    ['with a carriage return', text.replace('\n', '\r\n'), 'MalformedNote'],
    ['with a size that begins with zero', text.replace(`\n${size}\n`, `\n0${size}\n`), 'SignatureInvalid'],
    ['with more signatures than any has', text + '— x AAAAAAAA\n'.repeat(64), 'LimitExceeded'],
    ['with a signature that is none', `${text}— x AAAA\n`, 'MalformedNote'],
    ['too large', text + `— x ${'A'.repeat(400_000)}\n`, ''],
  ] as const)
    add(`a checkpoint ${what}`, noted(sessionFile, Buffer.from(bytes)), code === '' ? SOUND : altered(code));
  add('a checkpoint with a signature of nobody that is known', noted(sessionFile, Buffer.from(`${text}— x AAAAAAAA\n`)), SOUND);

  // Split views: another log under the same key.
  const fork = new world.World();
  fork.entries.push(...tree.entries.slice(0, 2), ...tree.entries.slice(4));
  const forked = fork.checkpoint();
  add('a kept checkpoint of another history', periodFile, { exit: 3, since: 'rewritten' }, rewrittenAt(4));
  add('a kept checkpoint of another history, of the same size', sessionFile, { exit: 3, since: 'rewritten' }, rewrittenAt(size));
  add('a kept checkpoint that is later than the file', sessionFile, { exit: 9, since: 'not proven' }, rewrittenAt(size + 1));
  add('proofs of the log before it was rewritten', noted(sessionFile, forked), {
    exit: 9,
    a: ['not in the log', 0, 'NotLogged'],
  });
  add(
    'a proof that goes on with one hash changed',
    changed(periodFile, 'log/consistency', (bytes) => {
      const text = bytes.toString('latin1');
      const [at, other] = [text.length - 20, text.at(-20) === 'A' ? 'B' : 'A'];
      return Buffer.from(`${text.slice(0, at)}${other}${text.slice(at + 1)}`);
    }),
    { exit: 3, since: 'rewritten' },
    kept,
  );
  add(
    'a proof that goes on without its last hash',
    changed(periodFile, 'log/consistency', (bytes) => Buffer.from(bytes.toString().replace(/[^\n]+\n$/, ''))),
    { exit: 3, since: 'rewritten' },
    kept,
  );
  add(
    'a proof that goes on that is none',
    changed(periodFile, 'log/consistency', () => Buffer.from('x')),
    altered('MalformedProof'),
  );
}

/** A checkpoint of this log's key over other entries. */
function rewrittenAt(count: number): Buffer {
  const rewritten = new world.World();
  for (let index = 0; index < count; index++) rewritten.entries.push(Buffer.from(`another ${index}`));
  return rewritten.checkpoint();
}

export function brokenRanges(): void {
  const rest = periodFile.slice(3 + range.length);
  const ranged = (list: readonly Member[]): Member[] => [...head, consistency, ...list, ...rest];
  const entries = tree.entries.slice(b0, b1 + 1);
  const told = (list: readonly Buffer[], to = b1 + 1): Member[] =>
    ranged([members.range({ ...rangeAt(b0, to) }), members.entries(b0, list)]);
  for (let index = 0; index < entries.length; index++) {
    add(`entry ${index} of a range left out`, told(entries.toSpliced(index, 1)), altered('MalformedBundle'));
    add(
      `entry ${index} of a range left out, and the range made shorter`,
      told(entries.toSpliced(index, 1), b1),
      index === entries.length - 1 ? { exit: 9, a: ['complete'] } : altered('ProofInvalid'),
    );
    add(`entry ${index} of a range replaced`, told(entries.with(index, Buffer.from('another'))), altered('ProofInvalid'));
  }
  add(
    'two entries of a range in another order',
    told([...entries.slice(1, 2), ...entries.slice(0, 1), ...entries.slice(2)]),
    altered('ProofInvalid'),
  );
  add('an entry of a range twice', told([...entries.slice(0, 1), ...entries.slice(0, -1)]), altered('ProofInvalid'));
  add(
    'a range that begins one later than it says',
    ranged([members.range({ ...rangeAt(b0, b1 + 1), from: b0 + 1, to: b1 + 2 }), members.entries(b0 + 1, entries)]),
    altered('ProofInvalid'),
  );
  add(
    'a range without a hash',
    ranged([
      members.range({ ...rangeAt(b0, b1 + 1), hashes: rangeAt(b0, b1 + 1).hashes.slice(1) }),
      members.entries(b0, entries),
    ]),
    altered('ProofInvalid'),
  );
  add(
    'a range with a hash more',
    ranged([
      members.range({ ...rangeAt(b0, b1 + 1), hashes: [...rangeAt(b0, b1 + 1).hashes, Buffer.alloc(32)] }),
      members.entries(b0, entries),
    ]),
    altered('ProofInvalid'),
  );
  add(
    'a range of all entries',
    [
      ...head,
      ...tree.range(0, size),
      ...world.told(a),
      ...world.told(b),
      ...world.told(c),
      ...world.told(other),
      ...world.told(late),
    ],
    { exit: 0, a: ['complete'] },
  );
  add(
    'a range behind the log',
    ranged([members.range({ from: b0, to: size + 1, hashes: [] }), members.entries(b0, entries)]),
    altered('ProofInvalid'),
  );
  add('an empty range', ranged([members.range({ from: b0, to: b0, hashes: [] })]), altered('MalformedProof'));
  add(
    'a range of 2^53 − 1',
    ranged([members.range({ from: 0, to: Number.MAX_SAFE_INTEGER, hashes: [] })]),
    altered('LimitExceeded'),
  );
  add(
    'a range whose entries end within one',
    ranged([members.range(rangeAt(b0, b1 + 1)), { name: `log/entries/${b0}`, bytes: Buffer.of(0, 9, 1) }]),
    altered('MalformedTile'),
  );
  add(
    'a range with no entry in a member',
    ranged([members.range(rangeAt(b0, b1 + 1)), { name: `log/entries/${b0}`, bytes: Buffer.alloc(0) }]),
    altered('MalformedBundle'),
  );
  add(
    'a session of the range left out whole',
    periodFile.filter(({ name }) => !name.includes(c.session)),
    { exit: 8, a: ['complete'] },
  );
  add(
    'the last segment of a session of the range left out',
    without(periodFile, segmentOf(a, 3)),
    ofA('incomplete', 3, 'SegmentMissing'),
  );
  add(
    'the beginning of a session that is not in the range, without its proof',
    without(periodFile, `proof/${a0}`),
    ofA('not in the log', 0, 'NotLogged'),
  );
  add(
    'a segment that the log has otherwise',
    periodFile.map((member) =>
      member.name === segmentOf(b, 0)
        ? { ...member, bytes: bytesOf(world.aSession({ ...b, segments: 1, close: false }), 0) }
        : member,
    ),
    { exit: 9 },
  );
  brokenHistories();
}

function rangeAt(from: number, to: number): { from: number; to: number; hashes: Buffer[] } {
  const [first] = tree.range(from, to);
  const hashes = (first?.bytes.toString() ?? '').split('\n').slice(3, -1);
  return { from, to, hashes: hashes.map((hash) => Buffer.from(hash, 'base64')) };
}

export const own = (entries: readonly Buffer[], list: readonly Member[]): Member[] => {
  const log = new world.World();
  log.entries.push(...entries);
  return [members.head(world.ORIGIN), members.checkpoint(log.checkpoint()), ...log.range(0, log.size), ...list];
};
export const entriesOf = (made: world.Made): Buffer[] => {
  const log = new world.World();
  log.addSession(made);
  return log.entries;
};
/** Logs that a hostile collector signed, and that are genuine all the same. */
function brokenHistories(): void {
  const one = world.aSession({ ...a, segments: 1, close: false });
  add('a segment that is in the log twice', own([...entriesOf(a), ...entriesOf(a)], world.told(a)), SOUND);
  add(
    'a log with two different segments of one number',
    own([...entriesOf(a), ...entriesOf(one)], world.told(a)),
    ofA('not in the log', 0, 'NotLogged'),
  );
  const two = world.aSession({ ...a, segments: 2, close: false });
  add(
    'a log with two different segments of two numbers, the greater one first',
    own([...entriesOf(a), ...entriesOf(two).toReversed()], world.told(a)),
    ofA('not in the log', 0, 'NotLogged'),
  );
  add(
    'entries that are no statements',
    own([Buffer.alloc(0), Buffer.of(1), Buffer.of(1, 1), Buffer.alloc(9000, 1), ...entriesOf(a)], world.told(a)),
    SOUND,
  );
}
