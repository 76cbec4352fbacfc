import type { VerifiedSegment } from '@chaperone/evidence';
import type { CommandRow } from './index-schema.ts';

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

const INVISIBLE = /[\p{Cf}\p{Default_Ignorable_Code_Point}\p{Cs}]/gu;

/** What of a segment can be searched. */
export function commandsOf({ header, records, signer }: VerifiedSegment): CommandRow[] {
  const scope = scopeOf(signer.agent.namespace);
  return records.flatMap((record): CommandRow[] => {
    if (record.type !== 'action' || record.text === undefined) return [];
    const text = record.text.slice(0, MAX_TEXT);
    // Who splits a word by what nobody sees, or writes it in letters that look alike, is found too.
    const plain = text.normalize('NFKC').replace(INVISIBLE, '');
    const { seq, at, verdict } = record;
    return [{ session: header.session, seq, at, verdict, scope, text, plain: plain === text ? '' : plain }];
  });
}

/** The part of a command that has what was searched for; of a word that is hidden in it, the part that a reader means. */
export function excerpt(words: string, text: string, plain: string): string {
  const wanted = [...words.matchAll(/"([^"]+)"/g)].map(([, word = '']) => word.toLowerCase());
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
function scopeOf(namespace: string): string {
  return `n${Buffer.from(namespace).toString('hex')}`;
}

/**
 * What the index is asked: the words, in commands of the namespaces. They are part of the question, so that what nobody may see takes
 * no place among what is looked at.
 */
export function inScopes(words: string, namespaces: readonly string[]): string {
  return `scope : (${namespaces.map(scopeOf).join(' OR ')}) AND {text plain} : (${words})`;
}

/**
 * A search as SQLite's full-text index takes it: every word, or beginning of one, must be there. Undefined where there is no word.
 * Each word is quoted, so that none is an operator: https://sqlite.org/fts5.html#full_text_query_syntax
 */
export function parseSearch(text: string): string | undefined {
  const words =
    text
      .normalize('NFKC')
      .replace(INVISIBLE, '')
      .match(/[\p{L}\p{N}_]+/gu) ?? [];
  return words.length === 0 || words.length > MAX_WORDS ? undefined : words.map((word) => `"${word}"*`).join(' ');
}
