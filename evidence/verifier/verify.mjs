#!/usr/bin/env node
/*
 * A verifier of evidence files, in one file, of nothing but Node's own modules. It was written from docs/evidence.md and shares no code
 * with the program that it checks. Read it, keep it, and run it where nobody else has a say:
 *
 *     node verify.mjs FILE… --policy trust.policy --trust trust.json [--since CHECKPOINT] [--complete]
 *
 * Says a line of JSON for each file. Ends with 0 where all is well, 3 where evidence is altered, 9 where the log or its witnesses do not
 * prove it, 8 where some is missing, 2 where it was called wrongly. Of several files and findings the worst counts: 3, then 9, then 8.
 */
import { createCipheriv, createDecipheriv, createHash, createPublicKey, hkdfSync, verify as verifyWith } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { zstdDecompressSync } from 'node:zlib';

const [MAX_SEGMENT, MAX_PLAIN, MAX_TEXT] = [1032192, 983040, 4096];
const [MAX_NOTE, MAX_PROOF, MAX_RANGE, MAX_CHUNK, MAX_COUNTERS, MAX_READINGS] = [524288, 16384, 1048576, 64, 65536, 65536];

class Fault extends Error {
  constructor(code, message, record) {
    super(message);
    Object.assign(this, { code, record });
  }
}
const fail = (code, message, record) => {
  throw new Fault(code, message, record);
};
/** What work gives; the second value where it throws. */
const maybe = (work, otherwise) => {
  try {
    return work();
  } catch {
    return otherwise;
  }
};
const orElse = (code, message, work) => maybe(work) ?? fail(code, message);

// Bytes and texts

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
const leafHash = (...data) => sha256(Buffer.of(0), ...data);
const nodeHash = (left, right) => sha256(Buffer.of(1), left, right);
const u64 = (value) => Buffer.from(value.toString(16).padStart(16, '0'), 'hex');
const isZero = (bytes) => bytes.every((byte) => byte === 0);
const base64 = (text) => (Buffer.from(text, 'base64').toString('base64') === text ? Buffer.from(text, 'base64') : undefined);
const hash64 = (text) => (base64(text)?.length === 32 ? base64(text) : undefined);
const decimal = (text) => (/^(0|[1-9]\d{0,15})$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined);
const utf8 = (bytes) => maybe(() => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));

// Keys

const SPKI = { ed25519: '302a300506032b6570032100', mlDsa: '30820532300b06096086480165030403110382052100' };
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const keys = new Map();
function signed(kind, key, message, signature) {
  if (key.length !== (kind === 'mlDsa' ? 1312 : 32) || signature.length !== (kind === 'mlDsa' ? 2420 : 64)) return false;
  return maybe(() => {
    const id = key.toString('base64');
    const known = keys.get(id) ?? createPublicKey({ key: Buffer.concat([Buffer.from(SPKI[kind], 'hex'), key]), format: 'der', type: 'spki' });
    if (keys.size < 1000) keys.set(id, known);
    return verifyWith(null, message, known, signature);
  }, false);
}
/** Base32 of a prefix, the raw key, and CRC-16/XMODEM of both. */
function nkey(text) {
  const bits = [...(text.length === 56 ? text : '')].map((letter) => BASE32.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const bytes = Buffer.from((bits.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)));
  const crc = bytes.subarray(0, 33).reduce((before, byte) => {
    let after = before ^ (byte << 8);
    for (let bit = 0; bit < 8; bit++) after = (after << 1) ^ (after & 0x8000 ? 0x11021 : 0);
    return after;
  }, 0);
  if (!/^[01]{280}$/.test(bits) || bytes.readUInt16LE(33) !== crc || bytes[0] !== 160) fail('MalformedKey', 'this is not the nkey of a pod');
  return bytes.subarray(1, 33);
}

// Shapes of JSON. Each is a function that says whether a value has it.

const int = (least = Number.MIN_SAFE_INTEGER, most = Number.MAX_SAFE_INTEGER) => (v) => Number.isSafeInteger(v) && v >= least && v <= most;
const count = int(0);
const num = Number.isFinite;
const str = (most = Infinity, least = 0) => (v) => typeof v === 'string' && v.length <= most && v.length >= least;
const like = (pattern) => (v) => typeof v === 'string' && pattern.test(v);
const digest = like(/^[0-9a-f]{64}$/);
const session = like(/^s-[a-z2-7]{16}$/);
const one = (...values) => (v) => values.includes(v);
const orNull = (of) => (v) => v === null || of(v);
const list = (of, most = Infinity) => (v) => Array.isArray(v) && v.length <= most && v.every(of);
const pair = (of) => (v) => list(of, 2)(v) && v.length === 2;
/** Keys that end in ? may be missing. */
const open = (shape) => (v) =>
  typeof v === 'object' &&
  v !== null &&
  Object.entries(shape).every(([key, of]) => (key.endsWith('?') ? !(key.slice(0, -1) in v) || of(v[key.slice(0, -1)]) : key in v && of(v[key])));
const strict = (shape) => (v) => open(shape)(v) && Object.keys(v).every((key) => Object.hasOwn(shape, key) || Object.hasOwn(shape, `${key}?`));
function parse(shape, bytes) {
  const value = JSON.parse(bytes.toString());
  if (!shape(value)) fail('Shape', 'another shape');
  return value;
}

