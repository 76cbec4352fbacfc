import { judge } from '@chaperone/policy';
import { describe, expect, it } from 'vitest';
import { accessOf } from '../relay/files.test-support.ts';
import { execAction, readExec } from './exec.ts';
import { quoteWord } from './quote.ts';
import { parseShell } from './shell.ts';

const read = (text: string): ReturnType<typeof readExec> => readExec(Buffer.from(text));
/** `verb object` of each effect. */
const effects = (text: string): string[] =>
  execAction(read(text), Buffer.from(text)).effects.map(({ verb, object, kind }) => `${verb} ${kind} ${object}`);

const gitPlaces = (verb: string, path: string): string[] =>
  ['', '/.git', '.git', '.git/.git'].map((suffix) => `${verb} path ${path}${suffix}`);

it('has rsync store links that lead nowhere', () => {
  expect(readExec(Buffer.from('rsync --server -vlogDtpre.iLsfxCIvu . /srv/a'))).toMatchObject({
    send: 'rsync --server --munge-links -vlogDtpre.iLsfxCIvu . /srv/a',
  });
});

it.each([
  ['--sender -r', 'plain'],
  ['--sender -r --remove-source-files', 'framed'],
  ['-r --delete', 'plain'],
  ['-r --delete-excluded --remove-source-files', 'plain'],
  ['-rm', 'plain'],
  ['-r', undefined],
  ['-r --force --remove-source-files', undefined],
])('has rsync say its filter rules in one form, where its server reads some: %s', (options, rules) => {
  expect(read(`rsync --server ${options} . /srv/a`)).toMatchObject({
    send: `rsync --server --munge-links ${rules === undefined ? '' : "'--protocol=29' "}${options} . /srv/a`,
    transfer: rules === undefined ? expect.not.objectContaining({ rules: expect.anything() }) : { rules },
  });
});

it.each(['git-receive-pack /srv/a.git', 'git-upload-pack /srv/a.git'])(
  'lets nobody push or fetch by a rule about files alone: %s',
  (command) => {
    const access = accessOf([['Allow', ['read', 'write', 'list', 'delete'], ['/srv/**']]]);
    expect(judge(access, execAction(read(command), Buffer.from(command)))).toMatchObject({
      verdict: 'deny',
      effects: [...Array.from({ length: 4 }, () => ({ verdict: 'allow' })), { verb: 'exec', object: command, verdict: 'deny' }],
    });
  },
);

it.each<[string, string, boolean]>([
  ['git-upload-pack /srv/a', '/srv/none/**', true],
  ['git-upload-pack /srv/a', '/srv/a.git/**', false],
  ['git-upload-pack /srv/a/', '/srv/a.git/**', false],
  ['git-upload-pack /srv/a', '/srv/a/.git/**', false],
  ['git-upload-pack /srv/a.git', '/srv/a.git.git/**', false],
])('takes a repository for all that git may take it for: %s beside a Deny of %s', (command, denied, isAllowed) => {
  const files = accessOf([
    ['Allow', ['read'], ['/srv/**']],
    ['Deny', ['read'], [denied]],
  ]);
  const { effects: all } = execAction(read(command), Buffer.from(command));
  expect(judge(files, { effects: all.filter(({ kind }) => kind === 'path') }).verdict).toBe(isAllowed ? 'allow' : 'deny');
});

it.each([
  ['git-receive-pack /srv/a', 'git-receive-pack /srv/a.git'],
  ['git-receive-pack /srv//a.git', 'git-receive-pack /srv/a.git'],
  ['git-receive-pack /srv/./a/', 'git-receive-pack /srv/a.git'],
  ['/usr/bin/git-receive-pack /srv/a.git', 'git receive-pack **'],
  ['git receive-pack /srv/a.git', 'git-receive-pack **'],
])('%s is denied by %s', (command, pattern) => {
  const exec = execAction(read(command), Buffer.from(command)).effects.find(({ kind }) => kind === 'command');
  const access = accessOf([['Allow', ['write'], ['/srv/**']]]);
  const rules = [
    { ...access.rules[0], effect: 'Allow' as const, ssh: { commands: ['**'] } },
    { ...access.rules[0], name: 'never', effect: 'Deny' as const, ssh: { commands: [pattern] } },
  ] as typeof access.rules;
  const granted = { ...access, ceiling: { ...access.ceiling, statements: ['exec'] } };
  expect(judge({ ...granted, rules }, { effects: exec ? [exec] : [] })).toMatchObject({ code: 'DeniedByRule', rule: 'never' });
  expect(judge({ ...granted, rules: rules.slice(0, 1) }, { effects: exec ? [exec] : [] }).verdict).toBe('allow');
});

it('does not let one name of a repository stand for the others', () => {
  const command = 'git-upload-pack /srv/a';
  const files = accessOf([['Allow', ['read'], ['/srv/a/**']]]);
  expect(judge(files, execAction(read(command), Buffer.from(command)))).toMatchObject({
    verdict: 'deny',
    effects: [{ verdict: 'allow' }, { verdict: 'allow' }, { object: '/srv/a.git', verdict: 'deny' }, { verdict: 'deny' }, {}],
  });
});

