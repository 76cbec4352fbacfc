import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateSigner } from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { expect, onTestFinished, test } from 'vitest';
import { readConfig } from './config.ts';

const key = generateSigner().publicKey.toString('base64url');

async function anEnvironment(keys = JSON.stringify([key])): Promise<Record<string, string>> {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const file = join(directory.path, 'keys');
  writeFileSync(file, keys);
  return {
    CHAPERONE_DATA: '/data',
    CHAPERONE_ORIGIN: 'test',
    CHAPERONE_ENROLMENT_KEYS: file,
    CHAPERONE_TLS_CERTIFICATE: 'tls.crt',
    CHAPERONE_TLS_KEY: 'tls.key',
    CHAPERONE_NATS_SERVERS: 'nats://a:4222,nats://b:4222',
  };
}

test('the settings are read with their defaults', async () => {
  expect(readConfig(await anEnvironment())).toEqual({
    directory: '/data',
    trust: { origin: 'test', enrolmentKeys: [key] },
    listen: { host: '0.0.0.0', port: 8443 },
    tls: { certificate: 'tls.crt', key: 'tls.key' },
    nats: { servers: ['nats://a:4222', 'nats://b:4222'] },
    stream: { replicas: 1, maxAgeMs: 604_800_000, maxBytes: -1, ackWaitMs: 15_000 },
  });
});

test('all that is missing or malformed is named at once', async () => {
  const { CHAPERONE_DATA: _, ...environment } = await anEnvironment();
  expect(() => readConfig({ ...environment, CHAPERONE_STREAM_REPLICAS: 'many' })).toThrow(
    'missing or malformed: CHAPERONE_DATA, CHAPERONE_STREAM_REPLICAS',
  );
});

test.each([
  ['nothing in it', ''],
  ['no key', '[]'],
  ['an entry that is none', JSON.stringify([key, 'not a key'])],
  ['lines in place of JSON', `${key}\n`],
])('a file of enrolment keys with %s is refused', async (_, keys) => {
  const environment = await anEnvironment(keys);
  expect(() => readConfig(environment)).toThrow(expect.objectContaining({ code: 'ConfigurationInvalid' }));
});
