import type { ReadSegment } from '@chaperone/evidence';
import type { CommandRow } from './schema.ts';

/** Of a longer command, this much is searched: what a person types, or reads. */
const MAX_TEXT = 16_384;
/** What a list shows of a command: this much, from a little before the first word that was found. */
const MAX_EXCERPT = 300;
const BEFORE_WORD = 60;
/** A search looks at the newest so many commands that match, so that a word that is everywhere holds up nothing else. */
export const MAX_MATCHES = 20_000;
const MAX_WORDS = 16;
/** SQLite takes 32,766 values at once. */
const GROUP = 500;

/** The newest command of a session that matched, and how many did. */
export interface Found {
  readonly seq: number;
  readonly at: number;
  readonly verdict: string;
  readonly text: string;
  readonly hits: number;
}

/** Where a session's newest command that matched stands in the index. */
export interface Match {
  readonly id: number;
  readonly hits: number;
}

export function newestBySession(matches: readonly { id: number; session: string; seq: number }[]): Map<string, Match> {
  const newest = new Map<string, Match & { readonly seq: number }>();
  for (const { id, session, seq } of matches) {
    const before = newest.get(session);
    const hits = (before?.hits ?? 0) + 1;
    // Segments may arrive in any order, so the newest is not the last one that was taken in.
    newest.set(session, before === undefined || seq > before.seq ? { id, seq, hits } : { ...before, hits });
  }
  return newest;
}

const WORD = /[\p{L}\p{N}_]+/gu;
/** PostgreSQL takes words of up to 2,046 bytes. */
const MAX_WORD = 500;
const INVISIBLE = /[\p{Cf}\p{Default_Ignorable_Code_Point}\p{Cs}]/gu;

/** What of a segment can be searched. */
export function commandsOf({ header, records, signer }: ReadSegment): CommandRow[] {
  const scope = scopeOf(signer.agent.namespace);
  return records.flatMap((record): CommandRow[] => {
    if (record.type !== 'action' || record.text === undefined) return [];
    const text = storable(record.text.slice(0, MAX_TEXT));
    // Who splits a word by what nobody sees, or writes it in letters that look alike, is found too.
    const plain = visible(text);
    const { seq, at, verdict } = record;
    return [{ session: header.session, seq, at, verdict, scope, text, plain: plain === text ? '' : plain }];
  });
}

/** As every database takes it: PostgreSQL has no NUL in texts, and none has half a pair. */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd');
}

/** The part of a command that has what was searched for; of a word that is hidden in it, the part that a reader means. */
export function excerpt(words: readonly string[], text: string, plain: string): string {
  const wanted = words.map((word) => word.toLowerCase());
  for (const said of [text, plain]) {
    const lower = said.toLowerCase();
    const places = wanted.map((word) => lower.indexOf(word)).filter((place) => place >= 0);
    if (places.length === 0) continue;
    const from = Math.max(0, Math.min(...places) - BEFORE_WORD);
    return wellFormed(said.slice(from, from + MAX_EXCERPT));
  }
  return wellFormed(text.slice(0, MAX_EXCERPT));
}

/** A cut goes through no pair of code units. */
function wellFormed(cut: string): string {
  return cut.replace(/^[\udc00-\udfff]|[\ud800-\udbff]$/g, '');
}

export function* inGroups<T>(rows: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < rows.length; at += GROUP) yield rows.slice(at, at + GROUP);
}

/** A namespace as one word of the index. */
export function scopeOf(namespace: string): string {
  return `n${Buffer.from(namespace).toString('hex')}`;
}

/** The words of a search: every one, or a word that begins with it, must be there. Undefined where there is none, or too many. */
export function parseSearch(text: string): readonly string[] | undefined {
  const words = visible(text).match(WORD) ?? [];
  return words.length === 0 || words.length > MAX_WORDS ? undefined : words;
}

/** The different words of a text as they are compared, each as far as it is. */
export function wordsOf(text: string): string[] {
  return [...new Set((text.match(WORD) ?? []).map((word) => word.slice(0, MAX_WORD).toLowerCase().toWellFormed()))];
}

function visible(text: string): string {
  return text.normalize('NFKC').replace(INVISIBLE, '');
}
