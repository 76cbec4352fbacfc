import { EvidenceError } from '@chaperone/evidence';
import { z } from 'zod';

/*
 * What is within a backup, before it is sealed: `u32 length │ JSON │ bytes` for each file, the first JSON being the manifest and the last the
 * end. Files stand in the order of their paths.
 */
export const BACKUP_FORMAT = 'chaperone.dev/backup/v1';
const MAX_JSON_BYTES = 1024 * 1024;
const MAX_PATH = 1024;
/** A spool of a sidecar is the largest thing in a data directory. */
const MAX_FILE_BYTES = 64 * 1024 ** 3;

/** Relative, of this directory, and the same on every file system: no `.` or `..`, no backslash, nothing that is not seen. */
export function isPath(path: string): boolean {
  const parts = path.split('/');
  const isPlain = parts.every((part) => part !== '' && part !== '.' && part !== '..');
  return path.length <= MAX_PATH && isPlain && !/[\\:]|\p{C}/u.test(path);
}

const Manifest = z.strictObject({
  format: z.literal(BACKUP_FORMAT),
  /** Of the log, and of all that is signed. */
  origin: z.string().min(1).max(253),
  /** When it was made, ms since 1970. */
  at: z.number(),
  /** The newest checkpoint of the log at that time, a signed note. */
  checkpoint: z.string().max(MAX_JSON_BYTES / 2),
});
export type Manifest = z.infer<typeof Manifest>;
const FileHead = z.strictObject({
  path: z.string().refine(isPath),
  /** When it was written, ms since 1970; of evidence it is when that came. */
  at: z.number().min(0).max(8.64e15),
  bytes: z.int().min(0).max(MAX_FILE_BYTES),
});
export type FileHead = z.infer<typeof FileHead>;
const End = z.strictObject({ files: z.int().min(0) });

export type Part =
  | ({ readonly kind: 'manifest' } & Manifest)
  | ({ readonly kind: 'file' } & FileHead)
  | { readonly kind: 'bytes'; readonly bytes: Buffer };

/** `files` yields a head and then its bytes, as many as it says. Throws RangeError where these are more or fewer: it changed meanwhile. */
export async function* writeArchive(
  manifest: Manifest,
  files: AsyncIterable<{ readonly head: FileHead; readonly content: AsyncIterable<Uint8Array> }>,
): AsyncGenerator<Uint8Array> {
  yield framed(manifest);
  let count = 0;
  for await (const { head, content } of files) {
    yield framed(FileHead.parse(head));
    let left = head.bytes;
    for await (const bytes of content) {
      left -= bytes.length;
      if (left < 0) break;
      yield bytes;
    }
    if (left !== 0) throw new RangeError(`${head.path} changed while it was read`);
    count++;
  }
  yield framed({ files: count });
}

function framed(value: object): Buffer {
  const text = Buffer.from(JSON.stringify(value));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text]);
}

/** The inverse: the manifest, then each file with the bytes of it. Throws EvidenceError MalformedBundle. */
export async function* readArchive(source: AsyncIterable<Uint8Array>): AsyncGenerator<Part> {
  let held = Buffer.alloc(0);
  const iterator = source[Symbol.asyncIterator]();
  const more = async (): Promise<void> => {
    const { value, done } = await iterator.next();
    if (done === true) throw malformed('it ends early');
    held = Buffer.concat([held, value]);
  };
  const take = async (length: number): Promise<Buffer> => {
    while (held.length < length) await more();
    const taken = held.subarray(0, length);
    held = held.subarray(length);
    return taken;
  };
  const json = async (): Promise<unknown> => {
    const length = (await take(4)).readUInt32BE();
    if (length > MAX_JSON_BYTES) throw malformed('a part of it is too large');
    return parsed((await take(length)).toString());
  };
  yield { kind: 'manifest', ...shaped(Manifest, await json()) };
  const known = new Set<string>();
  for (;;) {
    const next = await json();
    const end = End.safeParse(next);
    if (end.success) {
      if (end.data.files !== known.size || held.length > 0 || (await iterator.next()).done !== true)
        throw malformed('it has more or less than it says');
      return;
    }
    const head = shaped(FileHead, next);
    if (known.has(head.path)) throw malformed('a file stands in it twice');
    known.add(head.path);
    yield { kind: 'file', ...head };
    for (let left = head.bytes; left > 0; ) {
      if (held.length === 0) await more();
      const bytes = held.subarray(0, left);
      held = held.subarray(bytes.length);
      left -= bytes.length;
      yield { kind: 'bytes', bytes };
    }
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw malformed('a part of it cannot be read', cause);
  }
}

function shaped<T>(schema: z.ZodType<T>, value: unknown): T {
  const found = schema.safeParse(value);
  if (found.success) return found.data;
  throw malformed('a part of it does not have the expected shape');
}

function malformed(message: string, cause?: unknown): EvidenceError {
  return new EvidenceError('MalformedBundle', message, { cause });
}
