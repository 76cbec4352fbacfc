import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Collector, createCollector, createTokenAccess } from '@chaperone/collector';
import {
  createEpoch,
  encodeNkey,
  generateSigner,
  newSessionId,
  noteSigner,
  sealSegment,
  signNote,
  signRegistration,
  formatNote,
  formatVerifierKey,
  verifierKey,
  type Trust,
  DataKey,
  encodeParcel,
  parseRecipient,
  wrapKey,
} from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CollectorClient } from '../collector/client.ts';
import { type LogOptions, type LogVerdict, verifyLog } from './log.ts';

const enrolment = generateSigner();
const trust: Trust = { origin: 'test/1', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
const agent = { namespace: 'agents', serviceAccount: 'bot' };
const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let collector: Collector;
const at = (name: string): string => join(directory.path, name);

async function open(where = 'evidence'): Promise<void> {
  collector = await createCollector({ directory: at(where), trust, access: createTokenAccess('t'), logger });
}

/** So many sessions of one segment each. */
async function ingest(count: number): Promise<void> {
  for (let done = 0; done < count; done++) {
    const nkey = generateSigner();
    const registration = signRegistration(
      { nkey: encodeNkey(nkey.publicKey), agent, origin: trust.origin, issuedAt: 1 },
      enrolment,
    );
    const session = newSessionId();
    const resource = { namespace: 'data', name: 'orders-db', protocol: 'postgres' } as const;
    const client = { address: '127.0.0.1:1', tls: false };
    const opening = {
      seq: 0,
      at: 0,
      mono: 0,
      type: 'session.open',
      session,
      agent,
      resource,
      purpose: '',
      policies: [],
      mode: 'Enforce',
      client,
    };
    const key = DataKey.random(session);
    const { bytes } = sealSegment({
      origin: trust.origin,
      session,
      number: 0,
      prev: null,
      policy: 'p',
      key,
      epoch: createEpoch({ nkey, registration }, 1, 1),
      firstSeq: 0,
      registration,
      records: [Buffer.from(JSON.stringify(opening))],
      clock: { wall: [0, 0], mono: [0, 0], sealed: 1 },
      counters: { actions: 0, denied: 0, masked: 0, dropped: 0 },
      flags: ['open'],
    });
    const wrapped = wrapKey(key, collector.recipients.map(parseRecipient));
    expect(await collector.ingest(encodeParcel({ key: wrapped, segment: bytes }))).toMatchObject({ kind: 'stored' });
  }
}

const fetched = (path: string): Promise<Response> =>
  Promise.resolve(collector.fetch(new Request(`http://collector${path}`, { headers: { authorization: 'Bearer t' } })));
const verify = (options: LogOptions = {}): Promise<LogVerdict> => {
  const transport = { fetch: fetched, trust: () => Promise.resolve(trust), [Symbol.asyncDispose]: () => Promise.resolve() };
  return verifyLog(new CollectorClient(transport), options);
};

beforeEach(async () => {
  directory = await temporaryDirectory();
  await open();
});
afterEach(async () => {
  await collector.close();
  await directory[Symbol.asyncDispose]();
});

describe('a log', () => {
  test('is sound as it grows, by a key that was kept, and goes on from each checkpoint that was kept', async () => {
    await ingest(3);
    expect(await verify({ save: at('three') })).toEqual({
      verdict: 'sound',
      origin: 'test/1',
      size: 3,
      key: 'collector',
      faults: [],
    });
    const key = formatVerifierKey(noteSigner('test/1', await keyOf('evidence')).key);
    await ingest(2);
    expect(await verify({ key, since: at('three'), save: at('five') })).toMatchObject({
      verdict: 'sound',
      size: 5,
      since: 3,
      key: 'given',
    });
    await writeFile(at('key'), `${key}\n`);
    expect(await verify({ key: at('key'), since: at('five') })).toMatchObject({ verdict: 'sound', size: 5, since: 5 });
  });

  test('that was begun anew with its own key is not the one of the older checkpoint', async () => {
    await ingest(3);
    await verify({ save: at('kept') });
    const seed = await readFile(join(at('evidence'), 'log.seed'));
    await collector.close();
    await open('other');
    await collector.close();
    await writeFile(join(at('other'), 'log.seed'), seed);
    await rm(join(at('other'), 'objects'), { recursive: true });
    await open('other');
    await ingest(4);
    expect(await verify({ since: at('kept') })).toMatchObject({ verdict: 'rewritten', size: 4, since: 3 });
    expect(await verify()).toMatchObject({ verdict: 'sound' });
  });

  test('that is shorter than the older checkpoint says is rewritten', async () => {
    await ingest(2);
    const signer = noteSigner('test/1', await keyOf('evidence'));
    const text = `test/1\n9\n${Buffer.alloc(32, 1).toString('base64')}\n`;
    await writeFile(at('longer'), formatNote(signNote({ text, signatures: [] }, [signer])));
    expect(await verify({ since: at('longer') })).toMatchObject({ verdict: 'rewritten', since: 9 });
  });

  test('of another key is not signed by the one that was kept', async () => {
    await ingest(1);
    const stranger = formatVerifierKey(verifierKey('test/1', 1, generateSigner().publicKey));
    expect(await verify({ key: stranger })).toMatchObject({ verdict: 'unsigned', key: 'given' });
    await writeFile(at('note'), 'no checkpoint');
    await expect(verify({ since: at('note') })).rejects.toMatchObject({ code: 'SignatureInvalid' });
    await expect(verify({ key: at('nowhere') })).rejects.toMatchObject({ code: expect.stringMatching(/\w/) as string });
    await expect(verify({ key: stranger.slice(0, -4) })).rejects.toMatchObject({ code: 'Usage' });
    await writeFile(at('bad'), 'not a key');
    await expect(verify({ key: at('bad') })).rejects.toMatchObject({ code: 'Usage' });
  });

  test('with a tile that was changed or removed in the store is altered there', { timeout: 300_000 }, async () => {
    await ingest(260);
    expect(await verify()).toMatchObject({ verdict: 'sound', size: 260 });
    await collector.close();
    const entries = join(at('evidence'), 'objects/log/tile/entries');
    const [bundle = ''] = await readdir(entries);
    const bytes = await readFile(join(entries, bundle));
    bytes[300] = (bytes[300] ?? 0) ^ 1;
    await writeFile(join(entries, bundle), bytes);
    await open();
    expect(await verify()).toMatchObject({ verdict: 'altered', size: 260, faults: ['entry 0 is altered'] });
    await collector.close();
    await rm(join(at('evidence'), 'objects/log/tile/0/000'));
    await open();
    const { verdict, faults } = await verify();
    expect([verdict, faults[0]]).toEqual(['altered', 'tile/0/000 is missing']);
  });
});

async function keyOf(where: string): Promise<ReturnType<typeof generateSigner>> {
  const { signerFromSeed } = await import('@chaperone/evidence');
  return signerFromSeed(await readFile(join(at(where), 'log.seed')));
}