const WRAPPED = strict({
  session, id: digest,
  to: (v) => list(strict({ recipient: str(128, 1), key: (k) => str(1024, 1)(k) && /^[\w-]*$/.test(k) && k.length % 4 !== 1 }), 8)(v) && v.length > 0,
});
const SIGNED = strict({ body: str(2048), signature: str(100) });
const AGENT = { namespace: str(253, 1), serviceAccount: str(253, 1), 'pod?': str(253), 'podUid?': str(64) };
const REGISTRATION = strict({ nkey: str(64), agent: strict(AGENT), origin: str(253, 1), issuedAt: num });
const CERTIFICATE = strict({ nkey: str(64), key: str(64), epoch: int(1), notBefore: num, notAfter: num });
const U32 = int(0, 0xffffffff);
const COUNTER = strict({
  origin: str(253, 1), nkey: str(64), number: int(1), opened: count, newest: orNull(session), sealed: count, more: count, clock: strict({ wall: num, mono: num }),
  last: orNull(strict({ session, number: U32, link: digest })), pending: list((v) => list(() => true, 2)(v) && v.length === 2 && session(v[0]) && U32(v[1]), 40),
});
const HEADER = strict({
  version: one(2), origin: str(253, 1), session, number: int(0, 0xffffffff), prev: orNull(digest), certificate: SIGNED, registration: digest,
  records: strict({ first: count, last: int(-1), count }), root: digest, key: strict({ id: digest, salt: like(/^[0-9a-f]{32}$/) }),
  payload: strict({ codec: one('zstd+aes-256-gcm'), digest, length: count, plain: count }),
  policy: str(128), clock: strict({ wall: pair(num), mono: pair(num), sealed: num }),
  counters: strict({ actions: count, denied: count, masked: count, dropped: count }),
  flags: list(one('open', 'close', 'torn'), 3),
});
const WAYS = ['search', 'view', 'replay', 'verify', 'export'];
const LEAVES = {
  1: ['segment', HEADER],
  2: ['registration', strict({ nkey: str(64), registration: digest, issuedAt: num })],
  3: ['erasure', strict({ session, order: digest, at: num })],
  5: ['hold', strict({ session, order: digest, at: num, state: one('hold', 'release') })],
  6: ['read', strict({ session: orNull(session), order: digest, at: num, way: one(...WAYS) })],
  4: ['gap', (v) => strict({ session, first: int(0, 0xffffffff), last: int(0, 0xffffffff), at: num })(v) && v.first <= v.last],
};
const ORDER = strict({ kind: one('erasure', 'hold', 'release'), session, by: str(256, 1), reason: str(500, 1), at: num, salt: like(/^[0-9a-f]{32}$/) });
const READING = strict({
  kind: one('read'), session: orNull(session), 'period?': strict({ from: num, to: num }), way: one(...WAYS), by: str(256, 1), at: num, salt: like(/^[0-9a-f]{32}$/),
});
const TYPES = 'session.open action approval columns rows done output resize line file content bytes note session.close'.split(' ');
const RECORD = open({ seq: int(), at: num, mono: num, type: one(...TYPES) });

// Records and segments

/** Its frame alone: the fields of each type are not looked at, but for those that are signed elsewhere too. */
function readRecord(bytes) {
  const end = bytes.indexOf(0);
  const record = JSON.parse(bytes.toString('utf8', 0, end < 0 ? bytes.length : end));
  const hasRoom = record.type === 'output' || record.type === 'content';
  const sound = RECORD(record) && !('data' in record) && hasRoom === end >= 0 && (end < 0 || bytes.length - end <= 65537);
  return sound ? record : fail('Shape', 'another shape');
}

function splitSegment(bytes) {
  if (bytes.length > MAX_SEGMENT) fail('LimitExceeded', 'the segment is too large');
  let at = 0;
  const take = (length) => {
    if (length > bytes.length - at) fail('MalformedSegment', 'the segment ends early');
    at += length;
    return bytes.subarray(at - length, at);
  };
  const sized = (most) => {
    const length = take(4).readUInt32BE();
    if (length > most) fail('LimitExceeded', 'a part of the segment is too large');
    return take(length);
  };
  const magic = take(8).toString('latin1');
  if (magic !== 'CHEVSEG\x02') fail(magic.startsWith('CHEVSEG') ? 'UnsupportedVersion' : 'MalformedSegment', 'this is not a segment of version 2');
  const headerText = sized(MAX_TEXT);
  const signature = take(64);
  const registration = sized(MAX_TEXT);
  const number = take(4).readUInt32BE();
  if (number > 1024) fail('LimitExceeded', 'the segment has too many records');
  const leaves = Array.from({ length: number }, () => take(32));
  const header = orElse('MalformedSegment', 'the header has another shape', () => parse(HEADER, headerText));
  return { header, headerText, signature, registration, leaves, payload: bytes.subarray(at) };
}

/** Where a tree of so many leaves is split: the largest power of two below. */
const split = (size) => 2 ** (Math.ceil(Math.log2(size)) - 1);
function rootOf(leaves) {
  if (leaves.length < 2) return leaves[0] ?? sha256();
  const middle = split(leaves.length);
  return nodeHash(rootOf(leaves.slice(0, middle)), rootOf(leaves.slice(middle)));
}

/** What the data key opens, and the salts of its leaf hashes. */
function decrypted({ header, payload }, key) {
  const { session: name, number } = header;
  const derive = (salt, info, length) => Buffer.from(hkdfSync('sha256', key, salt, info, length));
  if (derive('', `chaperone/data-key-id/v1\0${name}`, 32).toString('hex') !== header.key.id) fail('KeyUnusable', 'the segment was sealed under another data key');
  const info = Buffer.concat([Buffer.from(`chaperone/segment/v2\0${name}`), u64(number).subarray(4)]);
  const secrets = derive(Buffer.from(header.key.salt, 'hex'), info, 64);
  const packed = orElse('PayloadAltered', 'the payload cannot be decrypted', () => {
    const cipher = createDecipheriv('aes-256-gcm', secrets.subarray(0, 32), Buffer.alloc(12), { authTagLength: 16 });
    cipher.setAuthTag(payload.subarray(-16));
    return Buffer.concat([cipher.update(payload.subarray(0, -16)), cipher.final()]);
  });
  const stream = createCipheriv('aes-256-ctr', secrets.subarray(32), Buffer.alloc(16)).update(Buffer.alloc(1024 * 16));
  return { packed, saltOf: (index) => stream.subarray(index * 16, index * 16 + 16) };
}

