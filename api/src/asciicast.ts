/** The header and the events of an asciicast, each the value of one line: https://docs.asciinema.org/manual/asciicast/v3/ */
export type AsciicastLine =
  | { readonly version: 3; readonly term: { cols: number; rows: number }; readonly timestamp: number; readonly title: string }
  | readonly [intervalSeconds: number, code: 'o' | 'i' | 'r' | 'm' | 'x', data: string];

interface Moment {
  readonly action: number;
  /** Milliseconds since 1970, and on a clock that nobody sets. */
  readonly at: number;
  readonly mono: number;
}
/** What a cast is made of, as records of evidence have it. */
export type CastRecord = Moment &
  (
    | { readonly type: 'action'; readonly verdict: string; readonly text?: string | undefined }
    | { readonly type: 'resize'; readonly columns: number; readonly rows: number }
    | { readonly type: 'output'; readonly stream: string; readonly data: string }
    | { readonly type: 'done'; readonly tag?: string | undefined }
  );
type Of<T extends CastRecord['type']> = Extract<CastRecord, { type: T }>;

export interface CastOptions {
  readonly title: string;
  /** The bytes of what an `output` has as data. */
  readonly decode: (data: string) => Uint8Array;
  /** Of this one alone. */
  readonly action?: number | undefined;
}

/** Whether a record is one that casts are made of. */
export function isCast<T extends { readonly type: string }>(record: T): record is Extract<T, { type: CastRecord['type'] }> {
  return ['action', 'resize', 'output', 'done'].includes(record.type);
}

/** What a terminal has where nobody said how large it is. */
const USUAL = { columns: 80, rows: 24 };
/** Readers keep sizes in 16 bits. */
const MAX_CELLS = 65_535;
const MAX_MARKER = 200;

/**
 * What programs of a session showed and were told, as an asciicast of version 3; of `action` alone where one is named. Every command is a
 * marker, and what ends the last one is its exit. Output of a program without a terminal has line feeds alone, which here become what a
 * terminal needs. Bytes that are no UTF-8 become U+FFFD, as the format is text: the evidence has them as they were.
 */
export async function* asciicast(records: AsyncIterable<CastRecord>, options: CastOptions): AsyncGenerator<AsciicastLine> {
  const { action } = options;
  const cast = new Asciicast(options);
  for await (const record of records) if (action === undefined || record.action === action) yield* cast.lines(record);
  yield* cast.end();
}

class Asciicast {
  readonly #title: string;
  readonly #decode: CastOptions['decode'];
  /** Commands before the first size or output, since only then the header is known. */
  #waiting: Of<'action'>[] = [];
  #began = false;
  #at = 0;
  #exit: { readonly mono: number; readonly tag: string } | undefined;
  readonly #decoders = new Map<string, TextDecoder>();

  constructor({ title, decode }: CastOptions) {
    this.#title = title;
    this.#decode = decode;
  }

  *lines(record: CastRecord): Generator<AsciicastLine> {
    switch (record.type) {
      case 'action':
        if (this.#began) yield* this.#command(record);
        else this.#waiting.push(record);
        return;
      case 'resize':
        if (this.#began) yield this.#event(record.mono, 'r', `${cells(record.columns, 'columns')}x${cells(record.rows, 'rows')}`);
        else yield* this.#begin(record, record);
        return;
      case 'output':
        if (!this.#began) yield* this.#begin(record, USUAL);
        yield* this.#output(record);
        return;
      case 'done':
        for (const key of this.#decoders.keys()) if (key.startsWith(`${record.action} `)) this.#decoders.delete(key);
        if (record.tag !== undefined) this.#exit = { mono: record.mono, tag: record.tag };
        return;
      default:
    }
  }

  *end(): Generator<AsciicastLine> {
    if (!this.#began) return;
    const status = /^exit (\d+)$/.exec(this.#exit?.tag ?? '')?.[1];
    if (status === undefined) yield* this.#left();
    else if (this.#exit !== undefined) yield this.#event(this.#exit.mono, 'x', status);
  }

  *#begin(first: { at: number; mono: number }, { columns, rows }: { columns: number; rows: number }): Generator<AsciicastLine> {
    const [command = first] = this.#waiting;
    this.#began = true;
    this.#at = command.mono;
    yield {
      version: 3,
      term: { cols: cells(columns, 'columns'), rows: cells(rows, 'rows') },
      timestamp: Math.max(0, Math.floor(command.at / 1000)),
      title: this.#title,
    };
    for (const each of this.#waiting) yield* this.#command(each);
    this.#waiting = [];
  }

  *#command({ mono, verdict, text = '' }: Of<'action'>): Generator<AsciicastLine> {
    yield* this.#left();
    const said = `${verdict === 'deny' ? 'denied: ' : ''}${text}`;
    yield this.#event(mono, 'm', said.slice(0, MAX_MARKER).replace(/[\ud800-\udbff]$/, ''));
  }

  /** How a command ended that is not the last one. */
  *#left(): Generator<AsciicastLine> {
    const exit = this.#exit;
    this.#exit = undefined;
    if (exit !== undefined) yield this.#event(exit.mono, 'm', exit.tag);
  }

  *#output({ action, stream, data, mono }: Of<'output'>): Generator<AsciicastLine> {
    const key = `${action} ${stream}`;
    const decoder = this.#decoders.get(key) ?? new TextDecoder('utf-8', { ignoreBOM: true });
    this.#decoders.set(key, decoder);
    const text = decoder.decode(this.#decode(data), { stream: true });
    if (text === '') return;
    if (stream === 'stdin') yield this.#event(mono, 'i', text);
    else yield this.#event(mono, 'o', stream === 'terminal' ? text : text.replaceAll('\n', '\r\n'));
  }

  #event(mono: number, code: 'o' | 'i' | 'r' | 'm' | 'x', data: string): AsciicastLine {
    const interval = Math.max(0, mono - this.#at) / 1000;
    this.#at = Math.max(this.#at, mono);
    return [Math.round(interval * 1e6) / 1e6, code, data];
  }
}

function cells(count: number, of: 'columns' | 'rows'): number {
  return count === 0 ? USUAL[of] : Math.min(count, MAX_CELLS);
}
