import { constants, generateKeyPairSync, type KeyObject, privateDecrypt } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DataKey, newSessionId, parseRecipient, unwrapKey, wrapKey } from '@chaperone/evidence';
import { temporaryDirectory, testAuthority } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { readIdentities } from './identity.ts';
import { openTransit } from './vault-transit.ts';

/*
 * A stand-in for the transit engine of Vault, as its API's documentation has it: keys of RSA by version, ciphertexts `vault:vN:BASE64` by OAEP
 * with SHA-256.
 */
const versions = [2048, 2048].map((modulusLength) => generateKeyPairSync('rsa', { modulusLength }));
const pemOf = (key: KeyObject | undefined): string => key?.export({ format: 'pem', type: 'spki' }).toString() ?? '';
const PATH = '/v1/transit/keys/auditors';

let disposal: AsyncDisposable;
let url: string;
let env: Record<string, string>;
/** What it answers in place of the truth. */
let lie: readonly [status: number, body: string] | undefined;
let seen: string[] = [];

beforeAll(async () => {
  const directory = await temporaryDirectory();
  const authority = await testAuthority();
  const { certificate: cert, key } = await authority.issue(['localhost']);
  const server = createServer({ cert, key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      seen.push(`${request.method} ${request.url} ${String(request.headers['x-vault-namespace'])}`);
      const [status, body] = lie ?? answerOf(request.url ?? '', String(request.headers['x-vault-token']), Buffer.concat(chunks));
      response.writeHead(status, { 'content-type': 'application/json' }).end(body);
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const ca = join(directory.path, 'ca.crt');
  await writeFile(ca, authority.ca);
  url = `https://localhost:${(server.address() as AddressInfo).port}${PATH}`;
  env = { VAULT_TOKEN: 'hvs.secret', VAULT_CACERT: ca, VAULT_NAMESPACE: 'audit' };
  disposal = {
    async [Symbol.asyncDispose]() {
      server.close();
      await directory[Symbol.asyncDispose]();
    },
  };
});
afterAll(() => disposal[Symbol.asyncDispose]());

function answerOf(path: string, token: string, body: Buffer): [number, string] {
  if (token !== 'hvs.secret') return [403, '{"errors":["permission denied"]}'];
  if (path === PATH) {
    const keys = versions.map(({ publicKey }, at) => [at + 1, { name: 'rsa-2048', public_key: pemOf(publicKey) }]);
    return [200, JSON.stringify({ data: { type: 'rsa-2048', keys: Object.fromEntries(keys) as object } })];
  }
  if (path !== '/v1/transit/decrypt/auditors') return [404, '{"errors":[]}'];
  const [, version = '', text = ''] =
    /^vault:v(\d+):(.+)$/.exec((JSON.parse(body.toString()) as { ciphertext: string }).ciphertext) ?? [];
  const key = versions[Number(version) - 1]?.privateKey;
  try {
    if (key === undefined) return [400, '{"errors":["no such version"]}'];
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    const plaintext = privateDecrypt({ key, padding, oaepHash: 'sha256' }, Buffer.from(text, 'base64')).toString('base64');
    return [200, JSON.stringify({ data: { plaintext } })];
  } catch {
    // As keysutil of Vault's SDK calls it, an error of its own: what is no ciphertext for the key is none of who asks.
    return [
      500,
      '{"errors":["1 error occurred:\\n\\t* failed to RSA decrypt the ciphertext: crypto/rsa: decryption error\\n\\n"]}',
    ];
  }
}

function lying(status: number, body: string): void {
  lie = [status, body];
  onTestFinished(() => {
    lie = undefined;
  });
}

describe('a key of Vault’s transit engine', () => {
  test('unwraps what was wrapped to any version of it, by asking Vault, and nothing else', async () => {
    const opened = await openTransit({ url, env });
    expect(opened).toHaveLength(2);
    for (const { configured } of opened) {
      const key = DataKey.random(newSessionId());
      const wrapped = wrapKey(key, [parseRecipient(configured)]);
      expect((await unwrapKey(wrapped, opened)).secret).toEqual(key.secret);
      const others = DataKey.random(newSessionId());
      const stolen = { ...wrapKey(others, [parseRecipient(configured)]), session: key.session, id: key.id };
      await expect(unwrapKey(stolen, opened)).rejects.toMatchObject({ code: 'KeyUnusable' });
      const cut = { ...wrapped, to: wrapped.to.map((each) => ({ ...each, key: 'AAAA' })) };
      await expect(unwrapKey(cut, opened)).rejects.toMatchObject({ code: 'KeyUnusable' });
    }
    expect(new Set(seen)).toEqual(new Set([`GET ${PATH} audit`, 'POST /v1/transit/decrypt/auditors audit']));
    seen = [];
  });

  test('stands in a file beside keys of other kinds, the newest version first', async () => {
    const directory = await temporaryDirectory();
    onTestFinished(() => directory[Symbol.asyncDispose]());
    const file = join(directory.path, 'identities');
    await writeFile(file, `# ours\n${Buffer.alloc(32, 1).toString('base64')}\n${url}\n`);
    const found = await readIdentities(file, env);
    expect(found.map(({ configured }) => configured.split(':')[0])).toEqual(['x25519', 'rsa-oaep', 'rsa-oaep']);
    expect(found[1]?.configured).toContain(
      pemOf(versions[1]?.publicKey).split('\n')[1]?.slice(0, 8).replaceAll('+', '-').replaceAll('/', '_'),
    );
  });

  test.each<[string, Record<string, string | undefined>, string]>([
    ['no token', { VAULT_TOKEN: undefined }, 'IdentityUnusable'],
    ['a token with a line end', { VAULT_TOKEN: 'a\r\nb' }, 'IdentityUnusable'],
    ['a token that Vault does not take', { VAULT_TOKEN: 'other' }, 'NotPermitted'],
    ['authorities that did not certify it', { VAULT_CACERT: undefined }, 'IdentityUnusable'],
    ['a file of authorities that is not there', { VAULT_CACERT: '/nowhere/ca' }, 'IdentityUnusable'],
  ])('is not used with %s', async (_, change, code) => {
    await expect(openTransit({ url, env: { ...env, ...change } })).rejects.toMatchObject({ code });
  });

  test.each([
    'http://localhost/v1/transit/keys/a',
    'https://localhost/v1/transit/keys/../../sys/raw',
    'https://localhost/v1/transit/keys/a?version=1',
    'https://user:secret@localhost/v1/transit/keys/a',
    'https://localhost/v1/transit/decrypt/a',
    `https://localhost/v1/transit/keys/${'a'.repeat(129)}`,
  ])('is not asked for at %s, and a secret in it is not repeated', async (wrong) => {
    const failed = openTransit({ url: wrong, env });
    await expect(failed).rejects.toMatchObject({
      code: 'IdentityUnusable',
      message: expect.not.stringContaining('secret') as string,
    });
  });

  test.each<[string, number, string]>([
    ['is no JSON', 200, 'no'],
    ['has no keys', 200, '{"data":{}}'],
    ['has a symmetric key', 200, '{"data":{"keys":{"1":1700000000}}}'],
    [
      'has a key of another kind',
      200,
      JSON.stringify({ data: { keys: { 1: { public_key: pemOf(generateKeyPairSync('ed25519').publicKey) } } } }),
    ],
    ['is too long', 200, ' '.repeat(600 * 1024)],
    ['is a redirect', 307, ''],
    ['says that it is sealed', 503, '{"errors":["Vault is sealed"]}'],
  ])('is not believed where the answer %s', async (_, status, body) => {
    lying(status, body);
    await expect(openTransit({ url, env })).rejects.toMatchObject({ code: 'IdentityUnusable' });
  });

  test.each<[string, number, string, string]>([
    ['is another key', 200, JSON.stringify({ data: { plaintext: Buffer.alloc(32).toString('base64') } }), 'KeyUnusable'],
    ['has another length', 200, JSON.stringify({ data: { plaintext: 'AAAA' } }), 'KeyUnusable'],
    ['has none', 200, '{"data":{}}', 'IdentityUnusable'],
    ['is an error', 500, '', 'IdentityUnusable'],
    ['is another error', 500, '{"errors":["context deadline exceeded"]}', 'IdentityUnusable'],
    ['is a refusal', 400, '{"errors":["ciphertext or signature version is disallowed by policy (too old)"]}', 'KeyUnusable'],
  ])('is not believed where what was unwrapped %s', async (_, status, body, code) => {
    const [newest] = await openTransit({ url, env });
    if (newest === undefined) throw new Error('no version');
    lying(status, body);
    const wrapped = wrapKey(DataKey.random(newSessionId()), [parseRecipient(newest.configured)]);
    await expect(unwrapKey(wrapped, [newest])).rejects.toMatchObject({ code });
  });
});
