import type { AccessRequest } from '@chaperone/api';
import { eventually } from '@chaperone/testing';
import type { Client } from 'pg';
import { connect, type Ended, run, type Shop, Up } from '../program.test-support.ts';

export const REFUND = 'update orders set total = 0 where id = 102';

/** `chaperone up` on the shop, whose rule "refund" holds updates of orders. */
export interface Held extends AsyncDisposable {
  readonly up: Awaited<ReturnType<typeof Up.start>>;
  readonly data: string;
  /** Runs the program with this data directory. */
  ask(...args: readonly string[]): Promise<Ended>;
  /** Sends a statement on a connection of its own; its answer, or the words of its refusal. */
  agent(sql: string, values?: readonly unknown[]): Promise<{ readonly client: Client; readonly answer: Promise<string> }>;
  /** The newest request, once there is one that `isMeant`. */
  request(isMeant?: (request: AccessRequest) => boolean): Promise<AccessRequest>;
}

const isPending = ({ status }: AccessRequest): boolean => status?.state === 'Pending';

/** @param approval - the YAML lines of the rule's approval, in place of the quickstart's */
export async function startHeld(shop: Shop, approval?: string): Promise<Held> {
  const data = shop.path('data');
  const manifests = await shop.manifests({
    'policy.yaml': (text) =>
      approval === undefined
        ? text
        : text.replace(/approval:\n {8}approvers:.*\n {8}timeout: 5m\n/, `approval: {${approval}}\n`),
  });
  const up = await Up.start(manifests, data);
  const clients: Client[] = [];
  const ask = (...args: readonly string[]): Promise<Ended> => run([...args, '--data', data]);
  return {
    up,
    data,
    ask,
    agent: async (sql, values) => {
      const client = await connect(up.ready);
      clients.push(client);
      const answer = client.query(sql, values === undefined ? [] : [...values]).then(
        ({ command, rowCount }) => `${command} ${rowCount}`,
        (error: Error) => error.message,
      );
      return { client, answer };
    },
    request: (isMeant = isPending) =>
      eventually('a request', async () => {
        const { out } = await ask('requests', 'ls', '-o', 'json');
        return (JSON.parse(out) as { items: AccessRequest[] }).items.find(isMeant);
      }),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
      await up[Symbol.asyncDispose]();
    },
  };
}
