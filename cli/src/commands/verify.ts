import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { visible } from '@chaperone/api/text';
import {
  classOf,
  EvidenceError,
  fileFindings,
  type FileTrust,
  type FileVerdict,
  fileWord,
  parsePolicy,
  sessionFindings,
  type TrustPolicy,
  type VerdictClass,
  verifyEvidence,
} from '@chaperone/evidence';
import type { CollectorClient } from '../collector/client.ts';
import { CliError, EXIT, fileUnread, usage } from '../errors.ts';
import { writeLine } from '../io.ts';
import { isStream, type StreamOutput, writeNext } from '../output.ts';
import type { Paint, Style } from '../paint.ts';
import type { ProgramOptions } from '../program.ts';

/** Bytes of a file that are read at once. */
const READ_BYTES = 1024 * 1024;

/** The bytes of a file. Throws CliError NotFound where it cannot be read. */
export async function* evidenceFile(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path, { highWaterMark: READ_BYTES }) as AsyncIterable<Buffer>;
  } catch (error) {
    throw fileUnread(path, error);
  }
}

/** Throws CliError for a file that cannot be read or is no policy. */
export async function readPolicy(path: string): Promise<TrustPolicy> {
  const bytes = await contentOf(path);
  try {
    return parsePolicy(bytes);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw usage(`${path} is not a trust policy: ${error.message}`, error);
  }
}

/** What a collector says of its own log, without witnesses. */
export async function ownPolicy(client: Pick<CollectorClient, 'logKey'>): Promise<TrustPolicy> {
  return parsePolicy(Buffer.from(`log ${(await client.logKey()).trim()}\nquorum none\n`));
}

export function contentOf(path: string): Promise<Buffer> {
  return readFile(path).catch((error: unknown) => {
    throw fileUnread(path, error);
  });
}

/** What {@link verifyEvidence} says. Throws CliError SignatureInvalid where the kept checkpoint is not one of a log that is believed. */
export async function judge(source: AsyncIterable<Uint8Array>, trust: FileTrust): Promise<FileVerdict> {
  try {
    return await verifyEvidence(source, trust);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw new CliError('SignatureInvalid', `the checkpoint that was kept: ${error.message}`, {
      cause: error,
      exit: EXIT.checkSaysNo,
    });
  }
}

const STYLES: Readonly<Record<VerdictClass, Style>> = {
  sound: 'good',
  endless: 'warn',
  incomplete: 'bad',
  notWitnessed: 'bad',
  altered: 'bad',
};

export interface ReportOptions {
  /** What was verified, where that is a file. */
  readonly file?: string;
  readonly output: 'table' | StreamOutput;
  readonly paint: Paint;
  /** Anything but a session from its beginning to its end is a no. */
  readonly complete: boolean;
  /** Sessions that the file leaves out whole are no no. */
  readonly partial: boolean;
}

/** Altered before not proven before incomplete: what weighs most is what the exit code says. */
function exitOf(found: FileVerdict, { complete, partial }: Pick<ReportOptions, 'complete' | 'partial'>): number {
  const words = found.sessions.filter(({ verdict }) => !partial || verdict !== 'not exported');
  const classes = new Set(words.map(({ verdict }) => classOf(verdict)));
  const since = found.log?.since?.verdict;
  if (found.verdict === 'altered' || since === 'rewritten' || classes.has('altered')) return EXIT.checkSaysNo;
  if (found.log?.quorum === 'missing' || since === 'not proven' || classes.has('notWitnessed')) return EXIT.notWitnessed;
  if (found.verdict === 'empty' || classes.has('incomplete') || (complete && classes.has('endless'))) return EXIT.incomplete;
  return EXIT.ok;
}

/** Says a line of the file, where it is one, and one for each session; the exit code is set before the first one is written. */
export async function report(
  found: FileVerdict,
  options: ReportOptions,
  { io, exit }: Pick<ProgramOptions, 'io' | 'exit'>,
): Promise<void> {
  exit(exitOf(found, options));
  const { output, paint, file } = options;
  const { sessions, ...about } = found;
  const isSaid = file !== undefined || found.verdict !== 'sound';
  const word = fileWord(found);
  if (isStream(output)) {
    if (isSaid) await writeNext(io, output, { ...(file === undefined ? {} : { file }), ...about, verdict: word });
    for (const each of sessions) await writeNext(io, output, each);
    return;
  }
  if (isSaid) {
    const painted = paint(word === 'sound' ? 'good' : 'bad', word);
    await writeLine(io.out, `${visible(file ?? 'the evidence')}  ${painted}: ${visible(fileFindings(found))}`);
  }
  for (const each of sessions) {
    const painted = paint(STYLES[classOf(each.verdict)], each.verdict);
    await writeLine(
      io.out,
      `${visible(each.session)}  ${painted}: ${visible(sessionFindings(each, '--complete to insist on an end'))}`,
    );
  }
}
