import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Collector, createCollector, createTokenAccess } from '@chaperone/collector';
import {
  formatAddCheckpoint,
  formatCheckpoint,
  formatNote,
  formatPolicy,
  generateSigner,
  type FileVerdict,
  leafHash,
  leavesReader,
  merkleRoot,
  noteSigner,
  openCheckpoint,
  parsePolicy,
  proveConsistency,
  signNote,
  type Signer,
  verifyEvidence,
} from '@chaperone/evidence';
import { eventually, temporaryDirectory } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Program, run } from '../program.test-support.ts';
import { asked, recordSession } from '../recorded.test-support.ts';

const ORIGIN = 'test/witnessed';

async function aPlace() {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const at = (name: string): string => join(directory.path, name);
  const signer = generateSigner();
  const log = noteSigner(ORIGIN, signer);
  writeFileSync(at('logs.policy'), formatPolicy(log.key));
  const makeKey = async (name: string, ...more: string[]): Promise<string> => {
    const { code, out, err } = await run(['witness', 'key', '--key', at(`${name}.key`), '--name', `${name}.example`, ...more]);
    expect([code, err]).toEqual([0, '']);
    return out.trim();
  };
  /** A process of its own; its address. */
  const start = async (name: string, listen = '127.0.0.1:0') => {
    const files = ['--key', at(`${name}.key`), '--state', at(name), '--policy', at('logs.policy')];
    const program = new Program(['witness', 'run', '--listen', listen, ...files]);
    onTestFinished(() => program[Symbol.asyncDispose]());
    const url = (await program.firstLine()).split(' ').at(-1) ?? '';
    return { program, url };
  };
  return { at, signer, log, makeKey, start };
}

type Post = { readonly status: number; readonly body: string };
async function post(url: string, body: Buffer): Promise<Post> {
  const response = await fetch(`${url}/add-checkpoint`, { method: 'POST', body: new Uint8Array(body) });
  return { status: response.status, body: await response.text() };
}

const leaves = (history: string, size: number): Buffer[] =>
  Array.from({ length: size }, (_, at) => leafHash(Buffer.from(`${at < 3 ? 'common' : history} ${at}`)));
/** A request for a log of so many entries of one history, which goes on from `older`. */
function aRequest(log: ReturnType<typeof noteSigner>, size: number, older: number, history = 'first'): Buffer {
  const all = leaves(history, size);
  const text = formatCheckpoint({ origin: log.key.name, size, root: merkleRoot(all), extensions: [] });
  const checkpoint = Buffer.from(formatNote(signNote({ text, signatures: [] }, [log])));
  return formatAddCheckpoint({ older, path: older === 0 ? [] : proveConsistency(older, size, leavesReader(all)), checkpoint });
}

