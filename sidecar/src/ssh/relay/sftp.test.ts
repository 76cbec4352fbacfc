import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { realpath, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, temporaryDirectory } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import { string, uint32, uint64 } from '../wire/data.ts';
import { FLAG, STATUS, TYPE } from '../wire/sftp.ts';
import type { KeptFile } from '../../running/file-record.ts';
import { type BridgeOptions, type FileRule, judgeBy, SFTP_SERVER } from './files.test-support.ts';
import { MAX_REQUESTS } from './sftp.ts';
import { NO_ATTRIBUTES, RawClient, type Reply } from './sftp-client.test-support.ts';
import { Turns } from './turns.ts';

const { ok, eof, noSuchFile, permissionDenied, failure, unsupported } = STATUS;
const ALL = ['read', 'write', 'list', 'delete'] as const;
const CREATE = FLAG.write | FLAG.create | FLAG.truncate;
const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');

/** A client in a directory of its own, with `file` in it, which may do everything there unless `rules` say otherwise. */
async function aSession(
  rules: (root: string) => FileRule[] = (root) => [['Allow', [...ALL], [`${root}/**`]]],
  options: Partial<BridgeOptions> = {},
  approve?: () => Promise<boolean>,
): Promise<{ root: string; client: RawClient; judge: ReturnType<typeof judgeBy> } & AsyncDisposable> {
  const directory = await temporaryDirectory('sftp-');
  const root = await realpath(directory.path);
  writeFileSync(join(root, 'file'), 'content');
  mkdirSync(join(root, 'empty'));
  const judge = judgeBy(rules(root), approve);
  const client = new RawClient({ judge, cwd: root, ...options });
  return {
    root,
    judge,
    client,
    [Symbol.asyncDispose]: async () => {
      await client.end();
      await directory[Symbol.asyncDispose]();
    },
  };
}

const close = (client: RawClient, opened: Reply): Promise<Reply> => client.request(TYPE.close, string(opened.text));
const write = (client: RawClient, opened: Reply, offset: number, data: string | Buffer): Promise<Reply> =>
  client.request(TYPE.write, string(opened.text), uint64(BigInt(offset)), string(data));
const read = (client: RawClient, opened: Reply, offset: number, length: number): Promise<Reply> =>
  client.request(TYPE.read, string(opened.text), uint64(BigInt(offset)), uint32(length));

