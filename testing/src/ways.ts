import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A Python program that tries ways out of a pod, and is the far end of them; its head says how it is called. */
export const WAYS_PROGRAM = join(import.meta.dirname, 'ways.py');
export const waysSource = (): string => readFileSync(WAYS_PROGRAM, 'utf8');

/** One attempt; `kind` is a key of KINDS in the program. */
export interface Way {
  readonly kind: string;
  readonly host: string;
  readonly port: number;
  /** Stands in what is sent, so that the far end can say whose it was. */
  readonly who?: string;
  /** Local port of `tcp from`. */
  readonly from?: number;
}

/** What the program printed: one outcome for each way. */
export const readOutcomes = (output: string): string[] =>
  output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as string);
