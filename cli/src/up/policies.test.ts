import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AccessPolicy, type Condition, ProtectedResource } from '@chaperone/api';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Shop, startShop } from '../program.test-support.ts';
import { type Held, startHeld } from '../requests/requests.test-support.ts';

let shop: Shop;
let held: Held;
beforeAll(async () => {
  shop = await startShop();
  held = await startHeld(shop);
});
afterAll(async () => {
  await held[Symbol.asyncDispose]();
  await shop[Symbol.asyncDispose]();
});

const POLICY = '/v1/policies/agents/support-agent';
const RESOURCE = '/v1/resources/data/orders-db';
const policy = async (): Promise<AccessPolicy> => AccessPolicy.parse(JSON.parse((await held.http({ path: POLICY })).body));
const resource = async (): Promise<ProtectedResource> =>
  ProtectedResource.parse(JSON.parse((await held.http({ path: RESOURCE })).body));
const lines = ({
  status,
}: {
  readonly status?: { readonly conditions?: readonly Condition[] | undefined } | undefined;
}): string[] => (status?.conditions ?? []).map((condition) => `${condition.type}=${condition.status} ${condition.reason}`);

test('chaperone up answers what it runs, and how that stands', async () => {
  const list = JSON.parse((await held.http({ path: '/v1/policies?resource=data/orders-db' })).body) as { items: AccessPolicy[] };
  expect(list.items).toEqual([await policy()]);
  expect(lines(await policy())).toEqual([
    'Accepted=True Accepted',
    'ResolvedRefs=True RefsResolved',
    'Programmed=True Programmed',
    'Ready=True Ready',
  ]);
  expect(lines(await resource())).toContain('Reachable=Unknown NotDialledYet');
});

test('what a session sees of the database is there with it', async () => {
  const { answer } = await held.agent('select 1 from tickets limit 1');
  expect(await answer).toBe('SELECT 1');
  await eventually('what was seen', async () =>
    lines(await resource()).includes('CredentialsAvailable=True CredentialsAccepted') ? true : undefined,
  );
  expect(lines(await resource())).toContain('Reachable=True UpstreamReachable');
});

test('no answer has what a Secret holds, and without the token there is none', async () => {
  const paths = ['/v1/policies', '/v1/resources', POLICY, RESOURCE];
  const bodies = await Promise.all(paths.map(async (path) => (await held.http({ path })).body));
  expect(bodies.join('\n')).toContain('orders-db-agent');
  expect(bodies.join('\n')).not.toMatch(/CANARY|BEGIN CERTIFICATE/);
  for (const path of paths) expect((await held.http({ path, headers: { authorization: undefined } })).status).toBe(401);
});

test('a change of the files is in the answers; mistakes change nothing, and are told with what is in force', async () => {
  const file = join(held.manifests, 'policy.yaml');
  const good = await readFile(file, 'utf8');
  await writeFile(file, good.replace('reveal: [pii.email]', 'reveal: [pii.mail]'));
  await eventually('the change', async () => ((await policy()).metadata.generation === 2 ? true : undefined), 3_000);
  expect(lines(await policy())).toContain('Ineffective=True LabelUnknown');
  const before = await policy();
  await writeFile(file, good.replace('effect: Allow', 'effect: Perhaps'));
  const mistakes = async (path: string): Promise<unknown> =>
    (JSON.parse((await held.http({ path })).body) as { metadata: { invalid?: unknown } }).metadata.invalid;
  await eventually('the mistake', async () => ((await mistakes('/v1/policies')) === undefined ? undefined : true));
  const one = `/v1/policies/${before.metadata.namespace}/${before.metadata.name}`;
  for (const path of ['/v1/policies', '/v1/resources', one])
    expect(await mistakes(path)).toEqual([expect.stringMatching(/^shop\/policy\.yaml:\d+:\d+ .*effect/)]);
  expect(await policy()).toEqual({ ...before, metadata: { ...before.metadata, invalid: expect.any(Array) } });
  await writeFile(file, good);
  await eventually('the end of it', async () => ((await mistakes('/v1/policies')) === undefined ? true : undefined));
});
