import { randomBytes } from 'node:crypto';
import { eventually } from '@chaperone/testing';
import type { Agent } from '../harness/agent.ts';
import { SYSTEM } from '../harness/installation.ts';
import { hold } from '../harness/requests.ts';
import { AGENTS, type Shop } from '../harness/shop.ts';
import { Person } from './person.ts';

const PATH = `/apis/chaperone.dev/v1alpha1/namespaces/${AGENTS}/accessrequests`;
const AT_ONCE = 8;
const WAIT_MS = 120_000;
const HOUR_MS = 3_600_000;
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

interface Written {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly spec: Readonly<Record<string, unknown>>;
}

/**
 * Requests that wait beside those that are measured. Operators let one pod ask ten times a minute and have twenty open, so that a thousand
 * real ones would need fifty pods: these are copies of one that a session of `agent` asked, each under a name and a digest of its own,
 * created with the operator's own identity; the operator does the rest.
 */
export async function gather(shop: Shop, agent: Agent, count: number): Promise<void> {
  const { cluster } = shop;
  const { asked, result } = await hold(cluster, agent, 'crowd');
  const get = ['get', 'accessrequest', asked.metadata.name, '-n', AGENTS, '-o', 'json'];
  const original = JSON.parse(await cluster.demand(get)) as Written;
  using operator = await Person.at(cluster, `--as=system:serviceaccount:${SYSTEM}:chaperone-operator`);
  const left = Array.from({ length: count }, () => copyOf(original));
  const work = async (): Promise<void> => {
    for (let copy = left.pop(); copy !== undefined; copy = left.pop()) await operator.post(PATH, copy);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  // Nobody answers the original; it goes with its namespace.
  void result;
  // The operator counts votes on each, as it does for its own.
  await eventually('all of them to wait', async () => ((await waiting(shop)) > count ? true : undefined), WAIT_MS);
}

/** How many requests wait that nobody answers. */
export async function waiting({ cluster }: Shop): Promise<number> {
  const line = '{range .items[*]}{.spec.agent.pod} {.status.state}{"\\n"}{end}';
  const lines = (await cluster.demand(['get', 'accessrequests', '-n', AGENTS, '-o', `jsonpath=${line}`])).split('\n');
  return lines.filter((each) => /^crowd-\d+ Pending$/.test(each)).length;
}

function copyOf({ metadata, spec }: Written): Written {
  const { labels, annotations, namespace } = metadata;
  const name = `ar-${[...randomBytes(16)].map((byte) => BASE32[byte % 32] ?? '').join('')}`;
  const digest = randomBytes(32).toString('hex');
  return {
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'AccessRequest',
    metadata: { name, namespace, annotations, labels: { ...(labels as object), 'chaperone.dev/digest': digest.slice(0, 63) } },
    spec: { ...spec, digest, expiresAt: new Date(Date.now() + HOUR_MS).toISOString() },
  };
}
