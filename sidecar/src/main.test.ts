import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, freePort, temporaryDirectory, testAuthority } from '@chaperone/testing';
import { expect, test } from 'vitest';

const main = join(import.meta.dirname, 'main.ts');

test('the program loads, and without configuration ends with one sentence that names what is missing', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main], { encoding: 'utf8', env: {}, timeout: 20_000 });
  expect([status, stdout]).toEqual([1, '']);
  expect(stderr).toBe(
    'chaperone-sidecar: CHAPERONE_OPERATOR is missing; CHAPERONE_OPERATOR_CA is missing (ConfigurationInvalid)\n',
  );
});

// Its reserved port is below 1024; in a pod the injected sysctl permits that.
test.skipIf(process.getuid?.() !== 0).each([
  {
    what: 'the operator is away',
    // A range of this machine's own, so that its reserved address can be listened on.
    range: '127.240.0.0/24',
    says: 'cannot be reached',
    last: 'operator 127\\.0\\.0\\.1:PORT did not answer in [1-9]\\d* s \\(the operator cannot be reached\\); the agent waits rather than start ungoverned \\(OperatorUnreachable\\)',
  },
  {
    what: 'a node’s agent has not routed its range',
    range: '240.241.7.0/24',
    says: 'the rules of this pod are not there yet',
    last: 'the rules of this pod are not there yet; the agent waits rather than start ungoverned \\(SidecarNotReady\\)',
  },
])('while $what it waits, and says at its end what it waited for', async ({ range, says, last }) => {
  await using directory = await temporaryDirectory();
  const path = (name: string): string => join(directory.path, name);
  await mkdir(path('spool'));
  await writeFile(path('token'), 'CANARY.token.x');
  const [operator, probe, dns, deny] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const child = spawn(process.execPath, [main], {
    env: {
      CHAPERONE_OPERATOR: `127.0.0.1:${operator}`,
      CHAPERONE_OPERATOR_CA: (await testAuthority()).ca,
      CHAPERONE_TOKEN_FILE: path('token'),
      CHAPERONE_RUN_DIRECTORY: directory.path,
      CHAPERONE_SPOOL_DIRECTORY: path('spool'),
      CHAPERONE_IPV4_RANGE: range,
      CHAPERONE_DNS_PORT: `${dns}`,
      CHAPERONE_DENY_PORT: `${deny}`,
      CHAPERONE_PROBE_PORT: `${probe}`,
    },
  });
  try {
    let err = '';
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const started = async (): Promise<true | undefined> => {
      const answer = await fetch(`http://127.0.0.1:${probe}/startz`);
      return (await answer.text()).includes(says) ? true : undefined;
    };
    await eventually('the first try', started, 20_000);
    await sleep(1_000);
    child.kill('SIGTERM');
    expect((await once(child, 'exit'))[0]).toBe(0);
    expect(err.trimEnd().split('\n').at(-1)).toMatch(new RegExp(`^chaperone-sidecar: ${last.replace('PORT', `${operator}`)}$`));
    expect(err).not.toContain('CANARY');
  } finally {
    child.kill('SIGKILL');
  }
});
