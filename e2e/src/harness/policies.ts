import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  buildProfile,
  type Container,
  type InjectionConfig,
  injectPod,
  type Pod,
  type PodSpec,
} from '@chaperone/operator/internal';
import { eventually } from '@chaperone/testing';
import { Cluster, GOVERNED, ROOT } from './cluster.ts';

export const bot: Container = { name: 'bot', image: 'bot:1', securityContext: { runAsUser: 1000 } };

/** The admission policies of the chart in a cluster, without operator and webhook, and pods to hold against them. */
export class PolicyFixture {
  readonly config: InjectionConfig = {
    image: 'chaperone.test/sidecar:1',
    imagePullPolicy: 'IfNotPresent',
    uid: 24_601,
    operatorAddress: 'chaperone-operator.chaperone-system.svc:8443',
    operatorCa: '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n',
    forbiddenRanges: ['10.96.0.10'],
    ranges: { ipv4: '240.240.0.0/16', ipv6: '2001:2::/48' },
    resources: { cpuRequest: '10m', memoryRequest: '64Mi', memoryLimit: '256Mi' },
    logLevel: 'info',
    readinessProbe: true,
  };
  readonly #namespace: string;
  #cluster: Cluster | undefined;
  #policies = '';

  constructor(namespace: string) {
    this.#namespace = namespace;
  }

  /** A namespace that is not governed: what is refused in the other one alone is refused by us. */
  get free(): string {
    return `${this.#namespace}-free`;
  }

  aPod(spec: Partial<PodSpec> = {}, annotations: Record<string, string> = {}): Pod {
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'bot', namespace: this.#namespace, labels: { app: 'bot' }, annotations },
      spec: { containers: [bot], ...spec },
    };
  }

  injected(spec: Partial<PodSpec> = {}, annotations: Record<string, string> = {}): Pod {
    return injectPod({ pod: this.aPod(spec, annotations), config: this.config });
  }

  /** Leaves a governed namespace, the CRDs and the policies, and no profile. */
  async install(): Promise<Cluster> {
    const cluster = await Cluster.start();
    this.#cluster = cluster;
    const chart = join(ROOT, 'helm');
    const files = readdirSync(join(chart, 'templates/admission')).filter(
      (name) => name.endsWith('.yaml') && name !== 'webhook.yaml',
    );
    const shown = files.flatMap((name) => ['-s', `templates/admission/${name}`]);
    this.#policies = await cluster.helm(['template', 'chaperone', chart, '-n', 'chaperone-system', ...shown]);
    // An operator that runs would put its own profile back.
    await cluster.helm(['uninstall', 'chaperone', '-n', 'chaperone-system', '--ignore-not-found', '--wait', '--timeout', '90s']);
    await cluster.demand(['delete', 'mutatingwebhookconfiguration', 'chaperone', '--ignore-not-found']);
    for (const name of readdirSync(join(ROOT, 'crds'))) await cluster.apply(readFileSync(join(ROOT, 'crds', name), 'utf8'));
    const kinds = ['injectionprofiles', 'evidencelogins', 'accessrequests', 'approvaldecisions'].map(
      (kind) => `crd/${kind}.chaperone.dev`,
    );
    await cluster.demand(['wait', '--for=condition=Established', ...kinds, '--timeout=30s']);
    await cluster.demand(['delete', 'injectionprofiles', '--all']);
    await cluster.apply(this.#policies);
    await Promise.all([cluster.namespace(this.#namespace, GOVERNED), cluster.namespace(this.free)]);
    for (const namespace of [this.#namespace, this.free])
      await cluster.demand(['wait', '--for=create', 'serviceaccount/default', '-n', namespace, '--timeout=30s']);
    return cluster;
  }

  /** Writes the profile, and waits until admission has it. */
  async applyProfile(): Promise<void> {
    const cluster = this.#cluster;
    if (cluster === undefined) throw new Error('install() comes first');
    await cluster.apply(buildProfile(this.config));
    const pod = this.injected();
    const probe = { ...pod, metadata: { ...pod.metadata, name: 'probe' } };
    const accepted = async (): Promise<true | undefined> => ((await cluster.dryRun(probe)).status === 0 ? true : undefined);
    await eventually('an injected pod to be accepted', accepted);
  }

  async remove(): Promise<void> {
    await this.#cluster?.demand(['delete', '--ignore-not-found', '-f', '-'], this.#policies);
    await this.#cluster?.demand(['delete', 'injectionprofiles', '--all']);
    await this.#cluster?.demand(['delete', 'namespace', this.#namespace, this.free, '--ignore-not-found', '--wait=false']);
  }
}
