import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, isNotFound, KINDS, type Kube, type KubeObject, pathOf } from '@chaperone/kube';
import { MANAGED_BY, NETWORK_POLICY } from './networks/policy.ts';

/** What is taken away before the chart goes, so that pods start again in what was governed. */
export interface Removal {
  readonly kube: Kube;
  /** Where the chart is. */
  readonly system: string;
  /** How long the operator's pods may take to end, and admission to notice, ms. */
  readonly patienceMs: number;
  readonly onStep: (line: string) => void;
}

const OPERATOR = 'chaperone-operator';
const PAUSE_MS = 500;
interface List {
  readonly items: readonly KubeObject[];
}

/**
 * Tells the operator to stop, so that nothing is written anew, takes webhook and bindings of admission away, and last the
 * NetworkPolicies of governed namespaces, which admission kept. May be repeated: what is gone already is fine.
 * @throws ApiError, or an Error in words where something does not go in time
 */
export async function removeGovernance({ kube, system, patienceMs, onStep }: Removal): Promise<void> {
  const until = performance.now() + patienceMs;
  const scale = `/apis/apps/v1/namespaces/${encodeURIComponent(system)}/deployments/${OPERATOR}/scale`;
  const patch = { method: 'PATCH', contentType: 'application/merge-patch+json', body: { spec: { replicas: 0 } } } as const;
  await orGone(kube.request({ ...patch, path: scale }));
  onStep('the operator was told to stop');

  await orGone(kube.request({ method: 'DELETE', path: pathOf(KINDS.mutatingWebhooks, { name: 'chaperone' }) }));
  const bindings = await listed(kube, pathOf(KINDS.admissionPolicyBindings), {
    labelSelector: 'app.kubernetes.io/name=chaperone',
  });
  for (const { metadata } of bindings)
    await orGone(kube.request({ method: 'DELETE', path: pathOf(KINDS.admissionPolicyBindings, { name: metadata.name }) }));
  onStep(`the webhook and ${bindings.length} bindings of admission policies are gone`);

  const pods = { labelSelector: 'app.kubernetes.io/name=chaperone,app.kubernetes.io/component=operator' };
  const path = pathOf(KINDS.pods, { namespace: system });
  await eventually(until, 'pods of the operator are still there', async () => (await listed(kube, path, pods)).length === 0);
  let removed = 0;
  await eventually(until, `NetworkPolicies ${NETWORK_POLICY} are still there`, async () => {
    const left = await networkPolicies(kube);
    for (const { metadata } of left) removed += await removeOne(kube, metadata.namespace);
    return left.length === 0;
  });
  onStep(`${removed} NetworkPolicies of governed namespaces are gone`);
}

function networkPolicies(kube: Kube): Promise<readonly KubeObject[]> {
  const labelSelector = Object.entries(MANAGED_BY).flat().join('=');
  const query = { labelSelector, fieldSelector: `metadata.name=${NETWORK_POLICY}` };
  return listed(kube, pathOf(KINDS.networkPolicies), query);
}

/** @returns 0 where admission, which has not noticed yet that its binding is gone, refuses it: it is asked again. */
async function removeOne(kube: Kube, namespace: string | undefined): Promise<number> {
  try {
    await orGone(kube.request({ method: 'DELETE', path: pathOf(KINDS.networkPolicies, { namespace, name: NETWORK_POLICY }) }));
    return 1;
  } catch (error) {
    if (error instanceof ApiError && error.message.includes('[WaysOutReserved]')) return 0;
    throw error;
  }
}

async function listed(kube: Kube, path: string, query: Readonly<Record<string, string>>): Promise<readonly KubeObject[]> {
  return (await kube.request<List & KubeObject>({ path, query })).items;
}

async function orGone(asked: Promise<unknown>): Promise<void> {
  try {
    await asked;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

async function eventually(until: number, otherwise: string, isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) {
    if (performance.now() > until) throw new Error(otherwise);
    await sleep(PAUSE_MS);
  }
}
