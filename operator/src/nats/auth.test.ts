import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { createUser, type KeyPair } from '@nats-io/nkeys';
import { connect, credsAuthenticator, jwtAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { eventually, findProgram, freePort, temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { KINDS } from '@chaperone/kube';
import { collectorCreds, ensureNatsAuth, generateSeeds, type NatsSeeds, serverConfig, sidecarJwt } from './auth.ts';

const program = findProgram('nats-server');

describe.skipIf(program === undefined)('a real NATS server with our configuration', () => {
  let seeds: NatsSeeds;
  let server: ChildProcess;
  let url: string;
  let directory: AsyncDisposable & { path: string };
  let collector: NatsConnection;

  beforeAll(async () => {
    seeds = generateSeeds();
    directory = await temporaryDirectory();
    const port = await freePort();
    url = `nats://127.0.0.1:${port}`;
    await writeFile(join(directory.path, 'auth.conf'), await serverConfig(seeds));
    const main = join(directory.path, 'nats.conf');
    await writeFile(main, `listen: "127.0.0.1:${port}"\njetstream { store_dir: "${directory.path}/js" }\ninclude auth.conf\n`);
    server = spawn(program ?? '', ['-c', main], { stdio: 'ignore' });
    const authenticator = credsAuthenticator(new TextEncoder().encode(await collectorCreds(seeds)));
    collector = await eventually('the server', () => connect({ servers: url, authenticator, reconnect: false }));
    const manager = await jetstreamManager(collector);
    await manager.streams.add({ name: 'EVIDENCE', subjects: ['evidence.>'] });
  });
  afterAll(async () => {
    await collector?.close();
    server?.kill();
    await new Promise((resolve) => server?.once('exit', resolve));
    await directory?.[Symbol.asyncDispose]();
  });

  async function sidecar(key: KeyPair, now = Date.now(), signer = key): Promise<NatsConnection> {
    const { jwt } = await sidecarJwt(seeds, key.getPublicKey(), now);
    const nkey = key.getPublicKey();
    return await connect({
      servers: url,
      authenticator: jwtAuthenticator(jwt, signer.getSeed()),
      inboxPrefix: `_INBOX.${nkey}`,
      reconnect: false,
    });
  }

  test('lets a sidecar publish its evidence durably and read its receipt', async () => {
    const key = createUser();
    const connection = await sidecar(key);
    const acknowledged = await jetstream(connection).publish(`evidence.${key.getPublicKey()}.session-1`, 'segment');
    expect(acknowledged.stream).toBe('EVIDENCE');
    const receipts = connection.subscribe(`receipt.${key.getPublicKey()}`, { max: 1 });
    await connection.flush();
    collector.publish(`receipt.${key.getPublicKey()}`, 'receipt');
    for await (const message of receipts) expect(message.string()).toBe('receipt');
    await connection.close();
  });

  test.each([
    ["another pod's evidence", (other: string) => `evidence.${other}.s`],
    ['evidence without a session', () => 'evidence'],
    ["another pod's receipt", (other: string) => `receipt.${other}`],
    ["another pod's inbox", (other: string) => `_INBOX.${other}.x`],
    ['the JetStream API', () => '$JS.API.STREAM.PURGE.EVIDENCE'],
    ['anything else', () => 'hello'],
  ])('refuses a sidecar that publishes %s', async (_name, subject) => {
    const connection = await sidecar(createUser());
    const refused = new Promise<string>((resolve) => {
      void (async () => {
        for await (const status of connection.status()) if (status.type === 'error') resolve(String(status.error));
      })();
    });
    connection.publish(subject(createUser().getPublicKey()), 'x');
    expect(await refused).toMatch(/permissions violation/i);
    await connection.close();
  });

  test.each([
    ['all evidence', () => 'evidence.>'],
    ["another pod's receipts", (other: string) => `receipt.${other}`],
    ['all receipts', () => 'receipt.*'],
    ['all inboxes', () => '_INBOX.>'],
    ["the account's events", () => '$JS.EVENT.>'],
  ])('refuses a sidecar that subscribes to %s', async (_name, subject) => {
    const connection = await sidecar(createUser());
    const error = await new Promise<Error | null>((resolve) => {
      connection.subscribe(subject(createUser().getPublicKey()), { callback: (caught) => resolve(caught) });
    });
    expect(String(error)).toMatch(/permissions violation/i);
    await connection.close();
  });

  test('refuses an expired JWT, one that another account signed, and one without its key', async () => {
    await expect(sidecar(createUser(), Date.now() - 2 * 3_600_000)).rejects.toThrow();
    await expect(sidecar(createUser(), Date.now(), createUser())).rejects.toThrow();
    const key = createUser();
    const { jwt } = await sidecarJwt(generateSeeds(), key.getPublicKey(), Date.now());
    await expect(
      connect({ servers: url, authenticator: jwtAuthenticator(jwt, key.getSeed()), reconnect: false }),
    ).rejects.toThrow();
    await expect(connect({ servers: url, reconnect: false })).rejects.toThrow();
  });
});

describe('the NATS secrets', () => {
  let api: FakeApiServer;
  beforeAll(async () => {
    api = await startFakeApiServer();
  });
  afterAll(() => api.close());

  test('are made once, and no seed is in what the server mounts', async () => {
    const seeds = await ensureNatsAuth(api.kube, 'system');
    expect(await ensureNatsAuth(api.kube, 'system')).toEqual(seeds);
    const auth = api.get(KINDS.secrets, { namespace: 'system', name: 'chaperone-nats-auth' })?.data as Record<string, string>;
    const text = Buffer.from(auth['auth.conf'] ?? '', 'base64').toString();
    expect(text).toContain('resolver_preload');
    for (const seed of Object.values(seeds)) expect(text).not.toContain(seed);
  });
});