describe('chaperone witness', () => {
  test('cosigns what goes on, refuses another history, and remembers over kill -9', async () => {
    const { at, log, makeKey, start } = await aPlace();
    const vkey = await makeKey('one');
    expect(statSync(at('one.key')).mode & 0o777).toBe(0o600);
    expect((await run(['witness', 'key', '--key', at('one.key')])).out.trim()).toBe(vkey);
    const first = await start('one');
    const answer = await post(first.url, aRequest(log, 5, 0));
    expect(answer.status).toBe(200);
    const policy = parsePolicy(Buffer.from(formatPolicy(log.key, `witness one ${vkey}\nquorum one\n`)));
    const request = aRequest(log, 5, 0);
    const note = `${request.subarray(request.indexOf('\n\n') + 2).toString()}${answer.body}`;
    expect([...openCheckpoint(Buffer.from(note), policy).witnesses.keys()]).toEqual(['one']);
    await first.program.signal('SIGKILL');

    const { program, url } = await start('one');
    expect(await post(url, aRequest(log, 6, 0))).toEqual({ status: 409, body: '5\n' });
    expect((await post(url, aRequest(log, 7, 5, 'second'))).status).toBe(422);
    expect((await post(url, aRequest(log, 5, 5, 'second'))).status).toBe(409);
    expect((await post(url, aRequest(noteSigner(ORIGIN, generateSigner()), 7, 5))).status).toBe(403);
    expect(await post(url, aRequest(noteSigner('test/other', generateSigner()), 7, 0))).toEqual({
      status: 404,
      body: 'this witness was told of no log with this origin; its policy needs the line log of it\n',
    });
    expect((await post(url, Buffer.from('old 0\n\nnothing'))).status).toBe(400);
    expect((await post(url, Buffer.alloc(1024 * 1024))).status).toBe(413);
    expect((await fetch(`${url}/add-checkpoint`)).status).toBe(405);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await post(url, aRequest(log, 7, 5))).status).toBe(200);
    const { code, err } = await program.signal('SIGTERM');
    expect(code).toBe(0);
    const events = err
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string; size?: number; status?: number; origin?: string });
    expect(events.map(({ event, size, status }) => `${event} ${size ?? status}`)).toEqual([
      'refused 409',
      'refused 422',
      'refused 409',
      'refused 403',
      'refused 404',
      'refused 400',
      'cosigned 7',
    ]);
    expect(events.map(({ origin }) => origin)).toEqual([ORIGIN, ORIGIN, ORIGIN, ORIGIN, 'test/other', undefined, ORIGIN]);
  });

  test('of two requests at once that do not fit each other cosigns one', async () => {
    const { log, makeKey, start } = await aPlace();
    await makeKey('one');
    const { url } = await start('one');
    const statuses = await Promise.all(
      ['first', 'second', 'third', 'fourth'].map(async (history) => (await post(url, aRequest(log, 9, 0, history))).status),
    );
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 409, 409, 409]);
  });

  test('cosigns with ML-DSA-44 where its key is of that type', async () => {
    const { log, makeKey, start } = await aPlace();
    const vkey = await makeKey('pq', '--type', 'ml-dsa-44');
    const { url } = await start('pq');
    const request = aRequest(log, 5, 0);
    const { body } = await post(url, request);
    const note = `${request.subarray(request.indexOf('\n\n') + 2).toString()}${body}`;
    const policy = parsePolicy(Buffer.from(formatPolicy(log.key, `witness pq ${vkey}\nquorum pq\n`)));
    expect(openCheckpoint(Buffer.from(note), policy).checkpoint.size).toBe(5);
  });

  test.each<[string, (at: (name: string) => string) => void, RegExp]>([
    ['its key is none', (at) => writeFileSync(at('one.key'), 'hunter2'), /one\.key is not the key of a witness/],
    ['the policy cannot be read', (at) => writeFileSync(at('logs.policy'), 'log nonsense\n'), /line 1 of the policy/],
    ['the policy names no log', (at) => writeFileSync(at('logs.policy'), 'quorum none\n'), /names no log/],
    [
      'it cannot read what it has cosigned',
      (at) => {
        const name = createHash('sha256').update(ORIGIN).digest('hex');
        writeFileSync(join(at('one'), `${name}.checkpoint`), 'damaged');
      },
      /DataUnreadable/,
    ],
  ])('does not start where %s', async (_, damage, message) => {
    const { at, makeKey } = await aPlace();
    await makeKey('one');
    mkdirSync(at('one'));
    damage(at);
    const files = ['--key', at('one.key'), '--state', at('one'), '--policy', at('logs.policy')];
    const { code, err } = await run(['witness', 'run', '--listen', '127.0.0.1:0', ...files]);
    expect(code).not.toBe(0);
    expect(err).toMatch(message);
    expect(err).not.toContain('hunter2');
  });

  test('does not write over a key', async () => {
    const { at, makeKey } = await aPlace();
    await makeKey('one');
    const before = readFileSync(at('one.key'), 'utf8');
    const { code, err } = await run(['witness', 'key', '--key', at('one.key'), '--name', 'two.example']);
    expect([code, err]).toEqual([2, expect.stringMatching(/cannot be made \(EEXIST\); a key is written over nothing/)]);
    expect(readFileSync(at('one.key'), 'utf8')).toBe(before);
  });
});

const checkpointOf = async (collector: Collector): Promise<{ status: number; text: string }> => {
  const response = await collector.fetch(new Request('http://c/v1/log/checkpoint', { headers: { authorization: 'Bearer t' } }));
  return { status: response.status, text: await response.text() };
};

/** How far witnesses are, as whoever scrapes the collector sees it; of `entries` whether there are any. */
async function metricsOf(collector: Collector): Promise<{ behind: number; failing: number[]; entries: number[] }> {
  const text = await collector.registry.metrics();
  const values = (name: string): number[] =>
    [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].map(([, value]) => Number(value));
  return {
    behind: values('chaperone_log_quorum_behind_seconds')[0] ?? -1,
    failing: values('chaperone_witness_failing_seconds'),
    entries: values('chaperone_witness_cosigned_entries').map((entries) => Math.min(entries, 1)),
  };
}

