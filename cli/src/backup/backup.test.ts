import { createReadStream } from 'node:fs';
import { cp, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { openSealedFile, parseCheckpoint, parseNote, sealFile, verifyEvidence } from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { CollectorClient } from '../collector/client.ts';
import { openLocalTransport, readTrust } from '../collector/local.ts';
import { verifyLog } from '../commands/log.ts';
import { ownPolicy } from '../commands/verify.ts';
import { run } from '../program.test-support.ts';
import { recordInto } from '../recorded.test-support.ts';
import { BACKUP_FORMAT, readArchive } from './archive.ts';
import { backUp } from './backup.ts';
import { makeBackupKey, readBackupKeys } from './key-file.ts';
import { restore } from './restore.ts';

let place: string;
let recipient: string;
const at = (name: string): string => join(place, name);
beforeAll(async () => {
  const directory = await temporaryDirectory();
  place = directory.path;
  recipient = await makeBackupKey(at('backup.key'));
  await record('shop');
  await keep('shop', 'first');
  await backUp({ data: at('shop'), to: at('one.backup'), recipients: [recipient], now: Date.now });
  return () => directory[Symbol.asyncDispose]();
});

const record = (data: string): Promise<string> => recordInto(at(data));

async function withClient<T>(data: string, work: (client: CollectorClient) => Promise<T>): Promise<T> {
  await using transport = await openLocalTransport(at(data));
  // Awaited here: what it uses is closed at the end of this function.
  return await work(new CollectorClient(transport));
}

/** Keeps the newest checkpoint, and says of how many entries it is. */
async function keep(data: string, name: string): Promise<number> {
  const note = await withClient(data, (client) => client.logCheckpoint());
  await writeFile(at(name), note);
  return parseCheckpoint(parseNote(note).text).size;
}

async function given(): Promise<{ keys: Buffer[]; from: string; withoutCheckpoint: boolean }> {
  return { keys: await readBackupKeys(at('backup.key')), from: at('one.backup'), withoutCheckpoint: false };
}
const isThere = (name: string): Promise<boolean> =>
  stat(at(name)).then(
    () => true,
    () => false,
  );

test('the drill: backed up, destroyed, restored, gone on, and proven to be one history', async () => {
  const made = await run(['backup', '--to', place, '--recipient', recipient, '--data', at('shop'), '-o', 'json']);
  expect(made).toMatchObject({ code: 0, err: '' });
  const { file, origin, digest } = JSON.parse(made.out) as { file: string; origin: string; digest: string };
  expect([(await stat(file)).mode & 0o777, file.startsWith(place), digest.length]).toEqual([0o600, true, 64]);
  for (const seed of ['log.seed', 'reader.key'])
    expect((await readFile(file)).includes(await readFile(at(`shop/evidence/${seed}`)))).toBe(false);
  await cp(at('shop'), at('drill-before'), { recursive: true, preserveTimestamps: true });
  await rm(at('shop'), { recursive: true });
  const args = ['--from', file, '--key', at('backup.key'), '--data', at('shop')];
  expect(await run(['restore', ...args, '--check'])).toMatchObject({ code: 0, out: expect.stringContaining(origin) as string });
  expect(await isThere('shop')).toBe(false);
  const restored = await run(['restore', ...args, '--since', at('first')]);
  expect(restored).toMatchObject({ code: 0, err: '' });
  expect(restored.out).toMatch(/shop: evidence and keys of local\/\w+, \d+ files; its log goes on from \d+ entries\n$/);
  for (const kept of [
    'evidence/log.seed',
    'evidence/reader.key',
    'keys/enrolment.seed',
    'trust.json',
    'evidence/objects/log/state',
  ])
    expect(await readFile(at(`shop/${kept}`))).toEqual(await readFile(at(`drill-before/${kept}`)));
  // When evidence came is what retention counts from.
  const segments = (await readdir(at('shop/evidence/objects/seg'), { recursive: true })).filter((name) => name.length > 60);
  for (const name of segments)
    expect((await stat(at(`shop/evidence/objects/seg/${name}`))).mtimeMs).toBeCloseTo(
      (await stat(at(`drill-before/evidence/objects/seg/${name}`))).mtimeMs,
      -1,
    );
  const session = await record('shop');
  const found = await withClient('shop', async (client) => {
    const since = await readFile(at('first'));
    const source = await client.evidence({ from: 0, to: 4e12, since: parseCheckpoint(parseNote(since).text).size });
    return verifyEvidence(source, { ...(await readTrust(at('shop/trust.json'))), policy: await ownPolicy(client), since });
  });
  expect(found.log?.since?.verdict).toBe('append-only');
  expect(found.sessions.map(({ verdict, contents }) => [verdict, contents])).toEqual([
    ['complete', 'verified'],
    ['complete', 'verified'],
  ]);
  expect(found.sessions.some((each) => each.session === session)).toBe(true);
  await rm(file);
});

describe('a log is not forked', () => {
  test('by a backup that is older than a checkpoint that was kept', async () => {
    await cp(at('shop'), at('newer'), { recursive: true });
    await record('newer');
    await keep('newer', 'second');
    const options = { ...(await given()), data: at('elsewhere') };
    await expect(restore({ ...options, since: [at('first'), at('second')] })).rejects.toMatchObject({
      code: 'LogBehind',
      exit: 3,
    });
    expect([await isThere('elsewhere'), await isThere('elsewhere.restoring')]).toEqual([false, false]);
  });

  test('without somebody who says that there is no such checkpoint', async () => {
    const options = { ...(await given()), data: at('unproven'), since: [] };
    await expect(restore(options)).rejects.toMatchObject({ code: 'Usage' });
    expect(await restore({ ...options, withoutCheckpoint: true })).toMatchObject({ evidence: 'backup' });
  });

  test('by keys beside a store that was put back to before the backup, or of another log; beside one that went on they open it', async () => {
    const lose = async (name: string, from: string): Promise<void> => {
      await cp(at(`${from}/evidence/objects`), at(`${name}/evidence/objects`), { recursive: true, preserveTimestamps: true });
    };
    await lose('went-on', 'newer');
    const options = { ...(await given()), since: [at('second')] };
    expect(await restore({ ...options, data: at('went-on') })).toMatchObject({ evidence: 'store' });
    const { verdict } = await withClient('went-on', (client) => verifyLog(client, { since: at('second') }));
    expect([verdict, await readFile(at('went-on/evidence/reader.key'))]).toEqual([
      'sound',
      await readFile(at('newer/evidence/reader.key')),
    ]);

    await record('other');
    await lose('another', 'other');
    const refused = restore({ ...options, since: [], data: at('another') });
    await expect(refused).rejects.toMatchObject({ code: 'BackupUnusable' });
    expect((await readdir(at('another'))).filter((name) => name !== 'lock')).toEqual(['evidence']);

    await backUp({ data: at('newer'), to: at('newer.backup'), recipients: [recipient], now: Date.now });
    await lose('put-back', 'unproven');
    const older = restore({ ...options, from: at('newer.backup'), since: [], data: at('put-back') });
    await expect(older).rejects.toMatchObject({ code: 'LogBehind' });
    expect(await isThere('put-back/evidence/log.seed')).toBe(false);
  });

  test('by one that shares its beginning and went on otherwise', async () => {
    await record('unproven');
    await backUp({ data: at('unproven'), to: at('fork.backup'), recipients: [recipient], now: Date.now });
    const options = { ...(await given()), from: at('fork.backup'), data: at('forked'), since: [at('second')] };
    await expect(restore(options)).rejects.toMatchObject({ code: 'LogBehind' });
  });
});

describe('nothing is written over', () => {
  test('by a restore over a directory that is whole, or has something else, which it says', async () => {
    const options = { ...(await given()), since: [at('first')] };
    const whole = restore({ ...options, data: at('newer') });
    await expect(whole).rejects.toMatchObject({
      code: 'Usage',
      message: expect.stringMatching(
        /newer is there and whole: evidence of local\/\w+ with \d+ entries in its log, and every key that .*one\.backup has; nothing is put back/,
      ) as string,
    });
    expect(await isThere('newer.restoring')).toBe(false);
    await mkdir(at('busy'));
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'lock']) await writeFile(at(`busy/${name}`), '');
    await expect(restore({ ...options, data: at('busy') })).rejects.toMatchObject({
      message: expect.stringContaining('busy is there already with a, b, c, d, e and 1 more, and nothing') as string,
    });
  });

  test('by a restore: not a directory in use or with other keys', async () => {
    const options = { ...(await given()), since: [at('first')] };
    await mkdir(at('mine'));
    // Also what a backup would not have.
    for (const name of ['a\u202eb', 'empty/']) {
      await (name.endsWith('/') ? mkdir(at(`mine/${name}`)) : writeFile(at(`mine/${name}`), 'mine'));
      await expect(restore({ ...options, data: at('mine') })).rejects.toMatchObject({ code: 'Usage', exit: 2 });
      await rm(at(`mine/${name}`), { recursive: true });
    }
    await writeFile(at('mine/lock'), '');
    expect(await restore({ ...options, data: at('mine') })).toMatchObject({ evidence: 'backup' });
    await cp(at('newer'), at('rekeyed'), { recursive: true });
    await writeFile(at('rekeyed/evidence/log.seed'), Buffer.alloc(32));
    await expect(restore({ ...options, data: at('rekeyed') })).rejects.toMatchObject({ code: 'Usage' });
    expect(await readFile(at('rekeyed/evidence/log.seed'))).toEqual(Buffer.alloc(32));
  });

  test('by a backup, a key or what a restore left behind', async () => {
    const backup = { data: at('newer'), recipients: [recipient], now: Date.now };
    await expect(backUp({ ...backup, to: at('one.backup') })).rejects.toMatchObject({ code: 'Usage' });
    await expect(backUp({ ...backup, recipients: ['age1abc'], to: at('x.backup') })).rejects.toMatchObject({ code: 'Usage' });
    await expect(makeBackupKey(at('backup.key'))).rejects.toMatchObject({ code: 'Usage' });
    expect((await isThere('x.backup')) || (await isThere('x.backup.partial'))).toBe(false);
    await mkdir(at('cut.restoring'));
    const cut = restore({ ...(await given()), since: [at('first')], data: at('cut') });
    await expect(cut).rejects.toMatchObject({ code: 'Usage' });
  });
});

