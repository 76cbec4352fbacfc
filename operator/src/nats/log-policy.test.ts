import {
  cosigner,
  formatVerifierKey,
  generateSigner,
  KEY_TYPE,
  noteSigner,
  parsePolicy,
  signerFromSeed,
} from '@chaperone/evidence';
import { KINDS, type KubeObject } from '@chaperone/kube';
import { type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ensureLogPolicy, LOG_KEY_SECRET, type LogConfig } from './log-policy.ts';
import { ensureTrust, TRUST_CONFIG_MAP } from './trust.ts';

const namespace = 'chaperone-system';
const NONE: LogConfig = { keySecret: undefined, witnesses: 'quorum none\n' };
let api: FakeApiServer;
let origin: string;
beforeEach(async () => {
  api = await startFakeApiServer();
  api.put(KINDS.namespaces, { metadata: { name: 'kube-system', uid: 'a-cluster' } });
  ({ origin } = await ensureTrust(api.kube, namespace, { clusterName: 'prod', recipients: [] }));
});
afterEach(() => api.close());

const ensure = (config: LogConfig = NONE): Promise<string> => ensureLogPolicy(api.kube, namespace, origin, config);
const dataOf = (object: KubeObject | undefined): Record<string, string> => (object?.data ?? {}) as Record<string, string>;
const published = (): Record<string, string> => dataOf(api.get(KINDS.configMaps, { namespace, name: TRUST_CONFIG_MAP }));
const keyOf = (policy: string): string => {
  const [log] = parsePolicy(Buffer.from(policy)).logs;
  return log === undefined ? '' : formatVerifierKey(log.verifier.key);
};
function putSeed(name: string, key: string, text: string): void {
  api.put(KINDS.secrets, { metadata: { namespace, name }, data: { [key]: Buffer.from(text).toString('base64') } });
}

describe('the policy of the log', () => {
  test('names the key that is made once, is published beside the enrolment keys, and stays', async () => {
    const policy = await ensure();
    expect(await ensure()).toBe(policy);
    const { log, enrolmentKeys } = published();
    expect(log).toBe(policy);
    expect(enrolmentKeys).toMatch(/^\["/);
    const secret = dataOf(api.get(KINDS.secrets, { namespace, name: LOG_KEY_SECRET }));
    const seed = Buffer.from(Buffer.from(secret['key'] ?? '', 'base64').toString(), 'base64');
    expect(keyOf(policy)).toBe(formatVerifierKey(noteSigner(origin, signerFromSeed(seed)).key));
  });

  test('has the witnesses that the values name, and takes up others', async () => {
    const before = await ensure();
    const { key } = cosigner('witness.example', KEY_TYPE.cosignature, generateSigner(), 0);
    const witnesses = `witness w ${formatVerifierKey(key)} https://witness.example\nquorum w\n`;
    const policy = await ensure({ ...NONE, witnesses });
    expect(keyOf(policy)).toBe(keyOf(before));
    expect([...parsePolicy(Buffer.from(policy)).witnesses.keys()]).toEqual(['w']);
    expect(published()['log']).toBe(policy);
  });

  test('is of a key that somebody else keeps, as soon as that is there', async () => {
    const config = { ...NONE, keySecret: { name: 'mine', key: 'seed' } };
    await expect(ensure(config)).rejects.toThrow('Secret mine has no key of the log: 32 bytes in base64');
    putSeed('mine', 'seed', `${Buffer.alloc(32, 7).toString('base64')}\n`);
    expect(keyOf(await ensure(config))).toBe(formatVerifierKey(noteSigner(origin, signerFromSeed(Buffer.alloc(32, 7))).key));
  });

  test.each<[string, () => Promise<void>, LogConfig, RegExp]>([
    [
      'the key is another one than was published',
      async () => {
        await ensure();
        putSeed(LOG_KEY_SECRET, 'key', Buffer.alloc(32, 9).toString('base64'));
      },
      NONE,
      /names another key of the log than its Secret has; restore both from one backup/,
    ],
    [
      'the Secret holds something else',
      () => Promise.resolve(putSeed(LOG_KEY_SECRET, 'key', 'hunter2')),
      NONE,
      /has no key of the log/,
    ],
    [
      'the witnesses cannot be read',
      () => Promise.resolve(),
      { ...NONE, witnesses: 'witness w nonsense\nquorum w\n' },
      /line 2 of the policy/,
    ],
    ['nobody says how many witnesses', () => Promise.resolve(), { ...NONE, witnesses: '' }, /no quorum/],
  ])('is not given where %s', async (_, before, config, message) => {
    await before();
    await expect(ensure(config)).rejects.toThrow(message);
  });
});
