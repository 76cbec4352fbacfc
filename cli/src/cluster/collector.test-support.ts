import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateSigner } from '@chaperone/evidence';
import { eventually, freePort, temporaryDirectory } from '@chaperone/testing';
import { onTestFinished } from 'vitest';
import { aCluster, SERVERNAME, type TestCluster } from './cluster.test-support.ts';

/** A cluster whose collector is the real program, and where that answers; it has no broker. */
export async function aCollector(): Promise<{ cluster: TestCluster; url: string; caFile: string }> {
  const cluster = await aCluster();
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const file = (name: string, content: string): string => {
    writeFileSync(join(directory.path, name), content);
    return join(directory.path, name);
  };
  const { certificate, key } = await cluster.authority.issue([SERVERNAME, 'localhost']);
  const port = await freePort();
  const program = spawn(process.execPath, [fileURLToPath(new URL('../../../collector/src/main.ts', import.meta.url))], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      KUBECONFIG: cluster.kubeconfig,
      CHAPERONE_DATA: join(directory.path, 'store'),
      CHAPERONE_ORIGIN: 'test',
      CHAPERONE_ENROLMENT_KEYS: file('keys', JSON.stringify([generateSigner().publicKey.toString('base64url')])),
      CHAPERONE_LISTEN: `127.0.0.1:${port}`,
      CHAPERONE_TLS_CERTIFICATE: file('tls.crt', certificate),
      CHAPERONE_TLS_KEY: file('tls.key', key),
      CHAPERONE_NATS_SERVERS: 'nats://127.0.0.1:1',
    },
  });
  onTestFinished(async () => {
    const gone = once(program, 'exit');
    program.kill('SIGKILL');
    await gone;
  });
  cluster.state.pods = [{ name: 'chaperone-collector-0', backend: port }];
  await eventually('the collector', async () => {
    const socket = createConnection(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.destroy();
    return true;
  });
  return { cluster, url: `https://localhost:${port}`, caFile: file('ca.crt', cluster.authority.ca) };
}
