import { join } from 'node:path';
import { eventually } from '@chaperone/testing';
import { Cluster, ROOT } from './cluster.ts';
import { demand } from './run.ts';

export const SYSTEM = 'chaperone-system';

/** Builds and loads the images, installs the chart of this checkout, and waits until pods can be injected. */
export async function install(): Promise<Cluster> {
  const cluster = await Cluster.start();
  if (process.env['E2E_SKIP_IMAGES'] === undefined)
    await demand(join(ROOT, 'images/build'), [], { env: { E2E_LOCAL: cluster.local ? '1' : '0' }, timeoutMs: 900_000 });
  const chart = [join(ROOT, 'helm'), '--namespace', SYSTEM, '--values', join(ROOT, 'e2e/values.yaml')];
  await cluster.helm([
    'upgrade',
    '--install',
    'chaperone',
    ...chart,
    '--create-namespace',
    '--take-ownership',
    '--force-conflicts',
  ]);
  // Tags do not change between two runs, the images behind them do.
  await cluster.demand(['rollout', 'restart', 'deployment/chaperone-operator', '-n', SYSTEM]);
  await cluster.demand(['rollout', 'status', 'deployment/chaperone-operator', '-n', SYSTEM, '--timeout=120s']);
  await eventually(
    'the operator to write the profile',
    async () => {
      const { status } = await cluster.kubectl(['get', 'injectionprofile', 'default']);
      return status === 0 ? true : undefined;
    },
    60_000,
  );
  return cluster;
}

export async function scaleOperator(cluster: Cluster, replicas: number): Promise<void> {
  await cluster.demand(['scale', 'deployment/chaperone-operator', '-n', SYSTEM, `--replicas=${replicas}`]);
  if (replicas > 0) await cluster.demand(['rollout', 'status', 'deployment/chaperone-operator', '-n', SYSTEM, '--timeout=120s']);
  else
    await cluster.demand([
      'wait',
      '--for=delete',
      'pod',
      '-n',
      SYSTEM,
      '-l',
      'app.kubernetes.io/component=operator',
      '--timeout=60s',
    ]);
}
