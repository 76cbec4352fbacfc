#!/usr/bin/env node
/*
 * A verifier of evidence files, in one file, of nothing but Node's own modules. It was written from docs/evidence.md and shares
 * no code with the program that it checks. Read it, keep it, and run it where nobody else has a say:
 *
 *     node verify.mjs FILE… --policy trust.policy --trust trust.json [--since CHECKPOINT] [--complete]
 *
 * Says a line of JSON for each file. Ends with 0 where all is well, 3 where evidence is altered, 9 where log or witnesses do not
 * prove it, 8 where some is missing, 2 where it was called wrongly. Of several findings the worst counts: 3, then 9, then 8.
 */
import { createCipheriv, createDecipheriv, createHash, createPublicKey, hkdfSync, verify as verifyWith } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { zstdDecompressSync } from 'node:zlib';

const [MAX_SEGMENT, MAX_PLAIN, MAX_TEXT] = [1032192, 983040, 4096];
const [MAX_NOTE, MAX_PROOF, MAX_RANGE, MAX_CHUNK, MAX_COUNTERS, MAX_READINGS] = [524288, 16384, 1048576, 64, 65536, 65536];

/** A code of docs/evidence.md; `record`: which record of a segment has it. */
class Fault extends Error {
  constructor(code, message, record) {
    super(message);
    Object.assign(this, { code, record });
  }
}
const need = (is, code, message, record) => {
  if (!is) throw new Fault(code, message, record);
  return is;
};
const fail = (...fault) => need(false, ...fault);
/** What work gives; undefined where it throws. */
const maybe = (work) => {
  try {
    return work();
  } catch {
    return undefined;
  }
};

// Bytes and texts

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
const hexOf = (...parts) => sha256(...parts).toString('hex');
const u64 = (value) => Buffer.from(value.toString(16).padStart(16, '0'), 'hex');
const isZero = (bytes) => bytes.every((byte) => byte === 0);
const base64 = (text) => (Buffer.from(text, 'base64').toString('base64') === text ? Buffer.from(text, 'base64') : undefined);
const base64url = (text) => Buffer.from(text, 'base64url');
const hash64 = (text) => (base64(text)?.length === 32 ? base64(text) : undefined);
const decimal = (text) => (/^(0|[1-9]\d{0,15})$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined);
const utf8 = (bytes) => maybe(() => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
/** Takes bytes from the front of others: so many, or the rest. `early` throws: they end before. */
function reader(bytes, early) {
  let at = 0;
  const left = () => bytes.length - at;
  const take = (length = left()) => {
    if (length > left()) early();
    at += length;
    return bytes.subarray(at - length, at);
  };
  const integer = (width, most = Infinity) => {
    const value = take(width).readUIntBE(0, width);
    return value <= most ? value : fail('LimitExceeded', `${value} of at most ${most}`);
  };
  return { left, take, integer };
}
/** Parts of bytes, one behind the other, each behind its length in so many bytes. */
function* partsOf(bytes, width, early) {
  const { left, take, integer } = reader(bytes, early);
  while (left() > 0) yield take(integer(width));
}

// Trees (RFC 6962 §2.1)

const leafHash = (...data) => sha256(Buffer.of(0), ...data);
const nodeHash = (left, right) => sha256(Buffer.of(1), left, right);
/** Where a tree of so many leaves, at least two, is split: the largest power of two below. */
const split = (size) => 2 ** ((size - 1).toString(2).length - 1);
/** The root over leaves from `first` to `last`, that excluded; `known` gives hashes of subtrees, of each leaf at the latest. */
function rootOf(first, last, known) {
  if (first === last) return sha256();
  const middle = first + split(last - first);
  return known(first, last) ?? nodeHash(rootOf(first, middle, known), rootOf(middle, last, known));
}
/** The root that follows from entries of the log and the complete subtrees beside them, each as large as can be. */
function rootOfRange({ from, to, hashes, leaves }, size) {
  const beside = hashes.values();
  const root = rootOf(0, size, (first, last) => {
    const isComplete = last - first === 1 || 2 * split(last - first) === last - first;
    if (isComplete && (last <= from || first >= to)) return need(beside.next().value, 'ProofInvalid', 'the range lacks a hash');
    return last - first === 1 ? leaves.subarray((first - from) * 32, (last - from) * 32) : undefined;
  });
  return need(beside.next().done && root, 'ProofInvalid', 'the range has a hash too many');
}
/** The way up to the root from a subtree that leaf `index` is in: step by step, whether what stands beside it is on its left. */
function wayUp(index, size, isThere) {
  const way = [];
  for (let [first, last] = [0, size]; !isThere(first, last); ) {
    const middle = first + split(last - first);
    way.unshift(index >= middle);
    [first, last] = index >= middle ? [middle, last] : [first, middle];
  }
  return way;
}
const climb = (hash, way, path) =>
  way.reduce((below, isLeft, at) => (isLeft ? nodeHash(path[at], below) : nodeHash(below, path[at])), hash);
/** RFC 9162 §2.1.3.2 */
function includes(hash, { index, path }, { size, root }) {
  if (index >= size) return false;
  const way = wayUp(index, size, (first, last) => last - first === 1);
  return way.length === path.length && climb(hash, way, path).equals(root);
}
/** RFC 9162 §2.1.4.2, for an older size of at least 1. The root of an older tree that is a subtree of the newer is in no path. */
function goesOn(older, head, path) {
  const way = wayUp(older.size - 1, head.size, (_, last) => last === older.size);
  const [seed, ...beside] = way.includes(true) ? path : [older.root, ...path];
  if (beside.length !== way.length) return false;
  const before = beside.filter((_, at) => way[at]).reduce((below, left) => nodeHash(left, below), seed);
  return before.equals(older.root) && climb(seed, way, beside).equals(head.root);
}

// Keys

/** What a raw key stands behind as SubjectPublicKeyInfo (RFC 8410, RFC 9881), and how long a key and a signature are. */
const ED25519 = ['302a300506032b6570032100', 32, 64];
const ML_DSA_44 = ['30820532300b06096086480165030403110382052100', 1312, 2420];
function signed([spki, keyLength, length], key, message, signature) {
  if (key.length !== keyLength || signature.length !== length) return false;
  const der = Buffer.concat([Buffer.from(spki, 'hex'), key]);
  return maybe(() => verifyWith(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature)) === true;
}
/** The raw key of an nkey: base32 of a prefix, the key, and CRC-16/XMODEM of both. */
function rawKey(nkey) {
  const digits = Array.from(nkey, (letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter));
  const bits = digits.map((digit) => digit.toString(2).padStart(5, '0')).join('');
  need(nkey.length === 56 && /^[01]{280}$/.test(bits), 'MalformedKey', 'an nkey is not base32');
  const bytes = Buffer.from(bits.match(/.{8}/g).map((octet) => Number.parseInt(octet, 2)));
  let crc = 0;
  for (const byte of bytes.subarray(0, 33)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc & 0x8000 ? 0x11021 : 0);
  }
  need(bytes[0] === 160 && bytes.readUInt16LE(33) === crc, 'MalformedKey', 'this is not the nkey of a pod');
  return bytes.subarray(1, 33);
}

