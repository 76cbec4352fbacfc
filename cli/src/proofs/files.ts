import { createReadStream } from 'node:fs';
import { parseDocuments } from '@chaperone/api';
import { CliError, EXIT, fileUnread } from '../errors.ts';
import type { Io } from '../io.ts';

/** The decisions of 20,000 requests, roughly; more is read namespace by namespace. */
const MAX_INPUT_BYTES = 64 * 1024 * 1024;
/** YAML takes a hundred times as long to read as JSON. */
const MAX_YAML_BYTES = 4 * 1024 * 1024;
const MEBIBYTE = 1024 * 1024;

/** The objects of a file, or of standard input as "-": JSON, or documents of YAML. Throws CliError NotFound, DecisionUnreadable. */
export async function readObjects(path: string, io: Pick<Io, 'in'>): Promise<unknown[]> {
  const text = await readText(path === '-' ? io.in : createReadStream(path), path, MAX_INPUT_BYTES);
  const json = jsonOf(text);
  if (json !== undefined) return Array.isArray(json) ? (json as unknown[]) : [json];
  if (text.length > MAX_YAML_BYTES)
    throw unreadable(path, `is larger than ${MAX_YAML_BYTES / MEBIBYTE} MiB and no JSON; take kubectl get … -o json`);
  const { documents, faults } = parseDocuments(text);
  const [fault] = faults;
  if (fault !== undefined) throw unreadable(path, `line ${fault.line} ${fault.message}`);
  return documents.flatMap(({ value }) => (value === null || value === undefined ? [] : [value]));
}

/** All of a stream, if it is not longer than that. Throws CliError NotFound, DecisionUnreadable. */
export async function readText(stream: NodeJS.ReadableStream, path: string, maxBytes: number): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of stream) {
      const read = typeof part === 'string' ? Buffer.from(part) : part;
      bytes += read.length;
      if (bytes > maxBytes) throw unreadable(path, `is larger than ${maxBytes / MEBIBYTE} MiB`);
      parts.push(read);
    }
  } catch (cause) {
    if (cause instanceof CliError) throw cause;
    throw fileUnread(path, cause);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** Undefined: it is not JSON. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function unreadable(path: string, why: string): CliError {
  return new CliError('DecisionUnreadable', `${path}: ${why}`, {
    exit: EXIT.checkSaysNo,
    fix: ['kubectl get accessrequests,approvaldecisions -A -o json > decisions.json'],
  });
}
