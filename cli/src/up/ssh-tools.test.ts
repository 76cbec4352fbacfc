import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdirSync, readdirSync, readFileSync, realpathSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { eventually, freePort, hasSshd, startSshd, temporaryDirectory, type TestSshd } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Up } from '../program.test-support.ts';
import { hostManifests, type Said } from './ssh.test-support.ts';

/** Where a tool runs: against the server itself or through the proxy. The host is called `host` on both. */
interface Side {
  readonly port: number;
  readonly config: string;
  /** The server's directory. */
  readonly there: string;
  /** The tool's own. */
  readonly here: string;
}

type Step = readonly [program: string, ...args: string[]];
/** `input`: what its first step reads. */
type Row = [what: string, steps: (side: Side) => readonly Step[], input?: string | Buffer];

const READS_CONFIG: ReadonlySet<string> = new Set(['ssh', 'scp', 'sftp']);
const OLD = Date.UTC(2023, 0) / 1000;
const MANY = Buffer.alloc(20_000_000, 'a line of text that is no number\n');

const BATCH = `mkdir made
put up made/by-sftp
put -p up made/kept
rename made/by-sftp made/renamed
chmod 600 made/renamed
get made/renamed back
get -r tree by-sftp
ls -1 made
-rm nothing
rm made/kept
-rmdir made
get nothing`;

const on = (...words: string[]): Step => ['ssh', 'host', ...words];
const scp = (...args: string[]): Step => ['scp', ...args];
const at = ({ there }: Side, path = ''): string => `host:${there}/${path}`;

function makeSide(root: string, name: string, port: number, lines: readonly string[]): Side {
  const [there, here] = [join(root, name, 'there'), join(root, name, 'here')];
  for (const path of ['tree/sub', 'tree/empty', 'empty', 'bin']) mkdirSync(join(there, path), { recursive: true });
  mkdirSync(join(here, 'upload/sub'), { recursive: true });
  writeFileSync(join(there, 'file'), 'content\n', { mode: 0o640 });
  writeFileSync(join(there, 'nil'), '');
  writeFileSync(join(there, 'big'), Buffer.alloc(3_000_000, 'abcdefg'));
  writeFileSync(join(there, 'tree/sub/leaf'), 'leaf');
  writeFileSync(join(here, 'up'), Buffer.alloc(200_000, 'uvw'));
  writeFileSync(join(here, 'upload/sub/leaf'), 'leaf');
  // Directories too: rsync says that a time changed only where it is of another second.
  for (const path of [
    'there/file',
    'there/tree/sub/leaf',
    'there/tree/sub',
    'there/tree',
    'here/up',
    'here/upload/sub/leaf',
    'here/upload/sub',
    'here/upload',
  ])
    utimesSync(join(root, name, path), OLD, OLD);
  const scripts = {
    signal: 'kill -TERM $$',
    both: 'echo out; echo err >&2',
    seven: 'exit 7',
    last: 'exit 255',
    mute: 'exec >&-; cat >&2; exit 3',
  };
  for (const [script, text] of Object.entries(scripts))
    writeFileSync(join(there, 'bin', script), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  const config = join(root, `${name}.config`);
  writeFileSync(
    config,
    [
      'Host host',
      `Port ${port}`,
      'HostName 127.0.0.1',
      'BatchMode yes',
      'IdentitiesOnly yes',
      'KexAlgorithms curve25519-sha256',
      ...lines,
      '',
    ].join('\n'),
  );
  writeFileSync(`${config}.batch`, `cd ${there}\n${BATCH}`);
  return { port, config, there, here };
}

/** Every file below a directory: mode, whether its time was kept, and content. */
function treeOf(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => !/[.]git(\/|$)/.test(name))
    .toSorted()
    .map((name) => {
      const stat = statSync(join(root, name));
      const content = stat.isFile() ? short(readFileSync(join(root, name), 'latin1')) : '';
      return `${name} ${stat.mode.toString(8)} ${stat.isFile() && stat.mtimeMs === OLD * 1000} ${content}`;
    });
}

