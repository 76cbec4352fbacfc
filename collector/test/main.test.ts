import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import {
  generateSigner,
  parseReceipt,
  parseSegment,
  SessionList,
  segmentLeaf,
  signRequest,
  trustIn,
  verifyReceipt,
  leafHash,
  noteSigner,
  signerFromSeed,
} from '@chaperone/evidence';
import { eventually, freePort, temporaryDirectory, testAuthority } from '@chaperone/testing';
import { jetstream } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect, onTestFinished, test } from 'vitest';
import { aSession, trust } from '../src/evidence.fixture.ts';
import { end } from './nats.ts';

const key = generateSigner();

/** What the API server is asked for, over TLS: one EvidenceLogin, and a yes for its user. */
async function anApiServer(certified: { certificate: string; key: string }): Promise<string> {
  const login = {
    metadata: { name: 'alice-1', creationTimestamp: new Date().toISOString() },
    spec: { publicKey: key.publicKey.toString('base64'), user: 'alice', groups: [] },
  };
  const server = createServer({ cert: certified.certificate, key: certified.key }, (asked, response) => {
    asked.resume();
    response.setHeader('content-type', 'application/json');
    const review = asked.url === '/apis/authorization.k8s.io/v1/subjectaccessreviews';
    response.end(JSON.stringify(review ? { status: { allowed: true } } : login));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return `https://localhost:${(server.address() as AddressInfo).port}`;
}

const proves =
  (number: number) =>
  (receipt: Uint8Array): boolean =>
    parseReceipt(receipt).entries.some((each) => each.number === number);

test('the program takes evidence from the broker, answers signed requests over TLS, and ends cleanly', async () => {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const file = (name: string, content: string): string => {
    writeFileSync(join(directory.path, name), content);
    return join(directory.path, name);
  };
  const authority = await testAuthority();
  const certified = await authority.issue(['localhost']);
  const kubeconfig = {
    clusters: [
      {
        name: 'c',
        cluster: {
          server: await anApiServer(certified),
          'certificate-authority-data': Buffer.from(authority.ca).toString('base64'),
        },
      },
    ],
    users: [{ name: 'u', user: {} }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  const [port, natsPort] = [await freePort(), await freePort()];
  const binary = execFileSync(fileURLToPath(new URL('../../scripts/nats-server', import.meta.url)), { encoding: 'utf8' }).trim();
  const nats = spawn(binary, ['-a', '127.0.0.1', '-p', String(natsPort), '-js', '-sd', join(directory.path, 'jetstream')], {
    stdio: 'ignore',
  });
  onTestFinished(() => end(nats, 'SIGKILL'));
  const program = spawn(process.execPath, [fileURLToPath(new URL('../src/main.ts', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      KUBECONFIG: file('kubeconfig', JSON.stringify(kubeconfig)),
      CHAPERONE_DATA: join(directory.path, 'store'),
      CHAPERONE_ORIGIN: trust.origin,
      CHAPERONE_ENROLMENT_KEYS: file('keys', JSON.stringify(trust.enrolmentKeys)),
      CHAPERONE_LISTEN: `127.0.0.1:${port}`,
      CHAPERONE_TLS_CERTIFICATE: file('tls.crt', certified.certificate),
      CHAPERONE_TLS_KEY: file('tls.key', certified.key),
      CHAPERONE_NATS_SERVERS: `nats://127.0.0.1:${natsPort}`,
      CHAPERONE_READER_KEY_FILE: file('reader.key', Buffer.alloc(32, 9).toString('base64')),
    },
  });
  onTestFinished(() => end(program, 'SIGKILL'));
  const output = text(program.stdout);

  const get = async (target: string, headers: Record<string, string> = {}): Promise<{ status: number; body: string }> => {
    const sent = request({ host: '127.0.0.1', servername: 'localhost', port, path: target, ca: authority.ca, headers }).end();
    const [response] = (await once(sent, 'response')) as [NodeJS.ReadableStream & { statusCode: number }];
    return { status: response.statusCode, body: await text(response) };
  };
  await eventually('the collector', async () => ((await get('/readyz')).status === 200 ? true : undefined), 30_000);

  const connection = await connect({ servers: `127.0.0.1:${natsPort}` });
  onTestFinished(() => connection.close());
  const { session, nkey, sealed } = aSession();
  const receipts: Uint8Array[] = [];
  connection.subscribe(`receipt.${nkey}`, { callback: (_, message) => void receipts.push(message.data) });
  for (const { parcel } of sealed) await jetstream(connection).publish(`evidence.${nkey}.${session}`, parcel);
  await eventually('the receipts', () => ([0, 1, 2].every((number) => receipts.some(proves(number))) ? true : undefined));
  const seed = readFileSync(join(directory.path, 'store/log.seed'));
  expect(
    verifyReceipt(receipts.find(proves(2)) ?? Buffer.alloc(0), {
      origin: trust.origin,
      policy: trustIn(noteSigner(trust.origin, signerFromSeed(seed)).key),
      held: undefined,
      leafOf: ({ number }) => leafHash(segmentLeaf(parseSegment(sealed[number]?.bytes ?? Buffer.alloc(0)))),
    }),
  ).toMatchObject({ proved: expect.arrayContaining([{ session, number: 2 }]) as unknown, unproved: [] });

  const target = '/v1/sessions?namespace=agents';
  const signed = { login: 'alice-1', method: 'GET', target, timestamp: Date.now(), nonce: 'a-nonce-used-only-once' };
  const listed = await get(target, signRequest(signed, key));
  expect(SessionList.parse(JSON.parse(listed.body)).items).toMatchObject([
    { name: session, state: 'ended', evidence: 'received' },
  ]);
  expect(await get(target, signRequest(signed, key))).toMatchObject({ status: 401 });
  expect(await get(target)).toMatchObject({ status: 401 });

  program.kill('SIGTERM');
  expect(await once(program, 'exit')).toEqual([0, null]);
  expect(await output).toContain('the collector takes evidence in');
});

test('the program says which settings are missing and does not start', async () => {
  const program = spawn(process.execPath, [fileURLToPath(new URL('../src/main.ts', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {},
  });
  const output = text(program.stdout);
  expect(await once(program, 'exit')).toEqual([1, null]);
  expect(await output).toContain('CHAPERONE_DATA');
});
