import { z } from 'zod';
import type { DataKey } from './data-key.ts';
import { EvidenceError } from './errors.ts';
import { SESSION_ID } from './ids.ts';
import type { Trust } from './keys.ts';
import { MAX_SEGMENT_BYTES } from './segment.ts';
import { type SessionVerdict, verifyChain } from './verify.ts';

/*
 * JSON lines: {"bundle":1,"origin":…}, then {"session":…,"number":…,"segment":base64} for every segment, sessions one after
 * another and numbers upwards, then {"end":count}. Session and number are said again outside the segment so that a segment
 * that can no longer be read is still missed at its place.
 */
const Head = z.strictObject({ bundle: z.literal(1), origin: z.string().max(253) });
const Entry = z.strictObject({
  session: z.string().regex(SESSION_ID),
  number: z.int().min(0),
  segment: z.base64().max(Math.ceil(MAX_SEGMENT_BYTES / 3) * 4),
});
const End = z.strictObject({ end: z.int().min(0) });

export interface BundleEntry {
  readonly session: string;
  readonly number: number;
  readonly segment: Buffer;
}

/** The lines of a bundle file, each with its line end. */
export function* writeBundle(origin: string, entries: Iterable<BundleEntry>): Generator<string> {
  yield bundleHead(origin);
  let count = 0;
  for (const entry of entries) {
    yield bundleLine(entry);
    count++;
  }
  yield bundleEnd(count);
}

export function bundleHead(origin: string): string {
  return `${JSON.stringify({ bundle: 1, origin })}\n`;
}
export function bundleLine({ session, number, segment }: BundleEntry): string {
  return `${JSON.stringify({ session, number, segment: segment.toString('base64') })}\n`;
}
export function bundleEnd(count: number): string {
  return `${JSON.stringify({ end: count })}\n`;
}

/**
 * Reads a bundle whole. Throws EvidenceError MalformedBundle (with the line) where a line cannot be read, and where the file
 * ends before its last line.
 */
export function readBundle(text: string): { origin: string; entries: BundleEntry[] } {
  const lines = text.split('\n');
  if (lines.pop() !== '') throw new EvidenceError('MalformedBundle', 'the bundle ends in the middle of a line');
  const head = parseLine(Head, lines[0] ?? '', 1);
  const end = parseLine(End, lines.at(-1) ?? '', lines.length);
  const entries = lines.slice(1, -1).map((line, index) => {
    const entry = parseLine(Entry, line, index + 2);
    return { ...entry, segment: Buffer.from(entry.segment, 'base64') };
  });
  if (entries.length !== end.end)
    throw new EvidenceError('MalformedBundle', `the bundle has ${entries.length} segments and says ${end.end}`);
  return { origin: head.origin, entries };
}

function parseLine<T>(schema: z.ZodType<T>, line: string, number: number): T {
  try {
    return schema.parse(JSON.parse(line));
  } catch (error) {
    throw new EvidenceError('MalformedBundle', `line ${number} of the bundle cannot be read`, { cause: error });
  }
}

/** Verifies every session of a bundle's entries, in the order in which sessions first appear; with the keys that are there. */
export function verifyEntries(
  entries: readonly BundleEntry[],
  trust: Trust,
  keys: ReadonlyMap<string, DataKey> = new Map(),
): SessionVerdict[] {
  const sessions = Map.groupBy(entries, (entry) => entry.session);
  return [...sessions].map(([session, found]) =>
    verifyChain(
      session,
      found.map((entry) => entry.segment),
      trust,
      keys.get(session),
    ),
  );
}
