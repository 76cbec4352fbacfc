import type { Recorder } from './recorder.ts';
import type { Run, RunResult } from './run.ts';

/** Runs that are remembered until their group is committed; the oldest of more are recorded as they ended. */
const MAX_RUNS = 1000;
/** Bytes of rows for the evidence that they may hold. */
const MAX_BYTES = 1024 * 1024;

interface Executed {
  readonly run: Run;
  readonly tag: string;
  /** CommandComplete, where the agent hears of the end only once it is committed. */
  readonly bytes: Buffer | undefined;
}

/**
 * What was executed since the last Sync and is not committed yet: the evidence says how it ended once that is known. A statement
 * within BEGIN and COMMIT is no part of it: what became of those shows in the agent's own COMMIT.
 */
export class Group {
  readonly #recorder: Recorder;
  #executed: Executed[] = [];
  #bytes = 0;

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  add(executed: Executed): void {
    this.#executed.push(executed);
    this.#bytes += executed.run.keptBytes;
    while (this.#executed.length > MAX_RUNS || (this.#bytes > MAX_BYTES && this.#executed.length > 1)) {
      const oldest = this.#executed.shift();
      if (oldest === undefined) return;
      this.#bytes -= oldest.run.keptBytes;
      this.#recorder.finishing(oldest.run, { tag: oldest.tag });
    }
  }

  /** Sync, or the end of a transaction, committed it; gives out what the agent is to be told now. */
  committed(tell: (bytes: Buffer) => void): void {
    for (const { run, tag, bytes } of this.#take()) {
      this.#recorder.finishing(run, { tag });
      if (bytes !== undefined) tell(bytes);
    }
  }

  /** An error undid it. */
  undone(error: NonNullable<RunResult['error']>): void {
    for (const { run } of this.#take()) this.#recorder.finishing(run, { error });
  }

  #take(): readonly Executed[] {
    const executed = this.#executed;
    if (executed.length > 0) this.#executed = [];
    this.#bytes = 0;
    return executed;
  }
}
