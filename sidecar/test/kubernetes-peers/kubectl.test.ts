import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '@chaperone/testing';
import { afterAll, describe, expect, it } from 'vitest';
import { readRequest } from '../../src/kubernetes/actions/index.ts';
import { type PodServer, startPodServer } from './server.ts';

const KUBECTL = findProgram('kubectl');
const BYTES = randomBytes(3_000_000);
/** kubectl makes it where it is not there, and keeps what it learned in it. */
const HOME = mkdtempSync(join(tmpdir(), 'kubectl-'));
afterAll(() => rmSync(HOME, { recursive: true, force: true }));

function kubectl(url: string, env: Readonly<Record<string, string>>, ...args: readonly string[]): ChildProcess {
  return spawn(KUBECTL ?? '', ['--server', url, '--namespace', 'shop', ...args], {
    env: { PATH: process.env['PATH'] ?? '', KUBECONFIG: '/dev/null', HOME, ...env },
  });
}

async function ended(child: ChildProcess, input: Buffer): Promise<{ stdout: Buffer; stderr: string; status: number | null }> {
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  // It may end before it read all: what it says then is looked at.
  child.stdin?.on('error', () => child.stdin?.destroy());
  child.stdin?.end(input);
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString(), status };
}

/** The port that kubectl says it listens on. Its stdout stays open, since it writes there later. */
function portOf(child: ChildProcess): Promise<number> {
  let said = '';
  return new Promise((resolve, reject) => {
    child.on('close', () => reject(new Error('kubectl did not listen')));
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const port = /127\.0\.0\.1:(\d+) ->/.exec(said)?.[1];
      if (port !== undefined) resolve(Number(port));
    });
  });
}

async function echoed(port: number, bytes: Buffer): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  let size = 0;
  socket.write(bytes);
  for await (const chunk of socket) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size >= bytes.length) break;
  }
  return Buffer.concat(chunks);
}

/** What it asked for, and that all of it is read. */
function asked({ requests }: PodServer): string[] {
  const all = requests.map(readRequest).map((request) => {
    if (request.kind === 'refused') return request.code;
    if (request.kind === 'path') return 'a path';
    return [request.verb, request.resource, ...(request.parameters.get('command') ?? [])].join(' ');
  });
  return [...new Set(all)];
}

describe.skipIf(KUBECTL === undefined)('kubectl', () => {
  it.each([
    ['true', /^exec v5\.channel\.k8s\.io$/],
    ['false', /^exec SPDY v[45]\.channel\.k8s\.io$/],
  ])('runs a command, and gets streams and exit code (WebSockets: %s)', async (webSockets, spoken) => {
    await using server = await startPodServer();
    const child = kubectl(server.url, { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: webSockets }, 'exec', '-i', 'web', '--', 'cat', 'a b');
    const { stdout, stderr, status } = await ended(child, BYTES);
    expect([stderr, status]).toEqual(['ran cat a b\ncommand terminated with exit code 7\n', 7]);
    expect(stdout.equals(BYTES)).toBe(true);
    expect(server.spoken.join()).toMatch(spoken);
    expect(asked(server)).toEqual(['a path', 'get pods', 'exec pods cat a b']);
  });

  it.each([
    ['true', 'portforward SPDY/3.1+portforward.k8s.io'],
    ['false', 'portforward SPDY portforward.k8s.io'],
  ])('forwards a port (WebSockets: %s)', async (webSockets, spoken) => {
    await using server = await startPodServer();
    const child = kubectl(server.url, { KUBECTL_PORT_FORWARD_WEBSOCKETS: webSockets }, 'port-forward', 'pod/web', ':80');
    try {
      const port = await portOf(child);
      expect((await echoed(port, BYTES)).equals(BYTES)).toBe(true);
      expect((await echoed(port, Buffer.from('again'))).toString()).toBe('again');
      expect(server.spoken).toEqual([spoken]);
      expect(asked(server)).toEqual(['a path', 'get pods', 'portforward pods']);
    } finally {
      child.kill();
    }
  });
});
