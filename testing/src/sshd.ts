import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { findProgram } from './programs.ts';
import { eventually, freePort, temporaryDirectory } from './temporary.ts';

/** OpenSSH's server, which looks for nothing but root and its own path. */
export const SSHD = findProgram('sshd') ?? ['/usr/sbin/sshd'].find((path) => existsSync(path));
export const hasSshd = SSHD !== undefined && findProgram('ssh-keygen') !== undefined && process.getuid?.() === 0;

/** An OpenSSH server of a test's own, which lets in its user by one key. */
export interface TestSshd extends AsyncDisposable {
  readonly port: number;
  readonly user: string;
  /** As known_hosts has it: type and base64. */
  readonly hostKey: string;
  /** The key that opens it, as OpenSSH keeps it. */
  readonly privateKey: string;
  /** Where its files are; sessions begin in the user's home. */
  readonly directory: string;
  /** What it logged. */
  log(): string;
}

/** Starts one on 127.0.0.1. @param more lines of sshd_config before the others */
export async function startSshd(more: readonly string[] = []): Promise<TestSshd> {
  const folder = await temporaryDirectory('chaperone-sshd-');
  const file = (name: string): string => join(folder.path, name);
  for (const name of ['host', 'agent']) execFileSync('ssh-keygen', ['-q', '-N', '', '-t', 'ed25519', '-f', file(name)]);
  const port = await freePort();
  await writeFile(file('authorized_keys'), await readFile(file('agent.pub'), 'utf8'));
  const config = [
    ...more,
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${file('host')}`,
    `AuthorizedKeysFile ${file('authorized_keys')}`,
    'PidFile none',
    'UsePAM no',
    'StrictModes no',
    'PermitRootLogin yes',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'AcceptEnv *',
    // Not what the shells of whoever runs the test do as they start.
    `SetEnv HOME=${folder.path}`,
    'Subsystem sftp internal-sftp',
    'MaxStartups 100',
    'LogLevel VERBOSE',
  ];
  await writeFile(file('sshd_config'), `${config.join('\n')}\n`);
  // Debian's sshd separates privileges there, and its service makes the directory.
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const child = spawn(SSHD ?? 'sshd', ['-D', '-e', '-f', file('sshd_config')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  await eventually('sshd', () => answers(port, child, () => log));
  return {
    port,
    user: userInfo().username,
    hostKey: (await readFile(file('host.pub'), 'utf8')).split(' ').slice(0, 2).join(' '),
    privateKey: await readFile(file('agent'), 'utf8'),
    directory: folder.path,
    log: () => log,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await folder[Symbol.asyncDispose]();
    },
  };
}

function answers(port: number, child: ChildProcess, log: () => string): Promise<true | undefined> {
  if (child.exitCode !== null) throw new Error(`sshd ended: ${log()}`);
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(undefined));
  });
}
