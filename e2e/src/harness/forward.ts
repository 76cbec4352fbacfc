import { createInterface } from 'node:readline';
import type { Cluster } from './cluster.ts';
import { SYSTEM } from './installation.ts';

const FORWARDED = /^Forwarding from 127\.0\.0\.1:(\d+)/;

/** A port of this host that leads into the cluster, by kubectl port-forward: from the pod's own node, so that no NetworkPolicy stops it. */
export interface Forward extends Disposable {
  readonly port: number;
}

export async function forward(cluster: Cluster, namespace: string, target: string, port: number): Promise<Forward> {
  const child = cluster.begin(['port-forward', '-n', namespace, target, `:${port}`]);
  for await (const line of createInterface({ input: child.stdout })) {
    const local = FORWARDED.exec(line)?.[1];
    if (local !== undefined) return { port: Number(local), [Symbol.dispose]: () => void child.kill() };
  }
  throw new Error(`nothing is forwarded to ${target}`);
}

/** The operator's pod behind a Service of its own that has no selector: the one that leads. */
export async function leaderBehind(cluster: Cluster, service: string): Promise<string> {
  const of = ['get', 'endpointslices', '-n', SYSTEM, '-l', `kubernetes.io/service-name=${service}`, '-o', 'json'];
  const { items } = JSON.parse(await cluster.demand(of)) as {
    items: { endpoints: { addresses: string[]; targetRef?: { name: string } }[] }[];
  };
  const [endpoint] = items.flatMap(({ endpoints }) => endpoints);
  if (endpoint?.targetRef !== undefined) return endpoint.targetRef.name;
  const named = `jsonpath={.items[?(@.status.podIP=="${endpoint?.addresses[0] ?? ''}")].metadata.name}`;
  return await cluster.demand(['get', 'pods', '-n', SYSTEM, '-o', named]);
}
