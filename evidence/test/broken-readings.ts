import { encodeLeaf, type Member, members } from '../src/index.ts';
import { entriesOf, own } from './broken-log.ts';
import { SOUND, a, add, altered, b, flip, proofsOfA, tree } from './files.ts';
import * as world from './world.ts';

/** What a file says of who read evidence. */
export function brokenReadings(): void {
  const [one, several] = [world.aReading(a.session), world.aReading(null)];
  const entries = [...entriesOf(a), one.leaf, several.leaf];
  const at = entriesOf(a).length;
  const first = members.reading(at, one.leaf, one.text);
  const second = members.reading(at + 1, several.leaf, several.text);
  const told = world.sealed(a);
  add('a period in which a session was read', own(entries, told), SOUND);
  add('a period with who read it', own(entries, [first, second, ...told]), SOUND);
  add('a period of readings alone', own([one.leaf], []), { exit: 0 });
  add('a period of a reading that the log did not sign', own([unsigned(one.leaf)], []), { exit: 8, file: 'empty' });
  add(
    'a reading of which nobody says who it was',
    own(entries, [members.reading(at, one.leaf, Buffer.alloc(0)), ...told]),
    SOUND,
  );
  const forged = world.aReading(a.session, world.aSigner());
  const broken: readonly (readonly [string, readonly Member[], string])[] = [
    ['readings in another order', [second, first], 'MalformedBundle'],
    ['a reading twice', [first, first], 'MalformedBundle'],
    ['a reading that ends early', [member(at, first.bytes.subarray(0, 70))], 'MalformedBundle'],
    ['a reading of one byte', [member(at, Buffer.of(0))], 'MalformedBundle'],
    ['a reading of nothing', [members.reading(at, Buffer.alloc(0), one.text)], 'MalformedLeaf'],
    ['a reading that is an order', [members.reading(at, world.anErasure(a.session).leaf, one.text)], 'MalformedLeaf'],
    ['a reading that the log did not sign', [members.reading(at, forged.leaf, forged.text)], 'SignatureInvalid'],
    ['a reading that is another entry', [members.reading(at + 1, one.leaf, one.text)], 'NotLogged'],
    ['a reading behind the range', [members.reading(99, one.leaf, one.text)], 'NotLogged'],
    [
      'a reading by somebody else',
      [members.reading(at, one.leaf, flip(one.text, one.text.indexOf('jane') + 1, 1))],
      'PayloadAltered',
    ],
    ['a reading with the text of another', [members.reading(at, one.leaf, several.text)], 'PayloadAltered'],
    ['a reading with a text that is none', [members.reading(at, one.leaf, Buffer.from('null'))], 'PayloadAltered'],
    ['a reading that is too long', [members.reading(at, one.leaf, Buffer.alloc(8192))], 'LimitExceeded'],
  ];
  for (const [name, list, code] of broken) add(name, own(entries, [...list, ...told]), altered(code));
  add('a reading behind a session', own(entries, [...told, first]), altered('MalformedBundle'));

  const log = new world.World();
  log.entries.push(...tree.entries);
  const index = log.addEntry(one.leaf);
  const note = log.checkpoint();
  const alone = (...list: readonly Member[]): Member[] => [
    members.head(world.ORIGIN),
    members.checkpoint(note),
    ...list,
    ...world.sealed(
      a,
      proofsOfA.map(({ name }) => log.proof(Number(name.slice('proof/'.length)), note)),
    ),
  ];
  const proved = members.reading(index, one.leaf, one.text);
  add('a session with who read it', alone(log.proof(index, note), proved), SOUND);
  add('who read a session, of which nothing is here', alone(log.proof(index, note), proved).slice(0, 4), {
    exit: 8,
    file: 'empty',
  });
  add('a session with a reading without its proof', alone(proved), altered('NotLogged'));
  add('a session with a reading and the proof of another entry', alone(log.proof(0, note), proved), altered('NotLogged'));
  add(
    'a session with a reading under the number of another',
    alone(log.proof(index, note), members.reading(index - 1, one.leaf, one.text)),
    altered('NotLogged'),
  );
  add('a session with who read another one', alone(log.proof(index, note), proved, ...world.told(b)), {
    exit: 9,
    a: ['complete'],
  });
}

const member = (index: number, bytes: Buffer): Member => ({ name: `reading/${index}`, bytes });
const unsigned = (leaf: Buffer): Buffer => encodeLeaf({ kind: 'read', text: leaf.subarray(66), signature: Buffer.alloc(64) });