// Shapes of JSON: each is a function that says whether a value has it

const num = Number.isFinite;
const int = (least, most = Number.MAX_SAFE_INTEGER) => (v) => Number.isSafeInteger(v) && v >= least && v <= most;
const str = (most, least = 0) => (v) => typeof v === 'string' && v.length <= most && v.length >= least;
const like = (pattern) => (v) => typeof v === 'string' && pattern.test(v);
const one = (...values) => (v) => values.includes(v);
const orNull = (of) => (v) => v === null || of(v);
const list = (of, most, least = 0) => (v) => Array.isArray(v) && v.length <= most && v.length >= least && v.every(of);
const tuple = (...of) => (v) => Array.isArray(v) && v.length === of.length && of.every((each, at) => each(v[at]));
/** An object with these keys, and perhaps others; one that ends in ? may be missing. */
const open = (shape) => (v) => {
  const has = ([name, of]) => (Object.hasOwn(v, name.replace('?', '')) ? of(v[name.replace('?', '')]) : name.endsWith('?'));
  return typeof v === 'object' && v !== null && Object.entries(shape).every(has);
};
const exact = (shape) => (v) => {
  const isKnown = (key) => Object.hasOwn(shape, key) || Object.hasOwn(shape, `${key}?`);
  return open(shape)(v) && Object.keys(v).every(isKnown);
};
function parse(shape, text, code, message) {
  const value = maybe(() => JSON.parse(text.toString()));
  return need(shape(value) && value, code, message);
}

const [count, u32, session, named] = [int(0), int(0, 0xffffffff), like(/^s-[a-z2-7]{16}$/), str(253, 1)];
const [digest, salt] = [like(/^[0-9a-f]{64}$/), like(/^[0-9a-f]{32}$/)];
const HEAD = exact({ format: one('chaperone.dev/evidence/v1'), origin: named });
const LATER = like(/^chaperone\.dev\/evidence\/(?!v1$)/);
const TRUST = open({ origin: str(Infinity), enrolmentKeys: list(str(Infinity), Infinity) });
const SIGNED = exact({ body: str(2048), signature: str(100) });
const AGENT = exact({ namespace: str(253, 1), serviceAccount: str(253, 1), 'pod?': str(253), 'podUid?': str(64) });
const COUNTED = exact({ registration: SIGNED, certificate: SIGNED, counter: SIGNED });
const COUNTER = exact({
  origin: named, nkey: str(64), number: int(1), opened: count, sealed: count, more: count,
  newest: orNull(session), last: orNull(exact({ session, number: u32, link: digest })),
  pending: list(tuple(session, u32), 40), clock: exact({ wall: num, mono: num }),
});
/** Signed statements: what their context says, their shape, and the code of what is wrong with one. */
const ENROLLED = exact({ nkey: str(64), agent: AGENT, origin: named, issuedAt: num });
const REGISTRATION = ['registration', ENROLLED, 'RegistrationUntrusted'];
const EPOCH = exact({ nkey: str(64), key: str(64), epoch: int(1), notBefore: num, notAfter: num });
const CERTIFICATE = ['epoch', EPOCH, 'CertificateInvalid'];
const STATEMENT = ['counter', COUNTER, 'CounterInvalid'];
const HEADER = exact({
  version: one(2), origin: named, session, number: u32, prev: orNull(digest), certificate: SIGNED, registration: digest,
  records: exact({ first: count, last: int(-1), count }), root: digest, key: exact({ id: digest, salt }),
  payload: exact({ codec: one('zstd+aes-256-gcm'), digest, length: count, plain: count }),
  policy: str(128), clock: exact({ wall: tuple(num, num), mono: tuple(num, num), sealed: num }),
  counters: exact({ actions: count, denied: count, masked: count, dropped: count }),
  flags: list(one('open', 'close', 'torn'), 3),
});
const TYPES = /^(session\.(open|close)|action|approval|columns|rows|done|output|resize|line|file|content|bytes|note)$/;
const RECORD = open({ seq: Number.isSafeInteger, at: num, mono: num, type: like(TYPES), 'data?': () => false });
const RECIPIENT = exact({ recipient: str(128, 1), key: (v) => str(1024, 1)(v) && /^[\w-]*$/.test(v) && v.length % 4 !== 1 });
const WRAPPED = exact({ session, id: digest, to: list(RECIPIENT, 8, 1) });
const ORDER = exact({ kind: one('erasure', 'hold', 'release'), session, by: str(256, 1), reason: str(500, 1), at: num, salt });
const READ = { session: orNull(session), at: num, way: one('search', 'view', 'replay', 'verify', 'export') };
const READING = exact({ kind: one('read'), ...READ, 'period?': exact({ from: num, to: num }), by: str(256, 1), salt });
/** Entries of the log, by their kind. */
const ENTRIES = {
  1: ['segment', HEADER],
  2: ['registration', exact({ nkey: str(64), registration: digest, issuedAt: num })],
  3: ['erasure', exact({ session, order: digest, at: num })],
  4: ['gap', (v) => exact({ session, first: u32, last: u32, at: num })(v) && v.first <= v.last],
  5: ['hold', exact({ session, order: digest, at: num, state: one('hold', 'release') })],
  6: ['read', exact({ ...READ, order: digest })],
};

// Signed statements: who recorded, by a key that an enrolment key leads to