describe('an exec request', () => {
  it.each<[string, string[]]>([
    ['ls -l', ['exec command ls -l']],
    ["ls 'a b' | sudo rm x", ["exec command ls 'a b'", 'exec command sudo rm x', 'exec command rm x']],
    ['ls $x', ['exec command ls $x']],
    ['scp -t /srv/x', ['subsystem subsystem sftp']],
    ['scp -r -p -f /srv/x/ y', ['subsystem subsystem sftp']],
    ['rsync --server --sender -vlogDtpre.iLsfxCIvu . /srv/a', ['read path /srv/a']],
    ['rsync --server --sender -vlogDtpre.iLsfxCIvu --info=STATS0 . /srv//a/', ['read path /srv/a']],
    ['rsync --server -vlogDtpre.iLsfxCIvu --delete . /srv/a', ['write path /srv/a', 'delete path /srv/a']],
    ['rsync --server -vr --force . /srv/a', ['write path /srv/a', 'delete path /srv/a']],
    ['git-upload-pack x', ['read path ', 'exec command git-upload-pack x']],
    ['git-upload-pack /srv/../x', ['read path ', 'exec command git-upload-pack /srv/../x']],
    ['git-upload-pack -- -x', ['read path ', 'exec command git-upload-pack -x']],
    ["git-upload-pack '/srv/a b/'", [...gitPlaces('read', '/srv/a b'), "exec command git-upload-pack '/srv/a b/'"]],
    ["git receive-pack '/srv/a.git'", [...gitPlaces('write', '/srv/a.git'), 'exec command git-receive-pack /srv/a.git']],
    ['/usr/lib/openssh/sftp-server', ['subsystem subsystem sftp']],
  ])('%s has effects of its own', (text, expected) => {
    expect(effects(text)).toEqual(expected);
  });

  it('names words where they are known, and none where they are not', () => {
    expect(execAction(read('ls -l'), Buffer.from('ls -l')).effects[0]?.words).toEqual(['ls', '-l']);
    expect(execAction(read('ls $x'), Buffer.from('ls $x')).effects[0]?.words).toBeUndefined();
  });

  it('says what another command runs', () => {
    expect(execAction(read('sudo ls; pwd'), Buffer.from('sudo ls; pwd')).effects.map(({ via }) => via)).toEqual([
      'direct',
      'direct',
      'nested',
    ]);
  });

  it.each([
    ['ls    -l  "a b"', "ls -l 'a b'"],
    ['git-upload-pack /srv/x.git', "git-upload-pack '/srv/x.git'"],
    ["git-upload-pack '/srv/x.git'", "git-upload-pack '/srv/x.git'"],
    ["git-receive-pack '/srv/a'\\''b'", "git-receive-pack '/srv/a'\\''b'"],
    ['scp -t "/a b"', "scp -t '/a b'"],
  ])('%s is sent as %s', (text, sent) => {
    expect(read(text)).toMatchObject({ send: sent });
  });

  const ADDED = new Set(['--munge-links', '--protocol=29']);
  const HOSTILE = ['/srv/$(id)', '/srv/`id`', '/srv/a;id', '/srv/a b', "/srv/a'b", '/srv/a&id', '/srv/*', '/srv/$IFS'];
  it.each<[string, (word: string) => string[]]>([
    ['a path in front of an option of git', (word) => ['git-upload-pack', word, '--strict']],
    ['a path in front of an option of git receive-pack', (word) => ['git', 'receive-pack', word, '--no-strict']],
    ['the value of an option of git', (word) => ['git-upload-pack', `--timeout=${word}`, '/srv/a']],
    ['the value behind an option of git', (word) => ['git-upload-archive', '--timeout', word, '/srv/a']],
    ['the path of git', (word) => ['git-receive-pack', word]],
    ['the path of rsync', (word) => ['rsync', '--server', '--sender', '-r', '.', word]],
    ['the value of an option of rsync', (word) => ['rsync', '--server', '-r', `--usermap=${word}`, '.', '/srv/a']],
    ['the path of scp', (word) => ['scp', '-f', word]],
  ])('runs nothing by %s', (_, argvOf) => {
    for (const word of HOSTILE) {
      const argv = argvOf(word);
      const exec = read(argv.map(quoteWord).join(' '));
      if (exec.kind !== 'transfer') throw new Error(`no transfer: ${argv.join(' ')}`);
      const sent = parseShell(Buffer.from(exec.send));
      if (sent.kind === 'unknown') throw new Error(`a shell puts something in place of a word of ${exec.send}`);
      const words = sent.commands.map((command) => command.argv.filter((each) => !ADDED.has(each)));
      expect(words).toEqual([argv]);
    }
  });

  it.each([
    'scp -t -f /x',
    'scp -t /x /y',
    'scp -f',
    'scp -S sh -t /x',
    'scp -t /x; rm y',
    'scp -t /x 2>/dev/null',
    'cd /srv && scp -t x',
    '/tmp/scp -t /x',
    './rsync --server . /x',
    'rsync --server --log-file=/x . /y',
    'rsync --server --files-from=/x . /y',
    'rsync --server -s . /x',
    'rsync --server -vlogDtprLe.iLsfxCIvu . /x',
    'rsync --server --sender -vke.iLsfxCIvu . /x',
    'rsync --server -vlK . /x',
    'rsync --server --sender /x',
    'rsync --server --daemon .',
    'git-upload-pack /x /y',
    'git-upload-pack --exec=x /y',
    'git-shell -c x',
    'sftp-server -d /x',
  ])('%s is no transfer that is known, and nothing else either', (text) => {
    expect(read(text).kind).toBe('unknown');
  });
});
