import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { KINDS, pathOf } from '@chaperone/kube';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasRealCluster } from './real-cluster.test-support.ts';
import { canRunPods } from './real-pod.test-support.ts';
import { RealShop, USER } from './real-shop.test-support.ts';

const PASSWORDS = ['canary-password-before', 'canary-password-after', 'canary-password-late'] as const;
/** What is promised between a Secret that changes and the first session that is opened with what it holds then. */
const REACH_MS = 5_000;
const REFUSED = /password authentication failed/g;
const WORKS = { rows: [{ who: USER }] };

/** From an object to the process beside the agent: API server, operator, sidecar, database and client are those of a cluster. */
describe.runIf(hasRealCluster && canRunPods)('a session of an agent', () => {
  let shop: RealShop;
  beforeAll(async () => {
    shop = await RealShop.open(PASSWORDS[0]);
  });
  afterAll(() => shop[Symbol.asyncDispose]());

  let dials = 0;
  const dial = () => shop.ask(`dial-${dials++}`);
  const works = async (): Promise<true | undefined> => ('rows' in (await dial()) ? true : undefined);
  const refusals = (): number => shop.postgres.log().match(REFUSED)?.length ?? 0;

  test('is opened with the password of now within five seconds; an open one ends and says why, or goes on where its resource says so', async () => {
    expect([await shop.ask('open'), await shop.ask('kept', 'kept')]).toEqual([WORKS, WORKS]);
    await shop.passwordInDatabase(PASSWORDS[1]);
    expect(await dial(), 'the old one is refused by then').toMatchObject({ error: expect.stringContaining('Credential') });
    await shop.passwordInSecret(PASSWORDS[1]);
    await eventually('a session with the new password', works, REACH_MS);
    const refused = refusals();
    const ended = await eventually('the end of the open session', () => shop.pod.ended.get('open'), REACH_MS);
    expect(ended).toContain('the credential of the resource was replaced; connect again');
    expect(await shop.ask('kept', 'kept'), 'the one that is kept').toEqual(WORKS);
    for (const resource of ['orders', 'kept', 'orders', 'kept'] as const)
      expect(await shop.ask(`later-${dials++}`, resource)).toEqual(WORKS);
    expect(shop.pod.ended.has('kept')).toBe(false);
    expect(refusals() - refused, 'sign-ins with the old one').toBe(0);
  });

  test('is refused in a sentence where the Secret has a password that the database has not yet; then it opens, without a restart', async () => {
    await shop.passwordInSecret(PASSWORDS[2]);
    const problem = await eventually('a refusal', async () => (await dial()).error, REACH_MS);
    expect(problem).toContain('Credential');
    await shop.passwordInDatabase(PASSWORDS[2]);
    await eventually('a session', works, REACH_MS);
    expect(await shop.ask('kept', 'kept')).toEqual(WORKS);
  });

  test('ends once its right is gone, while one that has its right goes on', async () => {
    expect([await shop.ask('losing'), await shop.ask('kept', 'kept')]).toEqual([WORKS, WORKS]);
    await shop.grant(['kept']);
    const ended = await eventually('its end', () => shop.pod.ended.get('losing'), REACH_MS);
    expect(ended).toContain('the right to use this resource was withdrawn');
    expect(await shop.ask('kept', 'kept')).toEqual(WORKS);
    expect((await dial()).error).toBeDefined();
    await shop.grant(['orders', 'kept']);
    await eventually('a session', works, REACH_MS);
  });

  test('leaves no password behind: in no file of the pod, no log, and nothing that the operator wrote, neither a new nor an old one', async () => {
    const files = ['run', 'spool', 'ssh'].flatMap((folder) =>
      readdirSync(shop.pod.path(folder), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1')),
    );
    const kinds = [KINDS.events, KINDS.protectedResources, KINDS.accessPolicies, KINDS.configMaps, KINDS.pods];
    const objects = await Promise.all(
      kinds.map(async (kind) => JSON.stringify(await shop.cluster.kube.request({ path: pathOf(kind) }))),
    );
    expect(objects[0]).toContain('CredentialRotated');
    expect(files.length).toBeGreaterThan(3);
    const { sidecarSaid, ended } = shop.pod;
    const seen = [...files, ...objects, sidecarSaid, ...ended.values(), String(shop.leader.errors)].join('\n');
    for (const password of PASSWORDS)
      for (const form of [password, Buffer.from(password).toString('base64')]) expect(seen.includes(form), form).toBe(false);
  });
});
