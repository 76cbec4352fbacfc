import { readOutcomes, type Way, waysSource } from '@chaperone/testing';
import { Agent } from './agent.ts';
import { OUTSIDE, type Shop } from './shop.ts';

/** Name servers by DNS and over TLS, HTTPS and QUIC, a proxy for others, and any port. */
export const FAR_PORTS = [53, 443, 853, 3128, 7001] as const;

/**
 * The far end of every way out: a pod where nobody is governed, which answers and keeps what came. `control` is another, with every
 * right: what it cannot do either proves nothing about an agent.
 */
export class Far {
  readonly #shop: Shop;
  readonly control: Agent;
  readonly address: string;

  private constructor(shop: Shop, control: Agent, address: string) {
    this.#shop = shop;
    this.control = control;
    this.address = address;
  }

  /** Starts both. The shop's namespaces are there. */
  static async start(shop: Shop): Promise<Far> {
    const image = shop.installation.image('agent');
    const serve = ['python3', '-u', '-c', waysSource(), 'serve', ...FAR_PORTS.map(String)];
    const rights = { runAsUser: 0, capabilities: { add: ['NET_ADMIN', 'NET_RAW'] }, seccompProfile: { type: 'Unconfined' } };
    const pod = (name: string, container: object): object => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: OUTSIDE, labels: { app: name } },
      spec: { containers: [{ name: 'bot', image, ...container }], terminationGracePeriodSeconds: 1 },
    });
    const ready = { tcpSocket: { port: 7001 }, periodSeconds: 1 };
    await shop.cluster.apply({
      apiVersion: 'v1',
      kind: 'List',
      items: [
        pod('far', { command: serve, readinessProbe: ready, securityContext: { runAsUser: 0 } }),
        pod('control', { securityContext: rights }),
      ],
    });
    await shop.cluster.demand(['wait', '--for=condition=Ready', 'pod/far', 'pod/control', '-n', OUTSIDE, '--timeout=90s']);
    const address = await shop.cluster.demand(['get', 'pod', 'far', '-n', OUTSIDE, '-o', 'jsonpath={.status.podIP}']);
    return new Far(shop, new Agent(shop.cluster, 'control', OUTSIDE), address);
  }

  /** Everything that arrived. */
  log(): Promise<string> {
    return this.#shop.cluster.demand(['logs', 'far', '-n', OUTSIDE]);
  }

  /** Has a pod try ways to here. @returns What came of each. */
  async triedBy(agent: Agent, ways: readonly Pick<Way, 'kind' | 'port'>[]): Promise<readonly string[]> {
    const all = ways.map((way) => ({ ...way, host: this.address, who: agent.name }));
    const { stdout, stderr } = await agent.feed(waysSource(), 'python3', '-u', '-', JSON.stringify(all));
    const outcomes = readOutcomes(stdout);
    if (outcomes.length !== ways.length) throw new Error(`${agent.name} tried ${outcomes.length} of ${ways.length}: ${stderr}`);
    return outcomes;
  }
}
