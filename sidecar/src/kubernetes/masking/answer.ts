import { AnswerError, notJson } from './errors.ts';
import { CLOSE_LIST, COMMA, isBlank, OPEN_OBJECT, Reader } from '../wire/json.ts';
import { MAX_ELEMENT_BYTES } from './limits.ts';
import { Outline } from './outline.ts';
import type { Asked, Plan } from './plan.ts';
import { type Edit, scan, type Scanned, spliced } from './scanner.ts';
import type { State } from './state.ts';

/** What an answer is by its request: one object; a list or table, or an object in its place; events of a watch, one behind the other. */
export type Shape = 'object' | 'list' | 'watch';

/**
 * What comes next: the body, or what is in front of its items, which is held · an item, or the end of them · an item, behind a comma
 * · a comma, or the end · the rest behind the items, which is held · an event.
 */
type Phase = 'body' | 'first' | 'item' | 'comma' | 'tail' | 'event';

/** So much is taken at once, so that what is held is bounded whatever is pushed. */
const STRIDE_BYTES = 256 * 1024;
const EMPTY = Buffer.alloc(0);
const HEAD_END = Buffer.from(']}');

/**
 * Masks the JSON of one answer, however it is cut into chunks. Lists, tables and watches pass element by element; an element is at
 * most {@link MAX_ELEMENT_BYTES}, and so is what is held, with one stride. What is not hidden passes with its very bytes.
 */
export class AnswerMask {
  /** Values that were hidden. */
  masked = 0;
  readonly #plan: Plan;
  /** The whole answer, and one of its elements. */
  #root: State;
  #element: State;
  #phase: Phase;
  #series = '';
  /** The kind of the list is known: its items need not say theirs. */
  #isTyped = false;
  #outline: Outline | undefined;
  #held = EMPTY;
  #length = 0;
  #failed: unknown;

  constructor(plan: Plan, asked: Asked, shape: Shape) {
    this.#plan = plan;
    this.#root = plan.object(asked);
    this.#element = this.#root;
    this.#phase = shape === 'watch' ? 'event' : 'body';
    this.#outline = shape === 'list' ? new Outline(0, true) : undefined;
  }

  /** Bytes that are held back. */
  get held(): number {
    return this.#length;
  }

