import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  encodeNkey,
  encodeNkeySeed,
  generateSigner,
  readSegments,
  signerFromSeed,
  signRegistration,
  verifyChain,
} from '@chaperone/evidence';
import { eventually, seededRandom, temporaryDirectory } from '@chaperone/testing';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTokenAccess } from '../src/access.ts';
import { type Collector, createCollector } from '../src/collector.ts';
import { readers } from '../src/evidence.fixture.ts';
import { end, Nats } from './nats.ts';

const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** Spool, broker and collector, each a process of its own on one directory. */
class Path {
  readonly promised = new Map<string, number>();
  readonly settings: Record<string, unknown>;
  readonly nats: Nats;
  readonly directory: string;
  flushed: number | undefined;
  #speaking = false;
  #recording: ChildProcess | undefined;
  #collector: ChildProcess | undefined;

  private constructor(directory: string, nats: Nats, settings: Record<string, unknown>) {
    this.directory = directory;
    this.nats = nats;
    this.settings = settings;
    writeFileSync(join(directory, 'settings.json'), JSON.stringify(settings));
  }

  static async start(directory: string): Promise<Path> {
    mkdirSync(directory, { recursive: true });
    const [pod, collector] = [randomBytes(32), randomBytes(32)];
    const [podKey, collectorKey] = [pod, collector].map((seed) => encodeNkey(signerFromSeed(seed).publicKey));
    const enrolment = generateSigner();
    const nats = await Nats.start(directory, podKey ?? '', collectorKey ?? '');
    const agent = { namespace: 'agents', serviceAccount: 'bot' };
    const path = new Path(directory, nats, {
      url: nats.url,
      store: join(directory, 'store'),
      spool: join(directory, 'spool'),
      run: join(directory, 'run'),
      podSeed: encodeNkeySeed(pod),
      collectorSeed: encodeNkeySeed(collector),
      logSeed: randomBytes(32).toString('base64'),
      registration: signRegistration({ nkey: podKey ?? '', agent, origin: 'test', issuedAt: 1 }, enrolment),
      trust: { origin: 'test', enrolmentKeys: [enrolment.publicKey.toString('base64url')] },
    });
    path.upCollector();
    path.upRecording();
    return path;
  }

  get trust(): { origin: string; enrolmentKeys: string[] } {
    return this.settings['trust'] as { origin: string; enrolmentKeys: string[] };
  }

