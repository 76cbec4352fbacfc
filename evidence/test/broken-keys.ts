import { encodeLeaf, type Member, members, parseRecipient, recipientOf, wrapKey } from '../src/index.ts';
import { entriesOf, own } from './broken-log.ts';
import {
  SOUND,
  a,
  add,
  altered,
  b,
  bytesOf,
  changed,
  flip,
  head,
  ofA,
  proofsOfA,
  sealedFile,
  segmentOf,
  sessionFile,
  tree,
  without,
} from './files.ts';
import * as world from './world.ts';

/** Keys as they were wrapped, which say nothing to who verifies without a key of their own. */
function wrappedKeys(): void {
  const wrapped = wrapKey(a.key, [parseRecipient(recipientOf(Buffer.alloc(32, 5)))]);
  const own = members.wrapped(wrapped);
  const withText = (text: string, name = own.name): Member[] => [
    ...head,
    { name, bytes: Buffer.from(text) },
    ...sealedFile.slice(2),
  ];
  const malformed = altered('MalformedBundle');
  add('a session with its key as it was wrapped', withText(JSON.stringify(wrapped)), SOUND);
  add('a wrapped key behind the key itself', [...head, members.key(a.key), own, ...sealedFile.slice(2)], malformed);
  add('a key behind itself as it was wrapped', [...head, own, members.key(a.key), ...sealedFile.slice(2)], malformed);
  add('a wrapped key behind the segments', [...sealedFile, own], malformed);
  add('a wrapped key under the name of another session', withText(JSON.stringify(wrapped), `wrapped/${b.session}`), malformed);
  add('a wrapped key that is no JSON', withText('{'), malformed);
  add('a wrapped key that is null', withText('null'), malformed);
  const [to] = wrapped.to;
  for (const [what, change] of [
    ['with something else in it', { more: 1 }],
    ['to nobody', { to: [] }],
    ['to nine', { to: Array.from({ length: 9 }, () => to) }],
    ['to one without a name', { to: [{ ...to, recipient: '' }] }],
    ['with a key that is not base64url', { to: [{ ...to, key: 'a+b/' }] }],
    ['with a key of an impossible length', { to: [{ ...to, key: 'AAAAA' }] }],
    ['with an id that is none', { id: 'A'.repeat(64) }],
  ] as const)
    add(`a wrapped key ${what}`, withText(JSON.stringify({ ...wrapped, ...change })), malformed);
  add('a wrapped key that is too large', withText(JSON.stringify(wrapped).padEnd(8193, ' ')), altered('LimitExceeded'));
}

/** What is read with data keys, and what orders of erasure prove. */
export function brokenKeys(): void {
  const keyName = `key/${a.session}`;
  add('a session without its key', sealedFile, SOUND);
  add(
    'the key of another session',
    changed(sessionFile, keyName, () => b.key.secret),
    ofA('altered', 0, 'KeyUnusable'),
  );
  add(
    'a key with another bit',
    changed(sessionFile, keyName, (key) => flip(key, 7, 3)),
    ofA('altered', 0, 'KeyUnusable'),
  );
  add(
    'a key that is too short',
    changed(sessionFile, keyName, (key) => key.subarray(1)),
    altered('MalformedKey'),
  );
  add('a key under the name of another session', [...head, members.key(b.key), ...sealedFile.slice(2)], {
    exit: 8,
    a: ['complete'],
  });
  add('a key twice', [...head, members.key(a.key), ...sessionFile.slice(2)], altered('MalformedBundle'));
  add('a key behind the segments', [...sealedFile, members.key(a.key)], altered('MalformedBundle'));
  wrappedKeys();
  for (const [what, file] of [
    ['that can be read', sessionFile],
    ['that nobody can read', sealedFile],
  ] as const)
    add(
      `a byte of the ciphertext changed in a session ${what}`,
      changed(file, segmentOf(a, 1), (bytes) => flip(bytes, bytes.length - 40, 0)),
      ofA('altered', 1, 'PayloadAltered'),
    );
  add('a key that changes between segments', otherKey(), { exit: 3 });
  erasures();
}

/** The last segment of A under a key of its own. */
function otherKey(): Member[] {
  const made = world.aSession({ mods: (input) => (input.number === 2 ? { ...input, key: b.key } : input) });
  const log = new world.World();
  const places = log.addSession(made);
  const note = log.checkpoint();
  return [
    members.head(world.ORIGIN),
    members.checkpoint(note),
    ...world.sealed(
      made,
      places.map((place) => log.proof(place, note)),
    ),
  ];
}

