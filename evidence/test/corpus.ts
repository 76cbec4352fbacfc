import { zstdCompressSync } from 'node:zlib';
import { ARCHIVE_END, archived } from '../src/file/archive.ts';
import { encodeLeaf, type Member, members, parseSegment } from '../src/index.ts';
import * as world from './world.ts';

/*
 * Files of evidence, whole and broken, and what has to be said of each. Both verifiers are held against this table.
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

const written = (list: readonly Member[]): Buffer => Buffer.concat([...list.flatMap(archived), ARCHIVE_END]);

/** The log: sessions A, B and C interleaved, among others that no file has. */
const tree = new world.World();
const [other, late] = [world.aSession({ segments: 2 }), world.aSession({ segments: 1 })];
const a = world.aSession({ segments: 4 });
const b = world.aSession({ segments: 2, close: false });
const c = world.aSession({ segments: 1, torn: true, close: false });
const at = (made: world.Made, number: number): number => tree.add(made.segments[number] ?? Buffer.alloc(0));
at(other, 0);
const early = tree.checkpoint();
const a0 = at(a, 0);
const b0 = at(b, 0);
const a1 = at(a, 1);
const kept = tree.checkpoint();
// An entry of a kind that nobody knows yet, and one of another version.
tree.entries.push(Buffer.concat([Buffer.of(1, 9), Buffer.alloc(64), Buffer.from('{}')]), Buffer.from('a later version'));
const a2 = at(a, 2);
const c0 = at(c, 0);
const a3 = at(a, 3);
const b1 = at(b, 1);
at(other, 1);
at(late, 0);
const { size } = tree;
const note = tree.checkpoint();
const head = [members.head(world.ORIGIN), members.checkpoint(note)];

const proofsOfA = [a0, a1, a2, a3].map((index) => tree.proof(index, note));
const sessionFile = [...head, ...world.told(a, proofsOfA)];
const consistency = tree.consistency(4);
/** Entries 2 to 9: of A the first is before it, of B all are in it. */
const range = tree.range(b0, b1 + 1);
const periodFile = [...head, consistency, ...range, ...world.told(a, proofsOfA.slice(0, 1)), ...world.told(b), ...world.told(c)];

const SOUND: Expected = { exit: 0, a: ['complete'] };
const cases: Case[] = [];
const add = (name: string, file: readonly Member[] | Buffer, expected: Expected, since?: Buffer): void => {
  const bytes = Buffer.isBuffer(file) ? file : written(file);
  cases.push({ name, bytes, expected, ...(since === undefined ? {} : { since }) });
};
const altered = (file: string): Expected => ({ exit: 3, file });
const ofA = (verdict: string, segment: number, code: string): Expected => ({
  exit: verdict === 'incomplete' ? 8 : verdict === 'not in the log' ? 9 : 3,
  a: [verdict, segment, code],
});
const without = (file: readonly Member[], ...names: readonly string[]): Member[] => file.filter(({ name }) => !names.includes(name));
const changed = (file: readonly Member[], name: string, change: (bytes: Buffer) => Buffer): Member[] =>
  file.map((member) => (member.name === name ? { name, bytes: change(member.bytes) } : member));
const segmentOf = (made: world.Made, number: number): string => `segment/${made.session}/${number}`;
const bytesOf = (made: world.Made, number: number): Buffer => made.segments[number] ?? Buffer.alloc(0);
const flip = (bytes: Buffer, place: number, bit: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(place) ^ (1 << bit), place);
  return copy;
};
/** A session file of another session, each segment proved, in the log as it would then be. */
function fileOf(made: world.Made): Member[] {
  const own = new world.World();
  own.entries.push(...tree.entries);
  const places = own.addSession(made);
  const checkpoint = own.checkpoint();
  const proofs = places.map((place) => own.proof(place, checkpoint));
  return [members.head(world.ORIGIN), members.checkpoint(checkpoint), ...world.told(made, proofs)];
}

