import { createHash } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import {
  answerAddCheckpoint,
  parseCheckpoint,
  parseNote,
  type TreeHead,
  type TrustPolicy,
  type WitnessAnswer,
  type WitnessedLog,
} from '@chaperone/evidence';
import { unusable } from '../up/data-directory.ts';
import type { WitnessKey } from './key-file.ts';

export interface WitnessOptions {
  /** Where the witness remembers what it has cosigned, a file for each log. One process at a time. */
  readonly directory: string;
  /** The logs that it knows; what the policy says of witnesses is for others. */
  readonly policy: TrustPolicy;
  readonly key: WitnessKey;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Cosigns what goes on from what it has cosigned before, and has that on disk before it answers. */
export class Witness {
  readonly #options: WitnessOptions;
  readonly #latest: Map<string, TreeHead>;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: WitnessOptions, latest: Map<string, TreeHead>) {
    this.#options = options;
    this.#latest = latest;
  }

  /** Throws CliError DataUnreadable where what was cosigned of a log cannot be read: it must not be forgotten. */
  static async open(options: WitnessOptions): Promise<Witness> {
    const latest = new Map<string, TreeHead>();
    for (const origin of new Set(options.policy.logs.map(({ verifier }) => verifier.key.name))) {
      const note = await readIfThere(pathOf(options.directory, origin), options.directory);
      if (note !== undefined) latest.set(origin, readHead(note, origin, options.directory));
    }
    return new Witness(options, latest);
  }

  /** How far the witness has followed each of its logs. */
  get sizes(): ReadonlyMap<string, number> {
    return new Map([...this.#latest].map(([origin, { size }]) => [origin, size]));
  }

  /** Answers one add-checkpoint request; they are decided one after the other. Rejects where the answer could not be kept. */
  answer(body: Buffer): Promise<WitnessAnswer> {
    const answer = this.#last.then(() => this.#answer(body));
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  async #answer(body: Buffer): Promise<WitnessAnswer> {
    const { directory, key, now } = this.#options;
    const answer = answerAddCheckpoint(body, (origin) => this.#logOf(origin), [key.at(Math.floor(now() / 1_000))]);
    if (answer.status !== 200) return answer;
    const { text } = parseNote(body.subarray(body.indexOf('\n\n') + 2));
    await replace(directory, pathOf(directory, answer.origin), `${text}\n${answer.body}`);
    this.#latest.set(answer.origin, answer.latest);
    return answer;
  }

  #logOf(origin: string): WitnessedLog | undefined {
    const keys = this.#options.policy.logs.map(({ verifier }) => verifier).filter(({ key }) => key.name === origin);
    if (keys.length === 0) return undefined;
    const latest = this.#latest.get(origin);
    return { keys, ...(latest === undefined ? {} : { latest }) };
  }
}

/** Named by a digest: an origin may have any characters. */
function pathOf(directory: string, origin: string): string {
  return join(directory, `${createHash('sha256').update(origin).digest('hex')}.checkpoint`);
}

function readHead(note: Buffer, origin: string, directory: string): TreeHead {
  try {
    const checkpoint = parseCheckpoint(parseNote(note).text);
    if (checkpoint.origin !== origin) throw new Error('it is of another log');
    return { size: checkpoint.size, root: checkpoint.root };
  } catch (error) {
    throw unusable(directory, error);
  }
}

async function readIfThere(path: string, directory: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw unusable(directory, error);
  }
}

/** Durable, name and all, when it resolves. */
async function replace(directory: string, path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const parent = await open(directory, 'r');
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}