/** What a statement says that one of some keys signed, which may follow from it. */
function stated({ body, signature }, [context, shape, code], keysOf) {
  const said = parse(shape, body, code, 'a signed statement has another shape');
  const over = Buffer.from(`chaperone/${context}/v1\0${body}`);
  const isSigned = keysOf(said).some((key) => signed(ED25519, key, over, base64url(signature)));
  return need(isSigned && said, code, 'a statement is signed by no key that may');
}
function registered(by, trust) {
  const registration = stated(by, REGISTRATION, () => trust.enrolmentKeys.map(base64url));
  need(registration.origin === trust.origin, 'OriginMismatch', 'the registration is of another origin');
  return registration;
}
function certified(by) {
  const certificate = stated(by, CERTIFICATE, ({ nkey }) => [rawKey(nkey)]);
  const time = certificate.notAfter - certificate.notBefore;
  need(time >= 0 && time <= 3_600_000, 'CertificateInvalid', 'the epoch key is valid for no time, or for too long');
  return { ...certificate, key: base64url(certificate.key) };
}
const isWithin = ({ notBefore, notAfter }, at) =>
  need(at >= notBefore && at <= notAfter, 'EpochExceeded', 'signed outside the time of the epoch key');
/** What a pod counted, and who it is. */
function readCounter(bytes, trust) {
  const said = parse(COUNTED, bytes, 'MalformedBundle', 'a counter cannot be read');
  const { nkey, agent } = registered(said.registration, trust);
  const certificate = certified(said.certificate);
  const counter = stated(said.counter, STATEMENT, () => [certificate.key]);
  need(counter.nkey === nkey && certificate.nkey === nkey, 'CertificateInvalid', 'a counter or its key belongs to another pod');
  isWithin(certificate, counter.clock.wall);
  need(counter.origin === trust.origin, 'OriginMismatch', 'the counter is of another origin');
  return { ...counter, agent };
}

// Segments

function splitSegment(bytes) {
  const { take, integer } = reader(bytes, () => fail('MalformedSegment', 'the segment ends early'));
  const magic = take(8).toString('latin1');
  need(magic.startsWith('CHEVSEG'), 'MalformedSegment', 'this is not a segment');
  need(magic.endsWith('\x02'), 'UnsupportedVersion', 'the segment is of another version');
  const [headerText, signature, registration] = [take(integer(4, MAX_TEXT)), take(64), take(integer(4, MAX_TEXT))];
  const leaves = Array.from({ length: integer(4, 1024) }, () => take(32));
  const header = parse(HEADER, headerText, 'MalformedSegment', 'the header has another shape');
  return { header, headerText, signature, registration, leaves, payload: take() };
}
/** What the data key opens, and the salts of its leaf hashes. */
function decrypted({ header, payload }, key) {
  const derive = (from, info, length) => Buffer.from(hkdfSync('sha256', key, from, info, length));
  const id = derive('', `chaperone/data-key-id/v1\0${header.session}`, 32).toString('hex');
  need(id === header.key.id, 'KeyUnusable', 'the segment was sealed under another data key');
  const info = Buffer.concat([Buffer.from(`chaperone/segment/v2\0${header.session}`), u64(header.number).subarray(4)]);
  const secrets = derive(Buffer.from(header.key.salt, 'hex'), info, 64);
  const packed = maybe(() => {
    const cipher = createDecipheriv('aes-256-gcm', secrets.subarray(0, 32), Buffer.alloc(12), { authTagLength: 16 });
    cipher.setAuthTag(payload.subarray(-16));
    return Buffer.concat([cipher.update(payload.subarray(0, -16)), cipher.final()]);
  });
  const salts = createCipheriv('aes-256-ctr', secrets.subarray(32), Buffer.alloc(16)).update(Buffer.alloc(1024 * 16));
  const saltOf = (index) => salts.subarray(index * 16, index * 16 + 16);
  return { packed: need(packed, 'PayloadAltered', 'the payload cannot be decrypted'), saltOf };
}
/** Its frame alone: the fields of each type are not looked at, but for those that are signed elsewhere too. */
function readRecord(bytes) {
  const end = bytes.indexOf(0);
  const record = parse(RECORD, end < 0 ? bytes : bytes.subarray(0, end));
  const hasBytes = record.type === 'output' || record.type === 'content';
  return hasBytes === end >= 0 && (end < 0 || bytes.length - end <= 65537) ? record : undefined;
}
function recordsOf(segment, key) {
  const { flags, records: range, payload } = segment.header;
  const { packed, saltOf } = decrypted(segment, key);
  need(payload.plain <= MAX_PLAIN, 'LimitExceeded', 'the payload is too large');
  const unpacked = maybe(() => zstdDecompressSync(packed, { maxOutputLength: Math.max(1, payload.plain) }));
  need(unpacked, 'PayloadAltered', 'the payload cannot be decompressed');
  const texts = [];
  const match = (is, at) => need(is, 'RecordAltered', `record ${at} is not what its leaf hash is of`, at);
  for (const text of partsOf(unpacked, 4, () => match(false, texts.length))) match(texts.push(text) <= range.count, range.count);
  texts.forEach((text, at) => match(segment.leaves[at].equals(leafHash(saltOf(at), text)), at));
  match(texts.length === range.count, texts.length);
  const records = texts.map((text, at) => {
    const record = maybe(() => readRecord(text));
    return record?.seq === range.first + at ? record : fail('MalformedSegment', `record ${at} has another shape or number`, at);
  });
  const placesOf = (type) => records.flatMap((record, at) => (record.type === type ? [at] : [])).join();
  const isOpen = placesOf('session.open') === (flags.includes('open') ? '0' : '');
  const isClosed = placesOf('session.close') === (flags.includes('close') ? `${records.length - 1}` : '');
  return need(isOpen && isClosed && records, 'MalformedSegment', 'flags and records do not fit each other');
}
/** What a segment says, where nothing is wrong with it alone. */
function readSegment(bytes, trust, key) {
  const segment = splitSegment(bytes);
  const { header, headerText, signature, registration, leaves, payload } = segment;
  const { flags, records: range } = header;
  need(hexOf(registration) === header.registration, 'RegistrationUntrusted', 'the header names another registration');
  const root = rootOf(0, leaves.length, (first, last) => (last - first === 1 ? leaves[first] : undefined));
  const isRoot = leaves.length === range.count && root.toString('hex') === header.root;
  need(isRoot, 'RecordAltered', 'the leaf hashes do not give the root in the header');
  const isFirst = [flags.includes('open'), range.first === 0, header.prev === null].every((is) => is === (header.number === 0));
  const isCounted = range.last === range.first + range.count - 1 && (range.count > 0 || flags.includes('torn'));
  need(isFirst && isCounted, 'MalformedSegment', 'number, flags and records do not fit each other');
  const [first] = key === undefined ? [] : recordsOf(segment, key);
  const isPayload = payload.length === header.payload.length && hexOf(payload) === header.payload.digest;
  need(isPayload, 'PayloadAltered', 'the payload does not match its digest');
  const certificate = certified(header.certificate);
  const over = Buffer.concat([Buffer.from('chaperone/segment/v2\0'), headerText]);
  need(signed(ED25519, certificate.key, over, signature), 'SignatureInvalid', 'the epoch key did not sign this header');
  isWithin(certificate, header.clock.sealed);
  const { nkey, agent } = registered(parse(SIGNED, registration, 'RegistrationUntrusted', 'this is no registration'), trust);
  need(nkey === certificate.nkey, 'CertificateInvalid', 'the epoch key belongs to another pod than the registration');
  need(header.origin === trust.origin, 'OriginMismatch', 'the segment is of another origin');
  const { namespace, serviceAccount } = first?.agent ?? {};
  const isOwn = first?.session === header.session && namespace === agent.namespace && serviceAccount === agent.serviceAccount;
  need(isOwn || first?.type !== 'session.open', 'AgentMismatch', 'the opening record names another agent or session');
  const [link, entry] = [hexOf(headerText, signature), leafHash(Buffer.of(1, 1), signature, headerText)];
  return { header, nkey, agent, epoch: certificate.epoch, link, entry };
}
/** Whether a segment can be the one behind another. */
const follows = (before, { header, nkey, epoch }) =>
  header.prev === before.link &&
  header.records.first === before.header.records.last + 1 &&
  header.key.id === before.header.key.id &&
  nkey === before.nkey &&
  epoch >= before.epoch &&
  !before.header.flags.includes('close');

