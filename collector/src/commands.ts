import type { VerifiedSegment } from '@chaperone/evidence';
import type { CommandRow } from './index-schema.ts';

/** Of a longer command, this much is searched: what a person types, or reads. */
const MAX_TEXT = 16_384;
/** What a list shows of a command around what was found, in words; and of words that are none, in characters. */
export const HIT_WORDS = 32;
export const MAX_HIT_TEXT = 400;
/** A search looks at the newest so many commands that match, so that a word that is everywhere holds up nothing else. */
export const MAX_MATCHES = 20_000;
const MAX_WORDS = 16;
/** SQLite takes 32,766 values at once. */
const GROUP = 500;

/** The newest command of a session that matched. */
export interface Found {
  hit_seq: number;
  hit_at: number;
  hit_verdict: string;
  hit_row: number;
  hits: number;
}

const INVISIBLE = /[\p{Cf}\p{Default_Ignorable_Code_Point}\p{Cs}]/gu;

/** What of a segment can be searched. */
export function commandsOf({ header, records }: VerifiedSegment): CommandRow[] {
  return records.flatMap((record): CommandRow[] => {
    if (record.type !== 'action' || record.text === undefined) return [];
    const text = record.text.slice(0, MAX_TEXT);
    // Who splits a word by what nobody sees, or writes it in letters that look alike, is found too.
    const plain = text.normalize('NFKC').replace(INVISIBLE, '');
    const { seq, at, verdict } = record;
    return [{ session: header.session, seq, at, verdict, text, plain: plain === text ? '' : plain }];
  });
}

export function* inGroups<T>(rows: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < rows.length; at += GROUP) yield rows.slice(at, at + GROUP);
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
