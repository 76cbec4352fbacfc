import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cluster } from './cluster.ts';
import { trustOf } from './trust.ts';

export interface Verdict {
  readonly verdict: string;
  readonly session: string;
  readonly agent?: { readonly pod?: string };
}

/** An auditor, who has a directory, a file of evidence in it and the trust that the cluster publishes, and nothing else. */
export class Auditor {
  readonly #cluster: Cluster;
  readonly #directory: string;
  readonly #file: string;

  constructor(cluster: Cluster, directory: string) {
    this.#cluster = cluster;
    this.#directory = directory;
    this.#file = join(directory, 'all.evidence');
  }

  /** Is given all evidence since then, instead of what was given before. @returns whether it says what pods counted. */
  async receive(since: number): Promise<boolean> {
    await rm(this.#file, { force: true });
    const from = new Date(since).toISOString();
    const { status, stderr } = await this.#cluster.chaperone('export', '-A', '--from', from, '-o', this.#file);
    if (status !== 0) throw new Error(`export ended with ${status}: ${stderr}`);
    return /\0counter\/0\0/.test((await readFile(this.#file)).toString('latin1'));
  }

  /** @returns the verdict on the file, and that on each of its sessions. */
  async verify(): Promise<{ readonly file: string | undefined; readonly sessions: readonly Verdict[] }> {
    const trust = await trustOf(this.#cluster, this.#directory);
    const { stdout } = await this.#cluster.chaperone('verify', this.#file, ...trust, '--output', 'jsonl');
    const [head, ...sessions] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Verdict);
    return { file: head?.verdict, sessions };
  }
}
