import type { Trust } from '@chaperone/evidence';
import { z } from 'zod';
import { CliError, EXIT } from '../errors.ts';
import { type ApiServer, ApiStatusError, isStatus } from './api-server.ts';

const DEFAULT_NAMESPACE = 'chaperone-system';
const SERVICE = 'chaperone-collector';
const COMPONENT = 'app.kubernetes.io/name=chaperone,app.kubernetes.io/component=collector';
const DEFAULT_PORT = 8443;
/** Far more pods than an installation has collectors. */
const MAX_PODS = 20;

const ServiceList = z.object({ items: z.array(z.object({ metadata: z.object({ namespace: z.string() }) })) });
const ConfigMap = z.object({ data: z.record(z.string(), z.string()).default({}) });
const EnrolmentKeys = z.array(z.base64url().length(43)).min(1);
const Pod = z.object({
  metadata: z.object({ name: z.string(), deletionTimestamp: z.string().optional() }),
  spec: z.object({
    containers: z.array(
      z.object({ ports: z.array(z.object({ name: z.string().optional(), containerPort: z.int() })).default([]) }),
    ),
  }),
  status: z.object({
    conditions: z.array(z.object({ type: z.string(), status: z.string(), reason: z.string().optional() })).default([]),
    containerStatuses: z
      .array(z.object({ state: z.object({ waiting: z.object({ reason: z.string().optional() }).optional() }).optional() }))
      .default([]),
  }),
});
type Pod = z.infer<typeof Pod>;
const PodList = z.object({ items: z.array(Pod) });

/** A ready pod of the collector and the port on which it speaks HTTPS. */
export interface CollectorPod {
  readonly name: string;
  readonly port: number;
}

/**
 * The namespace where the chart is installed: `chosen`, else the one that has its collector's Service, else, where Services of all
 * namespaces may not be listed, chaperone-system. Throws CliError NotInstalled, Usage, ClusterUnreachable.
 */
export async function findInstallation(api: ApiServer, chosen: string | undefined): Promise<string> {
  const [, namespaces] = await Promise.all([demandCrds(api), chosen === undefined ? serviceNamespaces(api) : [chosen]]);
  const [namespace, ...more] = namespaces;
  if (namespace === undefined)
    throw new CliError('NotInstalled', `context ${api.access.context} has no Service ${SERVICE} of Chaperone's chart`);
  if (more.length > 0)
    throw new CliError('Usage', `Chaperone is in several namespaces: ${namespaces.slice(0, 8).join(', ')}`, {
      exit: EXIT.usage,
      fix: ['--chaperone-namespace NAMESPACE'],
    });
  return namespace;
}

async function demandCrds(api: ApiServer): Promise<void> {
  try {
    await api.request(z.object({}), { path: '/apis/chaperone.dev/v1alpha1' });
  } catch (error) {
    if (isStatus(error, 404)) throw notInstalled(api, error);
    // Where somebody closed discovery, what is asked next tells.
    if (!isStatus(error, 403)) throw asUnexpected(api, error);
  }
}

export function notInstalled(api: ApiServer, cause?: unknown): CliError {
  return new CliError('NotInstalled', `context ${api.access.context} has no Chaperone (CRDs missing)`, { cause });
}

async function serviceNamespaces(api: ApiServer): Promise<string[]> {
  const query = { labelSelector: 'app.kubernetes.io/name=chaperone', fieldSelector: `metadata.name=${SERVICE}` };
  try {
    const { items } = await api.request(ServiceList, { path: '/api/v1/services', query });
    return items.map((each) => each.metadata.namespace).toSorted();
  } catch (error) {
    if (isStatus(error, 403)) return [DEFAULT_NAMESPACE];
    throw asUnexpected(api, error);
  }
}

/** Pods of the collector that are ready, oldest name first. Throws CliError CollectorUnreachable, NotPermitted, ClusterUnreachable. */
export async function readyPods(api: ApiServer, namespace: string): Promise<CollectorPod[]> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
  const query = { labelSelector: COMPONENT, limit: String(MAX_PODS) };
  const { items } = await api.request(PodList, { path, query }).catch((error: unknown) => {
    throw isStatus(error, 403)
      ? notPermitted(api, namespace, `may not list pods of namespace ${namespace}`, error)
      : asUnexpected(api, error);
  });
  const ready = items.filter(isReady);
  if (ready.length === 0) throw noneReady(namespace, items);
  return ready.map((pod) => ({ name: pod.metadata.name, port: httpsPort(pod) })).toSorted((a, b) => a.name.localeCompare(b.name));
}