describe.skipIf(!SFTP_SERVER)('what a rule denies', () => {
  const size = Buffer.concat([uint32(1), uint64(0n)]);
  it.each<[string, (typeof ALL)[number], (client: RawClient) => Promise<Reply>]>([
    ['reading', 'read', (client) => client.open('file', FLAG.read)],
    ['reading by no flag at all', 'read', (client) => client.open('file', 0)],
    ['writing', 'write', (client) => client.open('file', FLAG.write)],
    ['writing beside reading', 'write', (client) => client.open('file', FLAG.read | FLAG.write)],
    ['appending', 'write', (client) => client.open('file', FLAG.read | FLAG.append)],
    ['cutting a file that is opened for reading', 'write', (client) => client.open('file', FLAG.read | FLAG.truncate)],
    ['making a file by reading it', 'write', (client) => client.open('new', FLAG.read | FLAG.create)],
    ['making a file that must be new', 'write', (client) => client.open('new', CREATE | FLAG.exclusive)],
    ['reading a file to write it', 'read', (client) => client.open('file', FLAG.read | FLAG.write)],
    ['listing', 'list', (client) => client.request(TYPE.opendir, string('.'))],
    ['making a directory', 'write', (client) => client.request(TYPE.mkdir, string('new'), NO_ATTRIBUTES)],
    ['making a directory, with a slash', 'write', (client) => client.request(TYPE.mkdir, string('new/'), NO_ATTRIBUTES)],
    ['cutting', 'write', (client) => client.request(TYPE.setstat, string('file'), size)],
    ['attributes of a link', 'write', (client) => client.extended('lsetstat@openssh.com', string('file'), NO_ATTRIBUTES)],
    ['removing', 'delete', (client) => client.request(TYPE.remove, string('file'))],
    ['removing a directory', 'delete', (client) => client.request(TYPE.rmdir, string('empty/'))],
    ['renaming from', 'delete', (client) => client.request(TYPE.rename, string('file'), string('new'))],
    ['renaming to', 'write', (client) => client.request(TYPE.rename, string('file'), string('new'))],
    ['renaming over', 'write', (client) => client.extended('posix-rename@openssh.com', string('file'), string('new'))],
    ['linking', 'write', (client) => client.extended('hardlink@openssh.com', string('file'), string('new'))],
    [
      'linking to what may not be read',
      'read',
      (client) => client.extended('hardlink@openssh.com', string('file'), string('new')),
    ],
    ['a symbolic link', 'write', (client) => client.request(TYPE.symlink, string('file'), string('new'))],
  ])('is not done, said once and recorded: %s', async (_, verb, ask) => {
    const rules = (root: string): FileRule[] => [
      ['Allow', [...ALL], [`${root}/**`]],
      ['Deny', [verb], [`${root}/**`]],
    ];
    await using session = await aSession(rules);
    const { client, root } = session;
    expect((await client.open('file', 0)).type).toBe(verb === 'read' ? TYPE.status : TYPE.handle);
    const denied = [await ask(client), await ask(client)];
    for (const { code, text } of denied)
      expect([code, text]).toEqual([permissionDenied, expect.stringContaining('DeniedByRule')]);
    expect(client.bridged.lines.filter((line) => line === denied[0]?.text)).toHaveLength(1);
    expect(client.bridged.records.at(-1)).toMatchObject({ outcome: 'denied' });
    expect([readdirSync(root).toSorted(), readFileSync(join(root, 'file'), 'utf8')]).toEqual([['empty', 'file'], 'content']);
  });

  it('goes for a file that is open, too: who may read it may not change its attributes', async () => {
    await using session = await aSession((root) => [['Allow', ['read'], [`${root}/**`]]]);
    const { client } = session;
    const opened = await client.open('file', FLAG.read);
    const changed = await client.request(TYPE.fsetstat, string(opened.text), uint32(4), uint32(0o777));
    expect(changed.code).toBe(permissionDenied);
    expect(await write(client, opened, 0, 'x')).toMatchObject({ code: permissionDenied });
    expect((await client.request(TYPE.fstat, string(opened.text))).type).toBe(TYPE.attrs);
    expect((await read(client, opened, 0, 100)).text).toBe('content');
  });

  it('who writes only cannot read by what is open for writing, nor copy from it', async () => {
    await using session = await aSession((root) => [['Allow', ['write'], [`${root}/**`]]]);
    const { client } = session;
    const [from, to] = [await client.open('file', FLAG.write), await client.open('new', CREATE)];
    expect(await read(client, from, 0, 100)).toMatchObject({ code: permissionDenied });
    const copied = await client.extended('copy-data', string(from.text), uint64(0n), uint64(0n), string(to.text), uint64(0n));
    expect(copied.code).toBe(permissionDenied);
  });

  it('does not end the session when the judge breaks', async () => {
    const judge = {
      preview: () => 'allow' as const,
      judge: () => Promise.reject(new Error('broken')),
      opened: () => () => undefined,
    };
    await using session = await aSession(undefined, { judge });
    expect(await session.client.open('file', FLAG.read)).toMatchObject({ code: permissionDenied });
    expect(await session.client.request(TYPE.stat, string('file'))).toMatchObject({ type: TYPE.attrs });
  });
});

/** A session with the file open to read and write, a directory to list, and a judge whose rules can be others. */
async function anOpenFile(rules: FileRule[], approve?: () => Promise<boolean>) {
  const judge = judgeBy(rules, approve);
  const session = await aSession(undefined, { judge });
  const { client } = session;
  const file = await client.open('file', FLAG.read | FLAG.write);
  const list = await client.request(TYPE.opendir, string('.'));
  return { ...session, judge, file, list, [Symbol.asyncDispose]: () => session[Symbol.asyncDispose]() };
}

