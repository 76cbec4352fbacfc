import { DeleteObjectCommand, CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { startS3, temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { DirectoryStore } from './directory-store.ts';
import { Objects, sha256 } from './content.ts';
import { S3Store } from './s3-store.ts';
import type { ObjectStore } from './store.ts';

const server = await startS3();
afterAll(() => server[Symbol.asyncDispose]());
let admin: S3Client;
beforeAll(() => {
  // As Amazon's tools find them.
  process.env['AWS_ACCESS_KEY_ID'] = server.accessKeyId;
  process.env['AWS_SECRET_ACCESS_KEY'] = server.secretAccessKey;
  admin = new S3Client({ region: 'us-east-1', endpoint: server.endpoint, forcePathStyle: true });
});
afterAll(() => {
  delete process.env['AWS_ACCESS_KEY_ID'];
  delete process.env['AWS_SECRET_ACCESS_KEY'];
  admin.destroy();
});

let buckets = 0;
const settingsOf = (bucket: string) => ({
  bucket,
  prefix: 'evidence/',
  region: 'us-east-1',
  endpoint: server.endpoint,
  pathStyle: true,
});
async function newBucket(lock = false): Promise<string> {
  const bucket = `bucket-${buckets++}`;
  await admin.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: lock }));
  return bucket;
}

async function openS3(bucket: string, more: Partial<Parameters<typeof S3Store.open>[0]> = {}): Promise<S3Store> {
  const store = await S3Store.open({ ...settingsOf(bucket), ...more });
  onTestFinished(() => store.close());
  return store;
}

async function openDirectory(): Promise<DirectoryStore> {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  return new DirectoryStore(directory.path);
}

const AT = 1_700_000_000_123;
const text = (value: string): Buffer => Buffer.from(value);
async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