function erasures(): void {
  const { text, leaf } = world.anErasure(a.session);
  const entry = members.erasure(a.session, leaf);
  const order = members.order(a.session, text);
  const entries = [...entriesOf(a), leaf];
  const erased = { exit: 0, a: ['erased'] } as const;
  add('an erased session that is not here', own(entries, []), erased);
  add('an erased session of which the order alone is here', own(entries, [entry, order]), erased);
  add('an erased session', own(entries, world.sealed(a)), SOUND);
  add('an erased session with the entry that says so', own(entries, [entry, ...world.sealed(a)]), SOUND);
  add('an erased session with who ordered it and why', own(entries, [entry, order, ...world.sealed(a)]), SOUND);
  add('an erased session whose key is there all the same', own(entries, [entry, order, ...world.told(a)]), SOUND);
  add('an erased session with its key behind its entry', own(entries, [entry, members.key(a.key), ...world.sealed(a)]), SOUND);
  add(
    'an erased session, and another with its key',
    own([...entries, ...entriesOf(b)], [entry, members.key(b.key), ...world.sealed(b)]),
    erased,
  );
  add('an erased session and segments that are missing', own(entries, [entry, ...world.sealed(a).slice(1)]), {
    exit: 8,
    a: ['incomplete', 0, 'SegmentMissing'],
  });

  const log = new world.World();
  log.entries.push(...tree.entries);
  const index = log.addEntry(leaf);
  const note = log.checkpoint();
  const alone = (...list: readonly Member[]): Member[] => [
    members.head(world.ORIGIN),
    members.checkpoint(note),
    ...list,
    ...world.sealed(a, proofsOf(log, note)),
  ];
  add('an erased session with the proof of its order', alone(log.proof(index, note), entry, order), SOUND);
  add('an order of erasure without its proof', alone(entry, order), ofA('not in the log', 0, 'NotLogged'));
  add(
    'an order of erasure with the proof of another entry',
    alone(log.proof(0, note), entry),
    ofA('not in the log', 0, 'NotLogged'),
  );
  const forged = world.anErasure(a.session, world.aSigner());
  for (const [what, list, code] of [
    [
      'that the log did not sign',
      [members.erasure(a.session, forged.leaf), members.order(a.session, forged.text)],
      'SignatureInvalid',
    ],
    ['of another session', [members.erasure(a.session, world.anErasure(b.session).leaf)], 'MalformedLeaf'],
    ['that is a segment', [members.erasure(a.session, entriesOf(a)[0] ?? Buffer.alloc(0))], 'MalformedLeaf'],
    ['that is nothing', [members.erasure(a.session, Buffer.alloc(0))], 'MalformedLeaf'],
    [
      'with another text',
      [entry, members.order(a.session, Buffer.from(text.toString().replace('4711', '4712')))],
      'PayloadAltered',
    ],
    ['with a text that is none', [entry, members.order(a.session, Buffer.from('null'))], 'PayloadAltered'],
  ] as const)
    add(`an order of erasure ${what}`, own(entries, [...list, ...world.sealed(a)]), ofA('altered', 0, code));
  const unsigned = encodeLeaf({ kind: 'erasure', text: leaf.subarray(66), signature: Buffer.alloc(64) });
  add('a log in which an erasure stands that it did not sign', own([...entriesOf(a), unsigned], []), {
    exit: 8,
    a: ['not exported'],
  });
  add('an order without its entry', own(entries, [order, ...world.sealed(a)]), altered('MalformedBundle'));
  add('the order of another session', own(entries, [entry, members.order(b.session, text)]), altered('MalformedBundle'));
  add('an order of erasure behind the segments', own(entries, [...world.sealed(a), entry]), altered('MalformedBundle'));
  add(
    'an erased session, changed',
    changed(own(entries, [entry, ...world.sealed(a)]), segmentOf(a, 0), () => bytesOf(b, 0)),
    {
      exit: 3,
      a: ['altered', 0, 'SegmentMisplaced'],
    },
  );
  add('an order without a session', without(own(entries, [entry]), 'log/checkpoint'), altered('MalformedBundle'));
}

const proofsOf = (log: world.World, note: Buffer): Member[] =>
  proofsOfA.map(({ name }) => log.proof(Number(name.slice('proof/'.length)), note));
