import { CLOSE_LIST, CLOSE_OBJECT, COLON, isBlank, OPEN_LIST, OPEN_OBJECT, QUOTE } from '../wire/json.ts';

const BACKSLASH = 0x5c;
const SERIES = ['items', 'rows'];

/** Where a value stops: behind it; where the items of a list begin; or it goes on. */
export type Stop = 'end' | 'series' | 'more';

/** Finds the end of a value without reading it: brackets outside of strings. What it is, {@link file://./scanner.ts} checks. */
export class Outline {
  /** Where it goes on. */
  at = 0;
  /** The key of the list that it stopped at. */
  series = '';
  readonly #stops: boolean;
  #depth = 0;
  #inString = false;
  #stringFrom = 0;
  #stringTo = 0;
  #behindColon = false;

  /** @param stopsAtSeries whether to stop where a list begins in the outermost object */
  constructor(at: number, stopsAtSeries = false) {
    this.at = at;
    this.#stops = stopsAtSeries;
  }

  run(bytes: Buffer, end: number): Stop {
    while (this.at < end) {
      if (this.#inString && !this.#string(bytes, end)) return 'more';
      const byte = bytes[this.at++] ?? 0;
      if (byte === QUOTE) {
        this.#inString = true;
        this.#stringFrom = this.at;
      } else if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
        if (this.#depth === 1 && this.#isSeries(bytes, byte)) return 'series';
        this.#depth++;
      } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
        if (--this.#depth <= 0) return 'end';
      } else if (this.#depth === 1 && !isBlank(byte)) this.#behindColon = byte === COLON;
    }
    return 'more';
  }

  /** Goes over the rest of a string. False: it goes on. */
  #string(bytes: Buffer, end: number): boolean {
    let { at } = this;
    while (at < end && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
    this.at = at;
    if (at >= end) return false;
    this.#inString = false;
    this.#stringTo = at;
    this.at++;
    return this.at < end;
  }

  #isSeries(bytes: Buffer, byte: number): boolean {
    const behind = this.#behindColon;
    this.#behindColon = false;
    if (!this.#stops || !behind || byte !== OPEN_LIST) return false;
    this.series = textOf(bytes.subarray(this.#stringFrom, this.#stringTo));
    return SERIES.includes(this.series);
  }
}

/** What stands between quotes; empty where it is no string. */
function textOf(content: Buffer): string {
  if (!content.includes(BACKSLASH)) return content.toString();
  try {
    return String(JSON.parse(`"${content.toString()}"`));
  } catch {
    return '';
  }
}
