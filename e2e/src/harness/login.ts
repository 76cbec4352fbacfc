import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { PAGE_CLIENT, testAuthority } from '@chaperone/testing';
import { rolldown } from 'rolldown';
import { type Cluster, ROOT } from './cluster.ts';
import { type Installation, SYSTEM } from './installation.ts';
import type { LoginPodConfig } from './login-pod.ts';
import { OUTSIDE } from './shop.ts';

/** Names as people's browsers have them; nothing resolves them but who is told to. */
export const SITES = { login: 'login.test', console: 'console.test', decide: 'decide.test' } as const;
const CONSOLE_CLIENT = 'console';
const AUTHORITY = 'login-ca';
const LABELS = { app: 'login' };
const WORKLOADS = ['deployment/chaperone-operator', 'statefulset/chaperone-collector'] as const;

/** The chart's `collector.console` and `operator.decide`, as docs/guides/cluster.md and approvals.md have them. */
const VALUES = [
  `operator.extraCaCerts.name=${AUTHORITY}`,
  `operator.decide.url=https://${SITES.decide}`,
  `operator.decide.oidc.issuer=https://${SITES.login}`,
  `operator.decide.oidc.clientId=${PAGE_CLIENT}`,
  'operator.decide.oidc.usernameClaim=email',
  `collector.console.origin=https://${SITES.console}`,
  `collector.console.oidc.issuerUrl=https://${SITES.login}`,
  `collector.console.oidc.clientId=${CONSOLE_CLIENT}`,
  `collector.console.oidc.caSecretRef.name=${AUTHORITY}`,
  'collector.console.oidc.usernameClaim=email',
  'collector.console.oidc.groupsClaim=groups',
];

/**
 * A pod that is the organisation's OpenID provider, for the console, for the page that signs, and for people's browsers. It is
 * oidc-provider, under a name and with a certificate of an authority that both are given. Only the name's address is not what an
 * installation would have.
 */
export class LoginPod {
  readonly #cluster: Cluster;
  readonly #installation: Installation;

  constructor(installation: Installation) {
    this.#installation = installation;
    this.#cluster = installation.cluster;
  }

  /** Starts it and has console and signing page use it. The shop is open. */
  async start(groups: LoginPodConfig['groups']): Promise<void> {
    const authority = await testAuthority('Login CA');
    const config: LoginPodConfig = {
      name: SITES.login,
      tls: { ca: authority.ca, certified: await authority.issue([SITES.login]) },
      client: { id: CONSOLE_CLIENT, callback: `https://${SITES.console}/auth/oidc/callback` },
      pages: [`https://${SITES.decide}/decide/callback`],
      groups,
    };
    await this.#cluster.apply({ apiVersion: 'v1', kind: 'List', items: await this.#objects(config) });
    const ca = { 'ca.crt': authority.ca };
    const metadata = { name: AUTHORITY, namespace: SYSTEM };
    await this.#cluster.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: ca });
    await this.#cluster.apply({ apiVersion: 'v1', kind: 'Secret', metadata, stringData: ca });
    await this.#cluster.demand(['wait', '--for=condition=Ready', 'pod/login', '-n', OUTSIDE, '--timeout=90s']);
    await this.#installation.resolve(WORKLOADS, { service: 'login', namespace: OUTSIDE, names: [SITES.login] });
    await this.#installation.upgrade({ values: VALUES });
  }

  /** Brings operator and collector back to what other files install. */
  async stop(): Promise<void> {
    await this.#installation.resolve(WORKLOADS);
    await this.#installation.upgrade();
    await this.#cluster.demand(['delete', `secret/${AUTHORITY}`, `configmap/${AUTHORITY}`, '-n', SYSTEM, '--ignore-not-found']);
  }

  async #objects(config: LoginPodConfig): Promise<object[]> {
    const metadata = { name: 'login', namespace: OUTSIDE };
    const container = {
      name: 'login',
      image: this.#installation.image('agent'),
      command: ['sh', '-c', 'gunzip -c /srv/login.mjs.gz >/tmp/login.mjs && exec node /tmp/login.mjs'],
      securityContext: { runAsUser: 65_534, runAsGroup: 65_534 },
      readinessProbe: { tcpSocket: { port: 8443 }, periodSeconds: 1, failureThreshold: 60 },
      volumeMounts: [
        { name: 'config', mountPath: '/etc/login' },
        { name: 'program', mountPath: '/srv' },
      ],
    };
    const volumes = [
      { name: 'config', secret: { secretName: 'login' } },
      { name: 'program', configMap: { name: 'login' } },
    ];
    return [
      { apiVersion: 'v1', kind: 'ConfigMap', metadata, binaryData: { 'login.mjs.gz': await program() } },
      { apiVersion: 'v1', kind: 'Secret', metadata, stringData: { 'config.json': JSON.stringify(config) } },
      { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: LABELS, ports: [{ port: 443, targetPort: 8443 }] } },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { ...metadata, labels: LABELS },
        spec: { containers: [container], volumes, terminationGracePeriodSeconds: 1 },
      },
    ];
  }
}

/** The provider with all that it needs, in one file that a ConfigMap holds once it is packed. Minified, its templates find no names. */
async function program(): Promise<string> {
  const bundle = await rolldown({
    input: join(ROOT, 'e2e/src/harness/login-pod.ts'),
    platform: 'node',
    // A template engine that nobody's page uses evaluates code.
    onLog: () => undefined,
  });
  const { output } = await bundle.generate({ format: 'esm', codeSplitting: false });
  await bundle.close();
  return gzipSync(output[0].code).toString('base64');
}
