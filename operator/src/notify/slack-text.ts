import { visible } from '@chaperone/api';

const ESCAPED: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
const ESCAPE_SEQUENCE = /\\u\{[0-9a-f]+\}|[^]/gu;

/**
 * Text of foreign origin as Slack shows it letter by letter: what nobody can see is written out, and `& < >` are escaped, so that it
 * mentions nobody and links nowhere. Longer ones end in `…`, never within an escape; the length is that of what is sent.
 */
export function slackText(text: string, maxLength: number): string {
  const pieces = (visible(text).match(ESCAPE_SEQUENCE) ?? []).map((piece) => ESCAPED[piece] ?? piece);
  const whole = pieces.join('');
  if (whole.length <= maxLength) return whole;
  let cut = '';
  for (const piece of pieces) {
    if (cut.length + piece.length > maxLength - 1) break;
    cut += piece;
  }
  return `${cut}…`;
}

/** A text object that Slack does not format: no markup, and `:words:` stay words. */
export interface PlainText {
  readonly type: 'plain_text';
  readonly text: string;
  readonly emoji: false;
}
export function plain(text: string, maxLength: number): PlainText {
  return { type: 'plain_text', text: slackText(text, maxLength), emoji: false };
}