describe.skipIf(!SFTP_SERVER)('a policy that changes while files are open', () => {
  it('refuses what is open on a path that rules do not allow any more, by every request but its closing', async () => {
    await using session = await anOpenFile([['Allow', [...ALL], ['/**']]]);
    const { client, judge, file, list } = session;
    expect(await read(client, file, 0, 3)).toMatchObject({ text: 'con' });
    judge.change([['Allow', ['write', 'list'], ['/**']]]);
    const handle = string(file.text);
    const refused = [
      await read(client, file, 0, 3),
      await write(client, file, 0, 'x'),
      await client.request(TYPE.fstat, handle),
      await client.request(TYPE.fsetstat, handle, NO_ATTRIBUTES),
      await client.extended('fsync@openssh.com', handle),
      await client.extended('copy-data', handle, uint64(0n), uint64(0n), handle, uint64(0n)),
    ];
    for (const { code, text } of refused)
      expect([code, text]).toEqual([permissionDenied, expect.stringContaining('the policy changed')]);
    expect((await client.request(TYPE.readdir, string(list.text))).type).toBe(TYPE.name);
    expect(await close(client, file)).toMatchObject({ code: ok });
    const { records } = client.bridged;
    expect(records.filter(({ outcome }) => outcome === 'denied')).toMatchObject([{ operation: 'write' }]);
    expect(records).toContainEqual(expect.objectContaining({ operation: 'read', bytes: 3, outcome: 'ok' }));
    expect(readFileSync(join(session.root, 'file'), 'utf8')).toBe('content');
  });

  it('refuses to list and to copy into what it does not allow any more', async () => {
    await using session = await anOpenFile([['Allow', [...ALL], ['/**']]]);
    const { client, judge, file, list } = session;
    const to = await client.open('new', CREATE);
    judge.change([
      ['Allow', ['read', 'write'], [join(session.root, 'file')]],
      ['Allow', ['read'], ['/**']],
    ]);
    expect(await client.request(TYPE.readdir, string(list.text))).toMatchObject({ code: permissionDenied });
    const copied = await client.extended('copy-data', string(file.text), uint64(0n), uint64(0n), string(to.text), uint64(0n));
    expect([copied.code, (await read(client, file, 0, 3)).text]).toEqual([permissionDenied, 'con']);
  });

  it('leaves alone what people agreed to while it is a matter for people, and not what they were never asked', async () => {
    const asked: FileRule[] = [['RequireApproval', [...ALL], ['/**']]];
    await using approved = await anOpenFile(asked, () => Promise.resolve(true));
    approved.judge.change([...asked, ['Allow', ['list'], ['/elsewhere']]]);
    expect((await read(approved.client, approved.file, 0, 3)).text).toBe('con');
    await using allowed = await anOpenFile([['Allow', [...ALL], ['/**']]]);
    allowed.judge.change([...asked, ['Allow', [...ALL], ['/**']]]);
    expect(await read(allowed.client, allowed.file, 0, 3)).toMatchObject({ code: permissionDenied });
    allowed.judge.change([['Allow', [...ALL], ['/**']]]);
    expect((await read(allowed.client, allowed.file, 0, 3)).text).toBe('con');
  });
});

const asking = (root: string): FileRule[] => [
  ['Allow', [...ALL], [`${root}/**`]],
  ['RequireApproval', ['delete'], [`${root}/**`]],
  ['RequireApproval', ['write'], [`${root}/empty/**`]],
];

/** A person who decides when the test says so. */
function aPerson(): { approve: () => Promise<boolean>; decide: (isApproved: boolean) => void } {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  return { approve: () => promise, decide: resolve };
}

const held = (person: ReturnType<typeof aPerson>): ReturnType<typeof aSession> => aSession(asking, {}, person.approve);