describe.each<[string, () => Promise<ObjectStore>]>([
  ['a directory', openDirectory],
  ['a bucket', async () => openS3(await newBucket())],
  [
    'a bucket with versions and Object Lock',
    async () => openS3(await newBucket(true), { lock: { mode: 'GOVERNANCE', days: 1 } }),
  ],
])('%s', (_name, open) => {
  it('gives back the bytes and the time that it was given, the empty ones and a megabyte too', async () => {
    const store = await open();
    const bytes = [text('one'), Buffer.alloc(0), Buffer.alloc(1024 * 1024, 7)];
    for (const [at, each] of bytes.entries()) expect(await store.create(`seg/ab/${at}`, each, AT + at)).toBe('created');
    for (const [at, each] of bytes.entries()) {
      const found = await store.get(`seg/ab/${at}`);
      expect(found?.bytes.equals(each)).toBe(true);
      expect(found?.at).toBe(AT + at);
    }
  });

  it('has nothing under a name that nobody used', async () => {
    const store = await open();
    expect(await store.get('seg/ab/none')).toBeUndefined();
    expect(await all(store.list('seg/'))).toEqual([]);
    expect(await all(store.list(''))).not.toContain('seg/ab/none');
  });

  it('leaves what stands under a name as it is', async () => {
    const store = await open();
    await store.create('seg/ab/x', text('first'), AT);
    expect(await store.create('seg/ab/x', text('second'), AT + 9)).toBe('exists');
    expect(await store.get('seg/ab/x')).toMatchObject({ bytes: text('first'), at: AT });
  });

  it('lets one of many win who create at once', async () => {
    const store = await open();
    const tries = await Promise.all(
      Array.from({ length: 8 }, async (_, at) => ({ at, won: await store.create('seg/ab/race', text(`${at}`), AT) })),
    );
    const winners = tries.filter(({ won }) => won === 'created');
    expect(winners).toHaveLength(1);
    expect((await store.get('seg/ab/race'))?.bytes.toString()).toBe(`${winners[0]?.at}`);
  });

  it('replaces what is still the version that was read, and nothing else', async () => {
    const store = await open();
    expect(await store.replace('log/checkpoint', text('1'), AT, undefined)).not.toBe('changed');
    const first = await store.get('log/checkpoint');
    expect(await store.replace('log/checkpoint', text('no'), AT, undefined)).toBe('changed');
    const second = await store.replace('log/checkpoint', text('2'), AT + 1, first?.version);
    expect(second).not.toBe('changed');
    expect(await store.replace('log/checkpoint', text('late'), AT + 2, first?.version)).toBe('changed');
    expect(await store.get('log/checkpoint')).toMatchObject({
      bytes: text('2'),
      at: AT + 1,
      ...(second === 'changed' ? {} : second),
    });
  });

  it('destroys what was replaced and all that stood there before, and nothing beside it', async () => {
    const store = await open();
    let version: string | undefined;
    for (const each of ['one', 'two', 'three']) {
      const stored = await store.replace('keys/s-a', text(each), AT, version);
      version = stored === 'changed' ? undefined : stored.version;
    }
    await store.replace('keys/s-ab', text('beside'), AT, undefined);
    await store.destroy('keys/s-a');
    expect(await store.get('keys/s-a')).toBeUndefined();
    expect(await all(store.earlier('keys/s-a'))).toEqual([]);
    expect(await all(store.list('keys/'))).toEqual(['keys/s-ab']);
    await store.destroy('keys/s-a');
  });

  it('replaces nothing where the version that was read is gone', async () => {
    const store = await open();
    const version = await store.replace('log/a', text('1'), AT, undefined);
    expect(version).not.toBe('changed');
    expect(await store.replace('log/b', text('2'), AT, version === 'changed' ? '' : version.version)).toBe('changed');
    expect(await store.get('log/b')).toBeUndefined();
  });

  it('lists every name below a prefix once, in the order of bytes', async () => {
    const store = await open();
    const names = [
      'log/tile/0/000',
      'log/tile/0/000.p/12',
      'log/tile/0/x001/000',
      'log/tile/1/000',
      'logs/x',
      'seg/ab/1',
      'seg/ab-/1',
      'seg/ab/2',
    ];
    for (const name of names) await store.create(name, text(name), AT);
    expect(await all(store.list('log/'))).toEqual(names.slice(0, 4).toSorted());
    expect(await all(store.list('seg/'))).toEqual(['seg/ab-/1', 'seg/ab/1', 'seg/ab/2']);
  });

  it('lists more names than one page has', { timeout: 240_000 }, async () => {
    const store = await open();
    const names = Array.from({ length: 1_050 }, (_, at) => `seg/00/${String(at).padStart(4, '0')}`);
    for (let at = 0; at < names.length; at += 50)
      await Promise.all(names.slice(at, at + 50).map((name) => store.create(name, text('x'), AT)));
    expect(await all(store.list('seg/'))).toEqual(names);
  });

  it.each(['', '/etc/passwd', '../up', 'seg/../../up', 'seg//x', 'seg/.hidden', 'SEG/x', 'seg/x\n', 'seg/\0', 'a'.repeat(300)])(
    'takes %j for no name',
    async (name) => {
      const store = await open();
      await expect((async () => store.create(name, text('x'), AT))()).rejects.toThrow(TypeError);
      await expect((async () => store.get(name))()).rejects.toThrow(TypeError);
    },
  );

  it('keeps objects by their digest, and mends what is not what it was', async () => {
    const store = await open();
    const objects = new Objects(store, () => AT);
    const bytes = text('a segment');
    const digest = sha256(bytes);
    const name = `seg/${digest.slice(0, 2)}/${digest}`;
    expect(await objects.put('seg', digest, bytes)).toBe(AT);
    const stored = await store.get(name);
    await store.replace(name, text('changed'), AT, stored?.version);
    expect(await new Objects(store, () => AT + 5_000).put('seg', digest, bytes)).toBe(AT);
    expect(await objects.get('seg', digest)).toEqual(bytes);
    expect(await all(objects.list('seg'))).toEqual([digest]);
    expect(await all(objects.list('conflict'))).toEqual([]);
  });
});

