import { detect, firstPlace } from '../../masking/detectors.ts';
import { type Mask, maskBytes, maskText, REDACTED } from '../../masking/strategies.ts';
import type { Plan } from './plan.ts';

const EMPTY = Buffer.alloc(0);
const MARK = Buffer.from(REDACTED);
/** How gzip begins (RFC 1952 §2.3.1), in base64. Helm's releases and some annotations are such. */
const PACKED = 'H4sI';

/** JSON for a covered text; `binary`: it is base64, and stays it. Null where the mask shows none. */
export function covered(text: string, mask: Mask, binary: boolean): string {
  if (!binary) return JSON.stringify(maskText(text, mask));
  const shown = maskBytes(decoded(text) ?? EMPTY, mask);
  return shown === null ? 'null' : `"${shown.toString('base64')}"`;
}

/** What base64 (RFC 4648 §4) holds; undefined where a text is none. */
export function decoded(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/** Whether it is packed: what it holds is not seen. */
export function isPacked(text: string): boolean {
  return text.startsWith(PACKED);
}

/** The text with what detectors find in it masked; undefined where they find nothing. */
export function searched(bytes: Buffer, { finds, bits }: Plan): Buffer | undefined {
  const first = firstPlace(bytes, 0, bytes.length, bits);
  const spans = first < 0 ? [] : detect(bytes, bits, undefined, first);
  if (spans.length === 0) return undefined;
  const parts: Buffer[] = [];
  let from = 0;
  for (const { detector, start, end } of spans) {
    const mask = finds.get(detector);
    // Of a key no part is shown, as in streams of text.
    const isWhole = mask === undefined || detector === 'private-key';
    parts.push(bytes.subarray(from, start), isWhole ? MARK : (maskBytes(bytes.subarray(start, end), mask) ?? EMPTY));
    from = end;
  }
  return Buffer.concat([...parts, bytes.subarray(from)]);
}

const QUOTES_A_VALUE = / value: |\n/;
/** Whether a text may quote a value as the API server does. */
export function quotesValue(text: string): boolean {
  return QUOTES_A_VALUE.test(` ${text}`);
}

/** Why a server refuses a change, without the values that it quotes (`Invalid value: "…"`) and the difference that it prints below. */
export function refusal(text: string): string {
  const found = QUOTES_A_VALUE.exec(` ${text}`);
  return found === null ? text : `${text.slice(0, Math.max(0, found.index + found[0].length - 1))}${REDACTED}`;
}
