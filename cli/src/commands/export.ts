import { createHash } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { once } from 'node:events';
import { visible } from '@chaperone/api/text';
import { EvidenceError, orUndefined, parseCheckpoint, parseNote, surveyEvidence, type Survey } from '@chaperone/evidence';
import type { CollectorClient, ExportQuery } from '../collector/client.ts';
import { CliError, EXIT, usage } from '../errors.ts';
import { counted, type Io, writeLine } from '../io.ts';
import { type DocumentOutput, writeDocument } from '../output.ts';
import { contentOf } from './verify.ts';

/** How often a terminal is told how far it is. */
const PROGRESS_MS = 200;

export interface ExportOptions {
  /** Where to write; `-` is standard output. */
  readonly file: string;
  readonly output: 'text' | DocumentOutput;
}

/** What was written; `digest` is the SHA-256 (hex) of the file. */
export type Exported = Survey & { readonly file: string; readonly digest: string };

/** The size of a checkpoint that was kept. Whether it is genuine is for `verify` to say. */
export async function sizeOf(path: string): Promise<number> {
  const bytes = await contentOf(path);
  const checkpoint = orUndefined(() => parseCheckpoint(parseNote(bytes).text));
  if (checkpoint === undefined) throw usage(`${path} is not a checkpoint, as chaperone log checkpoint prints one`);
  return checkpoint.size;
}

/** Writes an evidence file as it comes, and says what is in it. A file that is not whole is never left under its name. */
export async function exportEvidence(
  client: Pick<CollectorClient, 'evidence'>,
  asked: ExportQuery,
  { file, output }: ExportOptions,
  io: Io,
): Promise<void> {
  const source = await client.evidence(asked);
  const hash = createHash('sha256');
  const survey = await written(file, io, async (write) => {
    let bytes = 0;
    let said = io.now();
    const passed = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of source) {
        hash.update(chunk);
        bytes += chunk.length;
        await write(chunk);
        if (io.terminal.err && io.now() - said >= PROGRESS_MS) {
          said = io.now();
          io.err.write(`\r${megabytes(bytes)}`);
        }
        yield chunk;
      }
      if (io.terminal.err) io.err.write('\r\u001b[K');
    };
    return surveyEvidence(passed());
  });
  const exported: Exported = { file, ...survey, digest: hash.digest('hex') };
  // What went to standard output is the evidence alone.
  const out = file === '-' ? io.err : io.out;
  if (output !== 'text') return writeDocument({ ...io, out }, output, exported);
  const range = survey.range === undefined ? '' : `, entries ${survey.range.from} to ${survey.range.to - 1} of the log`;
  await writeLine(
    out,
    `${visible(file)}: ${counted(survey.sessions, 'session')}, ${counted(survey.segments, 'segment')}${range}, ${megabytes(survey.bytes)}`,
  );
  if (survey.keys > 0)
    await writeLine(
      out,
      `it holds the data ${survey.keys === 1 ? 'key' : 'keys'} of ${counted(survey.keys, 'session')}: whoever has the file reads what was recorded`,
    );
  if (survey.wrapped > 0)
    await writeLine(
      out,
      `it holds the data ${survey.wrapped === 1 ? 'key' : 'keys'} of ${counted(survey.wrapped, 'session')}, wrapped: whoever they were wrapped to reads what was recorded, also after an erasure`,
    );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

type Write = (chunk: Uint8Array) => Promise<void>;

async function written<T>(file: string, io: Io, work: (write: Write) => Promise<T>): Promise<T> {
  if (file === '-') {
    if (io.terminal.out) throw usage('an evidence file is not for a terminal; name a file with -o, or send it on');
    return whole(() =>
      work(async (chunk) => {
        if (!io.out.write(chunk as unknown as string)) await once(io.out, 'drain');
      }),
    );
  }
  if ((await stat(file).catch(() => undefined)) !== undefined)
    throw usage(`${file} is there already, and evidence is written over nothing; name another file with -o`);
  const partial = `${file}.partial`;
  // Evidence is for its owner alone until they say otherwise.
  const handle = await open(partial, 'w', 0o600);
  try {
    const result = await whole(() => work(async (chunk) => void (await handle.write(chunk))));
    await handle.sync();
    await rename(partial, file);
    return result;
  } finally {
    await handle.close();
    await rm(partial, { force: true });
  }
}

/** What the collector sent is a whole file, or the command fails. */
async function whole<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw new CliError('CollectorUnreachable', `the collector did not send a whole file: ${error.message}`, {
      cause: error,
      exit: EXIT.unreachable,
      fix: ['chaperone log verify says what of the log is damaged'],
    });
  }
}
