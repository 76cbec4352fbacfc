import { bytesOf } from './bytes.ts';
import { Screen } from './screen.ts';
import type { StreamRecord } from './tape.ts';

/** What is kept of a stream without a terminal, and of what was typed, in characters: the last of it. */
const MAX_LOG = 64 * 1024;
const MAX_INPUT = 4 * 1024;

export interface Piece {
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

type Output = Extract<StreamRecord, { type: 'output' }>;

/** Where a recording is shown: a terminal's screen, or lines of stdout and stderr, as its records say. */
export class Stage {
  #screen: Screen | undefined;
  #written = '';
  readonly #texts = new Map<Output['stream'], StreamText>();
  /** Without a terminal: what was written last, and how much came before it. */
  log: readonly Piece[] = [];
  logged = 0;
  cut = 0;
  /** What the agent sent, the last of it. */
  input = '';

  get kind(): 'terminal' | 'lines' | 'nothing' {
    if (this.#screen !== undefined) return 'terminal';
    return this.log.length > 0 ? 'lines' : 'nothing';
  }

  get screen(): Screen | undefined {
    return this.#screen;
  }

  /** Characters that wait to be shown. */
  get waiting(): number {
    return this.#written.length;
  }

  /** Takes a record; what it shows is there after `settle`. */
  async take(record: StreamRecord): Promise<void> {
    if (record.type === 'resize') {
      await this.settle();
      this.#onScreen().resize(record.columns, record.rows);
    } else if (record.type === 'output') {
      const text = this.#text(record);
      if (record.stream === 'stdin') this.input = lastOf(this.input + text, MAX_INPUT);
      else if (record.stream === 'terminal') {
        this.#onScreen();
        this.#written += text;
      } else this.#line({ stream: record.stream, text });
    }
  }

  /** Resolves when all that was taken is shown. */
  async settle(): Promise<void> {
    const written = this.#written;
    this.#written = '';
    if (written !== '') await this.#screen?.write(written);
  }

  clear(): void {
    this.#screen?.end();
    this.#screen = undefined;
    this.#written = '';
    this.#texts.clear();
    [this.log, this.logged, this.cut, this.input] = [[], 0, 0, ''];
  }

  #onScreen(): Screen {
    return (this.#screen ??= new Screen());
  }

  #text({ stream, data }: Output): string {
    const known = this.#texts.get(stream) ?? new StreamText();
    this.#texts.set(stream, known);
    return known.next(data);
  }

  #line(piece: Piece): void {
    if (piece.text === '') return;
    const last = this.log.at(-1);
    const joined =
      last?.stream === piece.stream
        ? [...this.log.slice(0, -1), { ...last, text: last.text + piece.text }]
        : [...this.log, piece];
    this.logged += piece.text.length;
    const over = this.logged - this.cut - MAX_LOG;
    this.log = over > MAX_LOG ? this.#shortened(joined, over) : joined;
  }

  /** Without its first `over` characters. */
  #shortened(log: readonly Piece[], over: number): Piece[] {
    this.cut += over;
    let left = over;
    return log.flatMap((piece) => {
      const gone = Math.min(left, piece.text.length);
      left -= gone;
      return gone === piece.text.length ? [] : [{ ...piece, text: lastOf(piece.text, piece.text.length - gone) }];
    });
  }
}

/** A stream's bytes as text, with characters that were cut between two records whole again. */
class StreamText {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #cut = false;

  next(data: string): string {
    const body = data.slice(2);
    if (data.startsWith('t:') && !this.#cut) return body;
    const bytes = bytesOf(data);
    this.#cut = !data.startsWith('t:');
    return this.#decoder.decode(bytes, { stream: true });
  }
}

function lastOf(text: string, most: number): string {
  return text.length <= most ? text : text.slice(text.length - most).replace(/^[\udc00-\udfff]/, '');
}
