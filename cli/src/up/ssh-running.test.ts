import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { eventually, freePort, hasSshd, startSshd, temporaryDirectory, type TestSshd } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Up } from '../program.test-support.ts';
import { hostManifests } from './ssh.test-support.ts';

/** A client that stays, with all that it was shown. */
interface Live {
  readonly child: ChildProcessWithoutNullStreams;
  readonly shown: { out: string; err: string };
  readonly ended: Promise<number | null>;
}

const says = async ({ child, shown }: Live, text: string, answer = text): Promise<void> => {
  child.stdin.write(text);
  await eventually(`the answer ${answer}`, () => Promise.resolve(shown.out.endsWith(answer) || undefined));
};

describe.runIf(hasSshd)('what runs over SSH', () => {
  let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
  let sshd: TestSshd;
  let up: Awaited<ReturnType<typeof Up.start>>;
  const echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
  /** A resource that the agent is not granted, nor named. */
  let visits = 0;
  const hidden = createServer((socket) => {
    visits++;
    socket.destroy();
  });
  const path = (name: string): string => join(folder.path, name);

  const manifests = (rules: string, reveal: string): Promise<void> => {
    const on = 'resource: {namespace: data, name: build}';
    return writeFile(
      path('manifests/ssh.yaml'),
      `${hostManifests(sshd, ['build'], 'operations: [exec, forward], reveal: [pci.card]')}${elsewhere()}apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: ops, namespace: agents}
spec:
  agents: {serviceAccounts: [support-agent]}
  reveal: [${reveal}]
  rules:
  - {name: stays, effect: Allow, ${on}, ssh: {commands: [cat -u, cat /proc/self/environ]}}
${rules.replaceAll('ON', on)}`,
    );
  };
  const GOES = `  - {name: goes, effect: Allow, ON, ssh: {commands: [cat], forward: ["127.0.0.1:PORT", "*.corp:*", "127.0.0.1:*"]}}\n`;

  beforeAll(async () => {
    folder = await temporaryDirectory('chaperone-ssh-');
    sshd = await startSshd();
    await once(echo.listen(0, '127.0.0.1'), 'listening');
    await once(hidden.listen(0, '127.0.0.1'), 'listening');
    await mkdir(path('manifests'));
    await manifests(GOES.replace('PORT', String(port())), 'pci.card');
    up = await Up.start(path('manifests'), path('data'));
  });
  afterAll(async () => {
    echo.close();
    hidden.close();
    await up?.[Symbol.asyncDispose]();
    await sshd?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  const elsewhere = (): string => `apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: hidden, namespace: data}
spec:
  protocol: tcp
  hosts: [hidden.corp]
  port: 443
  upstream: {address: "127.0.0.1:${(hidden.address() as AddressInfo).port}"}
  grantedTo: [{namespace: others}]
---
`;
  const port = (): number => (echo.address() as AddressInfo).port;
  const ssh = (args: readonly string[]): Live => {
    const proxy = (up.ready.resources[0]?.address ?? '').split(':')[1] ?? '';
    const settings = [`UserKnownHostsFile=${path('data/known_hosts')}`, 'StrictHostKeyChecking=yes', 'BatchMode=yes'];
    const options = settings.flatMap((setting) => ['-o', setting]);
    const child = spawn('ssh', ['-F', 'none', ...options, '-p', proxy, ...args], {
      stdio: 'pipe',
      env: { PATH: process.env['PATH'] ?? '', SSH_AUTH_SOCK: path('agent.sock'), DISPLAY: '127.0.0.1:9' },
    });
    const shown = { out: '', err: '' };
    child.stdin.on('error', () => undefined);
    child.stdout.on('data', (text: Buffer) => (shown.out += text.toString()));
    child.stderr.on('data', (text: Buffer) => (shown.err += text.toString()));
    return { child, shown, ended: once(child, 'close').then(([code]) => code as number | null) };
  };
  const run = (command: string, options: readonly string[] = []): Live => ssh([...options, 'bot@127.0.0.1', command]);
  test('leads to no resource that others have, by its names or its address', async () => {
    for (const address of [`127.0.0.1:${(hidden.address() as AddressInfo).port}`, 'hidden.corp:443']) {
      const live = ssh(['-W', address, 'bot@127.0.0.1']);
      expect([address, await live.ended, live.shown.err]).toEqual([address, 255, expect.stringContaining('(NotGranted)')]);
    }
    expect(visits).toBe(0);
  });

  test('has no socket, agent, display or variable of the client, and leads to none of the host', async () => {
    // The first is the client's own agent, which it asks for keys.
    const [agent, inside] = [createServer((socket) => socket.destroy()), createServer((socket) => socket.destroy())];
    let reached = 0;
    inside.on('connection', () => reached++);
    await once(agent.listen(path('agent.sock')), 'listening');
    await once(inside.listen(path('inside.sock')), 'listening');
    const from = await freePort();
    const options = [
      '-A',
      '-Y',
      '-o',
      'SetEnv=LD_PRELOAD=/tmp/x.so BASH_ENV=/tmp/x TZ=UTC',
      '-L',
      `127.0.0.1:${from}:${path('inside.sock')}`,
    ];
    const environ = run('cat /proc/self/environ', options);
    expect([await environ.ended, environ.shown.out.split('\0')]).toEqual([0, expect.arrayContaining(['TZ=UTC'])]);
    expect(environ.shown.out).not.toMatch(/SSH_AUTH_SOCK|DISPLAY|LD_PRELOAD|BASH_ENV/);

    const live = run('cat -u', options);
    await says(live, 'ready\n');
    const led = connect(from, '127.0.0.1')
      .on('error', () => undefined)
      .on('data', () => undefined);
    await once(led, 'close');
    expect(live.shown.err).toContain('unknown channel type');
    live.child.stdin.end();
    expect([await live.ended, reached]).toEqual([0, 0]);
    agent.close();
    inside.close();
  });

  test('is cut where a changed policy does not allow it any more, or would mask it otherwise', async () => {
    const [goes, stays, tunnel] = [run('cat'), run('cat -u'), ssh(['-W', `127.0.0.1:${port()}`, 'bot@127.0.0.1'])];
    for (const live of [goes, stays, tunnel]) await says(live, '4111 1111 1111 1111\n');

    await manifests('', 'pci.card');
    await eventually('the new policy', async () => {
      const next = run('cat');
      next.child.stdin.end();
      return (await next.ended) === 126 || undefined;
    });
    await says(stays, '4111 1111 1111 1111, again\n');
    goes.child.stdin.write('too late\n');
    tunnel.child.stdin.write('too late\n');
    expect([await goes.ended, goes.shown.err]).toEqual([
      126,
      expect.stringContaining('the policy changed while it ran (NoRuleAllows)'),
    ]);
    await tunnel.ended;
    expect(goes.shown.out + tunnel.shown.out).not.toContain('late');

    await manifests('', '');
    await eventually('its cut', async () => {
      stays.child.stdin.write('4111 1111 1111 1111, unmasked?\n');
      return Promise.race([stays.ended, Promise.resolve(undefined)]);
    });
    expect(stays.shown.err).toContain('the policy changed while it ran');
    const masked = run('cat -u');
    await says(masked, '4111 1111 1111 1111\n', '*****\n');
    masked.child.kill();
  });
});
