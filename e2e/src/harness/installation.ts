import { join } from 'node:path';
import { eventually } from '@chaperone/testing';
import { Cluster, ROOT } from './cluster.ts';
import { demand } from './run.ts';

export const SYSTEM = 'chaperone-system';
const REGISTRY = 'chaperone.test';
const PARTS = ['operator', 'sidecar', 'collector', 'nats'] as const;
const FIXTURES = ['agent', 'database', 'host'] as const;

const DISK = '/var/lib/chaperone-e2e';
const USER = 65_532;

/** A volume on the node for one of the chart's claims. */
const volume = (part: 'collector' | 'nats'): object => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name: `chaperone-e2e-${part}` },
  spec: {
    capacity: { storage: '1Gi' },
    accessModes: ['ReadWriteOnce'],
    storageClassName: 'e2e',
    persistentVolumeReclaimPolicy: 'Retain',
    claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: SYSTEM, name: `data-chaperone-${part}-0` },
    hostPath: { path: `${DISK}/${part}`, type: 'DirectoryOrCreate' },
  },
});

/** Builds what changed and loads it, unless whoever runs the tests has (`E2E_IMAGES`, lines NAME=TAG). @returns The tag of each image by its name. */
async function buildImages(cluster: Cluster): Promise<ReadonlyMap<string, string>> {
  if (process.env['E2E_SKIP_IMAGES'] !== undefined)
    return new Map([...PARTS, ...FIXTURES].map((name) => [name, process.env['E2E_TAG'] ?? 'dev']));
  const env = { E2E_LOCAL: cluster.local ? '1' : '0' };
  const built = process.env['E2E_IMAGES'] ?? (await demand(join(ROOT, 'images/build'), [], { env, timeoutMs: 900_000 }));
  const lines = built.trim().split('\n');
  return new Map(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

type Part =
  | 'daemonset/chaperone-node'
  | 'deployment/chaperone-operator'
  | 'statefulset/chaperone-nats'
  | 'statefulset/chaperone-collector';

/** The chart of this checkout, installed with images of this checkout. */
export class Installation {
  readonly cluster: Cluster;
  readonly #tags: ReadonlyMap<string, string>;

  private constructor(cluster: Cluster, tags: ReadonlyMap<string, string>) {
    this.cluster = cluster;
    this.#tags = tags;
  }

  static async create(): Promise<Installation> {
    const cluster = await Cluster.start();
    const installation = new Installation(cluster, await buildImages(cluster));
    await installation.upgrade();
    return installation;
  }

  /** Name of an image as pods use it. */
  image(name: (typeof PARTS)[number] | (typeof FIXTURES)[number]): string {
    return `${REGISTRY}/${name}:${this.#tags.get(name) ?? 'missing'}`;
  }

  /** Volumes for the chart's claims, owned by the user that its pods run as: the kubelet changes no owner on the node's own disk. */
  async #volumes(): Promise<void> {
    if ((await this.cluster.kubectl(['get', 'pv', 'chaperone-e2e-collector', 'chaperone-e2e-nats'])).status === 0) return;
    await this.cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: SYSTEM } });
    // What another cluster left there was signed by keys that this one does not know.
    await this.#onDisk(`rm -rf collector nats && mkdir collector nats && chown ${USER}:${USER} collector nats`);
    await this.cluster.apply({ apiVersion: 'v1', kind: 'List', items: [volume('collector'), volume('nats')] });
  }

  /** Runs a script of sh on the node where the volumes are. */
  async #onDisk(script: string): Promise<void> {
    const command = ['sh', '-ec', `cd /disk; ${script}`];
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'volumes', namespace: SYSTEM },
      spec: {
        restartPolicy: 'Never',
        containers: [{ name: 'own', image: this.image('agent'), command, volumeMounts: [{ name: 'disk', mountPath: '/disk' }] }],
        volumes: [{ name: 'disk', hostPath: { path: DISK, type: 'DirectoryOrCreate' } }],
      },
    };
    await this.cluster.demand(['wait', '--for=create', 'serviceaccount/default', '-n', SYSTEM, '--timeout=30s']);
    await this.cluster.demand(['delete', 'pod', 'volumes', '-n', SYSTEM, '--ignore-not-found']);
    await this.cluster.apply(pod);
    await this.cluster.demand(['wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/volumes', '-n', SYSTEM, '--timeout=60s']);
    await this.cluster.demand(['delete', 'pod', 'volumes', '-n', SYSTEM]);
  }

  /** Keeps a copy of the collector's volume, as a storage system's snapshot would be. */
  snapshot(name: string): Promise<void> {
    return this.#onDisk(`rm -rf snapshot-${name} && cp -a collector snapshot-${name}`);
  }

  /** Makes the collector's volume what it was at that snapshot. */
  rollBack(name: string): Promise<void> {
    return this.#onDisk(`rm -rf collector && cp -a snapshot-${name} collector`);
  }

  /** Removes the chart, and all that was kept of it in its namespace and on its volumes. What it governs stays. */
  async lose(): Promise<void> {
    await this.cluster.helm(['uninstall', 'chaperone', '--namespace', SYSTEM, '--wait']);
    await this.cluster.demand(['delete', 'namespace', SYSTEM, '--timeout=120s']);
    await this.cluster.demand(['delete', 'pv', 'chaperone-e2e-collector', 'chaperone-e2e-nats', '--timeout=60s']);
  }

  /** Puts a namespace and volumes there for a chart to be installed into: the broker's empty, the collector's as at that snapshot. */
  async prepare(snapshot: string): Promise<void> {
    await this.#volumes();
    await this.rollBack(snapshot);
  }

  /**
   * Installs or upgrades with `values` (KEY=VALUE) and `files` (KEY=PATH) beside e2e/values.yaml, and waits until everything runs.
   * `sidecarTag`: another tag of the sidecar's image than the one of this checkout.
   */
  async upgrade({
    values = [],
    files = [],
    sidecarTag,
  }: {
    values?: readonly string[];
    files?: readonly string[];
    sidecarTag?: string;
  } = {}): Promise<void> {
    await this.#volumes();
    const before = await this.#doors();
    const given = new Map(sidecarTag === undefined ? this.#tags : [...this.#tags, ['sidecar', sidecarTag]]);
    const tags = PARTS.flatMap((part) => (given.has(part) ? ['--set-string', `${part}.image.tag=${given.get(part)}`] : []));
    const where = [join(ROOT, 'helm'), '--namespace', SYSTEM, '--create-namespace', '--values', join(ROOT, 'e2e/values.yaml')];
    const set = [...values.flatMap((value) => ['--set', value]), ...files.flatMap((file) => ['--set-file', file])];
    await this.cluster.helm([
      'upgrade',
      '--install',
      'chaperone',
      ...where,
      ...tags,
      ...set,
      '--take-ownership',
      '--force-conflicts',
    ]);
    const parts = [
      'deployment/chaperone-operator',
      'daemonset/chaperone-node',
      'statefulset/chaperone-nats',
      'statefulset/chaperone-collector',
    ];
    for (const part of parts) await this.cluster.demand(['rollout', 'status', part, '-n', SYSTEM, '--timeout=180s']);
    const bundle = ['get', 'mutatingwebhookconfiguration', 'chaperone', '-o', 'jsonpath={.webhooks[0].clientConfig.caBundle}'];
    const written = async (): Promise<true | undefined> => {
      const profile = await this.cluster.kubectl(['get', 'injectionprofile', 'default']);
      return profile.status === 0 && (await this.cluster.kubectl(bundle)).stdout !== '' ? true : undefined;
    };
    await eventually('the operator to write profile and CA', written, 60_000);
    await this.#injected(before);
  }

  /** Addresses of the Services by which people, or Slack, come to the operator. */
  async #doors(): Promise<readonly string[]> {
    const names = ['chaperone-decide', 'chaperone-slack'];
    const args = ['get', 'service', ...names, '-n', SYSTEM, '--ignore-not-found', '-o', 'jsonpath={.items[*].spec.clusterIP}'];
    return (await this.cluster.demand(args)).split(' ').filter((address) => address !== '');
  }

  /** Waits until agents are injected with those addresses as forbidden ones, and without others: until then they differ from the profile. */
  async #injected(before: readonly string[]): Promise<void> {
    const now = await this.#doors();
    const gone = before.filter((address) => !now.includes(address));
    const isWritten = async (): Promise<boolean> => {
      const profile = await this.cluster.demand(['get', 'injectionprofile', 'default', '-o', 'json']);
      return now.every((address) => profile.includes(address)) && !gone.some((address) => profile.includes(address));
    };
    await eventually('the profile of this installation', async () => ((await isWritten()) ? true : undefined), 60_000);
  }

  /** Has parts find names at a Service, or, without one, as everybody does. That is all that an installation would not have. */
  async resolve(parts: readonly Part[], to?: { service: string; namespace: string; names: readonly string[] }): Promise<void> {
    const at = (service: string, namespace: string): Promise<string> =>
      this.cluster.demand(['get', 'service', service, '-n', namespace, '-o', 'jsonpath={.spec.clusterIP}']);
    const hostAliases = to === undefined ? null : [{ ip: await at(to.service, to.namespace), hostnames: to.names }];
    const patch = JSON.stringify({ spec: { template: { spec: { hostAliases } } } });
    for (const part of parts) await this.cluster.demand(['patch', part, '-n', SYSTEM, '--type=merge', '-p', patch]);
  }

  /** Takes a part away, all of its replicas, and waits until they are gone. */
  async stop(part: Part): Promise<void> {
    await this.cluster.demand(['scale', part, '-n', SYSTEM, '--replicas=0']);
    const component = `app.kubernetes.io/component=${part.slice(part.indexOf('-') + 1)}`;
    await this.cluster.demand(['wait', '--for=delete', 'pod', '-n', SYSTEM, '-l', component, '--timeout=90s']);
  }

  /** Brings it back, and waits until it is ready. */
  async start(part: Part): Promise<void> {
    await this.cluster.demand(['scale', part, '-n', SYSTEM, `--replicas=${part === 'deployment/chaperone-operator' ? 2 : 1}`]);
    await this.cluster.demand(['rollout', 'status', part, '-n', SYSTEM, '--timeout=180s']);
  }
}
