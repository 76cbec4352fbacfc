import { execFile, spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SftpRelay } from '@chaperone/sidecar';
import { temporaryDirectory } from '@chaperone/testing';
import { ratio, spread } from './statistics.ts';

/**
 * What files over SFTP cost: OpenSSH's sftp gets and puts one file from its own sftp-server, without any transport in between. `direct` talks
 * to it; `bare` copies bytes through a process of Node; `chaperone` has the machine in that process, with a judge that allows everything.
 *
 *     node bench/src/files.ts [MIB]
 */
const SERVER = ['/usr/lib/openssh/sftp-server', '/usr/libexec/openssh/sftp-server'].find((file) => existsSync(file)) ?? '';
const ROUNDS = 5;
const MIB = 1024 * 1024;
const PATHS = ['direct', 'bare', 'chaperone'] as const;

const [mode] = process.argv.slice(2);
if (mode === 'bare' || mode === 'chaperone') stand(mode);
else await measure(Number(mode ?? 256));

/** Stands between standard input and output and a server. */
function stand(as: 'bare' | 'chaperone'): void {
  const server = spawn(SERVER, [], { stdio: ['pipe', 'pipe', 'inherit'] });
  server.on('close', () => process.stdin.destroy());
  if (as === 'bare') {
    process.stdin.pipe(server.stdin);
    server.stdout.pipe(process.stdout);
    return;
  }
  const balance = (): void => {
    if (relay.isFull || server.stdin.writableNeedDrain || process.stdout.writableNeedDrain) process.stdin.pause();
    else process.stdin.resume();
    if (process.stdout.writableNeedDrain) server.stdout.pause();
    else server.stdout.resume();
  };
  const relay: SftpRelay = new SftpRelay({
    judge: { preview: () => 'allow', opened: () => () => undefined, judge: () => ({ verdict: 'allow' }) },
    toServer: (bytes) => void server.stdin.write(Buffer.from(bytes)),
    toAgent: (bytes) => void process.stdout.write(Buffer.from(bytes)),
    toStderr: () => {},
    onRecord: () => {},
    onRoom: balance,
    onServerEnd: () => server.stdin.end(),
    onEnd: () => server.kill(),
    resolvesLinks: true,
  });
  for (const writable of [server.stdin, process.stdout]) writable.on('drain', balance);
  process.stdin.on('data', (chunk: Buffer) => {
    relay.fromAgent(chunk);
    balance();
  });
  process.stdin.on('end', () => relay.endOfAgent());
  server.stdout.on('data', (chunk: Buffer) => {
    relay.fromServer(chunk);
    balance();
  });
}

async function measure(mib: number): Promise<void> {
  await using directory = await temporaryDirectory('files-');
  const file = join(directory.path, 'file');
  await writeFile(file, randomFillSync(Buffer.alloc(mib * MIB)));
  for (const verb of ['get', 'put']) {
    const rates = new Map<string, number[]>(PATHS.map((path) => [path, []]));
    for (let round = 0; round < ROUNDS; round++)
      for (const path of PATHS) rates.get(path)?.push(mib / (await seconds(path, verb, directory.path)));
    for (const path of PATHS) {
      const ours = rates.get(path) ?? [];
      const rate = spread(ours);
      const quotient = ratio(ours, rates.get('direct') ?? []);
      if (!rate || !quotient) continue;
      const figures = [rate.median, rate.min, rate.max].map((each) => each.toFixed(0).padStart(6));
      process.stdout.write(
        `${verb} ${mib} MiB  ${path.padEnd(10)} MiB/s${figures.join('')}  of direct ${quotient.median.toFixed(2)}\n`,
      );
    }
  }
}

/** How long it takes, less what a session takes that moves nothing. */
async function seconds(path: (typeof PATHS)[number], verb: string, cwd: string): Promise<number> {
  const empty = await session(path, 'pwd', cwd);
  const whole = await session(path, `${verb} file copy`, cwd);
  if ((await stat(join(cwd, 'copy'))).size !== (await stat(join(cwd, 'file'))).size) throw new Error('the copy is not whole');
  return Math.max(whole - empty, 0.001);
}

async function session(path: (typeof PATHS)[number], command: string, cwd: string): Promise<number> {
  const server = path === 'direct' ? SERVER : `${process.execPath} ${import.meta.filename} ${path}`;
  const start = performance.now();
  const running = promisify(execFile)('sftp', ['-b', '-', '-D', server], { cwd });
  running.child.stdin?.end(`${command}\n`);
  await running;
  return (performance.now() - start) / 1_000;
}