const key = (bytes: Buffer): string => `evidence/seg/${sha256(bytes).slice(0, 2)}/${sha256(bytes)}`;

describe('a bucket that keeps versions', () => {
  it('loses nothing to who overwrites or deletes: what was there is found and listed', async () => {
    const bucket = await newBucket(true);
    const objects = new Objects(await openS3(bucket), () => AT);
    const [kept, gone] = [text('overwritten'), text('deleted')];
    for (const bytes of [kept, gone]) await objects.put('seg', sha256(bytes), bytes);
    await admin.send(new PutObjectCommand({ Bucket: bucket, Key: key(kept), Body: 'forged' }));
    await admin.send(new DeleteObjectCommand({ Bucket: bucket, Key: key(gone) }));
    expect(await objects.find('seg', sha256(kept))).toMatchObject({ bytes: kept, at: AT });
    expect(await objects.find('seg', sha256(gone))).toMatchObject({ bytes: gone, at: AT });
    expect(await all(objects.list('seg'))).toEqual([sha256(kept), sha256(gone)].toSorted());
  });

  it('keeps a locked object from who would delete its version', async () => {
    const bucket = await newBucket(true);
    const store = await openS3(bucket, { lock: { mode: 'COMPLIANCE', days: 2 } });
    await store.create('seg/ab/locked', text('x'), AT);
    const { ListObjectVersionsCommand } = await import('@aws-sdk/client-s3');
    const { Versions = [] } = await admin.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: 'evidence/seg/' }));
    expect(Versions).toHaveLength(1);
    await expect(
      admin.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'evidence/seg/ab/locked', VersionId: Versions[0]?.VersionId })),
    ).rejects.toThrow();
    await expect(store.destroy('seg/ab/locked')).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(await store.get('seg/ab/locked')).toMatchObject({ bytes: text('x') });
    // Old versions of what is replaced, as the log's state is all the time, may go.
    const first = await store.replace('log/state', text('1'), AT, undefined);
    await store.replace('log/state', text('2'), AT, first === 'changed' ? '' : first.version);
    const states = await admin.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: 'evidence/log/' }));
    const old = states.Versions?.find(({ IsLatest }) => IsLatest === false)?.VersionId;
    await admin.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'evidence/log/state', VersionId: old }));
    expect((await all(store.earlier('log/state'))).map(({ bytes }) => bytes.toString())).toEqual([]);
    expect(await store.get('log/state')).toMatchObject({ bytes: text('2') });
  });
});

describe('a store that cannot be used is said', () => {
  it('when there is no such bucket', async () => {
    await expect(S3Store.open(settingsOf('nowhere'))).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });

  it('when nobody answers, and works again when somebody does', { timeout: 240_000 }, async () => {
    const store = await openS3(await newBucket());
    await server.down();
    await expect(store.create('seg/ab/x', text('x'), AT)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await expect(store.get('seg/ab/x')).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await server.up();
    expect(await store.create('seg/ab/x', text('x'), AT)).toBe('created');
  });

  it('without the key in its words', async () => {
    process.env['AWS_SECRET_ACCESS_KEY'] = 'another';
    onTestFinished(() => {
      process.env['AWS_SECRET_ACCESS_KEY'] = server.secretAccessKey;
    });
    const refused = await S3Store.open(settingsOf(await newBucket())).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(refused).toMatchObject({ code: 'StoreUnavailable' });
    expect(String(refused)).toContain('SignatureDoesNotMatch');
    expect(String(refused)).not.toContain(server.accessKeyId);
  });

  it('when the disk of a directory is no directory', async () => {
    const store = new DirectoryStore('/dev/null/store');
    await expect(store.create('seg/ab/x', text('x'), AT)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await expect(store.get('seg/ab/x')).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });
});
