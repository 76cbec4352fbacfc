import { zstdCompressSync } from 'node:zlib';
import {
  encodeNkey,
  formatNote,
  MAX_PLAIN_BYTES,
  members,
  type Member,
  parseSegment,
  signCounter,
  signNote,
  signRegistration,
} from '../src/index.ts';
import { encryptPayload } from '../src/seal-segment.ts';
import { sealStatement } from '../src/order.ts';
import { SegmentKeys } from '../src/sealing.ts';
import { entriesOf, own } from './broken-log.ts';
import {
  SOUND,
  a,
  add,
  altered,
  b,
  b0,
  bytesOf,
  changed,
  fileOf,
  flip,
  head,
  ofA,
  periodFile,
  proofsOfA,
  segmentOf,
  sessionFile,
  size,
  tree,
} from './files.ts';
import * as world from './world.ts';

/*
 * One case for a check that what is around it would otherwise hide: what is signed and says too little, and what only who has no key sees.
 */
export function brokenParts(): void {
  partsOfSegments();
  recordsWithin();
  sealedHeaders();
  statements();
  notes();
  placesOfLog();
  textsOfEntries();
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const replaced = (bytes: Buffer): Member[] => changed(sessionFile, segmentOf(a, 0), () => bytes);

function partsOfSegments(): void {
  const first = bytesOf(a, 0);
  const signatureAt = 12 + parseSegment(first).headerText.length;
  add('a segment that begins otherwise', replaced(flip(first, 0, 0)), ofA('altered', 0, 'MalformedSegment'));
  add('a signature with another bit', replaced(flip(first, signatureAt + 9, 1)), ofA('altered', 0, 'SignatureInvalid'));
  const { headerText, registration } = parseSegment(first);
  const [header, text] = [headerText.toString(), registration.toString()];
  /** The first segment with another text in place of one of these two, and its length. */
  const rebuilt = (own = header, registered = text): Buffer => {
    const rest = first.subarray(signatureAt + 64 + 4 + registration.length);
    const sized = (part: string): Buffer[] => [u32(Buffer.byteLength(part)), Buffer.from(part)];
    const parts = [...sized(own), first.subarray(signatureAt, signatureAt + 64), ...sized(registered)];
    return Buffer.concat([first.subarray(0, 8), ...parts, rest]);
  };
  add('a segment rebuilt as it was', replaced(rebuilt()), SOUND);
  const plain = (count: number): Buffer => rebuilt(header.replace(/"plain":\d+/, `"plain":${count}`));
  add('a payload of as many bytes as may be', replaced(plain(MAX_PLAIN_BYTES)), ofA('altered', 0, 'SignatureInvalid'));
  add('a payload of a byte more than may be', replaced(plain(MAX_PLAIN_BYTES + 1)), ofA('altered', 0, 'LimitExceeded'));
  const agent = { namespace: 'agents', serviceAccount: 'bot', pod: 'bot-1' };
  const nkey = encodeNkey(a.pod.nkey.publicKey);
  const again = signRegistration({ nkey, agent, origin: world.ORIGIN, issuedAt: 2 }, world.enrolment);
  add(
    'another registration of the same pod',
    replaced(rebuilt(header, JSON.stringify(again))),
    ofA('altered', 0, 'RegistrationUntrusted'),
  );
  add('a registration with another bit', replaced(flip(first, signatureAt + 80, 1)), ofA('altered', 0, 'RegistrationUntrusted'));
}

/** What its key encrypts in place of the records whose leaf hashes are signed. */
function recordsWithin(): void {
  const first = bytesOf(a, 0);
  const { header, payload } = parseSegment(first);
  const framed = (length: number, text = Buffer.alloc(length, 0x20)): Buffer => Buffer.concat([u32(length), text]);
  for (const [what, texts] of [
    ['other records', Array.from({ length: header.records.count }, () => framed(2))],
    ['no record', []],
    ['records of nothing, one too many', Array.from({ length: header.records.count + 1 }, () => framed(0))],
    ['a record that ends early', [framed(9, Buffer.alloc(8))]],
    ['a length that ends early', [Buffer.alloc(3)]],
  ] as const) {
    const keys = new SegmentKeys(a.key, 0, Buffer.from(header.key.salt, 'hex'));
    const encrypted = encryptPayload(keys, zstdCompressSync(Buffer.concat(texts)));
    const bytes = Buffer.concat([first.subarray(0, first.length - payload.length), ...encrypted]);
    add(`a payload of ${what}`, replaced(bytes), ofA('altered', 0, 'RecordAltered'));
  }
}

/** What headers say of themselves, where nobody can read the records. */
function sealedHeaders(): void {
  const link = '0'.repeat(64);
  for (const [what, number, change] of [
    ['an opening without its flag', 0, { flags: [] }],
    ['an opening flag later', 1, { flags: ['open'] }],
    ['a first segment behind another', 0, { prev: link }],
    ['a later segment behind none', 1, { prev: null }],
    ['a first segment whose records do not begin', 0, { firstSeq: 1 }],
    ['a later segment whose records begin', 1, { firstSeq: 0 }],
    ['a later segment without records', 1, { records: [] }],
  ] as const) {
    const made = world.aSession({
      mods: (input) => (input.number === number ? { ...input, ...change } : input),
    });
    const sealed = fileOf(made).filter(({ name }) => !name.startsWith('key/'));
    add(`a sealed session with ${what}`, sealed, { exit: 3 });
  }
}

function statements(): void {
  const { pod } = a;
  const epoch = world.anEpoch(pod);
  const nkey = encodeNkey(pod.nkey.publicKey);
  const counter = {
    origin: world.ORIGIN,
    nkey,
    number: 1,
    opened: 1,
    newest: null,
    sealed: 1,
    last: null,
    pending: [],
    more: 0,
    clock: { wall: epoch.notBefore, mono: 1 },
  };
  const signed = signCounter(counter, epoch);
  const withNkey = (text: string): Member => {
    const { body, signature } = signed.certificate;
    return members.counter(0, {
      registration: pod.registration,
      ...signed,
      certificate: { body: body.replace(nkey, text), signature },
    });
  };
  for (const [what, text] of [
    ['too short', nkey.slice(1)],
    ['too long', `${nkey}A`],
    ['in small letters', nkey.toLowerCase()],
    ['with a sum that is not its', `${nkey.slice(0, 20)}${nkey[20] === 'A' ? 'B' : 'A'}${nkey.slice(21)}`],
    ['of nobody', ''],
  ] as const)
    add(`a counter by an nkey ${what}`, [...head, withNkey(text), ...sessionFile.slice(2)], altered('MalformedKey'));
  const agent = { namespace: 'agents', serviceAccount: 'bot' };
  const registration = signRegistration({ nkey, agent, origin: 'elsewhere', issuedAt: 1 }, world.enrolment);
  add(
    'a counter of a pod that was enrolled elsewhere',
    [...head, members.counter(0, { registration, ...signed }), ...sessionFile.slice(2)],
    altered('OriginMismatch'),
  );
}

/** Texts that the log signed as it signs checkpoints. */
function notes(): void {
  const root = `${Buffer.alloc(32, 1).toString('base64')}\n`;
  for (const [what, text] of [
    ['two lines', `${world.ORIGIN}\n${size}\n`],
    ['no name', `\n${size}\n${root}`],
    ['a size that begins with zero', `${world.ORIGIN}\n0${size}\n${root}`],
    ['a size above 2^53', `${world.ORIGIN}\n9007199254740992\n${root}`],
    ['a root that is too short', `${world.ORIGIN}\n${size}\nAAAA\n`],
    ['a root of no leaves that is none', `${world.ORIGIN}\n0\n${root}`],
    ['an empty line', `${world.ORIGIN}\n${size}\n${root}\nx\n`],
  ] as const) {
    const note = Buffer.from(formatNote(signNote({ text, signatures: [] }, [world.log])));
    add(
      `a signed note of ${what}`,
      changed(sessionFile, 'log/checkpoint', () => note),
      altered('MalformedNote'),
    );
  }
}

function placesOfLog(): void {
  add(
    'entries of a range under another index',
    periodFile.map((member) => (member.name === `log/entries/${b0}` ? { ...member, name: `log/entries/${b0 + 1}` } : member)),
    altered('MalformedBundle'),
  );
  const gap = (length: number, session = a.session): Buffer => {
    const text = JSON.stringify({ session, first: 1, last: 2, at: 1 });
    return Buffer.concat([Buffer.of(1, 4), Buffer.alloc(64), Buffer.from(text.padEnd(length))]);
  };
  for (const length of [4096, 4097])
    add(`an entry of ${length} bytes`, own([...entriesOf(a), gap(length)], world.told(a)), SOUND);
  add('a gap of a session that is nowhere', own([...entriesOf(a), gap(80, 's-zzzzzzzzzzzzzzzz')], world.told(a)), SOUND);
  const many = new world.World();
  many.addSession(a);
  while (many.size < 65) many.entries.push(Buffer.from(`another ${many.size}`));
  const [proof, ...rest] = many.range(0, 65, 64);
  const [before, all] = [[members.head(world.ORIGIN), members.checkpoint(many.checkpoint())], world.told(a)];
  const within = (...list: readonly Member[]): Member[] => [...before, ...(proof === undefined ? [] : [proof]), ...list, ...all];
  add('entries of a range, 64 in a member', within(...rest), SOUND);
  add('entries of a range, 65 in a member', within(members.entries(0, many.entries)), altered('MalformedBundle'));
  const oneMore = members.entries(64, [Buffer.from('another 64'), Buffer.from('one more')]);
  add('an entry more than a range has', within(...rest.slice(0, 1), oneMore), altered('MalformedBundle'));
  const empty = new world.World().checkpoint();
  add('a kept checkpoint of an empty log', sessionFile, { exit: 0, since: 'append-only' }, empty);
  const later = new world.World();
  later.entries.push(...tree.entries, Buffer.from('later'));
  const text = `chaperone.dev/log-consistency/v1\nold ${later.size}\n`;
  add(
    'a proof that goes on from a size above its own',
    [...head, { name: 'log/consistency', bytes: Buffer.from(text) }, ...sessionFile.slice(2)],
    { exit: 9, since: 'not proven' },
    later.checkpoint(),
  );
  const { leaf, text: who } = world.aReading(a.session);
  const log = new world.World();
  log.entries.push(...tree.entries);
  const index = log.addEntry(leaf);
  const note = log.checkpoint();
  const proved = [log.proof(index, note), members.reading(index, leaf, who)];
  const proofs = proofsOfA.map(({ name }) => log.proof(Number(name.slice('proof/'.length)), note));
  add(
    'a reading with its proof behind a session',
    [members.head(world.ORIGIN), members.checkpoint(note), ...world.sealed(a, proofs), ...proved],
    altered('MalformedBundle'),
  );
}

/** Entries that the log signed, of texts that say something else than they do. */
function textsOfEntries(): void {
  const [at, way, salt, by] = [1_790_000_100_000, 'view', '5a'.repeat(16), 'jane'];
  const told = world.sealed(a);
  for (const [what, change] of [
    ['another session', { session: b.session }],
    ['another time', { at: at + 1 }],
    ['a hold', { kind: 'hold' }],
  ] as const) {
    const text = JSON.stringify({ kind: 'erasure', session: a.session, by, reason: 'x', at, salt, ...change });
    const statement = (order: string): object => ({ session: a.session, order, at });
    const { leaf } = sealStatement('erasure', Buffer.from(text), statement, world.logKey);
    const list = [members.erasure(a.session, leaf), members.order(a.session, Buffer.from(text)), ...told];
    add(`an entry of erasure whose text is of ${what}`, own([...entriesOf(a), leaf], list), ofA('altered', 0, 'PayloadAltered'));
  }
  for (const [what, change] of [
    ['another session', { session: b.session }],
    ['another time', { at: at + 1 }],
    ['another way', { way: 'export' }],
  ] as const) {
    const text = Buffer.from(JSON.stringify({ kind: 'read', session: a.session, way, by, at, salt, ...change }));
    const statement = (order: string): object => ({ session: a.session, order, at, way });
    const { leaf } = sealStatement('read', text, statement, world.logKey);
    const entries = [...entriesOf(a), leaf];
    const list = [members.reading(entries.length - 1, leaf, text), ...told];
    add(`an entry of a reading whose text is of ${what}`, own(entries, list), altered('PayloadAltered'));
  }
}
