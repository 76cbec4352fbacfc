import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cluster } from './cluster.ts';
import { SYSTEM } from './installation.ts';

/** What an auditor is given once, as files in a directory: `--policy` and `--trust` of `chaperone verify`. */
export async function trustOf(cluster: Cluster, directory: string): Promise<readonly string[]> {
  const json = await cluster.demand(['get', 'configmap', 'chaperone-trust', '-n', SYSTEM, '-o', 'json']);
  const { data } = JSON.parse(json) as { data: { origin: string; enrolmentKeys: string; log: string } };
  const [policy, trust] = [join(directory, 'trust.policy'), join(directory, 'trust.json')];
  await writeFile(policy, data.log);
  await writeFile(trust, JSON.stringify({ origin: data.origin, enrolmentKeys: JSON.parse(data.enrolmentKeys) as string[] }));
  return ['--policy', policy, '--trust', trust];
}
