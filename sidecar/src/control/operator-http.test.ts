import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { temporaryDirectory, testAuthority } from '@chaperone/testing';
import { expect, test } from 'vitest';
import { call } from './operator-http.ts';

/** Listens and, once stopped, answers no more SYN when its backlog is full: as an address that is gone. */
const LISTENER = `const server = require('node:net').createServer();
server.listen(0, '127.0.0.1', 1, () => console.log(server.address().port));`;

test('an operator whose address is gone is given up in time', async () => {
  await using directory = await temporaryDirectory();
  const tokenFile = join(directory.path, 'token');
  await writeFile(tokenFile, 'token');
  const listener = spawn(process.execPath, ['-e', LISTENER], { stdio: ['ignore', 'pipe', 'inherit'] });
  const fill: Socket[] = [];
  try {
    const [port] = (await once(createInterface({ input: listener.stdout }), 'line')) as [string];
    listener.kill('SIGSTOP');
    for (let i = 0; i < 8; i++) fill.push(connect(Number(port), '127.0.0.1').on('error', () => undefined));
    const { ca } = await testAuthority();
    const endpoint = { url: `https://127.0.0.1:${port}`, ca, tokenFile, timeoutMs: 300 };
    const began = performance.now();
    const asked = call(endpoint, '/v1/ask', { body: {}, signal: AbortSignal.timeout(60_000) });
    await expect(asked).rejects.toMatchObject({ code: 'Stalled' });
    expect(performance.now() - began).toBeLessThan(30_000);
  } finally {
    for (const socket of fill) socket.destroy();
    listener.kill('SIGKILL');
  }
});
