import { ARCHIVE_END, archived } from '../src/file/archive.ts';
import { members } from '../src/index.ts';
import {
  SOUND,
  a,
  a1,
  add,
  altered,
  b,
  cases,
  changed,
  early,
  fileOf,
  flip,
  head,
  kept,
  note,
  periodFile,
  proofsOfA,
  range,
  sessionFile,
  without,
  written,
} from './files.ts';
import * as world from './world.ts';

export function whole(): void {
  add('a session, whole', sessionFile, SOUND);
  add('a period, whole', periodFile, { exit: 0, a: ['complete'] });
  add('a period that goes on from a kept checkpoint', periodFile, { exit: 0, since: 'append-only' }, kept);
  add('a session without the proof that the log goes on', sessionFile, { exit: 9, since: 'not proven' }, kept);
  add('a proof that goes on from another size than was kept', periodFile, { exit: 9, since: 'not proven' }, early);
  add('a kept checkpoint of the same log and size', sessionFile, { exit: 0, since: 'append-only' }, note);
  add('a session that did not end', fileOf(world.aSession({ close: false })), { exit: 0 });
  add('a session that was interrupted', fileOf(world.aSession({ close: false, torn: true })), { exit: 0 });
  add('a session that says itself that records were dropped', fileOf(world.aSession({ dropped: 3 })), { exit: 8 });
  add('no session at all', head, { exit: 8, file: 'empty' });
}

export function brokenFiles(): void {
  const bytes = written(sessionFile);
  for (const end of [0, 1, 511, 512, 1023, 1024, 1500, bytes.length - 1024, bytes.length - 512, bytes.length - 1])
    add(`cut after ${end} bytes`, bytes.subarray(0, end), altered('MalformedBundle'));
  for (let times = 0; times < 20; times++) {
    const end = world.below(bytes.length);
    add(`cut after ${end} bytes, wherever that is`, bytes.subarray(0, end), altered('MalformedBundle'));
  }
  for (const more of [1, 512, 1024])
    add(`${more} zeros too many`, Buffer.concat([bytes, Buffer.alloc(more)]), altered('MalformedBundle'));
  add('the same file twice', Buffer.concat([bytes, bytes]), altered('MalformedBundle'));
  add('something else', Buffer.from('PK\x03\x04'.padEnd(4096, '\0')), altered('MalformedBundle'));
  add('without its head', sessionFile.slice(1), altered('MalformedBundle'));
  add('without its checkpoint', without(sessionFile, 'log/checkpoint'), altered('MalformedBundle'));
  add('with two checkpoints', [...head, members.checkpoint(note), ...sessionFile.slice(2)], altered('MalformedBundle'));
  add('with a proof and no segment', [...head, ...proofsOfA.slice(0, 1)], altered('MalformedBundle'));
  add('with a range and no entries', [...head, ...range.slice(0, 1)], altered('MalformedBundle'));
  add('with the range behind the segments', [...head, ...world.told(b), ...range], altered('MalformedBundle'));
  add(
    'with a proof of another entry under its name',
    [...head, { name: `proof/${a1}`, bytes: proofsOfA[0]?.bytes ?? note }, ...world.sealed(a)],
    altered('MalformedBundle'),
  );
  for (const [what, text, code] of [
    ['of another origin', `{"format":"chaperone.dev/evidence/v1","origin":"elsewhere"}`, 'OriginMismatch'],
    ['of a later version', `{"format":"chaperone.dev/evidence/v2","more":1}`, 'UnsupportedVersion'],
    ['with one more word', `{"format":"chaperone.dev/evidence/v1","origin":"${world.ORIGIN}","x":1}`, 'MalformedBundle'],
    ['that is no JSON', '{', 'MalformedBundle'],
    ['that is null', 'null', 'MalformedBundle'],
    ['that is a list', '[]', 'MalformedBundle'],
    ['that is deep', '['.repeat(500) + ']'.repeat(500), 'MalformedBundle'],
  ] as const)
    add(
      `a head ${what}`,
      changed(sessionFile, 'evidence.json', () => Buffer.from(text)),
      altered(code),
    );
}