describe('a collector with two witnesses', () => {
  const enrolment = generateSigner();
  const trust = { origin: ORIGIN, enrolmentKeys: [enrolment.publicKey.toString('base64url')] };

  async function witnessed() {
    const place = await aPlace();
    const names = ['one', 'two'] as const;
    const keys = await Promise.all(names.map((name) => place.makeKey(name)));
    const witnesses = await Promise.all(names.map((name) => place.start(name)));
    const lines = [
      ...names.map((name, at) => `witness ${name} ${keys[at] ?? ''} ${witnesses[at]?.url ?? ''}`),
      'group both 2 one two',
      'quorum both',
      '',
    ].join('\n');
    const said: string[] = [];
    const note = (message: string, fields: Record<string, unknown> = {}): void =>
      void said.push(`${message}: ${String(fields['cause'])}`);
    const logger = { info: () => undefined, warn: note, error: note };
    const open = async (directory: string, logKey: Signer = place.signer): Promise<Collector> => {
      const access = createTokenAccess('t');
      const collector = await createCollector({
        directory: place.at(directory),
        trust,
        logKey,
        access,
        logger,
        witnesses: { lines, intervalMs: 100 },
      });
      onTestFinished(() => collector.close());
      return collector;
    };
    const policy = parsePolicy(Buffer.from(formatPolicy(place.log.key, lines)));
    return { ...place, witnesses, open, policy, said };
  }
  const record = (collector: Collector, policy: ReturnType<typeof parsePolicy>, withinMs = 20_000): Promise<string> =>
    recordSession({ collector, origin: ORIGIN, enrolment, steps: [asked({ action: 0, text: 'uptime' })], policy, withinMs });
  const exported = async (
    collector: Collector,
    session: string,
    policy: ReturnType<typeof parsePolicy>,
  ): Promise<FileVerdict> => {
    const request = new Request(`http://c/v1/sessions/${session}/evidence`, { headers: { authorization: 'Bearer t' } });
    const file = Buffer.from(await (await collector.fetch(request)).arrayBuffer());
    return verifyEvidence([file], { ...trust, policy });
  };
  test('gives receipts when both have cosigned, serves what they cosigned, and has it after a restart', async () => {
    const { open, policy } = await witnessed();
    const collector = await open('store');
    const recorded = await record(collector, policy);
    expect(await metricsOf(collector)).toMatchObject({ behind: 0, failing: [0, 0], entries: [1, 1] });
    const { text } = await checkpointOf(collector);
    const { checkpoint, witnesses } = openCheckpoint(Buffer.from(text), policy);
    expect([...witnesses.keys()]).toEqual(['one', 'two']);
    expect(await exported(collector, recorded, policy)).toMatchObject({
      log: { quorum: 'met', size: checkpoint.size },
      sessions: [{ session: recorded, verdict: 'complete' }],
    });
    const newest = async () => openCheckpoint(Buffer.from((await checkpointOf(collector)).text), policy).checkpoint.size;
    // Who exports reads, which is an entry too.
    await expect.poll(newest).toBe(checkpoint.size + 1);
    const kept = (await checkpointOf(collector)).text;
    await collector.close();
    const again = await open('store');
    expect((await checkpointOf(again)).text).toBe(kept);
    await record(again, policy);
    expect(openCheckpoint(Buffer.from((await checkpointOf(again)).text), policy).checkpoint.size).toBeGreaterThan(
      checkpoint.size,
    );
  });

  test('gives none while one of them is away, and all when it is back', async () => {
    const { open, policy, witnesses, start, said } = await witnessed();
    const [, two] = witnesses;
    await two?.program.signal('SIGKILL');
    const collector = await open('store');
    const recorded = record(collector, policy);
    await eventually('the complaint', () =>
      said.some((each) => each.startsWith('fewer witnesses than are asked for')) ? true : undefined,
    );
    expect((await checkpointOf(collector)).status).toBe(503);
    const away = await metricsOf(collector);
    expect([away.behind > 0, away.failing.map((seconds) => seconds > 0)]).toEqual([true, [false, true]]);
    await start('two', new URL(two?.url ?? '').host);
    await recorded;
    expect((await checkpointOf(collector)).status).toBe(200);
    expect((await metricsOf(collector)).failing).toEqual([0, 0]);
  });

  test('whose key signs a second history gets no cosignature for it, and no sidecar believes it', async () => {
    const { open, policy, said, at, log } = await witnessed();
    const honest = await open('store');
    for (let round = 0; round < 2; round++) await record(honest, policy);
    await honest.close();
    // The same key, an empty store: another history under the same name.
    const forger = await open('forged');
    const lost = record(forger, policy, 1_000).catch((error: unknown) => String(error));
    await eventually('the refusal', () => said.find((each) => /rolled back or forked|another log under this name/.test(each)));
    expect((await checkpointOf(forger)).status).toBe(503);
    for (const name of ['one', 'two']) {
      const [file = ''] = readdirSync(at(name)).filter((each) => each.endsWith('.checkpoint'));
      expect(readFileSync(join(at(name), file), 'utf8')).toContain(log.key.name);
    }
    expect(await lost).toMatch(/segments were not taken/);
  });
});
