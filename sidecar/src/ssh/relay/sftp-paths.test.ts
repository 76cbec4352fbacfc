import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync, mkdirSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import { string, uint32, uint64 } from '../wire/data.ts';
import { FLAG, STATUS, TYPE } from '../wire/sftp.ts';
import { type FileRule, judgeBy, SFTP_SERVER } from './files.test-support.ts';
import { NO_ATTRIBUTES, RawClient, type Reply } from './sftp-client.test-support.ts';

const { noSuchFile, permissionDenied, ok } = STATUS;

/** A home of the agent with a tree that it may use, `area`, beside what it may not. */
async function aPlace(): Promise<{ root: string } & AsyncDisposable> {
  const directory = await temporaryDirectory('sftp-');
  const root = await realpath(directory.path);
  for (const path of ['area/deep', 'area/secret', 'outside']) mkdirSync(join(root, path), { recursive: true });
  writeFileSync(join(root, 'area/file'), 'allowed');
  writeFileSync(join(root, 'area/deep/file'), 'deep');
  writeFileSync(join(root, 'area/secret/key'), 'denied');
  writeFileSync(join(root, 'outside/key'), 'outside');
  symlinkSync('../outside', join(root, 'area/out'));
  symlinkSync('../outside/key', join(root, 'area/out-key'));
  symlinkSync('deep', join(root, 'area/in'));
  symlinkSync('secret/key', join(root, 'area/secret-key'));
  symlinkSync('nowhere/at/all', join(root, 'area/dangling'));
  symlinkSync('area', join(root, 'short'));
  return { root, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

const ALL = ['read', 'write', 'list', 'delete'] as const;
const rulesFor = (root: string): FileRule[] => [
  ['Allow', [...ALL], [`${root}/area/**`]],
  ['Deny', [...ALL], [`${root}/area/secret/**`]],
];

/** All but one file of a directory. */
const nested = (root: string): FileRule[] => [
  ['Allow', [...ALL], [`${root}/**`]],
  ['Deny', ['read'], [`${root}/area/secret/key`]],
];

/** A place to leave files in, not to read them. */
const drop = (root: string): FileRule[] => [
  ['Allow', ['write', 'delete'], [`${root}/outside/**`]],
  ['Allow', [...ALL], [`${root}/area/**`]],
];

const texts = async (...replies: Promise<Reply>[]): Promise<string[]> => (await Promise.all(replies)).map(({ text }) => text);

const symlink = (client: RawClient, to: string, path: string): Promise<Reply> =>
  client.request(TYPE.symlink, string(to), string(path));

const told = (path: string, { code, text }: Reply): unknown => [code, text.replaceAll(path, 'PATH')];
const stat = (client: RawClient, path: string): Promise<Reply> => client.request(TYPE.stat, string(path));
const open = (client: RawClient, path: string): Promise<Reply> => client.open(path, FLAG.read);
const whereTo = (client: RawClient, path: string): Promise<Reply> => client.request(TYPE.realpath, string(path));
const expand = (client: RawClient, path: string): Promise<Reply> => client.extended('expand-path@openssh.com', string(path));
const plain = (path: string): string => path.replace('/area/out/', '/outside/');
const move = (client: RawClient, path: string): Promise<Reply> => client.request(TYPE.rename, string(path), string('area/moved'));

/** The answer, and the directories that there are then. */
const rename = async (rules: (root: string) => FileRule[], from: string, to: string): Promise<[number | undefined, string[]]> => {
  await using place = await aPlace();
  const client = new RawClient({ judge: judgeBy(rules(place.root)), cwd: place.root });
  const { code } = await client.extended('posix-rename@openssh.com', string(from), string(to));
  await client.end();
  return [code, readdirSync(join(place.root, 'area')).filter((name) => lstatSync(join(place.root, 'area', name)).isDirectory())];
};

describe.skipIf(!SFTP_SERVER)('a path is judged where it leads', () => {
  it.each<[string, string, string | number]>([
    ['a file', 'area/file', 'allowed'],
    ['an absolute path', '$/area/file', 'allowed'],
    ['a link that stays inside', 'area/in/file', 'deep'],
    ['a way in by a link', 'short/file', 'allowed'],
    ['a link that leads out', 'area/out/key', permissionDenied],
    ['a link to a file outside', 'area/out-key', permissionDenied],
    ['a link to a file that a rule denies', 'area/secret-key', permissionDenied],
    ['.. that stays inside', 'area/deep/../file', 'allowed'],
    ['.. that leads out', 'area/../outside/key', permissionDenied],
    ['.. after a link that leads out', 'area/out/../area/file', 'allowed'],
    ['.. after a link, where the text alone stays inside', 'area/in/../../area/secret/key', permissionDenied],
    ['.. after a link, where the server is elsewhere than the text', 'short/../outside/key', permissionDenied],
    ['slashes and dots in between', 'area//.///file', 'allowed'],
    ['slashes and dots to what is denied', 'area//secret/.//key', permissionDenied],
    ['.. above the root', '/../../..$/outside/key', permissionDenied],
    ['another case, which is another file', 'area/FILE', noSuchFile],
    ['another case of what is denied', 'area/SECRET/key', noSuchFile],
    ['a file with a slash behind it', 'area/file/', noSuchFile],
    ['an empty path', '', noSuchFile],
    ['a path that is no text', 'area/\u00ff', permissionDenied],
    ['what is not there, where the agent may not look', 'outside/nothing/at/all', permissionDenied],
    ['what is not there, where it may', 'area/nothing/at/all', noSuchFile],
    ['a path longer than any', `area/${'x/'.repeat(2_100)}`, permissionDenied],
  ])('%s', async (_, path, expected) => {
    await using place = await aPlace();
    const client = new RawClient({ judge: judgeBy(rulesFor(place.root)), cwd: place.root });
    // A path here is a row of bytes.
    const bytes = Buffer.from(path.replace('$', place.root), path.includes('\u00ff') ? 'latin1' : 'utf8');
    const opened = await client.request(TYPE.open, string(bytes), uint32(FLAG.read), NO_ATTRIBUTES);
    const read =
      opened.type === TYPE.handle
        ? (await client.request(TYPE.read, string(opened.text), uint64(0n), uint32(100))).text
        : opened.code;
    expect(read).toBe(expected);
    expect(await client.end()).toBeUndefined();
  });

  it.each(['area/out', 'area/out-key', 'outside/key'])('what is denied is not told of: %s', async (path) => {
    await using place = await aPlace();
    const client = new RawClient({ judge: judgeBy(rulesFor(place.root)), cwd: place.root });
    const asked = await Promise.all([
      client.request(TYPE.stat, string(path)),
      client.request(TYPE.realpath, string(path)),
      client.request(TYPE.opendir, string(path)),
      client.extended('statvfs@openssh.com', string(path)),
      client.extended('expand-path@openssh.com', string(path)),
    ]);
    expect(asked.map(({ code }) => code)).toEqual(asked.map(() => permissionDenied));
    await client.end();
  });

  it.each<[string, (client: RawClient, path: string) => Promise<Reply>, string, string]>([
    ['through a directory and back to what is allowed', open, 'outside/../area/file', 'nobody/../area/file'],
    ['the same, by its attributes', stat, 'outside/../area/file', 'nobody/../area/file'],
    ['the same, back to its home', whereTo, 'outside/..', 'nobody/..'],
    ['the same, from the root', whereTo, '$/outside/../area/file', '$/nobody/../area/file'],
    ['the same, by ~', expand, '~/outside/../area', '~/nobody/../area'],
    ['the home of a user, and back', expand, '~root/../$/area', '~no-such-user/../$/area'],
    ['a link', stat, '$/outside/away', '$/outside/none'],
    ['a link, to be read', open, '$/outside/away', '$/outside/none'],
    ['a link, by where it leads', whereTo, '$/outside/away', '$/outside/none'],
    ['what is moved by a link that leads out', move, '$/area/out/key', '$/area/out/none'],
  ])('tells nothing of what the agent may not know of, there or not: %s', async (_, ask, there, none) => {
    await using place = await aPlace();
    symlinkSync('/etc', join(place.root, 'outside/away'));
    const client = new RawClient({ judge: judgeBy(rulesFor(place.root)), cwd: place.root });
    const [first, second] = [there, none].map((path) => path.replace('$', place.root));
    const [is, isNot] = [await ask(client, first ?? ''), await ask(client, second ?? '')];
    expect(is.code).toBe(permissionDenied);
    expect(told(plain(first ?? ''), is)).toEqual(told(plain(second ?? ''), isNot));
    await client.end();
  });

  it.each(['area/deep/../file', '$/area/deep/../../area/file', '../NAME/area/file', './/../NAME/../NAME/area//file'])(
    'goes where it may by ..: %s',
    async (path) => {
      await using place = await aPlace();
      const client = new RawClient({ judge: judgeBy(rulesFor(place.root)), cwd: place.root });
      const name = place.root.slice(place.root.lastIndexOf('/') + 1);
      expect(await client.get(path.replace('$', place.root).replaceAll('NAME', name))).toBe('allowed');
      await client.end();
    },
  );

  it('its home is told, and what users there are is not', async () => {
    await using place = await aPlace();
    const client = new RawClient({ judge: judgeBy(rulesFor(place.root)), cwd: place.root });
    expect(await texts(client.request(TYPE.realpath, string('.')), client.request(TYPE.realpath, string('')))).toEqual([
      place.root,
      place.root,
    ]);
    const [root, nobody] = await texts(
      client.extended('expand-path@openssh.com', string('~root')),
      client.extended('expand-path@openssh.com', string('~no-such-user')),
    );
    expect(root).toMatch(/^chaperone: this file operation is denied/);
    expect(nobody).toBe(root);
    await client.end();
  });
});

describe.skipIf(!SFTP_SERVER)('a link that an agent makes', () => {
  it('leads to what may be read and written, and keeps leading there when it is moved', async () => {
    await using place = await aPlace();
    const client = new RawClient({ judge: judgeBy(rulesFor(place.root)), cwd: place.root });
    expect(await symlink(client, '../file', 'area/deep/link')).toMatchObject({ code: ok });
    expect(readlinkSync(join(place.root, 'area/deep/link'))).toBe(`${place.root}/area/file`);
    expect(await symlink(client, '../outside/key', 'area/link')).toMatchObject({ code: permissionDenied });
    expect(await symlink(client, `${place.root}/outside/key`, 'area/link')).toMatchObject({ code: permissionDenied });
    expect(await symlink(client, 'secret/key', 'area/link')).toMatchObject({ code: permissionDenied });
    expect(await symlink(client, 'out/key', 'area/link')).toMatchObject({ code: permissionDenied });
    expect(await symlink(client, 'file', 'outside/link')).toMatchObject({ code: permissionDenied });
    // A directory stands for all that is below it, and a rule denies some of that.
    expect(await symlink(client, '../area', 'area/link')).toMatchObject({ code: permissionDenied });
    expect(await symlink(client, 'deep', 'area/link')).toMatchObject({ code: ok });
    await client.end();
  });

  it('may be hard to what may be read and written alone', async () => {
    await using place = await aPlace();
    const client = new RawClient({ judge: judgeBy(rulesFor(place.root)), cwd: place.root });
    const hard = (to: string, path: string): Promise<Reply> => client.extended('hardlink@openssh.com', string(to), string(path));
    expect(await hard('area/file', 'area/hard')).toMatchObject({ code: ok });
    expect(await hard('outside/key', 'area/hard2')).toMatchObject({ code: permissionDenied });
    expect(await hard('area/out-key', 'area/hard2')).toMatchObject({ code: permissionDenied });
    expect(await hard('area/secret/key', 'area/hard2')).toMatchObject({ code: permissionDenied });
    expect(existsSync(join(place.root, 'area/hard2'))).toBe(false);
    await client.end();
  });

  it('is itself what is removed, renamed and looked at, not what it leads to', async () => {
    await using place = await aPlace();
    const client = new RawClient({ judge: judgeBy(rulesFor(place.root)), cwd: place.root });
    expect((await client.request(TYPE.lstat, string('area/out-key'))).type).toBe(TYPE.attrs);
    expect((await client.request(TYPE.readlink, string('area/out-key'))).text).toBe('../outside/key');
    expect(await client.request(TYPE.rename, string('area/out-key'), string('area/moved'))).toMatchObject({ code: ok });
    expect(await client.request(TYPE.remove, string('area/moved'))).toMatchObject({ code: ok });
    expect(readFileSync(join(place.root, 'outside/key'), 'utf8')).toBe('outside');
    await client.end();
  });
});

describe.skipIf(!SFTP_SERVER)('a rename', () => {
  const dirs = ['deep', 'secret'];

  it('of a directory takes along all that is in it, or does not happen', async () => {
    expect(await rename(rulesFor, 'area', 'area/deep/w')).toEqual([permissionDenied, dirs]);
    expect(await rename(rulesFor, 'area/secret', 'area/open')).toEqual([permissionDenied, dirs]);
    expect(await rename(rulesFor, 'area/deep', 'area/new')).toEqual([ok, ['new', 'secret']]);
    expect(await rename(nested, 'area/secret', 'area/open')).toEqual([permissionDenied, dirs]);
  });

  it('does not make readable what was not', async () => {
    expect((await rename(drop, 'outside/key', 'area/key'))[0]).toBe(permissionDenied);
    expect((await rename(drop, 'outside/key', 'outside/final'))[0]).toBe(ok);
    expect((await rename(drop, 'area/file', 'outside/final'))[0]).toBe(ok);
  });
});

describe.skipIf(!SFTP_SERVER)('a server that does not follow links when it is asked where a path leads', () => {
  it.each<[string, string, string | number]>([
    ['a file', 'area/file', 'allowed'],
    ['a link that leads out', 'area/out/key', permissionDenied],
    ['a link that is the last part', 'area/secret-key', permissionDenied],
    ['a link that stays inside, since nobody can tell', 'area/in/file', permissionDenied],
    ['what is not there', 'area/nothing', noSuchFile],
    ['a directory that is not there', 'area/no/thing', noSuchFile],
  ])('has every part of a path looked at: %s', async (_, path, expected) => {
    await using place = await aPlace();
    const client = new RawClient({
      judge: judgeBy(rulesFor(place.root)),
      cwd: place.root,
      resolvesLinks: false,
      tidiesOnly: true,
    });
    expect(await client.get(path)).toBe(expected);
    await client.end();
  });
});
