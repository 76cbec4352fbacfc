import type { Size } from '../../running/streams.ts';

/** Of one message, `{"Width":80,"Height":24}`, and of what came of the next. */
const MAX_MESSAGE = 256;
const SIZE = /^\s*\{\s*"(Width|Height)"\s*:\s*([0-9]{1,5})\s*,\s*"(Width|Height)"\s*:\s*([0-9]{1,5})\s*\}\s*$/;
/** Sizes come as fast as somebody drags a window; each is a record. */
export const RESIZE_MS = 100;

/** Reads sizes of a terminal from the channel that carries them, in any pieces. */
export class Resizes {
  #text = '';

  /** The last size in what is there by now; what is none is passed over. */
  push(data: Buffer): Size | undefined {
    this.#text += data.toString('latin1');
    const messages = this.#text.split(/(?<=\})/);
    this.#text = messages.at(-1)?.endsWith('}') ? '' : (messages.pop() ?? '').slice(-MAX_MESSAGE);
    return messages.map(sizeOf).findLast((size) => size !== undefined);
  }
}

function sizeOf(text: string): Size | undefined {
  const [, first, one, second, other] = SIZE.exec(text.slice(-MAX_MESSAGE)) ?? [];
  if (first === undefined || first === second) return undefined;
  const [columns, rows] = first === 'Width' ? [Number(one), Number(other)] : [Number(other), Number(one)];
  const isSize = columns > 0 && rows > 0 && columns <= 65_535 && rows <= 65_535;
  return isSize ? { columns, rows } : undefined;
}

/** As clients of Go write it. */
export function sizeMessage({ columns, rows }: Size): Buffer {
  return Buffer.from(`${JSON.stringify({ Width: columns, Height: rows })}\n`);
}