const short = (text: string): string =>
  text.length < 1_000 ? text : `${text.length} bytes, ${createHash('sha256').update(text, 'latin1').digest('hex')}`;

const environment = ({ config }: Side) => ({
  PATH: process.env['PATH'] ?? '',
  HOME: '/nonexistent',
  LC_ALL: 'C.UTF-8',
  GIT_SSH_COMMAND: `ssh -F ${config}`,
  RSYNC_RSH: `ssh -F ${config}`,
  GIT_CONFIG_NOSYSTEM: '1',
  ...Object.fromEntries(
    ['AUTHOR', 'COMMITTER'].flatMap((who) => [
      [`GIT_${who}_NAME`, 'a'],
      [`GIT_${who}_EMAIL`, 'a@b.c'],
      [`GIT_${who}_DATE`, '2023-01-01T00:00:00Z'],
    ]),
  ),
});

function start(side: Side, [program, ...args]: Step, more: Readonly<Record<string, string>> = {}) {
  const config = READS_CONFIG.has(program) ? ['-F', side.config] : [];
  return spawn(program, [...config, ...args], { cwd: side.here, stdio: 'pipe', env: { ...environment(side), ...more } });
}

async function run(side: Side, step: Step, input: string | Buffer = '', more?: Readonly<Record<string, string>>): Promise<Said> {
  const child = start(side, step, more);
  child.stdin.on('error', () => undefined).end(input);
  const [out, err, [code]] = await Promise.all([buffer(child.stdout), buffer(child.stderr), once(child, 'close')]);
  const tidy = (text: string): string => short(text.replaceAll(join(side.there, '..'), '$'));
  return { code: code as number | null, out: tidy(out.toString('latin1')), err: tidy(err.toString()) };
}

async function runAll(side: Side, steps: readonly Step[], input?: string | Buffer): Promise<Said[]> {
  const done: Said[] = [];
  for (const step of steps) done.push(await run(side, step, done.length === 0 ? input : ''));
  return done;
}