/** A member whose header says something that archived() would not write. */
function oddHeader(name: string, length: string, more: (header: Buffer) => void = () => undefined): Buffer {
  const [header = Buffer.alloc(0)] = archived({ name: 'log/checkpoint', bytes: Buffer.alloc(0) });
  header.fill(0, 0, 100);
  header.write(name, 0, 'latin1');
  header.write(length, 124, 'latin1');
  more(header);
  header.write(' '.repeat(8), 148, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return Buffer.concat([...archived(members.head(world.ORIGIN)), header, Buffer.alloc(512), ARCHIVE_END]);
}

export function hostileNames(): void {
  for (const name of [
    '../../etc/passwd',
    '/etc/passwd',
    'segment/../../x/0',
    'segment/s-aaaaaaaaaaaaaaaa/../1',
    'segment/s-AAAAAAAAAAAAAAAA/0',
    'segment/s-aaaaaaaaaaaaaaaa/00',
    'segment/s-aaaaaaaaaaaaaaaa/-1',
    'segment/s-aaaaaaaaaaaaaaaa/9007199254740992',
    'segment/s-aaaaaaaaaaaaaaaa/1e3',
    'segment/s-aaaaaaaaaaaaaa\r\n/0',
    'log/entries/s-aaaaaaaaaaaaaaaa/0',
    'proof/\u001b[2J',
    '=cmd|calc',
    '@SUM(A1)',
    'evidence.json/',
    'Evidence.json',
    '',
    'x'.repeat(100),
  ])
    add(`a member called ${JSON.stringify(name)}`, oddHeader(name, '00000000001'), altered('MalformedBundle'));
  for (const [what, length] of [
    ['in another base', '0x000000200'],
    ['without its zeros', '1          '],
    ['with blanks before it', '         1 '],
    ['that is negative', '-0000000001'],
    ['in base 256', '\u0080\0\0\0\0\0\0\0\0\0\x01'],
  ] as const)
    add(`a size ${what}`, oddHeader('log/checkpoint', length), altered('MalformedBundle'));
  add('a size of 8 GiB', oddHeader('log/checkpoint', '77777777777'), altered('LimitExceeded'));
  add(
    'a size one above the limit',
    oddHeader('log/checkpoint', (512 * 1024 + 1).toString(8).padStart(11, '0')),
    altered('LimitExceeded'),
  );
  for (const [what, place, value] of [
    ['a link', 156, '2'],
    ['a directory', 156, '5'],
    ['an extended header', 156, 'x'],
    ['executable', 106, '7'],
    ['of root', 265, 'root'],
    ['with a prefix', 345, 'a'],
    ['with a time', 146, '1'],
    ['behind another name', 20, 'x'],
  ] as const)
    add(
      `a member that is ${what}`,
      oddHeader('log/checkpoint', '00000000001', (header) => header.write(value, place, 'latin1')),
      altered('MalformedBundle'),
    );
}

/** Any one bit of any byte: nothing of a file may be changed unnoticed. */
export function flips(): void {
  const period = written(periodFile);
  for (const [what, file] of [
    ['session', written(sessionFile)],
    ['period', period],
  ] as const)
    for (let times = 0; times < 150; times++) {
      const [place, bit] = [world.below(file.length), world.below(8)];
      cases.push({
        name: `bit ${bit} of byte ${place} of a ${what} changed`,
        bytes: flip(file, place, bit),
        expected: { exit: 3 },
        since: file === period ? kept : note,
      });
    }
  // Each kind of place once more, where few bytes are many kinds.
  for (const member of [...sessionFile, ...periodFile])
    for (let times = 0; times < 4; times++) {
      const file = sessionFile.includes(member) ? sessionFile : periodFile;
      const [place, bit] = [world.below(member.bytes.length), world.below(8)];
      const bytes = written(file.map((each) => (each === member ? { ...each, bytes: flip(each.bytes, place, bit) } : each)));
      cases.push({
        name: `bit ${bit} of byte ${place} of ${member.name} changed`,
        bytes,
        expected: { exit: 3 },
        since: file === periodFile ? kept : note,
      });
    }
}
