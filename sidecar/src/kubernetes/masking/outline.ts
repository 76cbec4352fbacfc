import { CLOSE_LIST, CLOSE_OBJECT, COLON, isBlank, OPEN_LIST, OPEN_OBJECT, QUOTE } from '../wire/json.ts';

const BACKSLASH = 0x5c;
const SERIES = ['items', 'rows'];

/** Where a value stops: behind it; where the items of a list begin; or it goes on. */
export type Stop = 'end' | 'series' | 'more';

/** Bytes outside of strings that decide where a value ends. */
const MARKS = new Uint8Array(256);
for (const byte of [QUOTE, OPEN_OBJECT, OPEN_LIST, CLOSE_OBJECT, CLOSE_LIST]) MARKS[byte] = 1;

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
    let { at } = this;
    while (at < end) {
      if (this.#inString) {
        at = stringEnd(bytes, at, end);
        if (at >= end) return this.#stop('more', at);
        this.#inString = false;
        this.#stringTo = at++;
      }
      if (this.#depth !== 1) at = nextMark(bytes, at, end);
      if (at >= end) break;
      const byte = bytes[at++] ?? 0;
      if (byte === QUOTE) {
        this.#inString = true;
        this.#stringFrom = at;
      } else {
        const stop = this.#mark(bytes, byte);
        if (stop !== 'more') return this.#stop(stop, at);
      }
    }
    return this.#stop('more', at);
  }

  /** Goes over a byte outside of strings. */
  #mark(bytes: Buffer, byte: number): Stop {
    if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
      if (this.#depth === 1 && this.#isSeries(bytes, byte)) return 'series';
      this.#depth++;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
      if (--this.#depth <= 0) return 'end';
    } else if (this.#depth === 1 && !isBlank(byte)) this.#behindColon = byte === COLON;
    return 'more';
  }

  #stop(stop: Stop, at: number): Stop {
    this.at = at;
    return stop;
  }

  #isSeries(bytes: Buffer, byte: number): boolean {
    const behind = this.#behindColon;
    this.#behindColon = false;
    if (!this.#stops || !behind || byte !== OPEN_LIST) return false;
    this.series = textOf(bytes.subarray(this.#stringFrom, this.#stringTo));
    return SERIES.includes(this.series);
  }
}

function nextMark(bytes: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end && MARKS[bytes[at] ?? 0] === 0) at++;
  return at;
}

/** Where a string ends that goes on at `at`; a place from `end` on: not here. */
function stringEnd(bytes: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
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