describe.runIf(hasSshd)('stock tools do through chaperone up what they do directly', () => {
  const made = new AsyncDisposableStack();
  let sshd: TestSshd;
  let echo: Server;
  let [direct, through] = [{}, {}] as [Side, Side];
  const echoPort = (): string => `${(echo.address() as AddressInfo).port}`;

  beforeAll(async () => {
    const root = realpathSync(made.use(await temporaryDirectory('chaperone-ssh-tools-')).path);
    // Keys change and silence is asked about in all of them.
    sshd = made.use(await startSshd(['ClientAliveInterval 1', 'RekeyLimit 1M', 'MaxSessions 30']));
    echo = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => undefined).pipe(socket)).listen(
      0,
      '127.0.0.1',
    );
    made.defer(() => void echo.close());
    await once(echo, 'listening');
    const data = join(root, 'data');
    mkdirSync(join(root, 'manifests'));
    writeFileSync(join(root, 'manifests', 'ssh.yaml'), manifest(sshd, root, echoPort()));
    writeFileSync(join(root, 'known_hosts'), `[127.0.0.1]:${sshd.port} ${sshd.hostKey}\n`);
    writeFileSync(join(root, 'key'), sshd.privateKey, { mode: 0o600 });
    const up = made.use(await Up.start(join(root, 'manifests'), data));
    const port = (up.ready.resources[0]?.address ?? '').split(':')[1] ?? '';
    direct = makeSide(root, 'direct', sshd.port, [
      `User ${sshd.user}`,
      `IdentityFile ${join(root, 'key')}`,
      `UserKnownHostsFile ${join(root, 'known_hosts')}`,
    ]);
    through = makeSide(root, 'through', Number(port), ['User bot', `UserKnownHostsFile ${join(data, 'known_hosts')}`]);
    cpSync(direct.here, through.here, { recursive: true, preserveTimestamps: true });
  });
  afterAll(() => made.disposeAsync());

  const COMMANDS: Row[] = [
    ['print to both streams', ({ there }) => [on(`${there}/bin/both`)]],
    [
      'end with any status',
      ({ there }) => [on('true'), on('false'), on(`${there}/bin/seven`), on(`${there}/bin/last`), on('no-such-program')],
    ],
    ['end by a signal', ({ there }) => [on(`${there}/bin/signal`)]],
    ['take 20 MB of input and give them back', () => [on('cat')], MANY],
    ['read an input that is empty, or none at all', () => [['ssh', '-n', 'host', 'cat'], on('cat')], 'not read'],
    ['close their output before they end', ({ there }) => [on(`${there}/bin/mute`)], 'late'],
    ['end when nobody reads them any more', ({ config }) => [['sh', '-c', `ssh -F ${config} host yes | head -n 1`]]],
    ['end where the next one of a pipe does', () => [on('yes | head -n 1')]],
    ['are compressed, or as if', () => [['ssh', '-C', 'host', 'cat']], MANY.subarray(0, 1_000_000)],
    [
      'go on while their client asks for new keys',
      () => [['ssh', '-o', 'RekeyLimit=200K', 'host', 'cat']],
      MANY.subarray(0, 1_000_000),
    ],
    [
      'are silent while both sides ask whether they are there',
      () => [['ssh', '-o', 'ServerAliveInterval=1', 'host', 'sleep 2.5']],
    ],
  ];
  const COPIES: Row[] = ['', '-O'].flatMap((mode): Row[] => {
    const name = `${mode || 'scp'}-`;
    const copy = (...args: string[]): Step => scp(...(mode ? [mode] : []), ...args);
    const kind = mode ? "by scp's old protocol" : 'by scp';
    return [
      [
        `${kind}: up to a name, over a file, into a directory`,
        (s) => [
          copy('up', at(s, `${name}new`)),
          copy('up', at(s, `${name}new`)),
          copy('up', at(s, 'empty')),
          copy('up', at(s, 'empty/')),
        ],
      ],
      [
        `${kind}: up with times, and a tree`,
        (s) => [
          copy('-p', 'up', at(s, `${name}kept`)),
          copy('-r', 'upload', at(s, 'empty')),
          copy('-r', '-p', 'upload', at(s, `${name}tree`)),
        ],
      ],
      [`${kind}: up several`, (s) => [copy('up', 'upload/sub/leaf', at(s, 'empty'))]],
      [
        `${kind}: up to where there is no directory`,
        (s) => [copy('up', at(s, 'no/such/place')), copy('up', 'up', at(s, 'file'))],
      ],
      [`${kind}: up to where it begins`, (s) => [copy('up', `host:../..${s.there}/${name}relative`)]],
      [
        `${kind}: down, with times, several, one that is empty`,
        (s) => [copy(at(s, 'file'), `${name}got`), copy('-p', at(s, 'file'), at(s, 'nil'), at(s, 'big'), '.')],
      ],
      [
        `${kind}: down a tree`,
        (s) => [copy('-r', at(s, 'tree'), `${name}there`), copy('-r', '-p', at(s, 'tree/'), `${name}got-tree`)],
      ],
      [
        `${kind}: down what is not there, or a directory`,
        (s) => [copy(at(s, 'nothing'), at(s, 'file'), '.'), copy(at(s, 'tree'), '.')],
      ],
      [`${kind}: down to where there is no directory`, (s) => [copy(at(s, 'file'), 'no/such/place')]],
    ];
  });
  // Where an rsync is sent filter rules it speaks this version through Chaperone.
  const V29 = '--protocol=29';
  const OTHERS: Row[] = [
    [
      'rsync: up and again, without what is gone',
      (s) => [
        ['rsync', V29, '-a', '--delete', 'upload/', at(s, 'mirror/')],
        // What a deletion makes of a directory's time over there is of another second than this one.
        ['sh', '-c', 'mv upload/sub/leaf upload/other && touch -d 2001-02-03 upload/sub upload'],
        [
          'rsync',
          V29,
          '-avi',
          '--delete',
          '--no-human-readable',
          '--out-format=%i %n',
          '--info=stats0,flist0',
          'upload/',
          at(s, 'mirror/'),
        ],
      ],
    ],
    [
      'rsync: down and again, without what is gone',
      (s) => [
        ['rsync', V29, '-a', '--delete', at(s, 'tree/'), 'mirror/'],
        ['sh', '-c', 'touch mirror/extra'],
        ['rsync', V29, '-ai', '--delete', '-f', 'P kept', '--exclude', '*.o', at(s, 'tree/'), 'mirror/'],
        ['rsync', V29, '-ai', '--remove-source-files', '--exclude', '*.o', at(s, 'tree/'), 'moved/'],
        ['rsync', V29, '-a', at(s, 'nothing'), 'mirror/'],
      ],
    ],
    [
      'git: push, clone and fetch',
      (s) => [
        ['git', 'init', '-q', '--bare', '-b', 'main', join(s.there, 'repo.git')],
        ['git', 'init', '-q', '-b', 'main', 'work'],
        ['git', '-C', 'work', 'commit', '-q', '--allow-empty', '-m', 'first'],
        ['git', '-C', 'work', 'push', at(s, 'repo.git'), 'main'],
        ['git', '-c', 'protocol.version=2', 'clone', at(s, 'repo.git'), 'cloned'],
        ['git', '-C', 'work', 'commit', '-q', '--allow-empty', '-m', 'second'],
        ['git', '-C', 'work', 'push', '-q', at(s, 'repo.git'), 'main:main', 'main:refs/tags/v1'],
        ['git', '-C', 'cloned', '-c', 'protocol.version=2', 'fetch'],
        ['git', '-C', 'cloned', 'log', '--format=%H', 'origin/main', 'v1'],
        ['git', 'ls-remote', at(s, 'repo.git')],
        ['git', 'clone', '-q', at(s, 'nothing.git'), 'not-there'],
      ],
    ],
    ['sftp: a batch', ({ config }) => [['sftp', '-b', `${config}.batch`, 'host']]],
    ['connections through the host', () => [['ssh', '-W', `127.0.0.1:${echoPort()}`, 'host']], MANY.subarray(0, 500_000)],
  ];
  test.each([...COMMANDS, ...COPIES, ...OTHERS])('%s', async (_, steps, input) => {
    const [expected, done] = await Promise.all([direct, through].map((side) => runAll(side, steps(side), input)));
    expect(done).toEqual(expected);
    expect(treeOf(through.there)).toEqual(treeOf(direct.there));
    expect(treeOf(through.here)).toEqual(treeOf(direct.here));
  });

  test('many sessions over one connection (ControlMaster)', async () => {
    const [expected, done] = await Promise.all([direct, through].map(many));
    expect(done).toEqual(expected);
    expect(done?.map(({ out }) => out)).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
  });

  test('a port of their own that leads to a host and port that is granted (-L)', async () => {
    const port = await freePort();
    const child = start(through, ['ssh', '-N', '-L', `127.0.0.1:${port}:127.0.0.1:${echoPort()}`, 'host']);
    const socket = await eventually('the port', () => connected(port));
    socket.end('there and back');
    expect((await buffer(socket)).toString()).toBe('there and back');
    child.kill();
    await once(child, 'close');
  });

  test.each<[string, () => Step, number, RegExp]>([
    ['to a port that no rule names', () => ['ssh', '-W', '127.0.0.1:1', 'host'], 255, /NoRuleAllows/],
    ["to the host's own server, by its address", () => ['ssh', '-W', `127.0.0.1:${sshd.port}`, 'host'], 255, /NotGranted/],
    ["to the host's own server, by a name", () => ['ssh', '-W', `localhost:${sshd.port}`, 'host'], 255, /NotGranted/],
    ["to the host's own server, by another address", () => ['ssh', '-W', `127.0.0.2:${sshd.port}`, 'host'], 255, /NotGranted/],
    ['to the name that agents use', () => ['ssh', '-W', 'build:22', 'host'], 255, /NotGranted/],
    [
      'from a port of the host (-R)',
      () => ['ssh', '-R', `0:127.0.0.1:${echoPort()}`, 'host', 'true'],
      0,
      /remote port forwarding failed/,
    ],
    ['to a graphical display (-X)', () => ['ssh', '-X', 'host', 'printenv DISPLAY'], 1, /X11 forwarding request failed/],
    ['to their keys (-A)', () => ['ssh', '-A', 'host', 'printenv SSH_AUTH_SOCK'], 1, /^$/],
  ])('not with a way %s', async (_, step, code, why) => {
    const display = { DISPLAY: ':7', SSH_AUTH_SOCK: '/nonexistent/agent' };
    expect(await run(through, step(), '', display)).toEqual({ code, out: '', err: expect.stringMatching(why) });
  });

  test('while strangers hold all connections on which nobody is let in', async () => {
    let closed = 0;
    const sockets = Array.from({ length: 100 }, () =>
      connect(through.port, '127.0.0.1')
        .on('error', () => undefined)
        .on('close', () => closed++)
        .resume(),
    );
    for (const socket of sockets) socket.write('SSH-2.0-stranger\r\n');
    await eventually('the first of them to give way', () => (closed >= 36 ? true : undefined));
    expect(await run(through, on('echo in'))).toEqual({ code: 0, out: 'in\n', err: '' });
    expect(closed).toBeLessThan(50);
    for (const socket of sockets) socket.destroy();
  });

  test('not with a way to a socket of the host', async () => {
    const port = await freePort();
    const child = start(through, ['ssh', '-N', '-L', `127.0.0.1:${port}:/run/some.sock`, 'host']);
    const socket = await eventually('the port', () => connected(port));
    expect((await buffer(socket)).toString()).toBe('');
    child.kill();
    expect((await buffer(child.stderr)).toString()).toContain('chaperone: this is not forwarded');
  });
});

