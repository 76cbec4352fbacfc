import { execFileSync, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { formatPolicy, generateSigner, noteSigner, type Signer, signerFromSeed, x25519Holder } from '@chaperone/evidence';
import { eventually, freePort, testAuthority } from '@chaperone/testing';
import { compile, root } from './chaperone.ts';
import { accepting } from './client.ts';
import { ended } from './ended.ts';

/** Where a sidecar's evidence goes, and who says whose it is. */
export interface Collected extends AsyncDisposable {
  readonly url: string;
  readonly origin: string;
  readonly enrolment: Signer;
  /** Whose receipts are to be believed: C2SP tlog-policy. */
  readonly log: string;
  /** To whom data keys are wrapped. */
  readonly recipient: string;
  /** Of the collector's process. */
  readonly pid: number | undefined;
}

const ORIGIN = 'bench';
const START_TIMEOUT_MS = 60_000;

/** Starts a broker and a collector, each in its own process as in a cluster; no API server, since nobody reads evidence. @throws Error */
export async function startCollected(directory: string): Promise<Collected> {
  compile('collector');
  await mkdir(directory, { recursive: true });
  const file = async (name: string, content: string): Promise<string> => {
    await writeFile(join(directory, name), content, { mode: 0o600 });
    return join(directory, name);
  };
  const program = execFileSync(join(root, 'scripts/nats-server'), { encoding: 'utf8' }).trim();
  const [natsPort, port] = [await freePort(), await freePort()];
  const url = `nats://127.0.0.1:${natsPort}`;
  const nats = spawn(program, ['-a', '127.0.0.1', '-p', `${natsPort}`, '-js', '-sd', join(directory, 'jetstream')], {
    stdio: 'ignore',
  });
  const ends = [ended(nats)];
  const stop = async (): Promise<void> => {
    for (const end of ends.toReversed()) await end();
  };
  try {
    await eventually('the broker', () => accepting(natsPort));
    const enrolment = generateSigner();
    const [seed, reader] = [randomBytes(32), randomBytes(32)];
    const certified = await (await testAuthority('bench collector')).issue(['127.0.0.1']);
    const collector = spawn(process.execPath, ['--conditions=chaperone-dist', join(root, 'collector/dist/main.js')], {
      stdio: 'ignore',
      env: {
        KUBECONFIG: await file('kubeconfig', NO_CLUSTER),
        CHAPERONE_DATA: join(directory, 'store'),
        CHAPERONE_ORIGIN: ORIGIN,
        CHAPERONE_ENROLMENT_KEYS: await file('keys', JSON.stringify([enrolment.publicKey.toString('base64url')])),
        CHAPERONE_LISTEN: `127.0.0.1:${port}`,
        CHAPERONE_TLS_CERTIFICATE: await file('tls.crt', certified.certificate),
        CHAPERONE_TLS_KEY: await file('tls.key', certified.key),
        CHAPERONE_NATS_SERVERS: url,
        CHAPERONE_READER_KEY_FILE: await file('reader.key', reader.toString('base64')),
        CHAPERONE_LOG_KEY_FILE: await file('log.key', seed.toString('base64')),
      },
    });
    ends.push(ended(collector));
    await eventually('the collector', () => accepting(port), START_TIMEOUT_MS);
    const log = formatPolicy(noteSigner(ORIGIN, signerFromSeed(seed)).key);
    return {
      url,
      origin: ORIGIN,
      enrolment,
      log,
      recipient: x25519Holder(reader).name,
      pid: collector.pid,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Logins are looked up in it, and there are none. */
const NO_CLUSTER = JSON.stringify({
  clusters: [{ name: 'none', cluster: { server: 'https://127.0.0.1:1' } }],
  users: [{ name: 'none', user: {} }],
  contexts: [{ name: 'none', context: { cluster: 'none', user: 'none' } }],
  'current-context': 'none',
});
