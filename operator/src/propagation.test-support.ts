import { createInterface } from 'node:readline';
import { generateSigner } from '@chaperone/evidence';
import { KINDS, type KubeObject, pathOf } from '@chaperone/kube';
import { EnrolResponse, type Snapshot, StreamLine } from '@chaperone/policy';
import { eventually } from '@chaperone/testing';
import type { InjectionProfile } from '@chaperone/api';
import { operatorCaOf } from './injection/profile.ts';
import { AGENTS, answerTo, enrolment, send } from './operator.test-support.ts';
import { RealCluster, type Replica } from './real-cluster.test-support.ts';

const RESOURCE = { namespace: 'data', name: 'orders-db' };
const POLICY = { namespace: AGENTS, name: 'support' };

/** The stream of a sidecar that takes each snapshot into force at once and acknowledges it. */
export async function follow(
  leader: Replica,
  token: string,
  { ca, onSnapshot }: { readonly ca: string; readonly onSnapshot?: (snapshot: Snapshot) => void },
): Promise<void> {
  const to = { server: leader.operator.servers.sidecars, ca, token };
  const body = enrolment(token, generateSigner());
  await eventually('an enrolment', async () => {
    const { status, body: said } = await answerTo({ ...to, method: 'POST', path: '/v1/enrol', body });
    return status === 200 ? EnrolResponse.parse(said) : undefined;
  });
  const response = await send({ ...to, method: 'GET', path: '/v1/stream' });
  createInterface({ input: response }).on('line', (text) => {
    const line = StreamLine.parse(JSON.parse(text));
    if (line.type !== 'snapshot') return;
    onSnapshot?.(line.snapshot);
    const acknowledged = { revision: line.snapshot.revision };
    answerTo({ ...to, method: 'POST', path: '/v1/ack', body: acknowledged }).catch(() => undefined);
  });
}

interface Status {
  readonly metadata: { readonly generation: number };
  readonly status?: { readonly observedGeneration?: number; readonly programmed?: string };
}

/**
 * `node propagation.test-support.ts SIDECARS CHANGES`: how long after a policy was written its status says that every sidecar runs it,
 * in ms: median, 99th percentile and the most, a line of JSON.
 */
if (import.meta.main) {
  const [sidecars = 50, changes = 200] = process.argv.slice(2).map(Number);
  await using cluster = await RealCluster.start();
  const leader = await cluster.startReplica('one');
  await cluster.admits();
  const spec = {
    protocol: 'tcp',
    hosts: ['orders.data.svc'],
    port: 5432,
    upstream: { address: 'orders.data.svc:5432', tls: { mode: 'verify-full' } },
    grantedTo: [{ namespace: AGENTS }],
  };
  await cluster.create(KINDS.protectedResources, { metadata: RESOURCE, spec });
  const rules = [{ name: 'use', effect: 'Allow', resource: RESOURCE }];
  const agents = { serviceAccounts: ['support'] };
  await cluster.create(KINDS.accessPolicies, { metadata: POLICY, spec: { agents, rules } });
  const profile = await cluster.kube.request({ path: pathOf(KINDS.injectionProfiles, { name: 'default' }) });
  const ca = operatorCaOf(profile.spec as InjectionProfile['spec']) ?? '';
  for (let at = 0; at < sidecars; at++) {
    const pod: KubeObject = await cluster.createPod(`bot-${at}`);
    await follow(leader, cluster.tokenOf(pod), { ca });
  }
  const path = pathOf(KINDS.accessPolicies, POLICY);
  const isProgrammed = ({ metadata, status }: Status): boolean =>
    status?.observedGeneration === metadata.generation && status.programmed === `${sidecars}/${sidecars}`;
  await eventually(
    'all to run it',
    async () => (isProgrammed(await cluster.kube.request<Status>({ path })) ? true : undefined),
    60_000,
  );

  const took: number[] = [];
  for (let change = 0; change < changes; change++) {
    const stopped = new AbortController();
    const seen = Promise.withResolvers<void>();
    const query = { fieldSelector: `metadata.name=${POLICY.name}` };
    const body = { spec: { limits: { bytes: `${change + 1}Mi` } } };
    const contentType = 'application/merge-patch+json';
    const began = performance.now();
    const { metadata } = await cluster.kube.request<Status & KubeObject>({ method: 'PATCH', path, contentType, body });
    const resourceVersion = metadata.resourceVersion;
    void (async () => {
      const watch = { path: pathOf(KINDS.accessPolicies, { namespace: AGENTS }), query: { ...query, resourceVersion } };
      for await (const { object } of cluster.kube.watch({ ...watch, signal: stopped.signal, idleMs: 60_000 }))
        if (isProgrammed(object as KubeObject & Status)) return seen.resolve();
    })().catch(seen.reject);
    await seen.promise;
    took.push(performance.now() - began);
    stopped.abort();
  }
  const sorted = took.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  process.stdout.write(`${JSON.stringify({ sidecars, changes, medianMs: at(0.5), p99Ms: at(0.99), mostMs: at(1) })}\n`);
}
