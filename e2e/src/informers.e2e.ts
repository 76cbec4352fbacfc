import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { Api, HIDDEN } from './harness/api.ts';
import { type Cached, Informer } from './harness/informer.ts';
import { Installation } from './harness/installation.ts';
import { AGENTS, OUTSIDE, Shop } from './harness/shop.ts';

/** For so long objects come and go; `make soak` says more. */
const CHURN_MS = Number(process.env['E2E_CHURN_MINUTES'] ?? 1) * 60_000;
/** Between changes. */
const PAUSE_MS = 500;
/** Where what came of it is written, if anywhere. */
const RESULT = process.env['E2E_CHURN_RESULT'];

let shop: Shop;
let api: Api;
let bot: Agent;

beforeAll(async () => {
  shop = new Shop(await Installation.create());
  await shop.place();
  api = await Api.open(shop);
  bot = await shop.startAgent('bot');
  await eventually(
    'the API to be reached',
    async () => ((await bot.run('kubectl', 'get', '--raw', '/version')).status === 0 ? true : undefined),
    60_000,
  );
});
afterAll(async () => {
  await api?.close();
  await shop?.close();
});

const object = (kind: 'ConfigMap' | 'Secret', name: string, data: object): object => ({
  apiVersion: 'v1',
  kind,
  metadata: { name, namespace: OUTSIDE },
  [kind === 'Secret' ? 'stringData' : 'data']: data,
});
const apply = (name: string, data: object): Promise<unknown> =>
  shop.cluster.apply({
    apiVersion: 'v1',
    kind: 'List',
    items: [object('ConfigMap', name, data), object('Secret', name, data)],
  });

const versions = (held: Cached['secrets'] = {}): object =>
  Object.fromEntries(Object.entries(held).map(([name, { version, data }]) => [name, [version, Object.keys(data)]]));

/** MiB that the sidecar of the agent uses, as the kubelet counts it; undefined where it does not. */
async function sidecarMib(): Promise<number | undefined> {
  const node = await shop.cluster.demand(['get', 'pod', bot.name, '-n', AGENTS, '-o', 'jsonpath={.spec.nodeName}']);
  const { status, stdout } = await shop.cluster.kubectl(['get', '--raw', `/api/v1/nodes/${node}/proxy/stats/summary`]);
  if (status !== 0) return undefined;
  const { pods } = JSON.parse(stdout) as Summary;
  const containers = pods.find(({ podRef: { namespace, name } }) => namespace === AGENTS && name === bot.name)?.containers;
  const bytes = containers?.find(({ name }) => name === 'chaperone-sidecar')?.memory?.workingSetBytes;
  return bytes === undefined ? undefined : Math.round(bytes / 2 ** 20);
}
interface Summary {
  readonly pods: readonly {
    readonly podRef: { readonly namespace: string; readonly name: string };
    readonly containers?: readonly { readonly name: string; readonly memory?: { readonly workingSetBytes?: number } }[];
  }[];
}

test(
  'informers of client-go hold what they hold beside a direct connection, while objects come and go',
  async () => {
    const { cluster } = shop;
    const informers = [Informer.beside(cluster, OUTSIDE), await Informer.within(cluster, bot, OUTSIDE)];
    await expect.poll(() => informers.map(({ isSynced }) => isSynced), { timeout: 60_000 }).toEqual([true, true]);
    const mib = [await sidecarMib()];
    const end = Date.now() + CHURN_MS;
    let changes = 0;
    for (; Date.now() < end; changes++) {
      await apply(`churn-${changes % 40}`, { at: String(changes) });
      if (changes % 3 === 0)
        await cluster.demand(['delete', 'configmap,secret', `churn-${(changes * 7) % 40}`, '-n', OUTSIDE, '--ignore-not-found']);
      await sleep(PAUSE_MS);
    }
    mib.push(await sidecarMib());
    await apply('last', {});
    const [direct, through] = await Promise.all(informers.map((each) => each.end()));
    if (RESULT !== undefined) writeFileSync(RESULT, JSON.stringify({ changes, mib, direct, through }));
    expect(through?.configMaps).toEqual(direct?.configMaps);
    expect(versions(through?.secrets)).toEqual(versions(direct?.secrets));
    expect(Object.keys(direct?.secrets ?? {}).length).toBeGreaterThan(20);
    expect(JSON.stringify(through?.secrets)).not.toContain(HIDDEN);
  },
  CHURN_MS + 180_000,
);
