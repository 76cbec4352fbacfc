import {
  classOf,
  EvidenceError,
  fileFindings,
  fileWord,
  type FileTrust,
  type FileVerdict,
  parsePolicy,
  sessionFindings,
  TrustFile,
  type VerdictClass,
  verifyEvidence,
} from '@chaperone/evidence/verifier';

/** What somebody brought. Trust file and policy are their texts; `since` is a checkpoint that they kept. */
export interface Question {
  readonly evidence: Blob;
  readonly trust: string;
  readonly policy: string;
  readonly since?: Blob;
  /** The session that the evidence was asked for, where it was. */
  readonly session?: string;
}

export interface SessionLine {
  readonly session: string;
  readonly word: string;
  readonly class: VerdictClass;
  readonly findings: string;
}

/** Verdicts as the command line says them; each text may hold whatever the file does. */
export interface Verification {
  readonly word: string;
  readonly class: VerdictClass;
  readonly findings: string;
  /** How many sessions have each verdict. */
  readonly counts: readonly (readonly [word: string, sessions: number])[];
  /** What is wrong comes first; at most {@link MAX_LINES}. */
  readonly sessions: readonly SessionLine[];
  /** What the other words are of. */
  readonly verdict: FileVerdict;
}

export type Answer =
  | { readonly kind: 'progress'; readonly bytes: number }
  | { readonly kind: 'verified'; readonly verification: Verification }
  /** Nothing was verified. */
  | { readonly kind: 'unread'; readonly what: 'trust' | 'policy' | 'since' | 'evidence'; readonly message: string };

/** Sessions that are told; of a file of years the others are counted. */
export const MAX_LINES = 500;
/** Bytes after which it is said how far it is. */
const TOLD_BYTES = 512 * 1024;
const ORDER: readonly VerdictClass[] = ['altered', 'notWitnessed', 'incomplete', 'endless', 'sound'];

/** Verifies what was brought, and trusts nothing else. Never rejects. */
export async function verification(question: Question, hear: (answer: Answer) => void): Promise<void> {
  try {
    const trust = await trustOf(question);
    const verdict = await verifyEvidence(bytesOf(question.evidence, hear), trust).catch(ofCheckpoint);
    hear({ kind: 'verified', verification: told(verdict, question.session) });
  } catch (error) {
    if (error instanceof Unread) hear({ kind: 'unread', what: error.what, message: error.message });
    else hear({ kind: 'unread', what: 'evidence', message: 'the evidence could not be read to its end' });
  }
}

class Unread extends Error {
  override readonly name = 'Unread';
  readonly what: 'trust' | 'policy' | 'since';
  constructor(what: Unread['what'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.what = what;
  }
}

/** Bad evidence has a verdict; what is thrown is about the checkpoint that was kept. */
function ofCheckpoint(error: unknown): never {
  if (error instanceof EvidenceError) throw new Unread('since', error.message, { cause: error });
  throw error;
}

async function trustOf({ trust, policy, since }: Question): Promise<FileTrust> {
  return {
    ...trustFileOf(trust),
    policy: policyOf(policy),
    ...(since === undefined ? {} : { since: Buffer.from(await since.arrayBuffer()) }),
  };
}

function trustFileOf(text: string): TrustFile {
  try {
    return TrustFile.parse(JSON.parse(text));
  } catch (cause) {
    throw new Unread('trust', 'it is not {"origin": "…", "enrolmentKeys": ["…"]}', { cause });
  }
}

/** A text that was pasted may end without its last line feed. */
function policyOf(text: string): FileTrust['policy'] {
  try {
    return parsePolicy(Buffer.from(text.endsWith('\n') ? text : `${text}\n`));
  } catch (cause) {
    throw new Unread('policy', cause instanceof EvidenceError ? cause.message : 'it cannot be read', { cause });
  }
}

async function* bytesOf(blob: Blob, hear: (answer: Answer) => void): AsyncGenerator<Uint8Array> {
  const reader = blob.stream().getReader();
  let [bytes, heard] = [0, 0];
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    yield next.value;
    bytes += next.value.length;
    if (bytes - heard < TOLD_BYTES) continue;
    heard = bytes;
    hear({ kind: 'progress', bytes });
  }
}

function told(verdict: FileVerdict, wanted: string | undefined): Verification {
  const lines = verdict.sessions.map((each) => ({
    session: each.session,
    word: each.verdict,
    class: classOf(each.verdict),
    findings: sessionFindings(each),
  }));
  // A file of another session proves nothing of the one that was asked for.
  if (wanted !== undefined && verdict.verdict !== 'altered' && !lines.some(({ session }) => session === wanted))
    lines.push({ session: wanted, word: 'missing', class: 'incomplete', findings: 'the file that came holds nothing of it' });
  const counts = Map.groupBy(lines, ({ word }) => word);
  return {
    word: fileWord(verdict),
    class: fileClass(verdict),
    findings: fileFindings(verdict),
    counts: [...counts].map(([word, { length }]) => [word, length]),
    sessions: lines.toSorted((a, b) => ORDER.indexOf(a.class) - ORDER.indexOf(b.class)).slice(0, MAX_LINES),
    verdict: { ...verdict, sessions: verdict.sessions.slice(0, MAX_LINES) },
  };
}

function fileClass({ verdict, log }: FileVerdict): VerdictClass {
  if (verdict === 'altered' || log?.since?.verdict === 'rewritten') return 'altered';
  if (log?.quorum === 'missing' || log?.since?.verdict === 'not proven') return 'notWitnessed';
  return verdict === 'empty' ? 'incomplete' : 'sound';
}