function recordsOf(segment, key) {
  const { header, leaves } = segment;
  const { packed, saltOf } = decrypted(segment, key);
  const { plain } = header.payload;
  if (plain > MAX_PLAIN) fail('LimitExceeded', 'the payload is too large');
  const unpacked = orElse('PayloadAltered', 'the payload cannot be decompressed', () => zstdDecompressSync(packed, { maxOutputLength: Math.max(1, plain) }));
  const texts = [];
  for (let at = 0; at < unpacked.length; ) {
    const length = at + 4 <= unpacked.length ? unpacked.readUInt32BE(at) : Infinity;
    if (length > unpacked.length - at - 4 || texts.length === header.records.count) fail('RecordAltered', `record ${texts.length} has a wrong length`, texts.length);
    texts.push(unpacked.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  texts.forEach((record, index) => {
    if (!leaves[index]?.equals(leafHash(saltOf(index), record))) fail('RecordAltered', `record ${index} does not match its leaf hash`, index);
  });
  if (texts.length !== leaves.length) fail('RecordAltered', `the payload ends before record ${texts.length}`, texts.length);
  const records = texts.map((record, index) => {
    const found = maybe(() => readRecord(record));
    return found?.seq === header.records.first + index ? found : fail('MalformedSegment', `record ${index} has another shape or number`, index);
  });
  const opens = records.findIndex(({ type }) => type === 'session.open');
  const closes = records.findIndex(({ type }) => type === 'session.close');
  const sound =
    header.flags.includes('open') === (opens === 0) &&
    records.every(({ type }, at) => type !== 'session.open' || at === 0) &&
    header.flags.includes('close') === closes >= 0 &&
    (closes < 0 || closes === records.length - 1);
  return sound ? records : fail('MalformedSegment', 'flags and records do not fit each other');
}

const names = (first, own, { namespace, serviceAccount }) =>
  first.session === own && first.agent?.namespace === namespace && first.agent.serviceAccount === serviceAccount;

function checkSegment(bytes, trust, key) {
  const segment = splitSegment(bytes);
  const { header, headerText, signature, registration, leaves, payload } = segment;
  const { flags, number, prev, records: range } = header;
  const isFirst = number === 0;
  if (sha256(registration).toString('hex') !== header.registration) fail('RegistrationUntrusted', 'the registration is not the one that the header names');
  if (leaves.length !== range.count || rootOf(leaves).toString('hex') !== header.root) fail('RecordAltered', 'the leaf hashes do not give the root in the header');
  const sound =
    flags.includes('open') === isFirst &&
    (range.first === 0) === isFirst &&
    (prev === null) === isFirst &&
    range.last === range.first + range.count - 1 &&
    (range.count > 0 || flags.includes('torn'));
  if (!sound) fail('MalformedSegment', 'number, flags and records do not fit each other');
  const [first] = key === undefined ? [] : recordsOf(segment, key);
  if (payload.length !== header.payload.length || sha256(payload).toString('hex') !== header.payload.digest) fail('PayloadAltered', 'the payload does not match its digest');
  const epoch = checkSigner(segment, trust);
  const { agent } = epoch.registration;
  if (first?.type === 'session.open' && !names(first, header.session, agent)) fail('AgentMismatch', 'the opening record names another agent or session than the registration');
  return { header, agent, epoch: epoch.number, nkey: epoch.nkey, link: sha256(headerText, signature).toString('hex'), leaf: leafHash(Buffer.of(1, 1), signature, headerText) };
}

const statement = (shape, code, { body }) => orElse(code, 'a signed statement has another shape', () => parse(shape, body));
const isSigned = (context, { body, signature: by }, key) => signed('ed25519', key, Buffer.from(context + body), Buffer.from(by, 'base64url'));
function certified(by) {
  const certificate = statement(CERTIFICATE, 'CertificateInvalid', by);
  if (!isSigned('chaperone/epoch/v1\0', by, nkey(certificate.nkey))) fail('CertificateInvalid', 'the nkey did not sign this epoch key');
  const { notBefore, notAfter } = certificate;
  if (notAfter < notBefore || notAfter - notBefore > 3_600_000) fail('CertificateInvalid', 'the epoch key is valid for no time, or for too long');
  return { ...certificate, within: (at, what) => at < notBefore || at > notAfter ? fail('EpochExceeded', `the ${what} outside the time of its epoch key`) : undefined };
}
function registered(by, trust) {
  if (!trust.enrolmentKeys.some((key) => isSigned('chaperone/registration/v1\0', by, Buffer.from(key, 'base64url')))) fail('RegistrationUntrusted', 'no trusted key signed the registration');
  const registration = statement(REGISTRATION, 'RegistrationUntrusted', by);
  return registration.origin === trust.origin ? registration : fail('OriginMismatch', 'the registration is of another origin');
}

function checkSigner({ header, headerText, signature, registration: bytes }, trust) {
  const certificate = certified(header.certificate);
  const over = Buffer.concat([Buffer.from('chaperone/segment/v2\0'), headerText]);
  if (!signed('ed25519', Buffer.from(certificate.key, 'base64url'), over, signature)) fail('SignatureInvalid', 'the epoch key did not sign this header');
  certificate.within(header.clock.sealed, 'segment was sealed');
  const registration = registered(orElse('RegistrationUntrusted', 'the registration cannot be read', () => parse(SIGNED, bytes)), trust);
  if (registration.nkey !== certificate.nkey) fail('CertificateInvalid', 'the epoch key belongs to another pod than the registration');
  if (header.origin !== trust.origin) fail('OriginMismatch', 'the segment is of another origin');
  return { registration, number: certificate.epoch, nkey: certificate.nkey };
}

/** What a pod counted, and who it is. */
function readCounter(bytes, trust) {
  const said = orElse('MalformedBundle', 'a counter cannot be read', () => parse(strict({ registration: SIGNED, certificate: SIGNED, counter: SIGNED }), bytes));
  const { nkey: own, agent } = registered(said.registration, trust);
  const { nkey: by, key, within } = certified(said.certificate);
  if (!isSigned('chaperone/counter/v1\0', said.counter, Buffer.from(key, 'base64url'))) fail('CounterInvalid', 'the epoch key did not sign this counter');
  const counter = statement(COUNTER, 'CounterInvalid', said.counter);
  if (by !== own || counter.nkey !== own) fail('CertificateInvalid', 'the counter or its key belongs to another pod than the registration');
  within(counter.clock.wall, 'counter was signed');
  return counter.origin === trust.origin ? { ...counter, agent } : fail('OriginMismatch', 'the counter is of another origin');
}

// Notes, policies and proofs (C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-policy, tlog-proof)

const isName = (name) => name !== '' && name.isWellFormed() && !/[\p{White_Space}+]/u.test(name) && !/[\0-\x09\x0b-\x1f]/.test(name);

function readNote(bytes) {
  if (bytes.length > MAX_NOTE) fail('LimitExceeded', 'the note is too large');
  const note = utf8(bytes);
  if (note === undefined || /[\0-\x09\x0b-\x1f]/.test(note)) fail('MalformedNote', 'the note has bytes that no note may have');
  const end = note.lastIndexOf('\n\n');
  if (end < 0 || end + 2 === note.length || !note.endsWith('\n')) fail('MalformedNote', 'the note has no signatures');
  const lines = note.slice(end + 2, -1).split('\n');
  if (lines.length > 64) fail('LimitExceeded', 'the note has too many signatures');
  const signatures = lines.map((line) => {
    const [dash, name = '', encoded = '', ...more] = line.split(' ');
    const signature = base64(encoded);
    if (dash !== '—' || !isName(name) || more.length > 0 || !(signature?.length > 4)) fail('MalformedNote', 'a line of the note is not a signature');
    return { name, id: signature.readUInt32BE(), signature: signature.subarray(4) };
  });
  return { text: note.slice(0, end + 1), signatures };
}

function readCheckpoint(note) {
  const [origin, size, root, ...rest] = note.split('\n');
  const head = { origin, size: decimal(size ?? ''), root: hash64(root ?? ''), extensions: rest.slice(0, -1) };
  const sound = origin !== '' && head.size !== undefined && head.root !== undefined && rest.at(-1) === '' && !head.extensions.includes('');
  if (!sound || (head.size === 0 && !head.root.equals(sha256()))) fail('MalformedNote', 'the note is not a checkpoint');
  return head;
}

function readKey(vkey) {
  const [name = '', id = '', ...encoded] = vkey.split('+');
  const bytes = base64(encoded.join('+'));
  const length = { 1: 32, 4: 32, 6: 1312 }[bytes?.[0]];
  if (bytes?.length !== length + 1 || !isName(name) || !/^[0-9a-f]{8}$/i.test(id)) return undefined;
  const own = sha256(`${name}\n`, bytes).readUInt32BE();
  return own === Number.parseInt(id, 16) ? { name, id: own, type: bytes[0], key: bytes.subarray(1) } : undefined;
}

function isBy({ name, type, key }, note, signature) {
  if (type === 1) return signed('ed25519', key, Buffer.from(note), signature);
  const time = signature.length < 8 ? Number.NaN : Number(signature.readBigUInt64BE());
  if (!Number.isSafeInteger(time)) return false;
  const head = maybe(() => readCheckpoint(note));
  if (head === undefined) return false;
  if (type === 4) return signed('ed25519', key, Buffer.from(`cosignature/v1\ntime ${time}\n${note}`), signature.subarray(8));
  const [who, origin] = [Buffer.from(name), Buffer.from(head.origin)];
  if (who.length > 255 || origin.length > 255 || head.extensions.length > 0) return false;
  const parts = [Buffer.from('subtree/v1\n\0'), Buffer.of(who.length), who, u64(time), Buffer.of(origin.length), origin, u64(0), u64(head.size), head.root];
  return signed('mlDsa', key, Buffer.concat(parts), signature.subarray(8));
}

const bad = (line, what) => fail('MalformedPolicy', `line ${line} of the policy: ${what}`);
function readPolicy(bytes) {
  const lines = bytes.toString('latin1').split('\n');
  if (lines.pop() !== '' || lines.length > 1024) bad(lines.length, 'too many, or no end');
  const policy = { logs: [], witnesses: new Map(), quorum: undefined };
  const groups = new Map([['none', { least: 0, of: [] }]]);
  const [taken, seen] = [new Set(), new Set()];
  for (const [at, line] of lines.entries()) {
    const [word, name, ...more] = line.split(/[ \t]+/).filter(Boolean);
    const sure = (is, what) => is || bad(at + 1, what);
    sure(!/[\0-\x08\x0a-\x1f\x7f]/.test(line), 'a control character');
    if (word === undefined || word.startsWith('#')) continue;
    const key = (vkey = '', ...types) => {
      const found = readKey(utf8(Buffer.from(vkey, 'latin1')) ?? '');
      sure(types.includes(found?.type) && !seen.has(found.key.toString('hex')), 'not a key for this, or one that has a line');
      seen.add(found.key.toString('hex'));
      return found;
    };
    const isFree = name !== undefined && !groups.has(name);
    if (word === 'log' && more.length < 2) policy.logs.push(key(name, 1, 6));
    else if (word === 'witness' && isFree && more.length <= 2) {
      policy.witnesses.set(name, key(more[0], 4, 6));
      groups.set(name, { witness: policy.witnesses.get(name) });
    } else if (word === 'group' && isFree && more.length > 1) {
      const [threshold, ...members] = more;
      for (const member of members) {
        sure(member !== 'none' && groups.has(member) && !taken.has(member), 'a member that is unknown or in a group already');
        taken.add(member);
      }
      const least = { all: members.length, any: 1 }[threshold] ?? decimal(threshold);
      sure(least >= 1 && least <= members.length, 'a threshold that cannot be met, or is none');
      groups.set(name, { least, of: members.map((member) => groups.get(member)) });
    } else policy.quorum = sure(word === 'quorum' && !policy.quorum && more.length === 0 && groups.get(name), 'not a line of a policy');
  }
  return policy.quorum === undefined ? bad(lines.length, 'no quorum') : policy;
}

/** The checkpoint of a note that a log of the policy signed, and whether the quorum has cosigned it. */
function openCheckpoint(bytes, policy) {
  const note = readNote(bytes);
  const known = [...policy.logs, ...policy.witnesses.values()];
  const verified = new Map();
  for (const { name, id, signature } of note.signatures) {
    const [key, ...same] = known.filter((each) => each.name === name && each.id === id);
    if (key === undefined) continue;
    if (same.length > 0) fail('MalformedKey', 'two keys have the same name and id');
    if (!isBy(key, note.text, signature)) fail('SignatureInvalid', 'a known key did not sign this note, though it says so');
    if (!verified.has(key)) verified.set(key, signature);
  }
  if (verified.size === 0) fail('NoteUnsigned', 'no known key has signed the note');
  const head = readCheckpoint(note.text);
  const logs = policy.logs.filter((key) => verified.has(key));
  if (logs.length === 0) fail('NoteUnsigned', 'no log of the policy has signed the checkpoint');
  if (!logs.some(({ name }) => name === head.origin)) fail('OriginMismatch', 'the log that signed the checkpoint has another origin');
  const met = (of) => (of.witness === undefined ? of.of.filter(met).length >= of.least : verified.has(of.witness));
  const times = [...policy.witnesses].filter(([, key]) => verified.has(key)).map(([name, key]) => [name, Number(verified.get(key).readBigUInt64BE()) || null]);
  return { ...head, quorum: met(policy.quorum) ? 'met' : 'missing', witnesses: Object.fromEntries(times) };
}

/** Lines of text: a head, then one for each of these words with a number, then hashes. */
function readProof(bytes, head, words, most) {
  const lines = bytes.toString('latin1').split('\n');
  const numbers = words.map((word, at) => (lines[at + 1]?.startsWith(`${word} `) ? decimal(lines[at + 1].slice(word.length + 1)) : undefined));
  const hashes = lines.slice(1 + words.length, -1).map(hash64);
  const sound = lines[0] === head && lines.length > words.length + 1 && lines.at(-1) === '' && ![...numbers, ...hashes].includes(undefined) && hashes.length <= most;
  return sound ? { numbers, hashes } : fail('MalformedProof', 'this is not a proof');
}

function readEntryProof(bytes) {
  const end = bytes.indexOf('\n\n');
  const lines = bytes.toString('latin1', 0, Math.max(0, end)).split('\n');
  if (lines[1]?.startsWith('extra ') && base64(lines.splice(1, 1)[0].slice(6)) === undefined) fail('MalformedProof', 'this is not a proof of an entry');
  const { numbers, hashes } = readProof(Buffer.from(`${lines.join('\n')}\n`, 'latin1'), 'c2sp.org/tlog-proof@v1', ['index'], 53);
  return { index: numbers[0], path: hashes, note: bytes.subarray(end + 2) };
}

/** RFC 9162 §2.1.3: the last hash of the path stands beside the root's half. */
function includes(hash, index, { size, root }, path) {
  const climb = (at, width, left) => {
    if (width === 1) return left.length === 0 ? hash : undefined;
    const [half, beside, below] = [split(width), left.at(-1), left.slice(0, -1)];
    if (beside === undefined) return undefined;
    const found = at < half ? climb(at, half, below) : climb(at - half, width - half, below);
    return found && (at < half ? nodeHash(found, beside) : nodeHash(beside, found));
  };
  return index < size && climb(index, size, path)?.equals(root) === true;
}

/** RFC 9162 §2.1.4: both roots follow from the path; where the older tree is a whole part of the newer one, its root is in no path. */
function goesOn(older, head, path) {
  if (older.size === 0) return path.length === 0;
  const climb = (first, width, left, isWhole) => {
    if (first === width) return left.length === (isWhole ? 0 : 1) ? [isWhole ? older.root : left[0], isWhole ? older.root : left[0]] : undefined;
    const [half, beside, below] = [split(width), left.at(-1), left.slice(0, -1)];
    if (beside === undefined) return undefined;
    const [before, after] = (first <= half ? climb(first, half, below, isWhole) : climb(first - half, width - half, below, false)) ?? [];
    if (before === undefined) return undefined;
    return first <= half ? [before, nodeHash(after, beside)] : [nodeHash(beside, before), nodeHash(beside, after)];
  };
  const [before, after] = climb(older.size, head.size, path, true) ?? [];
  return before !== undefined && before.equals(older.root) && after.equals(head.root);
}

/** The root of a tree of which the leaves from one index on are here, and hashes of whole subtrees beside them. */
function rangeRoot({ from, to, hashes, leaves }, size) {
  const beside = hashes.values();
  const root = (first, last) => {
    const isWhole = Number.isInteger(Math.log2(last - first)) && first % (last - first) === 0;
    if (isWhole && (last <= from || first >= to)) return beside.next().value ?? fail('ProofInvalid', 'the proof of the range is too short');
    if (last - first === 1) return leaves.subarray((first - from) * 32, (first - from + 1) * 32);
    const middle = first + split(last - first);
    return nodeHash(root(first, middle), root(middle, last));
  };
  const found = root(0, size);
  return beside.next().done ? found : fail('ProofInvalid', 'the proof of the range is too long');
}

// The file

function* membersOf(path) {
  const file = openSync(path, 'r');
  let at = 0;
  const take = (length, what) => {
    const bytes = Buffer.alloc(length);
    let got = 0;
    for (let more = 1; got < length && more > 0; got += more) more = readSync(file, bytes, got, length - got, null);
    at += got;
    return got === length ? bytes : fail('MalformedBundle', `byte ${at} of the file: it ends within ${what}`);
  };
  try {
    for (;;) {
      const head = take(512, 'a header');
      if (isZero(head)) {
        if (!isZero(take(512, 'its end')) || readSync(file, Buffer.alloc(1), 0, 1, null) > 0) fail('MalformedBundle', 'the file does not end where it says');
        return;
      }
      const name = head.toString('latin1', 0, 100).replace(/\0.*/s, '');
      const size = Number.parseInt(head.toString('latin1', 124, 135), 8);
      if (!/^[a-z0-9][a-z0-9./-]*$/.test(name) || !headerOf(name, size).equals(head)) fail('MalformedBundle', `byte ${at - 512} of the file: this is not how a member begins`);
      const [kind, ...where] = placeOf(name);
      if (size > MOST[kind]) fail('LimitExceeded', `${name} is too large`);
      const bytes = take(size, name);
      if (!isZero(take(-size & 511, name))) fail('MalformedBundle', `${name} is not followed by zeros`);
      yield { name, kind, where, bytes };
    }
  } finally {
    closeSync(file);
  }
}

const field = (value, digits) => `${value.toString(8).padStart(digits, '0')}\0`;
function headerOf(name, size) {
  const parts = (sum) => [name.padEnd(100, '\0'), field(0o644, 7), field(0, 7), field(0, 7), field(size, 11), field(0, 11), sum, '0', '\0'.repeat(100), 'ustar\x0000', '\0'.repeat(64), field(0, 7), field(0, 7)];
  const build = (sum) => Buffer.from(parts(sum).join('').padEnd(512, '\0'), 'latin1');
  const sum = build(' '.repeat(8)).reduce((total, byte) => total + byte, 0);
  return build(`${field(sum, 6)} `);
}

const MOST = {
  head: 1024, checkpoint: MAX_NOTE, consistency: MAX_PROOF, range: MAX_PROOF, entries: MAX_CHUNK * 65537, proof: MAX_PROOF + MAX_NOTE,
  counter: 16384, reading: 8192, erasure: 65535, order: 8192, key: 32, wrapped: 8192, segment: MAX_SEGMENT,
};
const KEYS = ['key', 'wrapped'];
const AFTER = ['proof', 'erasure', ...KEYS, 'segment'];
const READ = ['reading', ...AFTER];
const COUNTED = ['counter', ...READ];
/** What may stand behind what. */
const NEXT = {
  start: ['head'], head: ['checkpoint'], checkpoint: ['consistency', 'range', ...COUNTED], consistency: ['range', ...COUNTED],
  range: ['entries'], entries: ['entries', ...COUNTED], counter: COUNTED, reading: READ, proof: ['reading', 'erasure', 'segment'],
  erasure: ['order', ...KEYS, 'proof', 'segment'], order: [...KEYS, 'proof', 'segment'], key: ['proof', 'segment'], wrapped: ['proof', 'segment'], segment: AFTER,
};
function placeOf(name) {
  const fixed = { 'evidence.json': 'head', 'log/checkpoint': 'checkpoint', 'log/consistency': 'consistency', 'log/range': 'range' }[name];
  if (fixed !== undefined) return [fixed];
  const [, of] = /^(erasure|order|key|wrapped)\/s-[a-z2-7]{16}$/.exec(name) ?? [];
  if (of !== undefined) return [of, name.slice(of.length + 1)];
  const [, kind, whose, number = ''] = /^(log\/entries|counter|reading|proof|segment)\/(?:(s-[a-z2-7]{16})\/)?([^/]+)$/.exec(name) ?? [];
  const sound = decimal(number) !== undefined && (kind === 'segment') === (whose !== undefined);
  if (!sound) fail('MalformedBundle', `${name} is no member of version 1`);
  return whose === undefined ? [kind.replace('log/', ''), decimal(number)] : [kind, whose, decimal(number)];
}

/** Judges the members of one session in order; what comes after the first fault is not looked at. */
class Judge {
  constructor(name, trust) {
    Object.assign(this, { name, trust, segments: 0, records: 0, fault: undefined, last: undefined, key: undefined, erasure: undefined });
  }
  try(work) {
    try {
      if (this.fault === undefined) work();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      const record = error.record === undefined ? {} : { record: this.records + error.record };
      this.fault = { segment: this.segments, ...record, code: error.code, message: error.message };
    }
  }
  take(number, bytes, prove) {
    this.#place(number);
    if (bytes.length === 0) fail('SegmentMissing', `segment ${number} is missing`);
    const next = checkSegment(bytes, this.trust, this.key);
    if (next.header.session !== this.name) fail('SegmentMisplaced', 'a segment of another session stands here');
    this.#place(next.header.number);
    if (this.last !== undefined && !follows(this.last, next)) fail('ChainBroken', 'the segment does not follow the one before it');
    prove(next);
    this.last = next;
    this.records += next.header.records.count;
    this.segments++;
  }
  #place(number) {
    if (number > this.segments) fail('SegmentMissing', `segment ${this.segments} is missing; segment ${number} stands in its place`);
    if (number < this.segments) fail('SegmentMisplaced', `segment ${number} stands where ${this.segments} belongs`);
  }
  get word() {
    if (this.fault !== undefined) return { SegmentMissing: 'incomplete', NotLogged: 'not in the log' }[this.fault.code] ?? 'altered';
    if (this.last === undefined) return 'incomplete';
    const { counters, flags } = this.last.header;
    if (counters.dropped > 0) return 'gap declared';
    return flags.includes('close') ? 'complete' : flags.includes('torn') ? 'interrupted' : 'open';
  }
}

const follows = (before, next) =>
  next.header.prev === before.link &&
  next.header.records.first === before.header.records.last + 1 &&
  next.nkey === before.nkey &&
  next.epoch >= before.epoch &&
  next.header.key.id === before.header.key.id &&
  !before.header.flags.includes('close');

function readEntry(entry) {
  const [kind, shape] = (entry[0] === 1 && LEAVES[entry[1]]) || fail('MalformedLeaf', 'an entry of another kind or version');
  const text = entry.subarray(66);
  return text.length > MAX_TEXT ? fail('LimitExceeded', 'the entry is too large') : { kind, ...parse(shape, text) };
}

/** Whether as much of a session is here as its pod counted; where nobody knows which pod it is of, as any. */
const claimed = (segments, own, claims) => {
  const claim = own === undefined ? [...(claims?.values() ?? [])].at(-1) : claims?.get(own);
  if (claim !== undefined && segments < Math.max(claim.segments, 1)) fail('SegmentMissing', `segment ${segments} is missing; the pod counted ${claim.segments}`);
};

/** The entries of a range of the log, and what they say of sessions. */
class Range {
  constructor([from, to], hashes, trust) {
    Object.assign(this, { from, to, hashes, trust, leaves: Buffer.alloc((to - from) * 32), taken: 0, first: Infinity, last: -Infinity, sessions: new Map(), readings: new Map() });
  }
  get times() {
    return this.first === Infinity ? { first: null, last: null } : { first: this.first, last: this.last };
  }
  hash(at) {
    return this.leaves.subarray(at * 32, at * 32 + 32);
  }
  take(bytes, index) {
    if (index !== this.from + this.taken) fail('MalformedBundle', 'entries stand where others belong');
    const entries = [];
    for (let at = 0; at < bytes.length; at += 2 + entries.at(-1).length) {
      const end = at + 2 <= bytes.length ? at + 2 + bytes.readUInt16BE(at) : Infinity;
      if (end > bytes.length) fail('MalformedTile', 'the entries end within one of them');
      entries.push(bytes.subarray(at + 2, end));
    }
    if (entries.length === 0 || entries.length > Math.min(this.to - index, MAX_CHUNK)) fail('MalformedBundle', 'there are more entries, or fewer, than the range has');
    for (const entry of entries) {
      leafHash(entry).copy(this.leaves, this.taken * 32);
      this.#remember(entry, this.taken++);
    }
  }
  #remember(entry, at) {
    const leaf = maybe(() => readEntry(entry));
    if (leaf?.kind === 'read' && isByLog(entry, this.trust)) this.readings.set(this.from + at, readingOf(leaf, this.from + at));
    if (leaf === undefined || leaf.kind === 'registration' || leaf.kind === 'read') return;
    const about = this.sessions.get(leaf.session) ?? { numbers: new Map(), entries: 0, erasure: undefined, twice: undefined };
    this.sessions.set(leaf.session, about);
    about.entries++;
    if (leaf.kind === 'erasure' && isByLog(entry, this.trust)) about.erasure ??= { kind: 'erasure', at: leaf.at, entry: this.from + at };
    if (leaf.kind !== 'segment') return;
    this.first = Math.min(this.first, leaf.clock.wall[0]);
    this.last = Math.max(this.last, leaf.clock.wall[1]);
    const before = about.numbers.get(leaf.number);
    if (before === undefined) about.numbers.set(leaf.number, at);
    else if (!this.hash(before).equals(this.hash(at))) about.twice ??= leaf.number;
  }
  prove(head) {
    if (this.proven) return;
    if (this.taken !== this.to - this.from) fail('MalformedBundle', 'the entries end before the range does');
    if (!rangeRoot(this, head.size).equals(head.root)) fail('ProofInvalid', 'the entries are not all of the range that the checkpoint was signed over');
    this.proven = true;
  }
}

