import type { Memory } from '../../session/memory.ts';
import type { Prepared } from './steps.ts';

/** Named statements of one session. */
const MAX_NAMED = 2000;
/** What one holds beside its text and tree. */
const ENTRY_BYTES = 4096;
/** For what is derived from a text or tree, such as the text for evidence and the analysis, as much again. */
const DERIVED = 2;

interface Kept {
  readonly prepared: Prepared;
  /** As they were taken: the judgement may be replaced meanwhile. */
  readonly bytes: number;
}

/** The statements that a session holds, by name; '' is the unnamed one. What each holds is taken from the room that all share. */
export class PreparedStatements {
  readonly #memory: Memory;
  readonly #kept = new Map<string, Kept>();
  #over = false;

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  get(name: string): Prepared | undefined {
    return this.#kept.get(name)?.prepared;
  }

  has(name: string): boolean {
    return this.#kept.has(name);
  }

  keys(): MapIterator<string> {
    return this.#kept.keys();
  }

  /** Takes the place of what had the name. False: there are too many, or no room; then nothing has the name. */
  set(name: string, prepared: Prepared): boolean {
    this.delete(name);
    // Nobody hears of it, and nobody would free it.
    if (this.#over) return true;
    const named = this.#kept.size - (this.#kept.has('') ? 1 : 0);
    if (name !== '' && named >= MAX_NAMED) return false;
    const bytes = sizeOf(prepared);
    if (!this.#memory.take(bytes)) return false;
    this.#kept.set(name, { prepared, bytes });
    return true;
  }

  delete(name: string): void {
    const kept = this.#kept.get(name);
    if (kept === undefined) return;
    this.#kept.delete(name);
    this.#memory.free(kept.bytes);
  }

  clear(): void {
    for (const name of this.#kept.keys()) this.delete(name);
  }

  /** The session ended: nothing is kept from here on. */
  end(): void {
    this.#over = true;
    this.clear();
  }
}

function sizeOf({ judgement: { statement, basis } }: Prepared): number {
  return (heldBytes(statement.text) + heldBytes(basis.tree ?? '')) * DERIVED + ENTRY_BYTES;
}

/** At most: a string may be held in UTF-16 unless all of it is ASCII. */
function heldBytes(text: string): number {
  return Buffer.byteLength(text) === text.length ? text.length : text.length * 2;
}
