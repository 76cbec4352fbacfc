import { createCipheriv, createDecipheriv, generateKeyPairSync, randomBytes } from 'node:crypto';
import { SshTransport, signerOf, UPSTREAM_LEGACY } from '@chaperone/sidecar';
import { spread } from './statistics.ts';

const MEGABYTES = 128;
/** What OpenSSH puts into one message of data, and what a read of a socket returns at most. */
const MESSAGE_BYTES = 32 * 1024;
const CHUNK_BYTES = 64 * 1024;

const PROTECTIONS = [
  ['aes128-gcm@openssh.com', []],
  ['aes256-gcm@openssh.com', []],
  ['aes128-ctr', ['hmac-sha2-256-etm@openssh.com']],
  ['aes128-ctr', ['hmac-sha2-512-etm@openssh.com']],
  ['aes128-ctr', ['hmac-sha2-256']],
] as const;

/** Seconds of this thread's CPU: on a shared machine the clock measures the others too. */
function cpuSeconds(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1e6;
}

interface Costs {
  readonly seal: number;
  readonly open: number;
}

/** Two ends in memory with keys exchanged, and what it costs to bring megabytes from one to the other. */
function pair([cipher, macs]: (typeof PROTECTIONS)[number]): () => Costs {
  const hostKey = signerOf(generateKeyPairSync('ed25519').privateKey);
  const algorithms = { ...UPSTREAM_LEGACY, ciphers: [cipher], macs };
  const said: Record<'client' | 'server', Buffer[]> = { client: [], server: [] };
  let received = 0;
  const events = (role: keyof typeof said) => ({
    output: (bytes: Buffer) => void said[role].push(Buffer.from(bytes)),
    onPayload: (payload: Buffer) => {
      received += payload.length;
    },
    onReady: () => {},
    onEnd: (error: Error | undefined) => {
      throw new Error('a connection ended', { cause: error });
    },
  });
  const client = new SshTransport({
    role: 'client',
    algorithms,
    hostKey: { kind: 'pinned', keys: [hostKey.blob] },
    ...events('client'),
  });
  const server = new SshTransport({ role: 'server', algorithms, hostKeys: [hostKey], ...events('server') });
  const pump = (): void => {
    while (said.client.length + said.server.length > 0) {
      server.receive(Buffer.concat(said.client.splice(0)));
      client.receive(Buffer.concat(said.server.splice(0)));
    }
  };
  pump();
  server.send(Buffer.of(52));
  pump();
  const head = Buffer.of(94, 0, 0, 0, 0, 0, 0, 0x80, 0);
  const data = randomBytes(MESSAGE_BYTES);
  return () => {
    received = 0;
    let [seal, open] = [0, 0];
    for (let megabyte = 0; megabyte < MEGABYTES; megabyte++) {
      const begin = cpuSeconds();
      for (let bytes = 0; bytes < 1e6; bytes += data.length) client.send(head, data);
      const sealed = cpuSeconds();
      const chunks = chunksOf(Buffer.concat(said.client.splice(0)));
      const cut = cpuSeconds();
      for (const chunk of chunks) server.receive(chunk);
      seal += sealed - begin;
      open += cpuSeconds() - cut;
      pump();
    }
    return { seal: (seal / received) * 1e9, open: (open / received) * 1e9 };
  };
}

function chunksOf(bytes: Buffer): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / CHUNK_BYTES) }, (_, at) =>
    bytes.subarray(at * CHUNK_BYTES, (at + 1) * CHUNK_BYTES),
  );
}

/** The floor: a cipher made, used and ended for each message, and nothing else. */
function bare(): Costs {
  const [key, nonce, data] = [randomBytes(16), randomBytes(12), randomBytes(MESSAGE_BYTES)];
  const messages = (MEGABYTES * 1e6) / MESSAGE_BYTES;
  const begin = cpuSeconds();
  let [sealed, tag] = [data, data];
  for (let n = 0; n < messages; n++) {
    const cipher = createCipheriv('aes-128-gcm', key, nonce);
    sealed = cipher.update(data);
    cipher.final();
    tag = cipher.getAuthTag();
  }
  const middle = cpuSeconds();
  for (let n = 0; n < messages; n++) {
    const decipher = createDecipheriv('aes-128-gcm', key, nonce);
    decipher.setAuthTag(tag);
    decipher.update(sealed);
    decipher.final();
  }
  const perGigabyte = 1000 / MEGABYTES;
  return { seal: (middle - begin) * perGigabyte, open: (cpuSeconds() - middle) * perGigabyte };
}

function shown(values: readonly number[]): string {
  const { median, min, max } = spread(values) ?? { median: 0, min: 0, max: 0 };
  return `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`;
}

/** CPU seconds per gigabyte of SSH's transport in messages of 32 KiB, each cipher in turn in the same rounds; as lines for people. */
export function packetFigures(rounds: number): string[] {
  const contestants: [string, () => Costs][] = PROTECTIONS.map((one) => [[one[0], ...one[1]].join(' '), pair(one)]);
  contestants.push(['one AES-128-GCM operation each', bare]);
  const seen = new Map(contestants.map(([name]) => [name, [] as Costs[]]));
  // The first round is not counted: code that is not compiled yet is not what serves all day.
  for (let round = 0; round <= rounds; round++)
    for (const [name, run] of contestants) {
      const costs = run();
      if (round > 0) seen.get(name)?.push(costs);
    }
  const lines = [...seen].map(([name, costs]) => {
    const [seal, open] = [shown(costs.map((cost) => cost.seal)), shown(costs.map((cost) => cost.open))];
    return `${name.padEnd(42)}${seal.padEnd(22)}${open}`;
  });
  return [
    `seconds of CPU per GB in messages of 32 KiB, ${rounds} rounds`,
    `${' '.repeat(42)}${'to seal'.padEnd(22)}to open`,
    ...lines,
  ];
}
