import { get as getPlain } from 'node:http';
import { get as getSecure } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CaptureMode, CONTAINER_NAMES, containersOf } from './injection/profile.ts';
import { ApiError, KINDS, type Kube, type KubeObject, pathOf } from '@chaperone/kube';

/** Where an installation is tried. */
export interface Tried {
  readonly kube: Kube;
  /** Governed and empty; nothing is left in it. */
  readonly namespace: string;
  /** Who writes the rules of its pods. */
  readonly capture: CaptureMode;
  /** The operator's metrics, and whether the collector is ready. */
  readonly metricsUrl: string;
  readonly collectorUrl: string;
  /** How long what has just been installed may take to answer, ms. */
  readonly patienceMs: number;
}

export interface Finding {
  readonly what: string;
  /** Why it is not so; absent: it is. */
  readonly why?: string;
}

const PAUSE_MS = 1_000;
const ANSWER_MS = 5_000;
const MAX_BYTES = 4 * 1024 * 1024;

const pod = (container: object): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'tried' },
  spec: {
    automountServiceAccountToken: false,
    containers: [{ name: 'agent', image: 'tried.invalid/agent', securityContext: { runAsUser: 1000 }, ...container }],
  },
});

/** Asks the API server and the parts what the first pod, Prometheus and an auditor would ask; makes nothing. Never throws. */
export async function tryInstallation({
  kube,
  namespace,
  capture,
  metricsUrl,
  collectorUrl,
  patienceMs,
}: Tried): Promise<Finding[]> {
  const until = performance.now() + patienceMs;
  const create = (container: object): Promise<KubeObject> =>
    kube.request({ method: 'POST', path: pathOf(KINDS.pods, { namespace }), query: { dryRun: 'All' }, body: pod(container) });
  const authority = async (): Promise<string> => {
    const { data } = await kube.request<{ data?: Record<string, string> }>({
      path: pathOf(KINDS.configMaps, { namespace, name: 'chaperone-ca' }),
    });
    return data?.['ca.crt'] ?? '';
  };
  const checks: readonly (readonly [string, () => Promise<string | undefined>])[] = [
    ['a pod of a governed namespace gets its sidecar', async () => missing(capture, await create({}))],
    [
      'a pod that could undo capture is refused',
      () => refusal(() => create({ securityContext: { capabilities: { add: ['NET_ADMIN'] } } })),
    ],
    [
      'the operator has metrics',
      async () => ((await text(metricsUrl)).includes('\nchaperone_') ? undefined : `${metricsUrl} has none of Chaperone`),
    ],
    ['the collector is ready', async () => void (await text(collectorUrl, await authority()))],
  ];
  const findings: Finding[] = [];
  for (const [what, check] of checks) {
    const why = await untilIt(check, until);
    findings.push(why === undefined ? { what } : { what, why });
  }
  return findings;
}

/** Asks again until nothing is wrong or the time is over; at least once. */
async function untilIt(check: () => Promise<string | undefined>, until: number): Promise<string | undefined> {
  for (;;) {
    const why = await check().catch(said);
    if (why === undefined || performance.now() > until) return why;
    await sleep(PAUSE_MS);
  }
}

function said(error: unknown): string {
  return error instanceof Error && error.message !== '' ? error.message : 'no answer';
}

function missing(capture: CaptureMode, made: KubeObject): string | undefined {
  const { initContainers = [] } = (made['spec'] ?? {}) as { readonly initContainers?: readonly { readonly name: string }[] };
  const injected = containersOf(
    capture,
    CONTAINER_NAMES.map((name) => ({ name })),
  );
  const absent = injected.map(({ name }) => name).filter((name) => !initContainers.some((each) => each.name === name));
  return absent.length === 0 ? undefined : `the API server would start it without ${absent.join(', ')}`;
}

async function refusal(create: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await create();
    return 'the API server would start it';
  } catch (error) {
    // Ours end with a code; that somebody else refuses it, or nobody answers, shows nothing.
    if (error instanceof ApiError && /\[[A-Z][A-Za-z]+\]/.test(error.message)) return undefined;
    return said(error);
  }
}

/** What stands there. @param ca - PEM that must have signed for it; absent: it is asked in the clear */
function text(url: string, ca?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const request = ca === undefined ? getPlain(url, { signal }) : getSecure(url, { signal, ca, agent: false });
    request
      .on('error', () => reject(new Error(`${url} does not answer`)))
      .on('response', (response) => {
        let body = '';
        response.setEncoding('utf8').on('error', reject);
        response.on('data', (piece: string) => {
          body += piece;
          if (body.length > MAX_BYTES) request.destroy();
        });
        response.on('end', () =>
          response.statusCode === 200
            ? resolve(body)
            : reject(new Error(`${url} says ${response.statusCode}: ${body.slice(0, 200).trim()}`)),
        );
      });
  });
}