// Notes, policies and proofs (C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-policy, tlog-proof)

function readNote(bytes) {
  need(bytes.length <= MAX_NOTE, 'LimitExceeded', 'the note is too large');
  const note = utf8(bytes) ?? '';
  const end = note.lastIndexOf('\n\n');
  const isNote = end >= 0 && note.endsWith('\n') && !/[\0-\x09\x0b-\x1f]/.test(note);
  need(isNote, 'MalformedNote', 'the note has no signatures, or bytes that no note may have');
  const lines = note.slice(end + 2, -1).split('\n');
  need(lines.length <= 64, 'LimitExceeded', 'the note has too many signatures');
  const signatures = lines.map((line) => {
    const [, name, encoded] = /^— ([^\p{White_Space}+]+) ([^ ]+)$/u.exec(line) ?? [];
    const signature = base64(encoded ?? '');
    need(signature?.length > 4, 'MalformedNote', 'a line of the note is not a signature');
    return { name, id: signature.readUInt32BE(), signature: signature.subarray(4) };
  });
  return { text: note.slice(0, end + 1), signatures };
}

function readCheckpoint(text) {
  const [origin, size = '', root = '', ...rest] = text.split('\n');
  const head = { origin, size: decimal(size), root: hash64(root), extensions: rest.slice(0, -1) };
  const isHead = origin !== '' && head.size !== undefined && head.root !== undefined && !head.extensions.includes('');
  need(isHead && (head.size > 0 || head.root.equals(sha256())), 'MalformedNote', 'the note is not a checkpoint');
  return head;
}

/** NAME+ID+KEY: types are 1 (Ed25519), 4 (Ed25519, a cosigner's) and 6 (ML-DSA-44). */
function readKey(vkey) {
  const [, name, id, encoded = ''] = /^([^\p{White_Space}+]+)\+([0-9a-f]{8})\+(.+)$/iu.exec(vkey) ?? [];
  const bytes = base64(encoded);
  if (bytes === undefined || bytes.length - 1 !== { 1: 32, 4: 32, 6: 1312 }[bytes[0]]) return undefined;
  const own = sha256(`${name}\n`, bytes).readUInt32BE();
  return own === Number.parseInt(id, 16) ? { name, id: own, type: bytes[0], key: bytes.subarray(1) } : undefined;
}

/** Seconds since 1970, which a cosigner's signature begins with. */
const timeOf = (signature) => (signature.length < 8 ? Number.NaN : Number(signature.readBigUInt64BE()));
function isBy({ name, type, key }, note, signature) {
  if (type === 1) return signed(ED25519, key, Buffer.from(note), signature);
  const [time, head] = [timeOf(signature), maybe(() => readCheckpoint(note))];
  if (!Number.isSafeInteger(time) || head === undefined) return false;
  if (type === 4) return signed(ED25519, key, Buffer.from(`cosignature/v1\ntime ${time}\n${note}`), signature.subarray(8));
  const texts = [Buffer.from(name), Buffer.from(head.origin)];
  if (texts.some(({ length }) => length > 255) || head.extensions.length > 0) return false;
  const [who, origin] = texts.map((text) => Buffer.concat([Buffer.of(text.length), text]));
  const subtree = [Buffer.from('subtree/v1\n\0'), who, u64(time), origin, u64(0), u64(head.size), head.root];
  return signed(ML_DSA_44, key, Buffer.concat(subtree), signature.subarray(8));
}

/** Words of a policy are bytes, not characters: names differ where their bytes do. */
function readPolicy(bytes) {
  const lines = bytes.toString('latin1').split('\n');
  const isText = lines.pop() === '' && lines.length <= 1024 && !lines.some((line) => /[\0-\x08\x0b-\x1f\x7f]/.test(line));
  need(isText, 'MalformedPolicy', 'the policy has too many lines, one without an end, or a control character');
  const policy = { logs: [], witnesses: new Map(), quorum: undefined };
  const groups = new Map([['none', { least: 0, of: [] }]]);
  const [taken, seen] = [new Set(['none']), new Set()];
  for (const [at, line] of lines.entries()) {
    const sure = (is, what) => need(is, 'MalformedPolicy', `line ${at + 1} of the policy: ${what}`);
    const keyOf = (vkey = '', ...types) => {
      const key = readKey(utf8(Buffer.from(vkey, 'latin1')) ?? '');
      const raw = key?.key.toString('hex');
      sure(types.includes(key?.type) && !seen.has(raw), 'not a key for this, or one that has a line');
      seen.add(raw);
      return key;
    };
    const [word = '#', name, ...more] = line.split(/[ \t]+/).filter(Boolean);
    const isNew = name !== undefined && !groups.has(name);
    if (word.startsWith('#')) continue;
    if (word === 'log' && more.length < 2) policy.logs.push(keyOf(name, 1, 6));
    else if (word === 'witness' && isNew && more.length <= 2) {
      policy.witnesses.set(name, keyOf(more[0], 4, 6));
      groups.set(name, { witness: policy.witnesses.get(name) });
    } else if (word === 'group' && isNew && more.length > 1) {
      const [threshold, ...members] = more;
      const isFree = members.every((member) => groups.has(member) && !taken.has(member) && taken.add(member));
      sure(isFree, 'a member that is unknown or in a group already');
      const least = { all: members.length, any: 1 }[threshold] ?? decimal(threshold);
      sure(least >= 1 && least <= members.length, 'a threshold that cannot be met, or is none');
      groups.set(name, { least, of: members.map((member) => groups.get(member)) });
    } else {
      const isQuorum = word === 'quorum' && policy.quorum === undefined && more.length === 0;
      policy.quorum = sure(isQuorum && groups.get(name), 'not a line of a policy');
    }
  }
  return need(policy.quorum && policy, 'MalformedPolicy', 'the policy has no quorum');
}

