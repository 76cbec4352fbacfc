import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '@chaperone/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type OwnServer,
  run,
  runOwnClient,
  signerIn,
  startOwnServer,
  startProgram,
} from '../../src/ssh/relay/peers.test-support.ts';
import { HAS_KEYGEN, Keygen } from '../../src/ssh/wire/keygen.test-support.ts';
import { fingerprint } from '../../src/ssh/wire/keys.ts';

const PROGRAMS = join(import.meta.dirname, 'programs');
const CACHE = join(import.meta.dirname, '../../../.cache/ssh-peers');
const PYTHON = join(CACHE, 'python/bin/python');
const LIBSSH = join(CACHE, 'libssh/peer');
const GO = join(CACHE, 'xcrypto/peer');
const { username: USER, homedir: HOME } = userInfo();
/** It knows keys from the home of a user only, so that it gets one of its own. */
const DROPBEAR = `
  mount -t tmpfs -o mode=700 tmpfs '${HOME}' && mkdir -m 700 '${HOME}/.ssh' && cp "$0" '${HOME}/.ssh/authorized_keys' &&
  chmod 600 '${HOME}/.ssh/authorized_keys' && exec /usr/sbin/dropbear -F -E -s -r "$1" -p "127.0.0.1:$2"`;
const BYTES = randomBytes(5_000_000);
/** Reads all, says so on both streams, ends with 7. */
const COMMAND = 'cat; echo done >&2; exit 7';
const keygen = new Keygen();

function canMount(): boolean {
  const tried = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', HOME], { stdio: 'ignore' });
  return tried.status === 0;
}

interface Peer {
  readonly name: string;
  readonly isThere: boolean;
  readonly program: string;
  readonly args: (port: number) => readonly string[];
}

const key = (name: string): string => keygen.path(name);
const common = (port: number): string[] => [`${port}`, USER, key('user'), key('host.pub'), COMMAND];
const CLIENTS: readonly Peer[] = [
  {
    name: 'dropbear',
    isThere: findProgram('dbclient') !== undefined,
    program: 'dbclient',
    // Twice -y: the host's key is not looked at.
    args: (port) => ['-y', '-y', '-i', key('user.dropbear'), '-p', `${port}`, `${USER}@127.0.0.1`, COMMAND],
  },
  {
    name: 'PuTTY',
    isThere: findProgram('plink') !== undefined,
    program: 'plink',
    args: (port) => {
      const options = ['-ssh', '-batch', '-noagent', '-P', `${port}`, '-i', key('user.ppk')];
      return [...options, '-hostkey', fingerprint(keygen.blob('host')), `${USER}@127.0.0.1`, COMMAND];
    },
  },
  {
    name: 'asyncssh',
    isThere: existsSync(PYTHON),
    program: PYTHON,
    args: (port) => [join(PROGRAMS, 'asyncssh_client.py'), ...common(port)],
  },
  {
    name: 'paramiko',
    isThere: existsSync(PYTHON),
    program: PYTHON,
    args: (port) => [join(PROGRAMS, 'paramiko_client.py'), ...common(port)],
  },
  { name: 'x/crypto of Go', isThere: existsSync(GO), program: GO, args: common },
  {
    name: 'libssh',
    isThere: existsSync(LIBSSH),
    program: LIBSSH,
    args: (port) => {
      writeFileSync(key('known'), `[127.0.0.1]:${port} ${keygen.text('host.pub')}`);
      return [`${port}`, USER, key('user'), key('known'), COMMAND];
    },
  },
];
const SERVERS: readonly Peer[] = [
  {
    name: 'dropbear',
    isThere: existsSync('/usr/sbin/dropbear') && canMount(),
    program: 'unshare',
    args: (port) => ['--mount', 'sh', '-c', DROPBEAR, key('user.pub'), key('host.dropbear'), `${port}`],
  },
  {
    name: 'asyncssh',
    isThere: existsSync(PYTHON),
    program: PYTHON,
    args: (port) => [join(PROGRAMS, 'asyncssh_server.py'), `${port}`, key('host'), key('user.pub')],
  },
  {
    name: 'x/crypto of Go',
    isThere: existsSync(GO),
    program: GO,
    args: (port) => ['serve', `${port}`, key('host'), key('user.pub')],
  },
];

beforeAll(() => {
  if (!HAS_KEYGEN) return;
  for (const name of ['user', 'host']) keygen.make(name, 'ed25519');
  if (findProgram('dropbearconvert') !== undefined)
    for (const name of ['user', 'host'])
      execFileSync('dropbearconvert', ['openssh', 'dropbear', key(name), key(`${name}.dropbear`)], { stdio: 'ignore' });
  if (findProgram('puttygen') !== undefined) execFileSync('puttygen', [key('user'), '-o', key('user.ppk')]);
});

const startOwn = (): Promise<OwnServer> =>
  startOwnServer({ hostKeys: [signerIn(keygen, 'host')], rekey: { bytes: 2_000_000 } }, (question) =>
    question.method === 'publickey' && question.key.blob.equals(keygen.blob('user')) ? 'accept' : 'reject',
  );

describe.skipIf(!HAS_KEYGEN)('a server of ours', () => {
  it.for(CLIENTS)('runs commands for $name', async ({ isThere, program, args }, { skip }) => {
    skip(!isThere, 'this machine does not have it');
    await using server = await startOwn();
    const { stdout, stderr, status } = await run(program, args(server.port), BYTES);
    expect([stderr.toString().endsWith('done\n'), status, stdout.equals(BYTES)]).toEqual([true, 7, true]);
  });
});

describe.skipIf(!HAS_KEYGEN)('a client of ours', () => {
  it.for(SERVERS)('runs commands on $name', async ({ isThere, program, args }, { skip }) => {
    skip(!isThere, 'this machine does not have it');
    await using server = await startProgram(program, args);
    const settings = {
      hostKey: { kind: 'pinned', keys: [keygen.blob('host')] },
      user: USER,
      credentials: [{ method: 'publickey', signer: signerIn(keygen, 'user') }],
      rekey: { bytes: 2_000_000 },
    } as const;
    const { stdout, stderr, status } = await runOwnClient(server.port, settings, COMMAND, BYTES);
    expect([stderr.toString(), status, stdout.equals(BYTES)]).toEqual(['done\n', 7, true]);
  });
});