describe.skipIf(!SFTP_SERVER)('approval', () => {
  it.each([true, false])('holds one operation while others go on, and then it runs or not (%s)', async (isApproved) => {
    const person = aPerson();
    await using session = await held(person);
    const { client, root } = session;
    const removed = client.request(TYPE.remove, string('file'));
    await eventually('the line', () => client.bridged.lines.find((line) => line.includes('ApprovalPending')));
    expect(await client.get('file')).toBe('content');
    expect((await client.request(TYPE.mkdir, string('new'), NO_ATTRIBUTES)).code).toBe(ok);
    person.decide(isApproved);
    expect((await removed).code).toBe(isApproved ? ok : permissionDenied);
    expect(existsSync(join(root, 'file'))).toBe(!isApproved);
    expect(session.judge.ends).toEqual(isApproved ? [['Ran', 'passed to the host']] : []);
  });

  it('is for the path that was shown: one that leads elsewhere by then does not run', async () => {
    const person = aPerson();
    await using session = await held(person);
    const { client, root } = session;
    const opened = client.open('empty/new', CREATE);
    await eventually('the line', () => client.bridged.lines[0]);
    await rename(join(root, 'empty'), join(root, 'other'));
    await symlink('other', join(root, 'empty'));
    person.decide(true);
    expect(await opened).toMatchObject({ code: permissionDenied, text: expect.stringContaining('ApprovalVoided') as string });
    expect(readdirSync(join(root, 'other'))).toEqual([]);
    expect(session.judge.ends).toEqual([['Failed', 'the path leads elsewhere by now; it did not run']]);
  });

  it('never runs what was asked by a client that has gone', async () => {
    const person = aPerson();
    await using session = await held(person);
    const { client, root } = session;
    void client.request(TYPE.remove, string('file'));
    await eventually('the line', () => client.bridged.lines[0]);
    expect(await client.end()).toBeUndefined();
    person.decide(true);
    await sleep(50);
    expect(existsSync(join(root, 'file'))).toBe(true);
    const outcome = 'the agent was gone; it did not run';
    expect(session.judge.ends).toEqual([['Failed', outcome]]);
    expect(client.bridged.records).toEqual([{ operation: 'delete', path: `${root}/file`, outcome }]);
  });

  it('shows the attributes that are set, and of a file that was approved sets none by its handle unseen', async () => {
    const person = aPerson();
    await using session = await held(person);
    const { client, judge, root } = session;
    person.decide(true);
    const attributes = Buffer.concat([uint32(12), uint32(0o104755), uint32(0), uint32(1_767_225_600)]);
    const opened = await client.request(TYPE.open, string('empty/new'), uint32(CREATE), uint32(4), uint32(0o100640));
    expect((await client.request(TYPE.fsetstat, string(opened.text), attributes)).code).toBe(ok);
    expect((await client.request(TYPE.setstat, string('empty/new'), uint32(2), uint32(1_000), uint32(7))).code).toBe(
      process.getuid?.() === 0 ? ok : permissionDenied,
    );
    expect(judge.asked.map(({ operation, attributes: shown }) => [operation, shown])).toEqual([
      ['write', 'mode=0640'],
      ['attributes', 'mode=4755 atime=1970-01-01T00:00:00Z mtime=2026-01-01T00:00:00Z'],
      ['attributes', 'uid=1000 gid=7'],
    ]);
    expect(statSync(join(root, 'empty/new')).mode & 0o777).toBe(0o755);
  });

  it('is not asked for what the server cannot do', async () => {
    const person = aPerson();
    await using session = await held(person);
    expect(await session.client.open('empty/no/where', CREATE)).toMatchObject({ code: noSuchFile });
    expect(session.client.bridged.lines).toEqual([]);
  });
});

describe.skipIf(!SFTP_SERVER)('requests without waiting for answers', () => {
  it('are answered as if one came after the other, where one makes the path of the next', async () => {
    await using session = await aSession();
    const { client } = session;
    const replies = await Promise.all([
      client.request(TYPE.mkdir, string('d'), NO_ATTRIBUTES),
      client.open('d/a', CREATE),
      client.request(TYPE.rename, string('d/a'), string('d/b')),
      client.request(TYPE.stat, string('d/b')),
      client.request(TYPE.stat, string('d/a')),
      client.request(TYPE.symlink, string('d'), string('e')),
      client.request(TYPE.lstat, string('e/b')),
      client.request(TYPE.remove, string('e/b')),
      client.request(TYPE.rmdir, string('d')),
    ]);
    expect(replies.map(({ type, code }) => code ?? type)).toEqual([
      ok,
      TYPE.handle,
      ok,
      TYPE.attrs,
      noSuchFile,
      ok,
      TYPE.attrs,
      ok,
      ok,
    ]);
  });

  it('are all answered, 10,000 of them, each to its own', async () => {
    await using session = await aSession();
    const { client, root } = session;
    const opened = await client.open('file', FLAG.read);
    const kinds: ((index: number) => Promise<Reply>)[] = [
      () => client.request(TYPE.stat, string('file')),
      (index) => read(client, opened, index % 7, 1),
      (index) => client.request(TYPE.mkdir, string(`empty/${index}`), NO_ATTRIBUTES),
      () => client.request(TYPE.stat, string('../outside')),
      () => client.request(99, string('what')),
    ];
    const asked = Array.from({ length: 10_000 }, (_, index) => kinds[index % kinds.length]?.(index) as Promise<Reply>);
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, client.bridged.relay.underWay);
    }, 1);
    const replies = await Promise.all(asked);
    clearInterval(watch);
    replies.forEach(({ type, code, text }, index) => {
      const expected = [TYPE.attrs, 'content'.charAt(index % 7), ok, permissionDenied, unsupported][index % 5];
      expect(type === TYPE.data ? text : (code ?? type)).toBe(expected);
    });
    expect(readdirSync(join(root, 'empty'))).toHaveLength(2_000);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(MAX_REQUESTS);
  });

  it('are all served before the server is told that there are no more', async () => {
    const session = await aSession();
    const asked = Array.from({ length: 50 }, (_, index) =>
      session.client.request(TYPE.mkdir, string(`d${index}`), NO_ATTRIBUTES),
    );
    session.client.input.end();
    expect((await Promise.all(asked)).every(({ code }) => code === ok)).toBe(true);
    await session[Symbol.asyncDispose]();
  });
});

