import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cluster } from './cluster.ts';
import { SYSTEM } from './installation.ts';

export interface Verdict {
  readonly verdict: string;
  readonly session: string;
  readonly agent?: { readonly pod?: string };
}

/** An auditor, who has a directory, a file of evidence in it and the trust that the cluster publishes, and nothing else. */
export class Auditor {
  readonly #cluster: Cluster;
  readonly #file: string;
  readonly #trust: string;
  readonly #policy: string;

  constructor(cluster: Cluster, directory: string) {
    this.#cluster = cluster;
    [this.#file, this.#trust, this.#policy] = ['all.evidence', 'trust.json', 'trust.policy'].map((name) =>
      join(directory, name),
    ) as [string, string, string];
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
    const map = await this.#cluster.demand(['get', 'configmap', 'chaperone-trust', '-n', SYSTEM, '-o', 'json']);
    const { data } = JSON.parse(map) as { data: { origin: string; enrolmentKeys: string; log: string } };
    const enrolmentKeys = JSON.parse(data.enrolmentKeys) as string[];
    await writeFile(this.#trust, JSON.stringify({ origin: data.origin, enrolmentKeys }));
    await writeFile(this.#policy, data.log);
    const args = ['--policy', this.#policy, '--trust', this.#trust, '--output', 'jsonl'];
    const { stdout } = await this.#cluster.chaperone('verify', this.#file, ...args);
    const [head, ...sessions] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Verdict);
    return { file: head?.verdict, sessions };
  }
}