/** Says what is known of sessions of which the file has nothing. */
function judgeAbsent(sessions, range, claims) {
  const none = { segments: 0, records: 0, contents: 'sealed' };
  for (const [name, { erasure, numbers, entries }] of range.sessions)
    if (!sessions.has(name) && (erasure !== undefined || numbers.size > 0))
      sessions.set(name, { session: name, verdict: erasure === undefined ? 'not exported' : 'erased', ...none, logged: entries, erasure });
  for (const [name, of] of claims)
    if (!sessions.has(name)) sessions.set(name, { session: name, verdict: 'missing', ...none, agent: [...of.values()].at(-1).agent });
}

const readingOf = ({ session: name, way, at }, entry) => ({ ...(name !== null && { session: name }), way, at, entry });
const CONTEXTS = { 3: 'chaperone/erasure/v1\0', 6: 'chaperone/read/v1\0' };
const isByLog = (entry, { origin, policy }) => {
  const over = Buffer.concat([Buffer.from(CONTEXTS[entry[1]]), entry.subarray(66)]);
  return policy.logs.some(({ type, name, key }) => type === 1 && name === origin && signed('ed25519', key, over, entry.subarray(2, 66)));
};

function verifyFile(path, trust) {
  let [member, last, note, proof, range, judge, head, consistency] = [undefined, 'start'];
  const [sessions, claims, links, counters] = [new Map(), new Map(), new Map(), []];
  const readings = new Map();
  let [after, newestReading, taken] = ['', -1, 0];
  const begin = (name, isFirst) => {
    if (judge?.name === name && !isFirst) return judge;
    endSession();
    if (sessions.has(name)) fail('MalformedBundle', 'a session stands in two places');
    judge = new Judge(name, trust);
    return judge;
  };
  const endSession = () => {
    if (judge === undefined) return;
    const about = range?.sessions.get(judge.name);
    const erasure = judge.erasure?.order ?? about?.erasure;
    const isGone = judge.segments === 0 && judge.fault === undefined && erasure !== undefined;
    const left = [...(about?.numbers.keys() ?? [])].filter((number) => number >= judge.segments);
    if (left.length > 0 && !isGone) judge.try(() => fail('SegmentMissing', `segment ${judge.segments} is missing; the log has others`));
    if (!isGone) judge.try(() => claimed(judge.segments, judge.last?.nkey, claims.get(judge.name)));
    const isSound = ['complete', 'open', 'interrupted'].includes(judge.word);
    sessions.set(judge.name, {
      session: judge.name,
      verdict: isGone ? 'erased' : isSound && head.quorum === 'missing' ? 'not witnessed' : judge.word,
      segments: judge.segments,
      records: judge.records,
      contents: judge.key === undefined ? 'sealed' : 'verified',
      agent: judge.last?.agent,
      break: judge.fault,
      logged: about?.entries,
      erasure,
    });
    judge = undefined;
  };
  /** The index of an entry in the log: by the proof before it, or where the range has it. */
  const proven = (hash, own, place) => {
    if (own !== undefined) return includes(hash, own.index, head, own.path) ? own.index : fail('NotLogged', 'the proof is not of this entry in the log');
    if (place === undefined || !range.hash(place).equals(hash)) fail('NotLogged', 'nothing proves that the entry is in the log, or the log has another one');
    return range.from + place;
  };
  const take = {
    head(bytes) {
      const said = orElse('MalformedBundle', 'evidence.json cannot be read', () => JSON.parse(bytes.toString()));
      if (said.format !== 'chaperone.dev/evidence/v1' && like(/^chaperone\.dev\/evidence\//)(said.format)) fail('UnsupportedVersion', 'the file is of another version');
      if (!strict({ format: one('chaperone.dev/evidence/v1'), origin: str(253, 1) })(said)) fail('MalformedBundle', 'evidence.json has another shape');
      if (said.origin !== trust.origin) fail('OriginMismatch', 'the file is of another origin');
    },
    checkpoint(bytes) {
      [note, head] = [bytes, openCheckpoint(bytes, trust.policy)];
      if (head.origin !== trust.origin) fail('OriginMismatch', 'the checkpoint is of another log');
    },
    consistency(bytes) {
      const { numbers, hashes } = readProof(bytes, 'chaperone.dev/log-consistency/v1', ['old'], 106);
      consistency = { size: numbers[0], path: hashes };
    },
    range(bytes) {
      const { numbers, hashes } = readProof(bytes, 'chaperone.dev/log-range/v1', ['from', 'to'], 159);
      const [from, to] = numbers;
      if (from >= to) fail('MalformedProof', 'the range is empty');
      if (to - from > MAX_RANGE) fail('LimitExceeded', 'the range is too long');
      if (to > head.size) fail('ProofInvalid', 'the range ends behind the log');
      range = new Range(numbers, hashes, trust);
    },
    entries: (bytes, index) => range.take(bytes, index),
    counter(bytes, index) {
      if (index !== counters.length) fail('MalformedBundle', 'a counter stands where another belongs');
      if (index >= MAX_COUNTERS) fail('LimitExceeded', 'there are too many counters');
      const { nkey: own, agent, opened, sealed, pending, more, clock, last: newest } = readCounter(bytes, trust);
      if (own <= after) fail('MalformedBundle', 'counters do not follow by their keys');
      after = own;
      counters.push({ agent, at: clock.wall, opened, sealed, pending: pending.length + more, more });
      for (const [name, segments] of pending) claims.set(name, (claims.get(name) ?? new Map()).set(own, { segments, agent }));
      if (newest !== null) links.set(own, newest);
    },
    reading(bytes, index) {
      if (judge !== undefined) fail('MalformedBundle', 'a reading stands among sessions');
      const own = proof;
      proof = undefined;
      if (index <= newestReading) fail('MalformedBundle', 'readings do not follow by their entries');
      newestReading = index;
      if (taken++ >= MAX_READINGS) fail('LimitExceeded', 'there are too many readings');
      const end = bytes.length < 2 ? Infinity : 2 + bytes.readUInt16BE();
      if (end > bytes.length) fail('MalformedBundle', 'a reading ends within its entry');
      const [entry, text] = [bytes.subarray(2, end), bytes.subarray(end)];
      const leaf = maybe(() => readEntry(entry));
      if (leaf?.kind !== 'read') fail('MalformedLeaf', 'what should be a reading is another entry');
      if (!isByLog(entry, trust)) fail('SignatureInvalid', 'the log did not sign a reading');
      const place = range !== undefined && index >= range.from && index < range.to ? index - range.from : undefined;
      if (proven(leafHash(entry), own, place) !== index) fail('NotLogged', 'the proof is of another entry');
      const found = readingOf(leaf, index);
      if (text.length > 0) {
        const said = orElse('PayloadAltered', 'a reading has another shape', () => parse(READING, text));
        const isIt = sha256(text).toString('hex') === leaf.order && said.session === leaf.session && said.at === leaf.at && said.way === leaf.way;
        if (!isIt) fail('PayloadAltered', 'a reading is not the one that the log names');
        Object.assign(found, { by: said.by }, said.period && { period: said.period });
      }
      readings.set(index, found);
    },
    proof(bytes, index) {
      proof = readEntryProof(bytes);
      if (proof.index !== index || !proof.note.equals(note)) fail('MalformedBundle', 'a proof is of another entry or checkpoint than it says');
    },
    erasure(entry, name) {
      const [of, own] = [begin(name, true), proof];
      proof = undefined;
      of.try(() => {
        const leaf = orElse('MalformedLeaf', 'what should be the order of erasure cannot be read', () => readEntry(entry));
        if (leaf.kind !== 'erasure' || leaf.session !== name) fail('MalformedLeaf', 'what should be the order of erasure is another entry');
        if (!isByLog(entry, trust)) fail('SignatureInvalid', 'the log did not sign the order of erasure');
        const found = range?.sessions.get(name)?.erasure;
        const index = proven(leafHash(entry), own, found && found.entry - range.from);
        of.erasure = { digest: leaf.order, order: { kind: 'erasure', at: leaf.at, entry: index } };
      });
    },
    order(bytes, name) {
      if (judge?.name !== name) fail('MalformedBundle', 'an order stands where that of another session belongs');
      judge.try(() => {
        const { digest: named, order } = judge.erasure;
        const said = orElse('PayloadAltered', 'the order has another shape', () => parse(ORDER, bytes));
        const isNamed = sha256(bytes).toString('hex') === named && said.kind === 'erasure' && said.session === name && said.at === order.at;
        if (!isNamed) fail('PayloadAltered', 'the order is not the one that the log names');
        Object.assign(order, { by: said.by, reason: said.reason });
      });
    },
    key(bytes, name, before) {
      const of = begin(name, before !== 'erasure' && before !== 'order');
      of.key = bytes.length === 32 ? bytes : fail('MalformedKey', 'a data key has 32 bytes');
    },
    /** Whose secret opens it is not asked here: what is sealed stays so. */
    wrapped(bytes, name, before) {
      begin(name, before !== 'erasure' && before !== 'order');
      const said = orElse('MalformedBundle', 'the wrapped key cannot be read', () => parse(WRAPPED, bytes));
      if (said.session !== name) fail('MalformedBundle', 'the wrapped key is of another session');
    },
    segment(bytes, name, number) {
      const [of, own] = [begin(name, false), proof];
      proof = undefined;
      of.try(() =>
        of.take(number, bytes, ({ leaf, link, header, nkey: by }) => {
          const newest = links.get(by);
          if (newest?.session === name && newest.number === header.number && newest.link !== link) fail('ChainBroken', 'the pod counted another segment of this number');
          const about = range?.sessions.get(name);
          proven(leaf, own, about?.twice === number ? undefined : about?.numbers.get(number));
        }),
      );
    },
  };
  try {
    for (const { name, kind, where, bytes } of membersOf(path)) {
      member = name;
      if (!NEXT[last].includes(kind)) fail('MalformedBundle', 'a member stands where none of its kind may');
      const before = last;
      last = kind;
      if (kind !== 'entries') range?.prove(head);
      take[kind](bytes, ...where, before);
    }
    member = undefined;
    if (head === undefined || last === 'proof' || last === 'range') fail('MalformedBundle', 'the file ends early');
    range?.prove(head);
    endSession();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { verdict: 'altered', break: { member, code: error.code, message: error.message }, sessions: [] };
  }
  if (range !== undefined) judgeAbsent(sessions, range, claims);
  const log = { origin: head.origin, size: head.size, root: head.root.toString('base64'), quorum: head.quorum, witnesses: head.witnesses };
  if (trust.since !== undefined) log.since = { size: trust.since.size, verdict: sinceWord(trust.since, head, consistency) };
  if (range !== undefined) log.range = { from: range.from, to: range.to, ...range.times };
  const told = [...new Map([...(range?.readings ?? []), ...readings]).values()].toSorted((a, b) => a.entry - b.entry);
  return { verdict: sessions.size === 0 && (range === undefined || told.length === 0) ? 'empty' : 'sound', log, ...(counters.length > 0 && { counters }), ...(told.length > 0 && { readings: told }), sessions: [...sessions.values()] };
}

function sinceWord(since, head, consistency) {
  if (since.origin !== head.origin) return 'rewritten';
  const needsNone = since.size === 0 || since.size === head.size;
  if (since.size > head.size || (!needsNone && consistency?.size !== since.size)) return 'not proven';
  return goesOn(since, head, needsNone ? [] : consistency.path) ? 'append-only' : 'rewritten';
}

// The command line

const CLASS = { open: 'endless', interrupted: 'endless', 'gap declared': 8, incomplete: 8, 'not exported': 8, missing: 8, 'not witnessed': 9, 'not in the log': 9, altered: 3 };
function exitOf({ verdict, log, sessions }, complete) {
  const found = new Set(sessions.map((each) => CLASS[each.verdict]));
  if (verdict === 'altered' || log.since?.verdict === 'rewritten' || found.has(3)) return 3;
  if (log.quorum === 'missing' || log.since?.verdict === 'not proven' || found.has(9)) return 9;
  return verdict === 'empty' || found.has(8) || (complete && found.has('endless')) ? 8 : 0;
}

function main(argv) {
  const options = { policy: { type: 'string' }, trust: { type: 'string' }, since: { type: 'string' }, complete: { type: 'boolean' } };
  const { values, positionals } = parseArgs({ args: argv, options, allowPositionals: true });
  if (positionals.length === 0 || values.policy === undefined || values.trust === undefined) throw new TypeError('write: verify.mjs FILE… --policy FILE --trust FILE');
  const trust = { ...parse(open({ origin: str(), enrolmentKeys: list(str()) }), readFileSync(values.trust)), policy: readPolicy(readFileSync(values.policy)) };
  if (values.since !== undefined) trust.since = openCheckpoint(readFileSync(values.since), trust.policy);
  const exits = positionals.map((file) => {
    const found = verifyFile(file, trust);
    const exit = exitOf(found, values.complete);
    process.stdout.write(`${JSON.stringify({ file, exit, ...found })}\n`);
    return exit;
  });
  return [3, 9, 8].find((exit) => exits.includes(exit)) ?? 0;
}

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`error: ${JSON.stringify(error.message)} (${error.code ?? error.name})\n`);
  process.exitCode = error instanceof Fault ? 3 : 2;
}