describe.skipIf(!SFTP_SERVER)('a record of a file', () => {
  it('has the digest of all that was read, in whatever pieces, also by who stops at its size', async () => {
    await using session = await aSession();
    const { client, root } = session;
    for (const length of [3, 7, 100]) {
      const opened = await client.open('file', FLAG.read);
      for (let at = 0; at < 7; at += length) await read(client, opened, at, length);
      await close(client, opened);
      const record = { operation: 'read', path: `${root}/file`, bytes: 7, digest: sha256('content'), outcome: 'ok' };
      expect(client.bridged.records.at(-1)).toEqual(record);
    }
  });

  it.each<[string, number, (client: RawClient, opened: Reply) => Promise<unknown>, object]>([
    ['a part of it is read', FLAG.read, (client, opened) => read(client, opened, 0, 3), { operation: 'read', bytes: 3 }],
    ['its end is read first', FLAG.read, (client, opened) => read(client, opened, 3, 9), { operation: 'read', bytes: 4 }],
    [
      'it may have more behind',
      FLAG.write,
      (client, opened) => write(client, opened, 0, 'new'),
      { operation: 'write', bytes: 3 },
    ],
    ['it is written behind', FLAG.write | FLAG.append, (client, opened) => write(client, opened, 0, 'new'), { bytes: 3 }],
    ['it is written with a hole', CREATE, (client, opened) => write(client, opened, 5, 'new'), { bytes: 3 }],
    [
      'it is cut in the end',
      CREATE,
      async (client, opened) => {
        await write(client, opened, 0, 'new');
        await client.request(TYPE.fsetstat, string(opened.text), uint32(1), uint64(1n));
      },
      { bytes: 3 },
    ],
  ])('has none where %s', async (_, flags, act, expected) => {
    await using session = await aSession();
    const { client } = session;
    const opened = await client.open('file', flags);
    await act(client, opened);
    await close(client, opened);
    const record = client.bridged.records.at(-1);
    expect(record).toMatchObject({ outcome: 'ok', ...expected });
    expect(record).not.toHaveProperty('digest');
  });

  it('has the digest of what was written, also where its size is set to what it is', async () => {
    await using session = await aSession();
    const { client } = session;
    const fresh = await client.open('fresh', CREATE);
    const inPlace = await client.open('file', FLAG.write | FLAG.create);
    for (const opened of [fresh, inPlace]) {
      await Promise.all([write(client, opened, 0, 'some '), write(client, opened, 5, 'data')]);
      await client.request(TYPE.fsetstat, string(opened.text), uint32(1), uint64(9n));
      await close(client, opened);
      expect(client.bridged.records.at(-1)).toMatchObject({ bytes: 9, digest: sha256('some data') });
    }
  });

  it('says that it was cut off, and why others failed', async () => {
    const session = await aSession();
    const { client, root } = session;
    await client.open('nothing', FLAG.read);
    await client.request(TYPE.rmdir, string('file'));
    await client.open('file', FLAG.read);
    await session[Symbol.asyncDispose]();
    expect(client.bridged.records).toEqual([
      { operation: 'read', path: `${root}/nothing`, outcome: 'no such file' },
      { operation: 'delete', path: `${root}/file`, outcome: 'no such file' },
      { operation: 'read', path: `${root}/file`, bytes: 0, outcome: 'cut off' },
    ]);
  });

  it('names both paths of a rename, a link and a copy', async () => {
    await using session = await aSession();
    const { client, root } = session;
    await client.request(TYPE.symlink, string('file'), string('link'));
    await client.request(TYPE.rename, string('file'), string('moved'));
    const [from, to] = [await client.open('moved', FLAG.read), await client.open('copy', CREATE)];
    await client.extended('copy-data', string(from.text), uint64(0n), uint64(0n), string(to.text), uint64(0n));
    expect(client.bridged.records).toEqual([
      { operation: 'symlink', path: `${root}/link`, to: `${root}/file`, outcome: 'ok' },
      { operation: 'rename', path: `${root}/file`, to: `${root}/moved`, outcome: 'ok' },
      { operation: 'copy', path: `${root}/moved`, to: `${root}/copy`, outcome: 'ok' },
    ]);
    expect(readFileSync(join(root, 'copy'), 'utf8')).toBe('content');
  });

  it('comes with the beginning of the content, where that is wanted', async () => {
    const kept: string[] = [];
    let files = 0;
    const begin = (): KeptFile => {
      const file = files++;
      return {
        file,
        keep: (offset, data) => void kept.push(`${file} ${offset} ${data.toString()}`),
        end: () => void kept.push(`${file} ended`),
      };
    };
    await using session = await aSession(undefined, { capture: { bytes: 5, begin } });
    const { client } = session;
    const opened = await client.open('file', FLAG.read);
    for (const at of [0, 3, 6]) await read(client, opened, at, 3);
    const written = await client.open('new', CREATE);
    await write(client, written, 0, 'written');
    await close(client, opened);
    expect(kept).toEqual(['0 0 con', '0 3 te', '1 0 writt', '0 ended']);
    expect(session.client.bridged.records).toMatchObject([{ operation: 'read', file: 0, truncated: true }]);
  });
});

