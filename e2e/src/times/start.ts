/**
 * `node e2e/src/times/start.ts`: on a real cluster, what injection adds to the start of an agent's container, by each mode of capture, paired with
 * the same pod where nothing is injected. Prints a table. ROUNDS may be given in the environment.
 */
import { loadavg } from 'node:os';
import { eventually } from '@chaperone/testing';
import { GOVERNED, RESTRICTED } from '../harness/cluster.ts';
import { Installation } from '../harness/installation.ts';
import { percentile } from './report.ts';

const ROUNDS = Number(process.env['ROUNDS'] || 12);
/** Namespaces by what is done to their pods. */
const NAMESPACES = {
  'not injected': 'start-plain',
  'capture by the pod': 'start-pod',
  'capture by the node': 'start-node',
} as const;
type Kind = keyof typeof NAMESPACES;
const KINDS = Object.keys(NAMESPACES) as Kind[];

const say = (text: string): void => void process.stdout.write(`${text}\n`);

const installation = await Installation.create();
const { cluster } = installation;
await Promise.all([
  cluster.namespace(NAMESPACES['not injected']),
  cluster.namespace(NAMESPACES['capture by the pod'], GOVERNED, { 'chaperone.dev/capture': 'pod' }),
  cluster.namespace(NAMESPACES['capture by the node'], RESTRICTED, { 'chaperone.dev/capture': 'node' }),
]);
for (const kind of KINDS.slice(1))
  await cluster.demand(['wait', '--for=create', 'configmap/chaperone-ca', '-n', NAMESPACES[kind], '--timeout=30s']);

/** A pod whose container says when it began, by the clock of the node, which is this machine's. */
const pod = (kind: Kind): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'timed', namespace: NAMESPACES[kind] },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'bot',
        image: installation.image('agent'),
        command: ['sh', '-c', 'date +%s%3N; exec sleep 600'],
        securityContext: {
          runAsUser: 1000,
          runAsNonRoot: true,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
          seccompProfile: { type: 'RuntimeDefault' },
        },
      },
    ],
  },
});

/** From the request to create such a pod until its container runs, ms. */
async function start(kind: Kind): Promise<number> {
  const namespace = NAMESPACES[kind];
  const from = Date.now();
  await cluster.demand(['create', '-f', '-'], pod(kind));
  const said = async (): Promise<number | undefined> => {
    const { stdout } = await cluster.kubectl(['logs', 'timed', '-n', namespace, '-c', 'bot']);
    return /^\d{13}$/m.test(stdout) ? Number(stdout) : undefined;
  };
  const began = await eventually(`the pod of ${namespace}`, said, 120_000);
  await cluster.demand(['delete', 'pod', 'timed', '-n', namespace, '--grace-period=1', '--timeout=60s']);
  return began - from;
}

const times = new Map<Kind, number[]>(KINDS.map((kind) => [kind, []]));
const loads: number[] = [];
// The first of each kind looks for images and compiles code.
for (const kind of KINDS) await start(kind);
for (let round = 0; round < ROUNDS; round++) {
  for (const [at] of KINDS.entries()) {
    const kind = KINDS[(at + round) % KINDS.length] ?? 'not injected';
    times.get(kind)?.push(await start(kind));
  }
  loads.push(loadavg()[0] ?? Number.NaN);
}
await cluster.demand(['delete', 'namespace', ...Object.values(NAMESPACES), '--wait=false']);

const plain = times.get('not injected') ?? [];
const shown = (values: readonly number[]): string =>
  [0.5, 0, 1].map((share) => (percentile(values, share) / 1000).toFixed(2)).join(' / ');
say(
  `${ROUNDS} rounds, load ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}; seconds: median / least / greatest`,
);
say('| pod | start | more than not injected, in the same round |\n|---|---|---|');
for (const [kind, values] of times)
  say(
    `| ${kind} | ${shown(values)} | ${kind === 'not injected' ? '–' : shown(values.map((each, at) => each - (plain[at] ?? 0)))} |`,
  );
