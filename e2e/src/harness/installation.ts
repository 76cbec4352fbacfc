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
  // A lease that an earlier installation left behind has to run out before somebody leads and writes the CA.
  const bundle = ['get', 'mutatingwebhookconfiguration', 'chaperone', '-o', 'jsonpath={.webhooks[0].clientConfig.caBundle}'];
  const written = async (): Promise<true | undefined> => {
    const profile = await cluster.kubectl(['get', 'injectionprofile', 'default']);
    return profile.status === 0 && (await cluster.kubectl(bundle)).stdout !== '' ? true : undefined;
  };
  await eventually('the operator to write profile and CA', written, 60_000);
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