/** The checkpoint of a note that a log of the policy signed, and whether the quorum has cosigned it. */
function openCheckpoint(bytes, { logs, witnesses, quorum }) {
  const note = readNote(bytes);
  const verified = new Map();
  for (const { name, id, signature } of note.signatures) {
    const [key, ...same] = [...logs, ...witnesses.values()].filter((each) => each.name === name && each.id === id);
    if (key === undefined) continue;
    need(same.length === 0, 'MalformedKey', 'two keys have the same name and id');
    need(isBy(key, note.text, signature), 'SignatureInvalid', 'a known key did not sign this note, though it says so');
    if (!verified.has(key)) verified.set(key, signature);
  }
  const signers = logs.filter((key) => verified.has(key));
  need(signers.length > 0, 'NoteUnsigned', 'no log of the policy has signed the checkpoint');
  const head = readCheckpoint(note.text);
  need(signers.some(({ name }) => name === head.origin), 'OriginMismatch', 'the log that signed has another origin');
  const isMet = ({ witness, least, of }) => (witness === undefined ? of.filter(isMet).length >= least : verified.has(witness));
  const cosigned = [...witnesses].filter(([, key]) => verified.has(key));
  const times = Object.fromEntries(cosigned.map(([name, key]) => [name, timeOf(verified.get(key)) || null]));
  return { ...head, quorum: isMet(quorum) ? 'met' : 'missing', witnesses: times };
}

/** What proves: a head, numbers, then lines of hashes in base64. The highest tree, of 2^53 leaves, has paths of 53 hashes. */
const PROOFS = {
  consistency: /^chaperone\.dev\/log-consistency\/v1\nold (.+)\n((?:.{44}\n){0,106})$/,
  range: /^chaperone\.dev\/log-range\/v1\nfrom (.+)\nto (.+)\n((?:.{44}\n){0,159})$/,
  proof: /^c2sp\.org\/tlog-proof@v1\nindex (.+)\n((?:.{44}\n){0,53})\n/,
};
function readProof(text, pattern) {
  const [whole, ...found] = pattern.exec(text) ?? fail('MalformedProof', 'this is not a proof');
  const hashes = found.pop().split('\n').slice(0, -1).map(hash64);
  const numbers = found.map(decimal);
  need(![...numbers, ...hashes].includes(undefined), 'MalformedProof', 'a number or hash of a proof is none');
  return { numbers, hashes, rest: text.slice(whole.length) };
}

// The file: ustar, in the one way in which it can be written

const [SESSION, NUMBER] = ['(s-[a-z2-7]{16})', '(0|[1-9]\\d{0,15})'];
const LOG = ['checkpoint', 'consistency', 'entries', 'counter'];
const TOLD = [...LOG, 'reading'];
/** Members: their names, how many bytes they have at most, and what they may stand behind. */
const MEMBERS = {
  head: ['evidence\\.json', 1024, ['start']],
  checkpoint: ['log/checkpoint', MAX_NOTE, ['head']],
  consistency: ['log/consistency', MAX_PROOF, ['checkpoint']],
  range: ['log/range', MAX_PROOF, ['checkpoint', 'consistency']],
  entries: [`log/entries/${NUMBER}`, MAX_CHUNK * 65537, ['range', 'entries']],
  counter: [`counter/${NUMBER}`, 16384, LOG],
  reading: [`reading/${NUMBER}`, 8192, [...TOLD, 'proof']],
  proof: [`proof/${NUMBER}`, MAX_PROOF + MAX_NOTE, [...TOLD, 'erasure', 'order', 'key', 'wrapped', 'segment']],
  erasure: [`erasure/${SESSION}`, 65535, [...TOLD, 'proof', 'segment']],
  order: [`order/${SESSION}`, 8192, ['erasure']],
  key: [`key/${SESSION}`, 32, [...TOLD, 'erasure', 'order', 'segment']],
  wrapped: [`wrapped/${SESSION}`, 8192, [...TOLD, 'erasure', 'order', 'segment']],
  segment: [`segment/${SESSION}/${NUMBER}`, MAX_SEGMENT, [...TOLD, 'proof', 'erasure', 'order', 'key', 'wrapped', 'segment']],
};

function* membersOf(path) {
  const file = openSync(path, 'r');
  let at = 0;
  const malformed = (what) => fail('MalformedBundle', `before byte ${at} of the file: ${what}`);
  const take = (length) => {
    const bytes = Buffer.alloc(length);
    let got = 0;
    for (let more = 1; got < length && more > 0; got += more) more = readSync(file, bytes, got, length - got, null);
    at += got;
    return got === length ? bytes : malformed('it ends early');
  };
  try {
    for (let header = take(512); !isZero(header); header = take(512)) {
      const name = header.toString('latin1', 0, 100).replace(/\0.*/s, '');
      const size = Number.parseInt(header.toString('latin1', 124, 135), 8);
      const [kind, where] = placeOf(name) ?? malformed('a member has a name that none has');
      if (!headerOf(name, size).equals(header)) malformed('this is not how a member begins');
      need(size <= MEMBERS[kind][1], 'LimitExceeded', `${name} is too large`);
      const bytes = take(size);
      if (!isZero(take(-size & 511))) malformed(`${name} is not followed by zeros`);
      yield { name, kind, where, bytes };
    }
    if (!isZero(take(512)) || readSync(file, Buffer.alloc(1)) > 0) malformed('it does not end where it says');
  } finally {
    closeSync(file);
  }
}