describe.skipIf(!SFTP_SERVER)('bounds', () => {
  it('no more files are open at once than there may be, and closed ones make room', async () => {
    await using session = await aSession();
    const { client } = session;
    const opened = await Promise.all(Array.from({ length: 1_030 }, () => client.open('file', FLAG.read)));
    const failed = opened.filter(({ code }) => code !== undefined);
    expect(failed.length).toBeGreaterThanOrEqual(6);
    expect(failed.every(({ code }) => code === failure)).toBe(true);
    await close(client, opened[0] as Reply);
    expect((await client.open('file', FLAG.read)).type).toBe(TYPE.handle);
  });

  it('64 MiB go through both ways, and little of it is ever held', async () => {
    await using session = await aSession();
    const { client, root } = session;
    const chunk = randomBytes(32_768);
    const count = 2_048;
    const whole = createHash('sha256');
    const opened = await client.open('big', CREATE);
    for (let at = 0; at < count; at += 64) {
      const window = Array.from({ length: 64 }, (_, index) => (at + index) * chunk.length);
      await Promise.all(window.map((offset) => write(client, opened, offset, chunk)));
      for (const _ of window) whole.update(chunk);
    }
    await close(client, opened);
    const digest = whole.digest('hex');
    expect(statSync(join(root, 'big')).size).toBe(count * chunk.length);
    expect(client.bridged.records.at(-1)).toMatchObject({ operation: 'write', digest });

    const reading = await client.open('big', FLAG.read);
    for (let at = 0; at < count; at += 64)
      await Promise.all(
        Array.from({ length: 64 }, (_, index) => read(client, reading, (at + index) * chunk.length, chunk.length)),
      );
    expect((await read(client, reading, count * chunk.length, 1)).code).toBe(eof);
    await close(client, reading);
    expect(client.bridged.records.at(-1)).toMatchObject({ operation: 'read', bytes: count * chunk.length, digest });
    expect(client.bridged.mostWaiting()).toBeLessThan(8 * 1024 * 1024);
  });
});

it.skipIf(!SFTP_SERVER)('one session does not change links under the feet of another one of the same agent', async () => {
  const turns = new Turns();
  const judged: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  await using session = await aSession(undefined, {
    turns,
    judge: {
      preview: () => 'allow',
      opened: () => () => undefined,
      judge: async ({ operation }) => {
        judged.push(operation);
        await promise;
        return { verdict: 'allow' };
      },
    },
  });
  const { client, root } = session;
  symlinkSync('/etc', join(root, 'out'));
  const other = new RawClient({ judge: judgeBy([['Allow', [...ALL], ['/**']]]), cwd: root, turns });
  const opened = client.open('empty/passwd', FLAG.read);
  await eventually('the question', () => judged[0]);
  const moved = Promise.all([
    other.request(TYPE.rename, string('empty'), string('gone')),
    other.request(TYPE.rename, string('out'), string('empty')),
  ]);
  await sleep(50);
  expect(readdirSync(root)).toContain('out');
  resolve();
  expect((await opened).code).toBe(noSuchFile);
  expect((await moved).map(({ code }) => code)).toEqual([ok, ok]);
  await other.end();
});
