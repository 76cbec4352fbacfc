import { z } from 'zod';
import type { ObjectStore } from '../objects/index.ts';
import { SinkError } from './errors.ts';

/** More than this wait for somebody to look at them: then nothing more is delivered, so that nothing more is lost. */
export const MAX_DEAD_LETTERS = 1_000;

/** An event that its receiver refused for ever: where it is in the log, and nothing of what it says, so that an erasure reaches it too. */
export const DeadLetter = z.strictObject({
  id: z.string().max(512),
  leaf: z.int().min(0),
  /** When it was refused last, ms since 1970. */
  at: z.number(),
  /** What was said against it, without what it says: `HTTP 400`. */
  cause: z.string().max(200),
});
export type DeadLetter = z.infer<typeof DeadLetter>;

const SinkState = z.strictObject({
  version: z.literal(1),
  /** The first entry of the log of which not all is confirmed. */
  leaf: z.int().min(0),
  /** The id of its last event that is confirmed; empty where none is. */
  done: z.string().max(512),
  /** Events that were confirmed in all, repeats included. */
  delivered: z.int().min(0),
  dead: z.array(DeadLetter).max(MAX_DEAD_LETTERS),
});
export type SinkState = z.infer<typeof SinkState>;

const prefix = 'sinks/';

/** Names of the sinks that ever delivered, in their order. */
export async function knownSinks(store: ObjectStore): Promise<string[]> {
  const names: string[] = [];
  for await (const name of store.list(prefix)) names.push(name.slice(prefix.length));
  return names;
}

/**
 * How far a sink is, beside the evidence that it is about: an object that is replaced on the condition that it is what was read, so that of
 * two who deliver one finds out.
 */
export class StateStore {
  readonly #store: ObjectStore;
  readonly #name: string;
  readonly #now: () => number;
  #version: string | undefined;

  constructor(store: ObjectStore, sink: string, now: () => number) {
    this.#store = store;
    this.#name = `${prefix}${sink}`;
    this.#now = now;
  }

  /** Undefined where the sink is new. Rejects with SinkError SinkMisconfigured where it is there and cannot be read: nobody guesses. */
  async load(): Promise<SinkState | undefined> {
    const found = await this.#store.get(this.#name);
    this.#version = found?.version;
    if (found === undefined) return undefined;
    try {
      return SinkState.parse(JSON.parse(found.bytes.toString()));
    } catch (cause) {
      throw new SinkError('SinkMisconfigured', `${this.#name} is not the state of a sink`, { cause });
    }
  }

  /** Resolves when the state survives a power loss. Rejects with SinkError SinkStateTaken where another process wrote it meanwhile. */
  async save(state: SinkState): Promise<void> {
    const bytes = Buffer.from(JSON.stringify(state));
    const stored = await this.#store.replace(this.#name, bytes, this.#now(), this.#version);
    if (stored !== 'changed') {
      this.#version = stored.version;
      return;
    }
    // The answer to a try before may have been lost.
    const found = await this.#store.get(this.#name);
    if (!found?.bytes.equals(bytes)) throw new SinkError('SinkStateTaken', `another process delivers for ${this.#name}`);
    this.#version = found.version;
  }
}