/** The kind of a member, and the session and number in its name. */
function placeOf(name) {
  for (const [kind, [pattern]] of Object.entries(MEMBERS)) {
    const found = new RegExp(`^${String(pattern)}$`).exec(name);
    const where = found?.slice(1).map((part) => (part.startsWith('s-') ? part : decimal(part)));
    if (where !== undefined && !where.includes(undefined)) return [kind, where];
  }
  return undefined;
}

const octal = (value, digits) => `${value.toString(8).padStart(digits, '0')}\0`;
function headerOf(name, size) {
  const zero = octal(0, 7);
  const build = (sum) => {
    const start = [name.padEnd(100, '\0'), octal(0o644, 7), zero, zero, octal(size, 11), octal(0, 11), sum];
    const parts = [...start, '0'.padEnd(101, '\0'), 'ustar\x0000'.padEnd(72, '\0'), zero, zero];
    return Buffer.from(parts.join('').padEnd(512, '\0'), 'latin1');
  };
  return build(`${octal(build(' '.repeat(8)).reduce((sum, byte) => sum + byte, 0), 6)} `);
}

// What a file proves

function readEntry(bytes) {
  const [kind, shape] = (bytes[0] === 1 && ENTRIES[bytes[1]]) || fail('MalformedLeaf', 'an entry of another kind or version');
  need(bytes.length <= 66 + MAX_TEXT, 'LimitExceeded', 'an entry is too large');
  return { kind, ...parse(shape, bytes.subarray(66), 'MalformedLeaf', 'an entry has another shape') };
}
/** Orders of erasure and readings, which the log signs. */
const CONTEXTS = { erasure: 'chaperone/erasure/v1\0', read: 'chaperone/read/v1\0' };
function isByLog(kind, entry, { origin, policy }) {
  const over = Buffer.concat([Buffer.from(CONTEXTS[kind]), entry.subarray(66)]);
  const keys = policy.logs.filter(({ type, name }) => type === 1 && name === origin);
  return keys.some(({ key }) => signed(ED25519, key, over, entry.subarray(2, 66)));
}
/** A text of which an entry has the digest, and which says these words of the entry once more. */
function textOf(entry, shape, bytes, words) {
  const said = parse(shape, bytes, 'PayloadAltered', 'the text of an order or reading has another shape');
  const isIt = hexOf(bytes) === entry.order && words.every((word) => said[word] === entry[word]);
  return isIt ? said : fail('PayloadAltered', 'the text is not the one that the log names');
}
const withoutExtra = (whole, head, extra) => (base64(extra) ? head : whole);
const readingOf = ({ session: name, way, at }, entry) => ({ session: name ?? undefined, way, at, entry });