describe('what is not believed is not restored', () => {
  test('a backup for others, one that was changed or cut, and one that is none', async () => {
    const options = { ...(await given()), data: at('nowhere'), since: [at('first')] };
    await makeBackupKey(at('other.key'));
    const others = { ...options, keys: await readBackupKeys(at('other.key')) };
    await expect(restore(others)).rejects.toMatchObject({ code: 'BackupUnusable', exit: 3 });
    const bytes = await readFile(at('one.backup'));
    for (const changed of [
      bytes.subarray(0, -1),
      bytes.subarray(0, bytes.length / 2),
      Buffer.concat([bytes, Buffer.of(0)]),
      Buffer.concat([bytes.subarray(0, -40), Buffer.of(1), bytes.subarray(-39)]),
      Buffer.from('not a backup'),
    ]) {
      await writeFile(at('changed.backup'), changed);
      await expect(restore({ ...options, from: at('changed.backup') })).rejects.toMatchObject({ code: 'BackupUnusable' });
    }
    await expect(restore({ ...options, from: at('absent') })).rejects.toMatchObject({ code: 'NotFound' });
    expect(await isThere('nowhere')).toBe(false);
  });

  test.each<[string, object[]]>([
    ['a path that leads out', [{ path: '../x', at: 1, bytes: 0 }]],
    ['a path from the root', [{ path: '/etc/x', at: 1, bytes: 0 }]],
    ['a path with what nobody sees', [{ path: 'a\u202eb', at: 1, bytes: 0 }]],
    ['a path with a line feed', [{ path: 'a\nb', at: 1, bytes: 0 }]],
    ['a path of Windows', [{ path: 'a\\..\\b', at: 1, bytes: 0 }]],
    [
      'a file twice',
      [
        { path: 'a', at: 1, bytes: 0 },
        { path: 'a', at: 1, bytes: 0 },
      ],
    ],
    ['a file without its bytes', [{ path: 'a', at: 1, bytes: 9 }]],
    ['a size that is none', [{ path: 'a', at: 1, bytes: -1 }]],
    ['an end that counts wrongly', [{ path: 'a', at: 1, bytes: 0 }, { files: 2 }]],
    ['no end', [{ path: 'a', at: 1, bytes: 0 }]],
  ])('%s', async (_, parts) => {
    const manifest = { format: BACKUP_FORMAT, origin: 'x', at: 1, checkpoint: '' };
    const framed = [manifest, ...parts].map((part) => {
      const text = Buffer.from(JSON.stringify(part));
      const length = Buffer.alloc(4);
      length.writeUInt32BE(text.length);
      return Buffer.concat([length, text]);
    });
    async function* plain(): AsyncGenerator<Buffer> {
      yield Buffer.concat(framed);
    }
    const keys = await readBackupKeys(at('backup.key'));
    const reading = async (): Promise<string[]> => {
      const kinds: string[] = [];
      for await (const { kind } of readArchive(openSealedFile(sealFile(plain(), [recipient]), keys))) kinds.push(kind);
      return kinds;
    };
    await expect(reading()).rejects.toMatchObject({ code: 'MalformedBundle' });
  });

  test.each(['collector.json', 'evidence/index.sqlite', 'lock'])(
    'a backup by somebody else, who knows for whom it is, with what is made anew: %s',
    async (path) => {
      const options = { ...(await given()), data: at('lured'), since: [at('first')] };
      const whole = await buffer(openSealedFile(createReadStream(at('one.backup')), options.keys));
      const end = whole.lastIndexOf('{"files":');
      const { files } = JSON.parse(whole.subarray(end).toString()) as { files: number };
      const parts = [Buffer.from(JSON.stringify({ path, at: 1, bytes: 0 })), Buffer.from(JSON.stringify({ files: files + 1 }))];
      const framed = parts.flatMap((part) => [Buffer.of(0, 0, 0, part.length), part]);
      const plain = Readable.from([whole.subarray(0, end - 4), ...framed]);
      await writeFile(at('lure.backup'), sealFile(plain, [recipient]));
      await expect(restore({ ...options, from: at('lure.backup') })).rejects.toMatchObject({ code: 'BackupUnusable' });
      expect(await isThere('lured')).toBe(false);
    },
  );

  test('links are not followed into a backup', async () => {
    await cp(at('newer'), at('linked'), { recursive: true });
    await symlink('/etc/passwd', at('linked/evil'));
    await backUp({ data: at('linked'), to: at('linked.backup'), recipients: [recipient], now: Date.now });
    const options = { ...(await given()), from: at('linked.backup'), data: at('unlinked'), since: [at('second')] };
    await restore(options);
    expect(await isThere('unlinked/evil')).toBe(false);
  });
});
