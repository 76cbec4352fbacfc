import { KINDS } from '@chaperone/kube';
import { type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MANAGED_BY, NETWORK_POLICY } from './networks/policy.ts';
import { removeGovernance } from './removal.ts';

/** What comes in between; that it takes what it should is tried by `e2e/src/chart.e2e.ts`. */
const SYSTEM = 'chaperone-system';
let api: FakeApiServer;
let steps: string[];
const remove = (patienceMs = 10_000): Promise<void> =>
  removeGovernance({ kube: api.kube, system: SYSTEM, patienceMs, onStep: (line) => void steps.push(line) });
const did = (): string[] =>
  api.asked.filter(({ method }) => method !== 'GET').map(({ method, url }) => `${method} ${url.pathname}`);

beforeEach(async () => {
  [api, steps] = [await startFakeApiServer(), []];
  api.put(KINDS.mutatingWebhooks, { metadata: { name: 'chaperone' } });
  api.put(KINDS.admissionPolicyBindings, { metadata: { name: 'chaperone-pod-create' } });
  api.put(KINDS.networkPolicies, { metadata: { namespace: 'agents', name: NETWORK_POLICY, labels: MANAGED_BY } });
});
afterEach(() => api.close());

const POLICY = `DELETE /apis/networking.k8s.io/v1/namespaces/agents/networkpolicies/${NETWORK_POLICY}`;

test('the operator is told first, and NetworkPolicies go last, again while admission still keeps them', async () => {
  let refusals = 2;
  api.intercept = ({ method, url }, response) => {
    if (method !== 'DELETE' || !url.pathname.includes('networkpolicies') || refusals-- <= 0) return false;
    response.writeHead(403, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({ kind: 'Status', message: 'it is the operator’s [WaysOutReserved]', reason: 'Forbidden', code: 403 }),
    );
    return true;
  };
  await remove();
  expect(did()).toEqual([
    `PATCH /apis/apps/v1/namespaces/${SYSTEM}/deployments/chaperone-operator/scale`,
    'DELETE /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/chaperone',
    'DELETE /apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/chaperone-pod-create',
    POLICY,
    POLICY,
    POLICY,
  ]);
  expect(steps.at(-1)).toBe('1 NetworkPolicies of governed namespaces are gone');
});

test('while pods of the operator are there, which would write them again, NetworkPolicies stay; admission is gone by then', async () => {
  api.put(KINDS.pods, { metadata: { namespace: SYSTEM, name: 'chaperone-operator-0' } });
  await expect(remove(0)).rejects.toThrow('pods of the operator are still there');
  expect(did()).not.toContain(POLICY);
  expect(api.get(KINDS.mutatingWebhooks, { name: 'chaperone' })).toBeUndefined();
});

test('what may not be removed ends it, in the words of the API server', async () => {
  api.intercept = ({ method }, response) => {
    if (method !== 'DELETE') return false;
    response.writeHead(403, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({ kind: 'Status', message: 'chaperone-removal may not delete it', reason: 'Forbidden', code: 403 }),
    );
    return true;
  };
  await expect(remove()).rejects.toThrow('chaperone-removal may not delete it');
  expect(steps).toEqual(['the operator was told to stop']);
});