/** Takes the members of one file in their order, each by the method of its kind. What it throws is the fault of the file. */
class EvidenceFile {
  sessions = new Map();
  counters = [];
  readings = new Map();
  /** What counters say: how many segments a session has, by its name and an nkey; and what an nkey sealed last. */
  claims = new Map();
  links = new Map();
  /** What the entries of the range say: of each session, and from when to when. */
  logged = new Map();
  clock = [Infinity, -Infinity];
  /** Of what stood before: the kind of the last member, the nkey of the last counter, the index of the last reading. */
  last = 'start';
  newest = { nkey: '', reading: -1, readings: 0 };
  constructor(trust) {
    this.trust = trust;
  }
  take({ kind, where, bytes }) {
    need(MEMBERS[kind][2].includes(this.last), 'MalformedBundle', 'a member stands where none of its kind may');
    if (this.last === 'entries' && kind !== 'entries') this.#proveRange();
    this[kind](bytes, ...where);
    // A proof is of what stands behind it alone.
    if (kind !== 'proof') this.own = undefined;
    this.last = kind;
  }
  head(bytes) {
    const said = maybe(() => JSON.parse(bytes.toString()));
    need(!LATER(said?.format), 'UnsupportedVersion', 'the file is of another version');
    need(HEAD(said), 'MalformedBundle', 'evidence.json has another shape');
    need(said.origin === this.trust.origin, 'OriginMismatch', 'the file is of another origin');
  }
  checkpoint(bytes) {
    [this.note, this.log] = [bytes.toString('latin1'), openCheckpoint(bytes, this.trust.policy)];
    need(this.log.origin === this.trust.origin, 'OriginMismatch', 'the checkpoint is of another log');
  }
  consistency(bytes) {
    this.older = readProof(bytes.toString('latin1'), PROOFS.consistency);
  }
  range(bytes) {
    const { numbers, hashes } = readProof(bytes.toString('latin1'), PROOFS.range);
    const [from, to] = numbers;
    need(from < to, 'MalformedProof', 'the range is empty');
    need(to - from <= MAX_RANGE, 'LimitExceeded', 'the range is too long');
    need(to <= this.log.size, 'ProofInvalid', 'the range ends behind the log');
    this.within = { from, to, next: from, hashes, leaves: Buffer.alloc((to - from) * 32) };
  }
  entries(bytes, index) {
    const { within } = this;
    need(index === within.next, 'MalformedBundle', 'entries stand where others belong');
    const entries = [...partsOf(bytes, 2, () => fail('MalformedTile', 'the entries end within one of them'))];
    const most = Math.min(within.to - index, MAX_CHUNK);
    need(entries.length > 0 && entries.length <= most, 'MalformedBundle', 'more entries than the range has, or none');
    for (const entry of entries) {
      leafHash(entry).copy(within.leaves, (within.next - within.from) * 32);
      this.#remember(entry, within.next++);
    }
  }
  /** An entry that cannot be read counts and says nothing. */
  #remember(entry, index) {
    const said = maybe(() => readEntry(entry));
    const isSigned = said?.kind in CONTEXTS && isByLog(said.kind, entry, this.trust);
    if (said?.kind === 'read' && isSigned) this.readings.set(index, readingOf(said, index));
    if (said === undefined || said.kind === 'read' || said.kind === 'registration') return;
    const about = this.logged.get(said.session) ?? { entries: 0, numbers: new Map(), erasure: undefined };
    this.logged.set(said.session, about);
    about.entries++;
    if (isSigned) about.erasure ??= { kind: 'erasure', at: said.at, entry: index };
    if (said.kind !== 'segment') return;
    const [first, last] = said.clock.wall;
    this.clock = [Math.min(this.clock[0], first), Math.max(this.clock[1], last)];
    const before = about.numbers.get(said.number) ?? index;
    // Of two different segments of one number neither is the one.
    about.numbers.set(said.number, this.#hashAt(before)?.equals(this.#hashAt(index)) ? before : -1);
  }
  /** The hash of an entry of the range; undefined where there is none. */
  #hashAt(index) {
    const { from = 0, to = 0, leaves } = this.within ?? {};
    return index >= from && index < to ? leaves.subarray((index - from) * 32, (index - from + 1) * 32) : undefined;
  }
  #proveRange() {
    const { within, log } = this;
    need(within.next === within.to, 'MalformedBundle', 'the entries end before the range does');
    need(rootOfRange(within, log.size).equals(log.root), 'ProofInvalid', 'the entries are not all that the log has there');
  }
  /** The index of an entry in the log: by the proof before it, else where the range has it. */
  #proven(hash, index) {
    const isProven = this.own === undefined ? this.#hashAt(index)?.equals(hash) : includes(hash, this.own, this.log);
    need(isProven, 'NotLogged', 'nothing proves that the entry is in the log, or the log has another one');
    return this.own?.index ?? index;
  }
  /** What an entry says that stands in a member of its own, by the log's key. */
  #signedEntry(kind, entry, isMeant, index) {
    const said = maybe(() => readEntry(entry));
    need(said?.kind === kind && isMeant(said), 'MalformedLeaf', 'a member has another entry than its name says');
    need(isByLog(kind, entry, this.trust), 'SignatureInvalid', 'the log did not sign an order or a reading');
    return { ...said, entry: this.#proven(leafHash(entry), index) };
  }
  counter(bytes, index) {
    need(index === this.counters.length, 'MalformedBundle', 'a counter stands where another belongs');
    need(index < MAX_COUNTERS, 'LimitExceeded', 'there are too many counters');
    const { nkey, agent, opened, sealed, pending, more, clock, last } = readCounter(bytes, this.trust);
    need(nkey > this.newest.nkey, 'MalformedBundle', 'counters do not follow by their keys');
    this.newest.nkey = nkey;
    this.counters.push({ agent, at: clock.wall, opened, sealed, pending: pending.length + more, more });
    for (const [name, segments] of pending)
      this.claims.set(name, (this.claims.get(name) ?? new Map()).set(nkey, { segments, agent }));
    if (last !== null) this.links.set(nkey, last);
  }
  reading(bytes, index) {
    need(this.judge === undefined, 'MalformedBundle', 'a reading stands among sessions');
    need(index > this.newest.reading, 'MalformedBundle', 'readings do not follow by their entries');
    this.newest.reading = index;
    need(++this.newest.readings <= MAX_READINGS, 'LimitExceeded', 'there are too many readings');
    const { take, integer } = reader(bytes, () => fail('MalformedBundle', 'a reading ends within its entry'));
    const said = this.#signedEntry('read', take(integer(2)), () => true, index);
    need(said.entry === index, 'NotLogged', 'the proof is of another entry');
    const text = take();
    const { by, period } = text.length === 0 ? {} : textOf(said, READING, text, ['session', 'at', 'way']);
    this.readings.set(index, { ...readingOf(said, index), by, period });
  }
  /** C2SP tlog-proof may have an extra line, which says nothing here. */
  proof(bytes, index) {
    const text = bytes.toString('latin1').replace(/^([^\n]*\n)extra (.*)\n/, withoutExtra);
    const { numbers, hashes, rest } = readProof(text, PROOFS.proof);
    need(numbers[0] === index && rest === this.note, 'MalformedBundle', 'a proof is of another entry or checkpoint');
    this.own = { index, path: hashes };
  }
  erasure(entry, name) {
    this.#begin(name);
    this.#attempt((judge) => {
      const isMeant = (said) => said.session === name;
      judge.order = this.#signedEntry('erasure', entry, isMeant, this.logged.get(name)?.erasure?.entry);
    });
  }
  order(bytes, name) {
    need(this.judge.name === name, 'MalformedBundle', 'an order stands where that of another session belongs');
    this.#attempt((judge) => {
      const { by, reason } = textOf(judge.order, ORDER, bytes, ['kind', 'session', 'at']);
      Object.assign(judge.order, { by, reason });
    });
  }
  key(bytes, name) {
    this.#begin(name);
    this.judge.key = need(bytes.length === 32 && bytes, 'MalformedKey', 'a data key has 32 bytes');
  }
  /** Whose secret opens it is not asked here: what is sealed stays so. */
  wrapped(bytes, name) {
    this.#begin(name);
    const said = parse(WRAPPED, bytes, 'MalformedBundle', 'the wrapped key cannot be read');
    need(said.session === name, 'MalformedBundle', 'the wrapped key is of another session');
  }
  segment(bytes, name, number) {
    if (this.judge?.name !== name) this.#begin(name);
    this.#attempt((judge) => {
      const stands = (own) => {
        const code = own > judge.segments ? 'SegmentMissing' : 'SegmentMisplaced';
        need(own === judge.segments, code, `segment ${own} stands where ${judge.segments} belongs`);
      };
      stands(number);
      need(bytes.length > 0, 'SegmentMissing', `segment ${number} is empty`);
      const next = readSegment(bytes, this.trust, judge.key);
      need(next.header.session === name, 'SegmentMisplaced', 'a segment of another session stands here');
      stands(next.header.number);
      need(judge.newest === undefined || follows(judge.newest, next), 'ChainBroken', 'it does not follow the segment before it');
      const { session: whose, number: which, link } = this.links.get(next.nkey) ?? {};
      const isOther = whose === name && which === number && link !== next.link;
      need(!isOther, 'ChainBroken', 'the pod counted another segment of this number');
      this.#proven(next.entry, this.logged.get(name)?.numbers.get(number));
      Object.assign(judge, { newest: next, segments: number + 1, records: judge.records + next.header.records.count });
    });
  }
  /** Begins a session, unless its order of erasure did. */
  #begin(name) {
    if (this.judge?.name === name && (this.last === 'erasure' || this.last === 'order')) return;
    this.#endSession();
    need(!this.sessions.has(name), 'MalformedBundle', 'a session stands in two places');
    this.judge = { name, segments: 0, records: 0 };
  }
  /** What is wrong with a session is its own fault, and nothing is looked at that comes after the first. */
  #attempt(work) {
    const { judge } = this;
    try {
      if (judge.fault === undefined) work(judge);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      const { code, message, record } = error;
      judge.fault = { segment: judge.segments, record: record === undefined ? record : judge.records + record, code, message };
    }
  }
  #endSession() {
    const { judge } = this;
    if (judge === undefined) return;
    const { name, segments, records, key, newest, fault } = judge;
    const { entries, numbers = new Map(), erasure } = this.logged.get(name) ?? {};
    const order = judge.order ?? erasure;
    const isGone = segments === 0 && fault === undefined && order !== undefined;
    const claims = this.claims.get(name) ?? new Map();
    const claim = newest === undefined ? [...claims.values()].at(-1) : claims.get(newest.nkey);
    const isCounted = claim !== undefined && segments < Math.max(claim.segments, 1);
    const isWhole = isGone || !(isCounted || [...numbers.keys()].some((number) => number >= segments));
    this.#attempt(() => need(isWhole, 'SegmentMissing', `segment ${segments} is missing; the log or its pod has it`));
    this.sessions.set(name, {
      session: name, verdict: isGone ? 'erased' : this.#wordOf(judge), segments, records, contents: key ? 'verified' : 'sealed',
      agent: newest?.agent, break: judge.fault, logged: entries, erasure: order && orderOf(order),
    });
    this.judge = undefined;
  }
  #wordOf({ fault, newest }) {
    if (fault !== undefined) return { SegmentMissing: 'incomplete', NotLogged: 'not in the log' }[fault.code] ?? 'altered';
    if (newest === undefined) return 'incomplete';
    const { counters, flags } = newest.header;
    if (counters.dropped > 0) return 'gap declared';
    if (this.log.quorum === 'missing') return 'not witnessed';
    return flags.includes('close') ? 'complete' : flags.includes('torn') ? 'interrupted' : 'open';
  }
  /** What the range or a counter says of sessions of which the file has nothing. */
  #judgeAbsent() {
    const absent = (name, verdict, more) => {
      if (!this.sessions.has(name))
        this.sessions.set(name, { session: name, verdict, segments: 0, records: 0, contents: 'sealed', ...more });
    };
    for (const [name, { entries: logged, numbers, erasure }] of this.logged)
      if (erasure !== undefined) absent(name, 'erased', { logged, erasure });
      else if (numbers.size > 0) absent(name, 'not exported', { logged });
    for (const [name, claims] of this.claims) absent(name, 'missing', { agent: [...claims.values()].at(-1).agent });
  }
  /** What is proved of the checkpoint that was kept. */
  #since({ origin, size, root }) {
    const { log, older } = this;
    if (origin !== log.origin) return 'rewritten';
    const path = size === log.size ? [] : older?.numbers[0] === size ? older.hashes : undefined;
    if (size > log.size || (size > 0 && path === undefined)) return 'not proven';
    return size === 0 || goesOn({ size, root }, log, path) ? 'append-only' : 'rewritten';
  }
  end() {
    need(this.log && this.last !== 'proof' && this.last !== 'range', 'MalformedBundle', 'the file ends early');
    if (this.last === 'entries') this.#proveRange();
    this.#endSession();
    if (this.within !== undefined) this.#judgeAbsent();
    const { sessions, counters, within, trust } = this;
    const { origin, size, root, quorum, witnesses } = this.log;
    const since = trust.since && { size: trust.since.size, verdict: this.#since(trust.since) };
    const [first, last] = this.clock.map((at) => (Number.isFinite(at) ? at : null));
    const range = within && { from: within.from, to: within.to, first, last };
    const readings = [...this.readings.values()].toSorted((a, b) => a.entry - b.entry);
    return {
      verdict: sessions.size === 0 && (within === undefined || readings.length === 0) ? 'empty' : 'sound',
      log: { origin, size, root: root.toString('base64'), quorum, witnesses, since, range },
      counters: counters.length > 0 ? counters : undefined,
      readings: readings.length > 0 ? readings : undefined,
      sessions: [...sessions.values()],
    };
  }
}
const orderOf = ({ kind, at, entry, by, reason }) => ({ kind, at, entry, by, reason });

