import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { CreateBucketCommand, DeleteObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { startS3, temporaryDirectory } from '@chaperone/testing';
import { afterAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createTokenAccess } from '../access.ts';
import { type Collector, createCollector } from '../collector.ts';
import { aSession, silent, readers, trust } from '../evidence.fixture.ts';
import { S3Store } from './s3-store.ts';

const server = await startS3();
vi.stubEnv('AWS_ACCESS_KEY_ID', server.accessKeyId);
vi.stubEnv('AWS_SECRET_ACCESS_KEY', server.secretAccessKey);
const admin = new S3Client({ region: 'us-east-1', endpoint: server.endpoint, forcePathStyle: true });
await admin.send(new CreateBucketCommand({ Bucket: 'evidence', ObjectLockEnabledForBucket: true }));
afterAll(async () => {
  admin.destroy();
  await server[Symbol.asyncDispose]();
  vi.unstubAllEnvs();
});

async function anInstallation() {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const prefix = `${crypto.randomUUID()}/`;
  const bucket = { bucket: 'evidence', prefix, region: 'us-east-1', endpoint: server.endpoint, pathStyle: true };
  const open = async (): Promise<Collector> => {
    const store = await S3Store.open(bucket);
    const access = createTokenAccess('t');
    const collector = await createCollector({ directory: directory.path, store, trust, readers, access, logger: silent });
    onTestFinished(() => collector.close());
    return collector;
  };
  return { path: directory.path, open, key: (digest: string) => `${prefix}seg/${digest.slice(0, 2)}/${digest}` };
}

describe('a collector whose objects are in a bucket', () => {
  test('takes evidence in and gives the same index from the bucket alone, also of what somebody deleted there', async () => {
    const { path, open, key } = await anInstallation();
    const collector = await open();
    const { session, nkey, sealed } = aSession({ segments: 4 });
    for (const [number, { parcel }] of sealed.entries())
      expect(await collector.ingest(parcel)).toEqual({ kind: 'stored', session, nkey, number, entry: number });
    const before = await collector.dump();
    await admin.send(new DeleteObjectCommand({ Bucket: 'evidence', Key: key(sealed[1]?.digest ?? '') }));
    await collector.close();
    for (const rest of ['', '-wal', '-shm']) rmSync(join(path, `index.sqlite${rest}`), { force: true });
    expect(await (await open()).dump()).toEqual(before);
  });

  test('promises nothing while the bucket is away, and takes the same segment in afterwards', { timeout: 240_000 }, async () => {
    const { open } = await anInstallation();
    const collector = await open();
    const { session, sealed } = aSession();
    const [first] = sealed;
    if (first === undefined) throw new Error('a session has segments');
    await server.down();
    await expect(collector.ingest(first.parcel)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await server.up();
    expect(await collector.ingest(first.parcel)).toMatchObject({ kind: 'stored', session, number: 0 });
  });
});