/** Ten sessions at once over one connection. */
async function many(side: Side): Promise<Said[]> {
  const control = ['-o', `ControlPath=${side.config}.control`];
  const master = start(side, ['ssh', '-M', '-N', ...control, 'host']);
  const ended = once(master, 'close');
  await eventually('the connection', async () =>
    (await run(side, ['ssh', ...control, '-O', 'check', 'host'])).code === 0 ? true : undefined,
  );
  const numbers = Array.from({ length: 10 }, (_, number) => `${number}`);
  const done = await Promise.all(
    numbers.map((number) => run(side, ['ssh', ...control, 'host', `cat - ${side.there}/nil`], number)),
  );
  await run(side, ['ssh', ...control, '-O', 'exit', 'host']);
  await ended;
  return done;
}

async function connected(port: number): Promise<Socket | undefined> {
  const socket = connect(port, '127.0.0.1');
  return once(socket, 'connect').then(
    () => socket,
    () => undefined,
  );
}

function manifest(sshd: TestSshd, root: string, granted: string): string {
  return `${hostManifests(sshd)}apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: ops, namespace: agents}
spec:
  agents: {serviceAccounts: [support-agent]}
  rules:
  - {name: all, effect: Allow, resource: {namespace: data, name: build}, ssh: {commands: ["**"], files: {operations: [read, write, list, delete], paths: ["${root}/**"]}, forward: ["127.0.0.1:${granted}", "127.0.0.1:${sshd.port}", "127.0.0.2:${sshd.port}", "localhost:${sshd.port}", "build:22"]}}
`;
}
