import { EvidenceError } from '../errors.ts';
import { type Checkpoint, parseCheckpoint } from './checkpoint.ts';
import { cosignatureTime, verifierOf } from './cosignature.ts';
import { isBy, type NoteVerifier, openNote } from './note.ts';
import { readDecimal, readUtf8 } from './text.ts';
import { formatVerifierKey, KEY_TYPE, type KeyType, parseVerifierKey, type VerifierKey } from './vkey.ts';

/** The specification asks for 32 each of logs, witnesses and groups. */
const MAX_LINES = 1024;
const LOG_TYPES: readonly KeyType[] = [KEY_TYPE.ed25519, KEY_TYPE.mlDsa44];
const WITNESS_TYPES: readonly KeyType[] = [KEY_TYPE.cosignature, KEY_TYPE.mlDsa44];
/** The quorum of a policy that asks for no witness. */
const NONE = 'none';

export interface PolicyParty {
  readonly verifier: NoteVerifier;
  readonly url?: string;
}

/** Satisfied by a witness, or by so many of these. */
type Quorum = { readonly witness: NoteVerifier } | { readonly least: number; readonly of: readonly Quorum[] };

/** C2SP tlog-policy: which logs are believed, and which of the witnesses must have cosigned. */
export interface TrustPolicy {
  readonly logs: readonly PolicyParty[];
  /** By the names that the file gives them, in its bytes as Latin-1. */
  readonly witnesses: ReadonlyMap<string, PolicyParty>;
  readonly quorum: Quorum;
}

interface Draft {
  readonly logs: PolicyParty[];
  readonly witnesses: Map<string, PolicyParty>;
  readonly names: Map<string, Quorum>;
  /** Names that are in a group already, and keys that have a line. */
  readonly members: Set<string>;
  readonly keys: Set<string>;
  quorum: Quorum | undefined;
}

/**
 * Reads a policy; words are separated by spaces and tabs, and lines that begin with # say nothing. Throws EvidenceError
 * MalformedPolicy with the line. Stricter than the specification in one thing: no key is both a log's and a witness's, since
 * with ML-DSA-44 the log's own signature would count as a witness's.
 */
export function parsePolicy(bytes: Uint8Array): TrustPolicy {
  // Octets, not characters: names differ where their bytes do.
  const lines = Buffer.from(bytes).toString('latin1').split('\n');
  if (lines.pop() !== '') throw malformed('the policy ends in the middle of a line');
  if (lines.length > MAX_LINES) throw malformed('the policy has too many lines');
  const draft: Draft = {
    logs: [],
    witnesses: new Map(),
    names: new Map(),
    members: new Set(),
    keys: new Set(),
    quorum: undefined,
  };
  for (const [at, line] of lines.entries()) {
    const wrong = hasControl(line) ? 'a control character' : readLine(draft, line.split(/[ \t]+/).filter(Boolean));
    if (wrong !== undefined) throw malformed(`line ${at + 1} of the policy: ${wrong}`);
  }
  if (draft.quorum === undefined) throw malformed('the policy has no quorum');
  return { logs: draft.logs, witnesses: draft.witnesses, quorum: draft.quorum };
}

/** What a policy says of witnesses where it asks for none. */
export const NO_WITNESSES = 'quorum none\n';

/** The text of a policy that believes one log's key; `witnesses` are its other lines. {@link parsePolicy} says whether they are sound. */
export function formatPolicy(key: VerifierKey, witnesses = NO_WITNESSES): string {
  return `log ${formatVerifierKey(key)}\n${witnesses}`;
}

/** The policy of whoever believes one log's key and asks for no witness. */
export function trustIn(key: VerifierKey): TrustPolicy {
  return { logs: [{ verifier: verifierOf(key) }], witnesses: new Map(), quorum: { least: 0, of: [] } };
}

function hasControl(line: string): boolean {
  return Buffer.from(line, 'latin1').some((octet) => (octet < 0x20 && octet !== 0x09) || octet === 0x7f);
}

/** Takes a line in, or says what is wrong with it. */
function readLine(draft: Draft, words: readonly string[]): string | undefined {
  const [keyword, ...rest] = words;
  if (keyword === undefined || keyword.startsWith('#')) return undefined;
  if (keyword === 'log') return readLog(draft, rest);
  if (keyword === 'witness') return readWitness(draft, rest);
  if (keyword === 'group') return readGroup(draft, rest);
  return keyword === 'quorum' ? readQuorum(draft, rest) : 'it begins with no word that is known';
}

function readLog(draft: Draft, [vkey = '', url, ...more]: readonly string[]): string | undefined {
  const party = readParty(draft, vkey, url, LOG_TYPES);
  if (typeof party === 'string' || more.length > 0) return typeof party === 'string' ? party : 'log KEY [URL]';
  draft.logs.push(party);
  return undefined;
}

