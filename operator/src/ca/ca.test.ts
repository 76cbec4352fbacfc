import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import { expect, test } from 'vitest';
import { startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { KINDS } from '@chaperone/kube';
import { Authority, bundleOf, CA_TIMES, ensureAuthority, readState, rotate } from './authority.ts';
import { LEAF_LIFE_MS, leafIssuer } from './leaves.ts';
import { createAuthority, loadIssuer } from './pem.ts';
import { trusts } from './publish.ts';
import { ServingCertificate } from './serving.ts';

const NOW = Date.UTC(2026, 5, 1);
const { lifeMs: CA_LIFE_MS, renewMs, aheadMs: PUBLISH_AHEAD_MS } = CA_TIMES;
const at = (now: number, published = true) => ({ now, isPublished: () => published });
const p256 = (): string => generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' });
const count = (bundle: string): number => bundle.split('BEGIN CERTIFICATE').length - 1;

test('a CA is renewed at two thirds of its life: published first, signing a day later, the old one trusted until it ends', async () => {
  const first = { signing: await createAuthority({ name: 'a', now: NOW, lifeMs: CA_LIFE_MS }) };
  const before = NOW + CA_LIFE_MS / 2;
  expect(await rotate(first, at(before))).toBe(first);

  const due = NOW + renewMs;
  const published = await rotate(first, at(due));
  expect(published.signing).toBe(first.signing);
  expect(count(bundleOf(published, due))).toBe(2);
  expect(await rotate(published, at(due + PUBLISH_AHEAD_MS / 2))).toBe(published);

  const switched = await rotate(published, at(due + PUBLISH_AHEAD_MS));
  expect(switched.signing).toBe(published.next);
  expect(switched.previous).toBe(first.signing.certificate);
  expect(count(bundleOf(switched, due + PUBLISH_AHEAD_MS))).toBe(2);

  const ended = await rotate(switched, at(NOW + CA_LIFE_MS + 1000));
  expect(ended.previous).toBeUndefined();
  expect(count(bundleOf(ended, NOW + CA_LIFE_MS + 1000))).toBe(1);
});

const webhooks = (...bundles: (string | undefined)[]) => ({
  metadata: { name: 'chaperone' },
  webhooks: bundles.map((bundle) => ({ clientConfig: { caBundle: bundle && Buffer.from(bundle).toString('base64') } })),
});

test('nothing is signed with a CA before it is published, however long that takes, and a webhook that trusts it says so', async () => {
  const first = { signing: await createAuthority({ name: 'a', now: NOW, lifeMs: CA_LIFE_MS }) };
  const due = NOW + renewMs;
  const published = await rotate(first, at(due));
  expect(await rotate(published, at(due + 30 * PUBLISH_AHEAD_MS, false))).toBe(published);
  const next = published.next?.certificate ?? '';
  const both = first.signing.certificate + next;
  expect(
    [webhooks(both, both), webhooks(both, first.signing.certificate), webhooks(undefined)].map((each) => trusts(each, next)),
  ).toEqual([true, false, false]);
  // Where there is no webhook it calls nobody.
  expect(trusts(undefined, next)).toBe(true);
});

test('the Secret is made once, and two leaders at once end with the same CA', async () => {
  const api = await startFakeApiServer();
  const states = await Promise.all([1, 2, 3].map(() => ensureAuthority(api.kube, 'system', at(NOW))));
  expect(new Set(states.map((state) => state.signing.certificate)).size).toBe(1);
  const rotated = await ensureAuthority(api.kube, 'system', at(NOW + (CA_LIFE_MS * 3) / 4));
  expect(rotated.next).toBeDefined();
  expect(await ensureAuthority(api.kube, 'system', at(NOW + (CA_LIFE_MS * 3) / 4))).toEqual(rotated);
  await api.close();
});

test('a damaged Secret is an error, not a reason for a new CA', async () => {
  const api = await startFakeApiServer();
  api.put(KINDS.secrets, { metadata: { namespace: 'system', name: 'chaperone-ca' }, data: { 'tls.crt': 'eA==' } });
  await expect(ensureAuthority(api.kube, 'system', at(NOW))).rejects.toThrow('half');
  expect(() => readState({ metadata: { name: 'x' }, data: {} })).toThrow('no keys');
  const [a, b] = [
    await createAuthority({ name: 'a', now: NOW, lifeMs: 1e9 }),
    await createAuthority({ name: 'b', now: NOW, lifeMs: 1e9 }),
  ];
  await expect(loadIssuer({ key: a.key, certificate: b.certificate })).rejects.toThrow('does not belong');
  await api.close();
});

test("a sidecar's leaf carries its names and addresses, its own key, and 24 hours", async () => {
  const authority = new Authority();
  const signing = await createAuthority({ name: 'a', now: NOW, lifeMs: CA_LIFE_MS });
  await authority.use({ signing });
  const key = p256();
  const { certificate, renewAt } = await leafIssuer(authority, () => NOW).issue(key, [
    'orders.data.svc',
    '240.240.0.7',
    '2001:2::7',
  ]);
  const leaf = new X509Certificate(certificate);
  expect(leaf.checkHost('orders.data.svc')).toBe('orders.data.svc');
  expect(leaf.checkIP('240.240.0.7')).toBe('240.240.0.7');
  expect(leaf.checkIP('2001:2::7')).toBe('2001:2::7');
  expect(leaf.checkHost('other.data.svc')).toBeUndefined();
  expect(leaf.publicKey.equals(createPublicKey(key))).toBe(true);
  expect(leaf.verify(new X509Certificate(signing.certificate).publicKey)).toBe(true);
  expect(leaf.ca).toBe(false);
  expect(Date.parse(leaf.validTo) - NOW).toBe(LEAF_LIFE_MS);
  expect(renewAt - NOW).toBe((LEAF_LIFE_MS * 2) / 3);
});

test('a leaf never outlives its CA, and other kinds of key get none', async () => {
  const authority = new Authority();
  await authority.use({ signing: await createAuthority({ name: 'a', now: NOW, lifeMs: 3_600_000 }) });
  const leaves = leafIssuer(authority, () => NOW);
  expect(Date.parse(new X509Certificate((await leaves.issue(p256(), ['a'])).certificate).validTo) - NOW).toBe(3_600_000);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' });
  await expect(leaves.issue(rsa, ['a'])).rejects.toThrow('P-256');
});

test('a running server shows a new certificate when the CA changes, without a restart', async () => {
  const authority = new Authority();
  const now = Date.now();
  const [first, second] = await Promise.all(['a', 'b'].map((name) => createAuthority({ name, now, lifeMs: CA_LIFE_MS })));
  if (first === undefined || second === undefined) throw new Error('no CA');
  await authority.use({ signing: first });
  const serving = new ServingCertificate({ authority, names: ['operator.test'] });
  const server = createServer(await serving.start(), (_request, response) => response.end());
  serving.attach(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const isTrustedBy = (ca: string): Promise<boolean> =>
    new Promise((resolve) => {
      const { port } = server.address() as AddressInfo;
      const socket = connect({ port, host: '127.0.0.1', servername: 'operator.test', ca }, () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.on('secureConnect', () => socket.destroy());
    });
  expect([await isTrustedBy(first.certificate), await isTrustedBy(second.certificate)]).toEqual([true, false]);
  await authority.use({ signing: second, previous: first.certificate });
  await expect.poll(() => isTrustedBy(second.certificate)).toBe(true);
  serving.stop();
  server.close();
});