function whole(): void {
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

function brokenFiles(): void {
  const bytes = written(sessionFile);
  for (const end of [0, 1, 511, 512, 1023, 1024, 1500, bytes.length - 1024, bytes.length - 512, bytes.length - 1])
    add(`cut after ${end} bytes`, bytes.subarray(0, end), altered('MalformedBundle'));
  for (let times = 0; times < 20; times++) {
    const end = world.below(bytes.length);
    add(`cut after ${end} bytes, wherever that is`, bytes.subarray(0, end), altered('MalformedBundle'));
  }
  for (const more of [1, 512, 1024]) add(`${more} zeros too many`, Buffer.concat([bytes, Buffer.alloc(more)]), altered('MalformedBundle'));
  add('the same file twice', Buffer.concat([bytes, bytes]), altered('MalformedBundle'));
  add('something else', Buffer.from('PK\x03\x04'.padEnd(4096, '\0')), altered('MalformedBundle'));
  add('without its head', sessionFile.slice(1), altered('MalformedBundle'));
  add('without its checkpoint', without(sessionFile, 'log/checkpoint'), altered('MalformedBundle'));
  add('with two checkpoints', [...head, members.checkpoint(note), ...sessionFile.slice(2)], altered('MalformedBundle'));
  add('with a proof and no segment', [...head, ...proofsOfA.slice(0, 1)], altered('MalformedBundle'));
  add('with a range and no entries', [...head, ...range.slice(0, 1)], altered('MalformedBundle'));
  add('with the range behind the segments', [...head, ...world.told(b), ...range], altered('MalformedBundle'));
  add('with a proof of another entry under its name', [...head, { name: `proof/${a1}`, bytes: proofsOfA[0]?.bytes ?? note }, ...world.told(a)], altered('MalformedBundle'));
  for (const [what, text, code] of [
    ['of another origin', `{"format":"chaperone.dev/evidence/v1","origin":"elsewhere"}`, 'OriginMismatch'],
    ['of a later version', `{"format":"chaperone.dev/evidence/v2","more":1}`, 'UnsupportedVersion'],
    ['with one more word', `{"format":"chaperone.dev/evidence/v1","origin":"${world.ORIGIN}","x":1}`, 'MalformedBundle'],
    ['that is no JSON', '{', 'MalformedBundle'],
    ['that is null', 'null', 'MalformedBundle'],
    ['that is a list', '[]', 'MalformedBundle'],
    ['that is deep', '['.repeat(500) + ']'.repeat(500), 'MalformedBundle'],
  ] as const)
    add(`a head ${what}`, changed(sessionFile, 'evidence.json', () => Buffer.from(text)), altered(code));
}

/** A member whose header says something that archived() would not write. */
function oddHeader(name: string, size: string, more: (header: Buffer) => void = () => undefined): Buffer {
  const [header = Buffer.alloc(0)] = archived({ name: 'log/checkpoint', bytes: Buffer.alloc(0) });
  header.fill(0, 0, 100);
  header.write(name, 0, 'latin1');
  header.write(size, 124, 'latin1');
  more(header);
  header.write(' '.repeat(8), 148, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return Buffer.concat([...archived(members.head(world.ORIGIN)), header, Buffer.alloc(512), ARCHIVE_END]);
}

function hostileNames(): void {
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
  for (const [what, size] of [
    ['in another base', '0x000000200'],
    ['without its zeros', '1          '],
    ['with blanks before it', '         1 '],
    ['that is negative', '-0000000001'],
    ['in base 256', '\u0080\0\0\0\0\0\0\0\0\0\x01'],
  ] as const)
    add(`a size ${what}`, oddHeader('log/checkpoint', size), altered('MalformedBundle'));
  add('a size of 8 GiB', oddHeader('log/checkpoint', '77777777777'), altered('LimitExceeded'));
  add('a size one above the limit', oddHeader('log/checkpoint', (512 * 1024 + 1).toString(8).padStart(11, '0')), altered('LimitExceeded'));
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
    add(`a member that is ${what}`, oddHeader('log/checkpoint', '00000000001', (header) => header.write(value, place, 'latin1')), altered('MalformedBundle'));
}

function brokenSegments(): void {
  const replaced = (number: number, bytes: Buffer): Member[] => changed(sessionFile, segmentOf(a, number), () => bytes);
  for (let number = 0; number < 4; number++) {
    const lost = without(sessionFile, segmentOf(a, number), proofsOfA[number]?.name ?? '');
    if (number < 3) add(`segment ${number} removed`, lost, ofA('incomplete', number, 'SegmentMissing'));
    const swapped = replaced(number, bytesOf(a, (number + 1) % 4));
    add(`segment ${number} replaced by another of its session`, swapped, number === 3 ? ofA('altered', 3, 'SegmentMisplaced') : ofA('incomplete', number, 'SegmentMissing'));
    add(`segment ${number} replaced by one of another session`, replaced(number, bytesOf(b, 0)), ofA('altered', number, 'SegmentMisplaced'));
    add(`segment ${number} empty`, replaced(number, Buffer.alloc(0)), ofA('incomplete', number, 'SegmentMissing'));
    add(`segment ${number} cut`, replaced(number, bytesOf(a, number).subarray(0, -1)), { exit: 3, a: ['altered', number] });
    add(`segment ${number} with a byte more`, replaced(number, Buffer.concat([bytesOf(a, number), Buffer.alloc(1)])), { exit: 3, a: ['altered', number] });
  }
  add('the last segment removed, of a session', without(sessionFile, segmentOf(a, 3), `proof/${a3}`), { exit: 0, a: ['open'] });
  const [, , p0, s0, p1, s1, ...rest] = sessionFile;
  const order = (...list: readonly (Member | undefined)[]): Member[] => [...head, ...list.filter((each) => each !== undefined)];
  add('two segments in another order', order(p1, s1, p0, s0, ...rest), ofA('incomplete', 0, 'SegmentMissing'));
  add('a segment twice', order(p0, s0, p0, s0, p1, s1, ...rest), ofA('altered', 1, 'SegmentMisplaced'));
  add('a session in two places', [...head, ...range, ...world.told(a, proofsOfA.slice(0, 1)), ...world.told(b), ...world.told({ ...a, segments: a.segments.slice(0, 1) }, proofsOfA.slice(0, 1))], altered('MalformedBundle'));
  add('the proof of another segment', order({ ...p1, bytes: p1?.bytes ?? note, name: `proof/${a1}` }, s0, p1, s1, ...rest), ofA('not in the log', 0, 'NotLogged'));
  add('the proof of another session', order(tree.proof(b0, note), s0, p1, s1, ...rest), ofA('not in the log', 0, 'NotLogged'));
  add('no proof of a segment', order(p0, s0, s1, ...rest), ofA('not in the log', 1, 'NotLogged'));
  const short = tree.proof(a1, note).bytes.toString().split('\n');
  add('a proof without its last hash', changed(sessionFile, `proof/${a1}`, () => Buffer.from(short.toSpliced(2, 1).join('\n'))), ofA('not in the log', 1, 'NotLogged'));
  add('a proof with an extra line', changed(sessionFile, `proof/${a1}`, () => Buffer.from(short.toSpliced(1, 0, 'extra aGk=').join('\n'))), SOUND);
  add('a proof whose index is written otherwise', changed(sessionFile, `proof/${a1}`, () => Buffer.from(short.with(1, `index 0${a1}`).join('\n'))), altered('MalformedProof'));
  add('a proof of an entry behind the log', order({ name: `proof/${size}`, bytes: Buffer.from(short.with(1, `index ${size}`).join('\n')) }, s0), ofA('not in the log', 0, 'NotLogged'));
  add('a proof with an older checkpoint', changed(sessionFile, `proof/${a1}`, () => tree.proof(a1, kept, 4).bytes), altered('MalformedBundle'));
}

function resealed(): void {
  const pod = world.aPod();
  const mod = (mods: NonNullable<world.Wanted['mods']>, wanted: world.Wanted = {}): Member[] => fileOf(world.aSession({ pod, ...wanted, mods }));
  const from = (number: number, change: NonNullable<world.Wanted['mods']>): Member[] =>
    mod((input) => (input.number === number ? change(input) : input));
  const second = world.anEpoch(pod, 2);
  add('a later epoch key from the second segment on', mod((input) => (input.number > 0 ? { ...input, epoch: second } : input)), { exit: 0 });
  add('an epoch key that is older than the one before', from(0, (input) => ({ ...input, epoch: second })), { exit: 3 });
  add('an epoch key that another pod certified', from(1, (input) => ({ ...input, epoch: world.anEpoch(pod, 1, world.aSigner()) })), { exit: 3 });
  add('an epoch key of another pod', from(1, (input) => ({ ...input, epoch: world.anEpoch(world.aPod()) })), { exit: 3 });
  const stranger = world.aPod();
  add('a segment of another pod', from(1, (input) => ({ ...input, epoch: world.anEpoch(stranger), registration: stranger.registration })), { exit: 3 });
  const unknown = world.aPod(undefined, world.aSigner());
  add('a pod that nobody enrolled', fileOf(world.aSession({ pod: unknown })), { exit: 3 });
  add('a session of another agent', fileOf(world.aSession({ pod: world.aPod({ namespace: 'agents', serviceAccount: 'admin', pod: 'x' }) })), { exit: 3 });
  add('an origin of another log', from(1, (input) => ({ ...input, origin: 'elsewhere' })), { exit: 3 });
  add('a link to nothing', from(1, (input) => ({ ...input, prev: '0'.repeat(64) })), { exit: 3 });
  add('numbers of records that leave one out', from(1, (input) => ({ ...input, firstSeq: input.firstSeq + 1 })), { exit: 3 });
  add('segments after the end', mod((input) => (input.number === 1 ? { ...input, records: [...input.records, ...closing(input.firstSeq + input.records.length)], flags: ['close'] } : input)), { exit: 3 });
  for (const flags of [[], ['open', 'close'], ['open', 'open'], ['torn']] as const)
    add(`flags ${JSON.stringify(flags)} at the beginning`, from(0, (input) => ({ ...input, flags: [...flags] })), { exit: flags[1] === 'open' ? 0 : 3 });
  for (const [what, text] of [
    ['no JSON', '{'],
    ['null', 'null'],
    ['a list', '[]'],
    ['without a type', '{"seq":3,"at":1,"mono":1}'],
    ['of a type that nobody knows', '{"seq":3,"at":1,"mono":1,"type":"x"}'],
    ['of a type that every object has', '{"seq":3,"at":1,"mono":1,"type":"constructor"}'],
    ['of another number', '{"seq":4,"at":1,"mono":1,"type":"note","code":"x","message":""}'],
    ['with a number as text', '{"seq":"3","at":1,"mono":1,"type":"note","code":"x","message":""}'],
    ['with a number too large', '{"seq":3,"at":1e999,"mono":1,"type":"note","code":"x","message":""}'],
    ['with bytes that it may not have', '{"seq":3,"at":1,"mono":1,"type":"note","code":"x","message":""}\0bytes'],
    ['with data of its own', '{"seq":3,"at":1,"mono":1,"type":"output","action":1,"stream":"stdout","data":"t:x"}'],
    ['of a stream without bytes', '{"seq":3,"at":1,"mono":1,"type":"output","action":1,"stream":"stdout"}'],
    ['of a stream that nobody knows', '{"seq":3,"at":1,"mono":1,"type":"output","action":1,"stream":"x"}\0y'],
    ['of a stream of too many bytes', `{"seq":3,"at":1,"mono":1,"type":"output","action":1,"stream":"stdout"}\0${'y'.repeat(65_537)}`],
    ['of a file with an unknown operation', '{"seq":3,"at":1,"mono":1,"type":"file","action":1,"operation":"x","path":"","bytes":0,"outcome":""}'],
    ['of rows that are none', '{"seq":3,"at":1,"mono":1,"type":"rows","action":1,"rows":[[1]]}'],
    ['of an approval with a decision of another kind', '{"seq":3,"at":1,"mono":1,"type":"approval","action":1,"digest":"","state":"","waitedMs":1,"decisions":[{"by":"x","decision":"Maybe","at":""}]}'],
    ['of an open session once more', opened(3)],
  ] as const)
    add(`a record that is ${what}`, from(1, (input) => ({ ...input, records: [Buffer.from(text), ...input.records.slice(1)] })), { exit: 3 });
  for (const [what, text] of [
    ['deep', `{"seq":3,"at":1,"mono":1,"type":"note","code":"x","message":"","more":${'['.repeat(20_000)}${']'.repeat(20_000)}}`],
    ['with keys of every object', '{"seq":3,"at":1,"mono":1,"type":"note","code":"x","message":"","__proto__":{"type":"x"},"constructor":1}'],
    ['of bytes that are no text', '{"seq":3,"at":1,"mono":1,"type":"output","action":1,"stream":"stdout"}\0\u00ff\u0000'],
    ['of the largest stream', `{"seq":3,"at":1,"mono":1,"type":"output","action":1,"stream":"stdout"}\0${'y'.repeat(65_536)}`],
    ['a call of the Kubernetes API', '{"seq":3,"at":1,"mono":1,"type":"action","action":1,"bytes":1,"verdict":"allow","code":"","reason":"","effects":[],"kubernetes":{"verb":"get","group":"","version":"v1","resource":"pods","subresource":"","namespace":"","name":"","dryRun":false}}'],
    ['the end of an action with its result', '{"seq":3,"at":1,"mono":1,"type":"done","action":1,"rows":1,"bytes":1,"digest":"","truncated":false,"maskedValues":0,"durationMs":1.5,"result":{"columns":[{"name":"x","type":25}],"masked":[],"rows":[["t:y",null]]}}'],
    ['of a file, with its digest', `{"seq":3,"at":1,"mono":1,"type":"file","action":1,"operation":"read","path":"","bytes":0,"digest":"${'aB'.repeat(32)}","outcome":"ok","file":0}`],
    ['a line, a size, bytes', '{"seq":3,"at":1,"mono":1,"type":"line","action":1,"text":"ls"}'],
  ] as const)
    add(`a record that is ${what}`, from(1, (input) => ({ ...input, records: [Buffer.from(text), ...input.records.slice(1)] })), { exit: 0 });
  for (const text of ['\r\nset-cookie: x', 'a\0b', '../../etc/passwd', '\u001b]0;x\u0007\u001b[2J', '\u202e\u2066', '=cmd|calc!A1', '@SUM(1)', '<script>', '"},{"'])
    add(`a session that says ${JSON.stringify(text)}`, fileOf(world.aSession({ text })), { exit: 0 });
  for (const hostile of ['\r\n', '\u001b[2J', '\u202e', '=1+1', '\0'])
    add(`an agent called ${JSON.stringify(hostile)}`, fileOf(world.aSession({ pod: world.aPod({ namespace: hostile, serviceAccount: hostile, pod: hostile }) })), { exit: 3 });
}

const opened = (seq: number): string =>
  JSON.stringify({
    seq,
    at: 1,
    mono: 1,
    type: 'session.open',
    session: a.session,
    agent: { namespace: 'agents', serviceAccount: 'bot' },
    resource: { namespace: 'd', name: 'o', protocol: 'p' },
    purpose: '',
    policies: [],
    mode: 'Enforce',
    client: { address: '', tls: false },
  });
const closing = (seq: number): Buffer[] => [
  Buffer.from(JSON.stringify({ seq, at: 1, mono: 1, type: 'session.close', code: '', reason: '', actions: 0, denied: 0, maskedValues: 0 })),
];

/** What no signature covers, or covers in vain: lengths, counts, a payload that unpacks to more than it may. */
function hugeNumbers(): void {
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
  const bomb = Buffer.concat([first.subarray(0, first.length - parts.payload.length), zstdCompressSync(Buffer.alloc(64 * 1024 * 1024))]);
  add('a payload that unpacks to 64 MiB', replaced(bomb), ofA('altered', 0, 'PayloadAltered'));
  add('a segment of a later version', replaced(Buffer.concat([Buffer.from('CHEVSEG\x7f', 'latin1'), first.subarray(8)])), ofA('altered', 0, 'UnsupportedVersion'));
  add('a segment that is none', replaced(Buffer.from('hello')), ofA('altered', 0, 'MalformedSegment'));
}

function brokenLog(): void {
  const noted = (file: readonly Member[], bytes: Buffer): Member[] => {
    const found = changed(file, 'log/checkpoint', () => bytes);
    return found.map((member) => {
      const end = member.bytes.indexOf('\n\n') + 2;
      return member.name.startsWith('proof/') ? { name: member.name, bytes: Buffer.concat([member.bytes.subarray(0, end), bytes]) } : member;
    });
  };
  add('a checkpoint that one witness cosigned', noted(sessionFile, tree.checkpoint(size, { cosigned: [0] })), { exit: 9, a: ['not witnessed'] });
  add('a checkpoint that nobody cosigned', noted(periodFile, tree.checkpoint(size, { cosigned: [] })), { exit: 9, a: ['not witnessed'] });
  add('a checkpoint that other witnesses cosigned', noted(sessionFile, tree.checkpoint(size, { cosigned: [1, 2] })), SOUND);
  add('a checkpoint that all witnesses cosigned', noted(sessionFile, tree.checkpoint(size, { cosigned: [0, 1, 2] })), SOUND);
  add('a checkpoint signed anew by another key', noted(sessionFile, tree.checkpoint(size, { by: [world.stranger] })), altered('NoteUnsigned'));
  add('a checkpoint signed by another key alone', noted(sessionFile, tree.checkpoint(size, { by: [world.stranger], cosigned: [] })), altered('NoteUnsigned'));
  add('a checkpoint of another origin', noted(sessionFile, tree.checkpoint(size, { origin: 'elsewhere' })), altered('OriginMismatch'));
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
  add('proofs of the log before it was rewritten', noted(sessionFile, forked), { exit: 9, a: ['not in the log', 0, 'NotLogged'] });
  add('a proof that goes on with one hash changed', changed(periodFile, 'log/consistency', (bytes) => flip(bytes, bytes.length - 20, 0)), { exit: 3, since: 'rewritten' }, kept);
  add('a proof that goes on without its last hash', changed(periodFile, 'log/consistency', (bytes) => Buffer.from(bytes.toString().replace(/[^\n]+\n$/, ''))), { exit: 3, since: 'rewritten' }, kept);
  add('a proof that goes on that is none', changed(periodFile, 'log/consistency', () => Buffer.from('x')), altered('MalformedProof'));
}

/** A checkpoint of this log's key over other entries. */
function rewrittenAt(count: number): Buffer {
  const other = new world.World();
  for (let index = 0; index < count; index++) other.entries.push(Buffer.from(`another ${index}`));
  return other.checkpoint();
}

function brokenRanges(): void {
  const rest = periodFile.slice(3 + range.length);
  const ranged = (list: readonly Member[]): Member[] => [...head, consistency, ...list, ...rest];
  const entries = tree.entries.slice(b0, b1 + 1);
  const told = (list: readonly Buffer[], to = b1 + 1): Member[] => ranged([members.range({ ...rangeAt(b0, to) }), members.entries(b0, list)]);
  for (let index = 0; index < entries.length; index++) {
    add(`entry ${index} of a range left out`, told(entries.toSpliced(index, 1)), altered('MalformedBundle'));
    add(`entry ${index} of a range left out, and the range made shorter`, told(entries.toSpliced(index, 1), b1), index === entries.length - 1 ? { exit: 9, a: ['complete'] } : altered('ProofInvalid'));
    add(`entry ${index} of a range replaced`, told(entries.with(index, Buffer.from('another'))), altered('ProofInvalid'));
  }
  add('two entries of a range in another order', told([...entries.slice(1, 2), ...entries.slice(0, 1), ...entries.slice(2)]), altered('ProofInvalid'));
  add('an entry of a range twice', told([...entries.slice(0, 1), ...entries.slice(0, -1)]), altered('ProofInvalid'));
  add('a range that begins one later than it says', ranged([members.range({ ...rangeAt(b0, b1 + 1), from: b0 + 1, to: b1 + 2 }), members.entries(b0 + 1, entries)]), altered('ProofInvalid'));
  add('a range without a hash', ranged([members.range({ ...rangeAt(b0, b1 + 1), hashes: rangeAt(b0, b1 + 1).hashes.slice(1) }), members.entries(b0, entries)]), altered('ProofInvalid'));
  add('a range with a hash more', ranged([members.range({ ...rangeAt(b0, b1 + 1), hashes: [...rangeAt(b0, b1 + 1).hashes, Buffer.alloc(32)] }), members.entries(b0, entries)]), altered('ProofInvalid'));
  add('a range of all entries', [...head, ...tree.range(0, size), ...world.told(a), ...world.told(b), ...world.told(c), ...world.told(other), ...world.told(late)], { exit: 0, a: ['complete'] });
  add('a range behind the log', ranged([members.range({ from: b0, to: size + 1, hashes: [] }), members.entries(b0, entries)]), altered('ProofInvalid'));
  add('an empty range', ranged([members.range({ from: b0, to: b0, hashes: [] })]), altered('MalformedProof'));
  add('a range of 2^53 − 1', ranged([members.range({ from: 0, to: Number.MAX_SAFE_INTEGER, hashes: [] })]), altered('LimitExceeded'));
  add('a range whose entries end within one', ranged([members.range(rangeAt(b0, b1 + 1)), { name: `log/entries/${b0}`, bytes: Buffer.of(0, 9, 1) }]), altered('MalformedTile'));
  add('a range with no entry in a member', ranged([members.range(rangeAt(b0, b1 + 1)), { name: `log/entries/${b0}`, bytes: Buffer.alloc(0) }]), altered('MalformedBundle'));
  const isOf = (made: world.Made) => (member: Member) => member.name.includes(made.session);
  add('a session of the range left out whole', periodFile.filter((member) => !isOf(c)(member)), { exit: 8, a: ['complete'] });
  add('the last segment of a session of the range left out', without(periodFile, segmentOf(a, 3)), ofA('incomplete', 3, 'SegmentMissing'));
  add('the beginning of a session that is not in the range, without its proof', without(periodFile, `proof/${a0}`), ofA('not in the log', 0, 'NotLogged'));
  add('a segment that the log has otherwise', periodFile.map((member) => (member.name === segmentOf(b, 0) ? { ...member, bytes: bytesOf(world.aSession({ ...b, segments: 1, close: false }), 0) } : member)), { exit: 9 });
  brokenHistories();
}

function rangeAt(from: number, to: number): { from: number; to: number; hashes: Buffer[] } {
  const [first] = tree.range(from, to);
  const hashes = (first?.bytes.toString() ?? '').split('\n').slice(3, -1);
  return { from, to, hashes: hashes.map((hash) => Buffer.from(hash, 'base64')) };
}

/** Logs that a hostile collector signed, and that are genuine all the same. */
function brokenHistories(): void {
  const own = (entries: readonly Buffer[], list: readonly Member[]): Member[] => {
    const log = new world.World();
    log.entries.push(...entries);
    return [members.head(world.ORIGIN), members.checkpoint(log.checkpoint()), ...log.range(0, log.size), ...list];
  };
  const entriesOf = (made: world.Made): Buffer[] => {
    const log = new world.World();
    log.addSession(made);
    return log.entries;
  };
  const one = world.aSession({ ...a, segments: 1, close: false });
  add('a segment that is in the log twice', own([...entriesOf(a), ...entriesOf(a)], world.told(a)), SOUND);
  add('a log with two different segments of one number', own([...entriesOf(a), ...entriesOf(one)], world.told(a)), ofA('not in the log', 0, 'NotLogged'));
  const erasure = (session: string): Buffer =>
    encodeLeaf({ kind: 'erasure', signature: Buffer.alloc(64), text: Buffer.from(JSON.stringify({ session, order: '0'.repeat(64), at: 1 })) });
  add('a session that was erased', own([...entriesOf(a), erasure(a.session)], []), { exit: 0, a: ['erased'] });
  add('a session that was erased and is here', own([...entriesOf(a), erasure(a.session)], world.told(a)), SOUND);
  add('entries that are no statements', own([Buffer.alloc(0), Buffer.of(1), Buffer.of(1, 1), Buffer.alloc(9000, 1), ...entriesOf(a)], world.told(a)), SOUND);
}

/** Any one bit of any byte: nothing of a file may be changed unnoticed. */
function flips(): void {
  const period = written(periodFile);
  for (const [what, file] of [
    ['session', written(sessionFile)],
    ['period', period],
  ] as const)
    for (let times = 0; times < 150; times++) {
      const [place, bit] = [world.below(file.length), world.below(8)];
      cases.push({ name: `bit ${bit} of byte ${place} of a ${what} changed`, bytes: flip(file, place, bit), expected: { exit: 3 }, since: file === period ? kept : note });
    }
  // Each kind of place once more, where few bytes are many kinds.
  for (const member of [...sessionFile, ...periodFile])
    for (let times = 0; times < 4; times++) {
      const file = sessionFile.includes(member) ? sessionFile : periodFile;
      const [place, bit] = [world.below(member.bytes.length), world.below(8)];
      const bytes = written(file.map((each) => (each === member ? { ...each, bytes: flip(each.bytes, place, bit) } : each)));
      cases.push({ name: `bit ${bit} of byte ${place} of ${member.name} changed`, bytes, expected: { exit: 3 }, since: file === periodFile ? kept : note });
    }
}

/** Session A of the files. */
export const SESSION_A = a.session;
for (const part of [whole, brokenFiles, hostileNames, brokenSegments, resealed, hugeNumbers, brokenLog, brokenRanges]) part();
/** Cases with a verdict of their own. */
export const TABLE: readonly Case[] = [...cases];
flips();
/** Changes of one bit: whatever is said of each, it is not that all is well. */
export const FLIPS: readonly Case[] = cases.slice(TABLE.length);