  #spawn(program: string): ChildProcess {
    const script = fileURLToPath(new URL(program, import.meta.url));
    return spawn(process.execPath, [script, join(this.directory, 'settings.json')], { stdio: ['ignore', 'pipe', 'inherit'] });
  }
  upCollector(): void {
    this.#collector = this.#spawn('collector-process.ts');
  }
  upRecording(): void {
    const child = this.#spawn('recording-process.ts');
    this.#recording = child;
    this.#speaking = false;
    if (child.stdout === null) throw new Error('no output');
    createInterface({ input: child.stdout }).on('line', (text) => {
      const line = JSON.parse(text) as { session: string; seq: number; flushed?: number };
      this.#speaking = true;
      if (line.flushed === undefined) this.promised.set(line.session, line.seq);
      else this.flushed = line.flushed;
    });
  }
  killRecording(): Promise<void> {
    return end(this.#recording, 'SIGKILL');
  }
  killCollector(): Promise<void> {
    return end(this.#collector, 'SIGKILL');
  }
  /** Asks both to finish; afterwards the store can be opened here. */
  async finish(): Promise<void> {
    // A process that is still starting would die of the signal instead of finishing.
    await eventually('the recording to run', () => (this.#speaking ? true : undefined), 60_000);
    await end(this.#recording, 'SIGTERM');
    await end(this.#collector, 'SIGTERM');
  }
  async stop(): Promise<void> {
    await this.killRecording();
    await this.killCollector();
    await this.nats.kill();
  }
  open(): Promise<Collector> {
    return createCollector({
      directory: join(this.directory, 'store'),
      trust: this.trust,
      logKey: signerFromSeed(Buffer.from(String(this.settings['logSeed']), 'base64')),
      readers,
      access: createTokenAccess('t'),
      logger,
    });
  }
}

async function get(collector: Collector, target: string): Promise<Response> {
  return collector.fetch(new Request(`http://collector${target}`, { headers: { authorization: 'Bearer t' } }));
}
async function verdictOf(collector: Collector, session: string, path: Path) {
  const segments: Buffer[] = [];
  const { body } = await get(collector, `/v1/sessions/${session}/evidence`);
  for await (const { segment } of readSegments(body ?? [])) segments.push(segment);
  return verifyChain(session, segments, path.trust);
}

let base: AsyncDisposable & { path: string };
beforeAll(async () => {
  base = await temporaryDirectory();
});
afterAll(() => base[Symbol.asyncDispose]());

/** Every promised record is stored, every session verifies, nothing is twice, and the index equals one built anew. */
async function expectAllArrived(path: Path): Promise<void> {
  const collector = await path.open();
  try {
    const { segments, findings, sessions } = (await collector.dump()) as {
      segments: { session: string; number: number }[];
      findings: unknown[];
      sessions: { session: string; high_water: number; last_number: number; records: number }[];
    };
    expect(findings).toEqual([]);
    expect(new Set(segments.map(({ session, number }) => `${session}:${number}`)).size).toBe(segments.length);
    const stored = new Map(sessions.map((row) => [row.session, row]));
    for (const [session, seq] of path.promised) {
      const row = stored.get(session);
      expect(row?.records, `records of ${session}`).toBeGreaterThan(seq);
      expect(row?.high_water).toBe(row?.last_number);
      const verdict = await verdictOf(collector, session, path);
      expect(verdict, session).toMatchObject({ records: row?.records });
      expect(['complete', 'interrupted']).toContain(verdict?.verdict);
    }
    const before = await collector.dump();
    await collector.reindex();
    expect(await collector.dump()).toEqual(before);
  } finally {
    await collector.close();
  }
}

describe('evidence, from the spool over a real broker to the store,', () => {
  test('survives kill -9 of broker, collector and recording at random points', async () => {
    const path = await Path.start(join(base.path, 'kills'));
    try {
      const random = seededRandom(20_261_121);
      await eventually('the first records', () => (path.promised.size >= 3 ? true : undefined));
      for (let round = 0; round < 6; round++) {
        await sleep(150 + random() * 350);
        if (round % 3 === 0) {
          await path.killRecording();
          path.upRecording();
        } else if (round % 3 === 1) {
          await path.killCollector();
          await sleep(random() * 200);
          path.upCollector();
        } else {
          await path.nats.kill();
          await sleep(random() * 200);
          await path.nats.up();
        }
      }
      await eventually('sessions after the last kill', () => (path.promised.size > 6 ? true : undefined), 60_000);
      await path.finish();
      expect(path.flushed).toBe(0);
      await expectAllArrived(path);
    } finally {
      await path.stop();
    }
  });

  test('waits in the spool while the broker is gone, and arrives when it is back', async () => {
    const path = await Path.start(join(base.path, 'outage'));
    try {
      await eventually('the first records', () => (path.promised.size >= 3 ? true : undefined));
      await path.nats.kill();
      const before = path.promised.size;
      await eventually('sessions during the outage', () => (path.promised.size >= before + 6 ? true : undefined));
      await path.nats.up();
      await path.finish();
      expect(path.flushed).toBe(0);
      await expectAllArrived(path);
      const collector = await path.open();
      const sessions = [...path.promised.keys()];
      const verdicts = await Promise.all(sessions.map((session) => verdictOf(collector, session, path)));
      expect(verdicts.every((verdict) => verdict?.verdict === 'complete')).toBe(true);
      await expectEveryChangeFound(collector, path, sessions[0] ?? '');
      await collector.close();
    } finally {
      await path.stop();
    }
  });

  test('cannot be sent, read or deleted by a sidecar under any other name than its own', async () => {
    const path = await Path.start(join(base.path, 'rights'));
    try {
      await eventually('the first records', () => (path.promised.size >= 3 ? true : undefined));
      const seed = new TextEncoder().encode(String(path.settings['podSeed']));
      const own = JSON.parse((path.settings['registration'] as { body: string }).body) as { nkey: string };
      const client = await connect({
        servers: path.nats.url,
        authenticator: nkeyAuthenticator(seed),
        inboxPrefix: `_INBOX.${own.nkey}`,
      });
      for (const subject of [
        'evidence.UOTHER.s-aaaaaaaaaaaaaaaa',
        '$JS.API.STREAM.DELETE.EVIDENCE',
        '$JS.API.STREAM.INFO.EVIDENCE',
        `receipt.${own.nkey}`,
      ])
        await expect(client.request(subject, '', { timeout: 500 }), subject).rejects.toThrow(/permission/i);
      await client.close();
    } finally {
      await path.stop();
    }
  });
});

/** Changes each stored object of a session in four ways; the offline verifier must name that segment each time. */
async function expectEveryChangeFound(collector: Collector, path: Path, session: string): Promise<void> {
  const { segments } = (await collector.dump()) as { segments: { session: string; number: number; digest: string }[] };
  const own = segments.filter((row) => row.session === session);
  const fileOf = (digest: string): string => join(path.directory, 'store', 'objects', 'seg', digest.slice(0, 2), digest);
  expect(own.length).toBeGreaterThan(1);
  const random = seededRandom(11);
  for (const { number, digest } of own) {
    const file = fileOf(digest);
    const bytes = readFileSync(file);
    const flipped = Buffer.from(bytes);
    const at = Math.floor(random() * bytes.length);
    flipped[at] = (flipped[at] ?? 0) ^ (1 << Math.floor(random() * 8));
    const neighbour = readFileSync(fileOf(own[(number + 1) % own.length]?.digest ?? ''));
    for (const changed of [flipped, bytes.subarray(0, at), neighbour, undefined]) {
      if (changed === undefined) rmSync(file);
      else writeFileSync(file, changed);
      const verdict = await verdictOf(collector, session, path);
      expect(verdict, `segment ${number}`).toMatchObject({ segments: number, break: { segment: number } });
      expect(['altered', 'incomplete']).toContain(verdict?.verdict);
    }
    writeFileSync(file, bytes);
  }
  expect((await verdictOf(collector, session, path))?.verdict).toBe('complete');
}
