import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { KINDS, type KubeObject } from '@chaperone/kube';
import { Authority, CA_TIMES } from './authority.ts';
import { createAuthority } from './pem.ts';
import { ensureServiceCertificates, SERVICE_CERTIFICATE_LIFE_MS } from './service-certificates.ts';

const NOW = Date.UTC(2026, 5, 1);
const at = { namespace: 'system', name: 'chaperone-collector-tls' };
let api: FakeApiServer;
let authority: Authority;

beforeAll(async () => {
  api = await startFakeApiServer();
  authority = new Authority();
  await authority.use({ signing: await createAuthority({ name: 'a', now: NOW, lifeMs: CA_TIMES.lifeMs }) });
});
afterAll(() => api.close());

const ensure = (now: number): Promise<void> => ensureServiceCertificates(api.kube, 'system', authority, now);
const secret = (): KubeObject => api.get(KINDS.secrets, at) as KubeObject;
const certificate = (): X509Certificate =>
  new X509Certificate(Buffer.from((secret().data as Record<string, string>)['tls.crt'] ?? '', 'base64'));

test('a service’s certificate is made once, by the CA, for the names of its Service', async () => {
  await ensure(NOW);
  const made = certificate();
  expect(made.verify(new X509Certificate(Buffer.from(authority.issuer.certificate.rawData)).publicKey)).toBe(true);
  expect(made.subjectAltName).toContain('DNS:chaperone-collector.system.svc');
  await ensure(NOW + SERVICE_CERTIFICATE_LIFE_MS / 2);
  expect(certificate().serialNumber).toBe(made.serialNumber);
});

test('it is renewed at two thirds of its life', async () => {
  await ensure(NOW);
  const { serialNumber } = certificate();
  await ensure(NOW + (SERVICE_CERTIFICATE_LIFE_MS * 2) / 3 + 1000);
  expect(certificate().serialNumber).not.toBe(serialNumber);
});

test('a new CA makes it anew at once', async () => {
  await ensure(NOW);
  await authority.use({ signing: await createAuthority({ name: 'b', now: NOW, lifeMs: CA_TIMES.lifeMs }) });
  await ensure(NOW);
  expect(certificate().verify(new X509Certificate(Buffer.from(authority.issuer.certificate.rawData)).publicKey)).toBe(true);
});

test('what is damaged is replaced, and what somebody else made is theirs', async () => {
  api.put(KINDS.secrets, { ...secret(), data: { 'tls.crt': 'eA==', 'tls.key': 'eA==' } });
  await ensure(NOW);
  expect(certificate().subjectAltName).toContain('chaperone-collector');
  api.put(KINDS.secrets, { metadata: { ...at, labels: {} }, type: 'kubernetes.io/tls', data: { 'tls.crt': 'eA==' } });
  await ensure(NOW);
  expect(secret().data).toEqual({ 'tls.crt': 'eA==' });
});