function readWitness(draft: Draft, [name, vkey = '', url, ...more]: readonly string[]): string | undefined {
  if (name === undefined || more.length > 0) return 'witness NAME KEY [URL]';
  if (name === NONE || draft.names.has(name)) return 'the name is taken';
  const party = readParty(draft, vkey, url, WITNESS_TYPES);
  if (typeof party === 'string') return party;
  draft.witnesses.set(name, party);
  draft.names.set(name, { witness: party.verifier });
  return undefined;
}

function readParty(draft: Draft, vkey: string, url: string | undefined, types: readonly KeyType[]): PolicyParty | string {
  const text = readUtf8(Buffer.from(vkey, 'latin1'));
  const verifier = text === undefined ? undefined : keyOf(text);
  if (verifier === undefined) return 'this is not a key of notes: NAME+ID+KEY';
  if (!types.includes(verifier.key.type)) return 'the key is of a type that is not for this';
  const raw = verifier.key.key.toString('hex');
  if (draft.keys.has(raw)) return 'the key has a line already';
  draft.keys.add(raw);
  return { verifier, ...(url === undefined ? {} : { url: Buffer.from(url, 'latin1').toString() }) };
}

function keyOf(vkey: string): NoteVerifier | undefined {
  try {
    return verifierOf(parseVerifierKey(vkey));
  } catch (error) {
    if (error instanceof EvidenceError) return undefined;
    throw error;
  }
}

function readGroup(draft: Draft, [name, threshold = '', ...members]: readonly string[]): string | undefined {
  if (name === undefined || members.length === 0) return 'group NAME all|any|NUMBER MEMBER…';
  if (name === NONE || draft.names.has(name)) return 'the name is taken';
  const of: Quorum[] = [];
  for (const member of members) {
    const known = draft.names.get(member);
    if (known === undefined) return 'a member has no line before this one';
    if (draft.members.has(member)) return 'a member is in a group already';
    draft.members.add(member);
    of.push(known);
  }
  const least = threshold === 'all' ? of.length : threshold === 'any' ? 1 : readDecimal(threshold);
  if (least === undefined || least < 1 || least > of.length) return 'the group asks for none of its members, or more than it has';
  draft.names.set(name, { least, of });
  return undefined;
}

function readQuorum(draft: Draft, [name = '', ...more]: readonly string[]): string | undefined {
  if (draft.quorum !== undefined) return 'there is a quorum already';
  const quorum = name === NONE ? { least: 0, of: [] } : draft.names.get(name);
  if (quorum === undefined || more.length > 0) return 'the quorum has no line before this one';
  draft.quorum = quorum;
  return undefined;
}

/** A checkpoint that a policy believes. */
export interface TrustedCheckpoint {
  readonly checkpoint: Checkpoint;
  /** Witnesses of the policy that cosigned it, by their names there, and when they say that was, in seconds since 1970. */
  readonly witnesses: ReadonlyMap<string, number | undefined>;
}

/**
 * The checkpoint in a note if the policy believes it: signed by a log whose key has the origin for a name, and cosigned by the
 * quorum. Throws EvidenceError MalformedNote, LimitExceeded, SignatureInvalid, NoteUnsigned, OriginMismatch or QuorumMissing.
 */
export function openCheckpoint(bytes: Uint8Array, policy: TrustPolicy): TrustedCheckpoint {
  const logs = policy.logs.map(({ verifier }) => verifier);
  const witnesses = [...policy.witnesses].map(([name, { verifier }]) => ({ name, verifier }));
  const { text, signatures } = openNote(bytes, [...logs, ...witnesses.map(({ verifier }) => verifier)]);
  const checkpoint = parseCheckpoint(text);
  const signed = logs.filter(({ key }) => signatures.some((signature) => isBy(signature, key)));
  if (signed.length === 0) throw new EvidenceError('NoteUnsigned', 'no log of the policy has signed the checkpoint');
  if (!signed.some(({ key }) => key.name === checkpoint.origin))
    throw new EvidenceError('OriginMismatch', 'the log that signed the checkpoint has another origin');
  const found = new Map<string, number | undefined>();
  for (const { name, verifier } of witnesses) {
    const signature = signatures.find((each) => isBy(each, verifier.key));
    if (signature !== undefined) found.set(name, cosignatureTime(signature));
  }
  const cosigned = ({ key }: NoteVerifier): boolean => signatures.some((signature) => isBy(signature, key));
  if (!isMet(policy.quorum, cosigned))
    throw new EvidenceError('QuorumMissing', 'fewer witnesses than the policy asks for have cosigned the checkpoint');
  return { checkpoint, witnesses: found };
}

/** The same policy, asking for no witness. */
export function withoutQuorum(policy: TrustPolicy): TrustPolicy {
  return { ...policy, quorum: { least: 0, of: [] } };
}

function isMet(quorum: Quorum, cosigned: (witness: NoteVerifier) => boolean): boolean {
  if ('witness' in quorum) return cosigned(quorum.witness);
  return quorum.of.filter((each) => isMet(each, cosigned)).length >= quorum.least;
}

function malformed(message: string): EvidenceError {
  return new EvidenceError('MalformedPolicy', message);
}
