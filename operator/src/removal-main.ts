import { createTransport } from '@chaperone/kube';
import { findCluster } from '@chaperone/kube/find-cluster';
import { removeGovernance } from './removal.ts';

/** What runs before the chart is removed, with the namespace where it is; exit code 1 where pods might not start afterwards. */
const PATIENCE_MS = 90_000;

const [system = ''] = process.argv.slice(2);
const kube = createTransport({ config: await findCluster(process.env), userAgent: 'chaperone-removal' });
try {
  await removeGovernance({ kube, system, patienceMs: PATIENCE_MS, onStep: (line) => void process.stdout.write(`${line}\n`) });
} catch (error) {
  const why = error instanceof Error ? error.message : 'no answer';
  process.stdout.write(
    `FAIL  ${why}\nRemove the chart all the same: helm uninstall --no-hooks; then docs/guides/cluster.md, Remove\n`,
  );
  process.exitCode = 1;
} finally {
  kube.close();
}