function isReady(pod: Pod): boolean {
  const ready = pod.status.conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
  return ready && pod.metadata.deletionTimestamp === undefined;
}

function httpsPort(pod: Pod): number {
  const ports = pod.spec.containers.flatMap((container) => container.ports);
  return ports.find(({ name }) => name === 'https')?.containerPort ?? DEFAULT_PORT;
}

function noneReady(namespace: string, pods: readonly Pod[]): CliError {
  const waiting = pods.flatMap((pod) => pod.status.containerStatuses.map((each) => each.state?.waiting?.reason));
  const conditions = pods.flatMap((pod) =>
    pod.status.conditions.filter(({ type }) => type === 'Ready').map(({ reason }) => reason),
  );
  const why = [...waiting, ...conditions].find((reason) => reason !== undefined);
  return new CliError(
    'CollectorUnreachable',
    `0 of ${pods.length} collector pods in ${namespace} are ready${why === undefined ? '' : ` (${why})`}`,
    {
      exit: EXIT.unreachable,
      fix: [
        `kubectl -n ${namespace} describe pods -l app.kubernetes.io/component=collector`,
        `kubectl -n ${namespace} logs statefulset/chaperone-collector`,
      ],
    },
  );
}

/** The CA that vouches for the collector: ConfigMap chaperone-ca, PEM. */
export async function readCa(api: ApiServer, namespace: string): Promise<string> {
  const ca = (await readConfigMap(api, namespace, 'chaperone-ca'))['ca.crt'];
  if (ca === undefined || ca === '') throw unpublished(namespace, 'chaperone-ca');
  return ca;
}

/** Whom to trust for what the collector holds: ConfigMap chaperone-trust, written by the operator, out of the collector's reach. */
export async function readTrust(api: ApiServer, namespace: string): Promise<Trust> {
  const { origin = '', enrolmentKeys = '' } = await readConfigMap(api, namespace, 'chaperone-trust');
  const keys = EnrolmentKeys.safeParse(parseJson(enrolmentKeys));
  if (origin === '' || !keys.success) throw unpublished(namespace, 'chaperone-trust');
  return { origin, enrolmentKeys: keys.data };
}

async function readConfigMap(api: ApiServer, namespace: string, name: string): Promise<Record<string, string>> {
  try {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps/${name}`;
    return (await api.request(ConfigMap, { path })).data;
  } catch (error) {
    if (isStatus(error, 404)) throw unpublished(namespace, name, error);
    if (isStatus(error, 403))
      throw notPermitted(api, namespace, `may not read ConfigMap ${name} of namespace ${namespace}`, error);
    throw asUnexpected(api, error);
  }
}

function unpublished(namespace: string, name: string, cause?: unknown): CliError {
  return new CliError(
    'CollectorUnreachable',
    `ConfigMap ${name} of ${namespace} is not there or not whole; the operator writes it`,
    {
      cause,
      exit: EXIT.unreachable,
      fix: [
        `kubectl -n ${namespace} logs deployment/chaperone-operator`,
        'or say where the chart is: --chaperone-namespace NAMESPACE',
      ],
    },
  );
}

/** "jane may not …"; whoever installed Chaperone can bind the role that the chart has for this. */
export function notPermitted(api: ApiServer, namespace: string, what: string, cause?: unknown): CliError {
  return new CliError('NotPermitted', `${api.access.who} ${what}`, {
    cause,
    exit: EXIT.notPermitted,
    fix: [
      `an admin runs: kubectl create rolebinding NAME --role chaperone-collector-access --user YOU -n ${namespace}`,
      'or say where the chart is: --chaperone-namespace NAMESPACE',
    ],
  });
}

/** A no of the API server that nothing here expects, as an error for people. */
export function asUnexpected(api: ApiServer, error: unknown): unknown {
  return error instanceof ApiStatusError ? api.unreachable(`${error.status} ${error.message}`, error) : error;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
