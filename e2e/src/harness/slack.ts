import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, testAuthority } from '@chaperone/testing';
import {
  aSlackUser,
  CHANNEL,
  type Message,
  type OpenView,
  SIGNING_SECRET,
  TEAM,
} from '../../../operator/src/notify/fake-slack.test-support.ts';
import { type Cluster, ROOT } from './cluster.ts';
import { type Installation, SYSTEM } from './installation.ts';
import { AGENTS, OUTSIDE } from './shop.ts';
import type { Press, SlackPodConfig, Submission, Told } from './slack-pod.ts';

/** Full members of the workspace; Jane alone is in its user group of the cluster's group dba. */
export const [JANE, EVE, GUEST] = ['U0JANE', 'U0EVE', 'U0GUEST'] as const;
const USERGROUP = 'S0DBA';
const SECRETS = { token: 'xoxb-of-the-tests', signingSecret: SIGNING_SECRET } as const;
const NAMES = ['slack.com', 'hooks.slack.com'];
const AUTHORITY = 'slack-ca';
/** Both sources, laid out as here. */
const PROGRAM = 'e2e/src/harness/slack-pod.ts';
const SOURCES = [PROGRAM, 'operator/src/notify/fake-slack.test-support.ts'];
const LABELS = { app: 'slack' };
const OPERATOR = ['deployment/chaperone-operator'] as const;
const POD = `/api/v1/namespaces/${OUTSIDE}/pods/slack:8080/proxy`;

/** The chart's `notify.slack`, as docs/guides/notifications.md has it. */
const VALUES = [
  `operator.extraCaCerts.name=${AUTHORITY}`,
  `notify.slack.channel=${CHANNEL}`,
  `notify.slack.team=${TEAM}`,
  'notify.slack.tokenSecretRef.name=chaperone-slack',
  'notify.slack.signingSecretRef.name=chaperone-slack',
  'notify.slack.consoleUrl=https://chaperone.test',
  `notify.slack.groups.dba=${USERGROUP}`,
];

/**
 * A pod that is Slack for the operator: under Slack's names, with certificates of an authority that the operator is given, by the wire that
 * Slack documents. Only the names' addresses are not what an installation would have.
 */
export class SlackPod {
  readonly #cluster: Cluster;
  readonly #installation: Installation;

  constructor(installation: Installation) {
    this.#installation = installation;
    this.#cluster = installation.cluster;
  }

  /** Starts it and has the operator use it. The shop is open. */
  async start(): Promise<void> {
    const authority = await testAuthority('Slack CA');
    const { certificate: cert, key } = await authority.issue(NAMES);
    const ca = ['get', 'configmap', 'chaperone-ca', '-n', AGENTS, '-o', 'jsonpath={.data.ca\\.crt}'];
    const config: SlackPodConfig = {
      ...SECRETS,
      tls: { cert, key },
      users: {
        [JANE]: aSlackUser(JANE, 'jane@corp'),
        [EVE]: aSlackUser(EVE, 'eve@corp'),
        [GUEST]: aSlackUser(GUEST, 'guest@corp', { is_restricted: true }),
      },
      usergroups: { [USERGROUP]: [JANE, GUEST] },
      requestUrl: `https://chaperone-slack.${SYSTEM}.svc/slack/actions`,
      ca: await this.#cluster.demand(ca),
    };
    await this.#cluster.apply({ apiVersion: 'v1', kind: 'List', items: this.#objects(config) });
    await this.#cluster.apply({
      apiVersion: 'v1',
      kind: 'List',
      items: [
        { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'chaperone-slack', namespace: SYSTEM }, stringData: SECRETS },
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: AUTHORITY, namespace: SYSTEM },
          data: { 'ca.crt': authority.ca },
        },
      ],
    });
    await this.#cluster.demand(['wait', '--for=condition=Ready', 'pod/slack', '-n', OUTSIDE, '--timeout=60s']);
    await this.#installation.resolve(OPERATOR, { service: 'slack', namespace: OUTSIDE, names: NAMES });
    await this.#installation.upgrade({ values: VALUES });
  }

  /** Brings the operator back to what other files install. */
  async stop(): Promise<void> {
    await this.#installation.resolve(OPERATOR);
    await this.#installation.upgrade();
    await this.#cluster.demand([
      'delete',
      'secret/chaperone-slack',
      `configmap/${AUTHORITY}`,
      '-n',
      SYSTEM,
      '--ignore-not-found',
    ]);
  }

  async told(): Promise<Told> {
    return JSON.parse(await this.#cluster.demand(['get', '--raw', `${POD}/told`])) as Told;
  }

  /** The message that names the request, once there is one that `is` as wanted. */
  async message(request: string, is: (message: Message) => boolean = () => true): Promise<Message> {
    const find = async (): Promise<Message | undefined> =>
      (await this.told()).messages.find((message) => JSON.stringify(message.blocks).includes(request) && is(message));
    return await eventually(`a message about ${request}`, find);
  }

  /** Presses a button as Slack would say it. @returns The status of each answer. */
  async press(press: Press): Promise<readonly number[]> {
    return JSON.parse(await this.#cluster.demand(['create', '--raw', `${POD}/press`, '-f', '-'], press)) as number[];
  }

  /** Sends a window as Slack would. @returns The status of each answer. */
  async submit(submission: Submission): Promise<readonly number[]> {
    return JSON.parse(await this.#cluster.demand(['create', '--raw', `${POD}/submit`, '-f', '-'], submission)) as number[];
  }

  /** The window about the request, once one was opened for this person. */
  async view(request: string, user: string): Promise<OpenView> {
    const find = async (): Promise<OpenView | undefined> =>
      (await this.told()).views.find((open) => open.user === user && JSON.stringify(open.view).includes(request));
    return await eventually(`a window about ${request}`, find);
  }

  /** What somebody who pressed is told, once they are told `text`. */
  async whisper(text: string): Promise<true> {
    const heard = async (): Promise<boolean> => (await this.told()).whispers.some((whisper) => whisper.text.includes(text));
    return await eventually(`a word about “${text}”`, async () => ((await heard()) ? true : undefined));
  }

  #objects(config: SlackPodConfig): object[] {
    const container = {
      name: 'slack',
      image: this.#installation.image('agent'),
      command: ['/usr/local/bin/node', `/srv/${PROGRAM}`],
      securityContext: { runAsUser: 65_534, runAsGroup: 65_534 },
      readinessProbe: { httpGet: { path: '/told', port: 8080 }, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 30 },
      volumeMounts: [
        { name: 'config', mountPath: '/etc/slack' },
        { name: 'sources', mountPath: '/srv' },
      ],
    };
    const volumes = [
      { name: 'config', secret: { secretName: 'slack' } },
      { name: 'sources', configMap: { name: 'slack', items: SOURCES.map((path, index) => ({ key: `${index}.ts`, path })) } },
    ];
    const metadata = { name: 'slack', namespace: OUTSIDE };
    const sources = SOURCES.map((path, index) => [`${index}.ts`, readFileSync(join(ROOT, path), 'utf8')]);
    return [
      { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: Object.fromEntries(sources) },
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