function verifyFile(path, trust) {
  const file = new EvidenceFile(trust);
  let member;
  try {
    for (const each of membersOf(path)) {
      member = each.name;
      file.take(each);
    }
    member = undefined;
    return file.end();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { verdict: 'altered', break: { member, code: error.code, message: error.message }, sessions: [] };
  }
}

// The command line

/** What ends with which number, the worst first; all else that is said of a file, its log and its sessions is well. */
const EXITS = [
  [3, ['altered', 'rewritten']],
  [9, ['not witnessed', 'not in the log', 'not proven', 'no quorum']],
  [8, ['incomplete', 'missing', 'gap declared', 'not exported', 'empty', 'no end']],
];
const exitOf = (words) => EXITS.find(([, bad]) => bad.some((word) => words.includes(word)))?.[0] ?? 0;
function wordsOf({ verdict, log, sessions }, isComplete) {
  const words = [verdict, log?.since?.verdict, log?.quorum === 'missing' && 'no quorum', ...sessions.map((each) => each.verdict)];
  return isComplete && (words.includes('open') || words.includes('interrupted')) ? [...words, 'no end'] : words;
}
function main(args) {
  const path = { type: 'string' };
  const options = { policy: path, trust: path, since: path, complete: { type: 'boolean' } };
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  const isCalled = positionals.length > 0 && values.policy !== undefined && values.trust !== undefined;
  if (!isCalled) throw new TypeError('write: verify.mjs FILE… --policy FILE --trust FILE');
  const policy = readPolicy(readFileSync(values.policy));
  const trust = { ...parse(TRUST, readFileSync(values.trust), 'MalformedTrust', 'this is not a trust file'), policy };
  if (values.since !== undefined) trust.since = openCheckpoint(readFileSync(values.since), policy);
  const words = positionals.flatMap((file) => {
    const found = verifyFile(file, trust);
    const own = wordsOf(found, values.complete);
    process.stdout.write(`${JSON.stringify({ file, exit: exitOf(own), ...found })}\n`);
    return own;
  });
  return exitOf(words);
}

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`error: ${JSON.stringify(error.message)} (${error.code ?? error.name})\n`);
  process.exitCode = error instanceof Fault ? 3 : 2;
}