  /**
   * Takes a chunk, and gives what may be shown by now; it may be a part of the chunk itself.
   *
   * @throws AnswerError, and again at every call from then on
   */
  push(chunk: Buffer): Buffer {
    return this.#guarded(() => {
      const parts: Buffer[] = [];
      for (let at = 0; at < chunk.length; at += STRIDE_BYTES) parts.push(this.#stride(chunk.subarray(at, at + STRIDE_BYTES)));
      return parts.length === 1 ? (parts[0] ?? EMPTY) : Buffer.concat(parts);
    });
  }

  /** No more comes: gives the rest. @throws AnswerError */
  end(): Buffer {
    return this.#guarded(() => {
      const rest = this.#held.subarray(0, this.#length);
      if (this.#phase === 'tail') return this.#tail(rest);
      if (this.#phase === 'event' && rest.length === 0) return EMPTY;
      if ((new Reader(rest).peek() ?? OPEN_OBJECT) !== OPEN_OBJECT) throw notJson();
      if (this.#phase !== 'body' || new Outline(0).run(rest, rest.length) === 'more') throw cutOff();
      return this.#shown(rest, scan(this.#plan, rest, this.#root));
    });
  }

  #guarded(work: () => Buffer): Buffer {
    if (this.#failed !== undefined) throw this.#failed;
    try {
      return work();
    } catch (error) {
      this.#failed = error;
      this.#held = EMPTY;
      throw error;
    }
  }

  #stride(chunk: Buffer): Buffer {
    const isHeld = this.#length > 0;
    if (isHeld) this.#hold(chunk);
    const work = isHeld ? this.#held.subarray(0, this.#length) : chunk;
    const parts: Buffer[] = [];
    const done = this.#pass(work, parts);
    if (work.length - done > MAX_ELEMENT_BYTES)
      throw new AnswerError('TooLarge', `a part of the API server’s answer is larger than ${MAX_ELEMENT_BYTES} bytes`);
    const out = parts.length === 1 && !isHeld ? (parts[0] ?? EMPTY) : Buffer.concat(parts);
    if (this.#outline !== undefined) this.#outline.at -= done;
    if (isHeld) {
      this.#held.copyWithin(0, done, this.#length);
      this.#length -= done;
      // A watch may last for days after one large event.
      if (this.#length === 0 && this.#held.length > STRIDE_BYTES) this.#held = EMPTY;
    } else this.#hold(chunk.subarray(done));
    return out;
  }

  #hold(bytes: Buffer): void {
    const length = this.#length + bytes.length;
    if (length > this.#held.length) {
      const grown = Buffer.allocUnsafeSlow(length * 2);
      this.#held.copy(grown, 0, 0, this.#length);
      this.#held = grown;
    }
    bytes.copy(this.#held, this.#length);
    this.#length = length;
  }

  /** Puts what may be shown of `work` into `parts`. Returns up to where: before an element that is not complete. */
  #pass(work: Buffer, parts: Buffer[]): number {
    let at = this.#phase === 'body' ? this.#head(work, parts) : 0;
    /** From here on nothing is in `parts`. */
    let from = at;
    while (this.#phase !== 'body' && this.#phase !== 'tail') {
      if (this.#outline === undefined) {
        at = this.#between(work, at);
        if (at >= work.length || this.#isTail()) break;
        this.#outline = new Outline(at);
      }
      const outline = this.#outline;
      if (outline.run(work, work.length) === 'more') break;
      this.#outline = undefined;
      from = put(work, from, at, this.#judged(work.subarray(at, outline.at)), parts);
      at = outline.at;
      if (this.#phase !== 'event') this.#phase = 'comma';
    }
    if (from < at) parts.push(work.subarray(from, at));
    return at;
  }

  #isTail(): boolean {
    return this.#phase === 'tail';
  }

  /** Goes over what stands between elements. Returns where one begins, or all behind the list. */
  #between(work: Buffer, from: number): number {
    for (let at = from; ; at++) {
      while (at < work.length && isBlank(work[at])) at++;
      const byte = work[at];
      if (at >= work.length || (byte === OPEN_OBJECT && this.#phase !== 'comma')) return at;
      if (byte === CLOSE_LIST && (this.#phase === 'first' || this.#phase === 'comma')) {
        this.#phase = 'tail';
        return at;
      }
      if (byte !== COMMA || this.#phase !== 'comma')
        throw new AnswerError('NotJson', 'the API server’s answer holds something else than objects');
      this.#phase = 'item';
    }
  }

  #judged(element: Buffer): readonly Edit[] {
    const { edits, kind } = scan(this.#plan, element, this.#element);
    if (this.#phase !== 'event' && !this.#isTyped && kind === undefined) throw unjudged();
    this.masked += edits.length;
    return edits;
  }

  /** What stands in front of the items: where they begin; 0 where that is not known yet, or there are none. */
  #head(work: Buffer, parts: Buffer[]): number {
    const outline = this.#outline;
    const stop = outline?.run(work, work.length) ?? 'more';
    if (outline === undefined || stop === 'more') return 0;
    this.#outline = undefined;
    if (stop === 'end') return 0;
    const head = Buffer.concat([work.subarray(0, outline.at), HEAD_END]);
    const { edits, kind } = scan(this.#plan, head, this.#root);
    this.masked += edits.length;
    if (kind !== undefined) this.#root = this.#root.withKind(kind);
    this.#isTyped = kind !== undefined;
    this.#series = outline.series;
    this.#element = this.#root.next(this.#series);
    this.#phase = 'first';
    parts.push(work.subarray(put(work, 0, 0, edits, parts), outline.at));
    return outline.at;
  }

  /** What stands behind the items. */
  #tail(rest: Buffer): Buffer {
    const head = Buffer.from(`{"${this.#series}":[`);
    const bytes = Buffer.concat([head, rest]);
    if (new Outline(0).run(bytes, bytes.length) === 'more') throw cutOff();
    const scanned = scan(this.#plan, bytes, this.#root);
    const { kind } = scanned;
    if (kind !== undefined && this.#root.withKind(kind).next(this.#series) !== this.#element) throw unjudged();
    return this.#shown(bytes, scanned).subarray(head.length);
  }

  #shown(bytes: Buffer, { edits }: Scanned): Buffer {
    this.masked += edits.length;
    return Buffer.from(spliced(bytes, edits));
  }
}

/** Puts what `work` shows from `from` to the last edit of the element at `at` into `parts`. Returns where the rest begins. */
function put(work: Buffer, from: number, at: number, edits: readonly Edit[], parts: Buffer[]): number {
  let next = from;
  for (const { start, end, shown } of edits) {
    parts.push(work.subarray(next, at + start), shown);
    next = at + end;
  }
  return next;
}

const cutOff = (): AnswerError => new AnswerError('CutOff', 'the API server’s answer is not complete');
const unjudged = (): AnswerError =>
  new AnswerError('Unjudged', 'the API server’s list says what it holds behind its items, which do not say it themselves');
