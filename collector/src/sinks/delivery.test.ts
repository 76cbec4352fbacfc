import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { generateSigner, openNote, parseCheckpoint, SinkList, verifierOf } from '@chaperone/evidence';
import { eventually, temporaryDirectory } from '@chaperone/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createTokenAccess } from '../access.ts';
import { type Collector, createCollector } from '../collector.ts';
import { aSession, readers, silent, trust } from '../evidence.fixture.ts';
import { CrashingStore } from '../log/log.test-support.ts';
import { retryIn } from './delivery.ts';
import { SinkError } from './errors.ts';
import { faultsOf } from './ocsf/schema.test-support.ts';
import { parseSinks } from './settings.ts';
import type { Batch, Outgoing, Sink } from './sink.ts';
import { MAX_DEAD_LETTERS } from './state.ts';

/** A receiver, as the collector knows one: there or away, and refusing what it is told to. */
class Receiver implements Sink {
  readonly limits = { events: 5, bytes: 1_000_000 };
  readonly batches: Batch[] = [];
  isAway = false;
  /** Takes a batch, and its answer is lost. */
  isDeaf = false;
  refuses: (event: Outgoing) => boolean = () => false;
  /** What something before it, that looks into what passes, answers by 403. */
  blocks: (batch: Batch) => boolean = () => false;
  /** At what it fails by 500. */
  fails: (event: Outgoing) => boolean = () => false;
  tries = 0;
  probes = 0;

  async deliver(batch: Batch): Promise<void> {
    await Promise.resolve();
    this.tries++;
    if (this.blocks(batch)) throw new SinkError('SinkUnauthorized', 'HTTP 403');
    if (batch.events.some(this.fails)) throw new SinkError('SinkUnreachable', 'HTTP 500', { failed: true });
    if (this.isAway) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    if (batch.events.some(this.refuses)) throw new SinkError('SinkRefused', 'HTTP 400');
    this.batches.push(batch);
    if (this.isDeaf) throw new SinkError('SinkUnconfirmed', 'no answer');
  }

  async probe(checkpoint: Batch['checkpoint']): Promise<void> {
    await Promise.resolve();
    this.probes++;
    if (this.blocks({ events: [], checkpoint })) throw new SinkError('SinkUnauthorized', 'HTTP 403');
    if (this.isAway) throw new SinkError('SinkUnreachable', 'HTTP 500', { failed: true });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  get ids(): string[] {
    return this.batches.flatMap(({ events }) => events.map(({ id }) => id));
  }
}

/** Dies at a write of a cursor, before or behind its effect. */
class DyingStore extends CrashingStore {
  writesLeft = Number.POSITIVE_INFINITY;
  hasEffect = true;

  override async replace(...parts: Parameters<CrashingStore['replace']>): ReturnType<CrashingStore['replace']> {
    if (!parts[0].startsWith('sinks/')) return super.replace(...parts);
    if (--this.writesLeft > 0) return super.replace(...parts);
    if (this.writesLeft === 0 && this.hasEffect) await super.replace(...parts);
    throw new Error('the process died');
  }
}

const logKey = generateSigner();
const [settings] = parseSinks(
  { sinks: [{ name: 'siem', webhook: { url: 'https://siem.test', secretFile: 's' } }] },
  '/sinks.json',
);
const CHECK = 'the receiver has all';

let store: DyingStore;
let receiver: Receiver;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let opened: Collector[] = [];
/** How far the collector's clock is ahead, ms. */
let ahead = 0;

beforeEach(async () => {
  store = new DyingStore();
  receiver = new Receiver();
  ahead = 0;
  directory = await temporaryDirectory();
});
afterEach(async () => {
  await Promise.all(opened.map((collector) => collector.close()));
  opened = [];
  await directory[Symbol.asyncDispose]();
});

async function open(changes: object = {}, at = 'a', access = createTokenAccess('t')): Promise<Collector> {
  const collector = await createCollector({
    directory: join(directory.path, at),
    store,
    logKey,
    readers,
    trust,
    access,
    logger: silent,
    now: () => Date.now() + ahead,
    sinks: settings === undefined ? [] : [{ ...settings, ...changes }],
    sinkOptions: { open: () => receiver, times: { lingerMs: 2, retryMs: 1 } },
  });
  opened.push(collector);
  return collector;
}

async function close(collector: Collector): Promise<void> {
  await collector.close();
  opened = opened.filter((each) => each !== collector);
}

async function fill(collector: Collector, sessions: ReturnType<typeof aSession>[]): Promise<string[]> {
  for (const { sealed } of sessions) for (const { parcel } of sealed) await collector.ingest(parcel);
  return sessions.map(({ session }) => session);
}

const aFew = (count = 4): ReturnType<typeof aSession>[] => Array.from({ length: count }, () => aSession());

async function ask(collector: Collector, path = '/v1/sinks', method = 'GET'): Promise<Response> {
  return collector.fetch(new Request(`http://collector${path}`, { method, headers: { authorization: 'Bearer t' } }));
}

async function status(collector: Collector): Promise<SinkList['items'][number]> {
  const [found] = SinkList.parse(await (await ask(collector)).json()).items;
  if (found === undefined) throw new Error('no sink');
  return found;
}

const until = (what: string, probe: () => Promise<boolean>): Promise<true> =>
  eventually(what, async () => (await probe()) || undefined);

const isDone = (collector: Collector) => async (): Promise<boolean> => {
  const { cursor, size, state } = await status(collector);
  return cursor === size && state === 'waiting';
};

/** Three segments a session: its opening, an allowed and a denied action with its finding each, and its end. */
const EVENTS_OF_A_SESSION = 1 + 3 * 3 + 1;

describe('a sink', () => {
  test('that was away for long has every event once, in the order of the log, tied to its checkpoint', async () => {
    receiver.isAway = true;
    const collector = await open();
    await fill(collector, aFew());
    await until('some tries', () => Promise.resolve(receiver.tries > 3));
    expect(await status(collector)).toMatchObject({ state: 'failing', cursor: 0, size: 12, error: { code: 'SinkUnreachable' } });
    expect(await collector.registry.metrics()).toMatch(/chaperone_sink_lag_entries\{sink="siem"\} 12\n/);
    receiver.isAway = false;
    await until(CHECK, isDone(collector));
    expect(new Set(receiver.ids).size).toBe(4 * EVENTS_OF_A_SESSION);
    expect(receiver.ids).toHaveLength(4 * EVENTS_OF_A_SESSION);
    const leaves = receiver.batches.flatMap(({ events }) => events.map(({ leaf }) => leaf));
    expect(leaves).toEqual(leaves.toSorted((a, b) => a - b));
    for (const { events, checkpoint } of receiver.batches) {
      expect(events.length).toBeLessThanOrEqual(5);
      expect(events.map(({ event }) => faultsOf(event)).flat()).toEqual([]);
      expect(events.map(({ text }) => JSON.parse(text) as unknown)).toEqual(events.map(({ event }) => event));
      const head = parseCheckpoint(openNote(Buffer.from(checkpoint.note), [verifierOf(collector.logKey)]).text);
      expect(head.size).toBe(checkpoint.size);
      expect(Math.max(...events.map(({ leaf }) => leaf))).toBeLessThan(head.size);
    }
    expect(await collector.registry.metrics()).toMatch(/chaperone_sink_events_total\{sink="siem",result="delivered"\} 44\n/);
  });

  test.each([1, 2, 4].flatMap((write) => [true, false].map((hasEffect) => ({ write, hasEffect }))))(
    'whose collector dies at write $write of its cursor, written: $hasEffect, gets no other events twice than the same under their ids',
    async ({ write, hasEffect }) => {
      Object.assign(store, { writesLeft: write, hasEffect });
      const first = await open();
      await fill(first, aFew());
      await until('its death', async () => store.writesLeft <= 0 && (await status(first)).state === 'failing');
      await close(first);
      store.writesLeft = Number.POSITIVE_INFINITY;
      const second = await open();
      await until(CHECK, isDone(second));
      const seen = new Map<string, string>();
      for (const { events } of receiver.batches)
        for (const { id, text } of events) {
          expect(seen.get(id) ?? text).toBe(text);
          seen.set(id, text);
        }
      expect(seen.size).toBe(4 * EVENTS_OF_A_SESSION);
      // In order, as whoever keeps the first of each sees them.
      const order = [...seen.keys()].map((id) => Number(/#(\d+)/.exec(id)?.[1]));
      expect(order).toEqual(order.toSorted((a, b) => a - b));
    },
  );

  test('whose answers are lost gets the same again until one is not', async () => {
    receiver.isDeaf = true;
    const collector = await open();
    await fill(collector, aFew(1));
    await until('repeats', () => Promise.resolve(receiver.batches.length > 2));
    const [first = [], second = []] = receiver.batches.map(({ events }) => events.map(({ id }) => id));
    expect(first).not.toEqual([]);
    // With what came into the log meanwhile.
    expect(second.slice(0, first.length)).toEqual(first);
    receiver.isDeaf = false;
    await until(CHECK, isDone(collector));
    expect(new Set(receiver.ids).size).toBe(EVENTS_OF_A_SESSION);
  });

  test('gets nothing again when the index is built again, and nothing when it is lost', async () => {
    const collector = await open();
    await fill(collector, aFew());
    await until(CHECK, isDone(collector));
    await collector.reindex();
    await fill(collector, [aSession()]);
    await until(CHECK, isDone(collector));
    await close(collector);
    await rm(join(directory.path, 'a'), { recursive: true });
    const next = await open();
    await fill(next, [aSession()]);
    await until(CHECK, isDone(next));
    expect(receiver.ids).toHaveLength(6 * EVENTS_OF_A_SESSION);
    expect(new Set(receiver.ids).size).toBe(6 * EVENTS_OF_A_SESSION);
  });

  test('that refuses events for ever gets the others; those are listed over a restart, and sent again by whoever says so', async () => {
    receiver.refuses = ({ text }) => text.includes('bad');
    const first = await open();
    await fill(first, [aSession(), aSession({ text: 'select bad', segments: 1 }), aSession()]);
    await until(CHECK, isDone(first));
    await close(first);
    const second = await open();
    const { deadLetters, delivered } = await status(second);
    expect(deadLetters).toHaveLength(2);
    expect(deadLetters[0]).toMatchObject({ leaf: 3, cause: 'HTTP 400' });
    expect(
      JSON.stringify([...store.objects].filter(([name]) => name.startsWith('sinks/')).map(([, { bytes }]) => bytes.toString())),
    ).not.toContain('bad');
    expect(delivered).toBe(2 * EVENTS_OF_A_SESSION + 3);
    expect(await (await ask(second, '/v1/sinks/siem/resend', 'POST')).json()).toEqual({ resent: 0 });
    receiver.isAway = true;
    expect((await ask(second, '/v1/sinks/siem/resend', 'POST')).status).toBe(503);
    Object.assign(receiver, { isAway: false, refuses: () => false });
    expect(await (await ask(second, '/v1/sinks/siem/resend', 'POST')).json()).toEqual({ resent: 2 });
    expect((await status(second)).deadLetters).toEqual([]);
    expect(new Set(receiver.ids).size).toBe(2 * EVENTS_OF_A_SESSION + 5);
    expect((await ask(second, '/v1/sinks/other/resend', 'POST')).status).toBe(404);
    expect(await second.registry.metrics()).toMatch(/chaperone_sink_dead_letters\{sink="siem"\} 0\n/);
  });

  test('before which something answers what it dislikes as if the token were wrong gets the others all the same', async () => {
    receiver.blocks = ({ events }) => events.some(({ text }) => text.includes('<script>'));
    const collector = await open();
    await fill(collector, [aSession(), aSession({ text: "select '<script>'", segments: 1 }), aSession()]);
    await until(CHECK, isDone(collector));
    expect((await status(collector)).deadLetters).toMatchObject([
      { leaf: 3, cause: 'HTTP 403' },
      { leaf: 3, cause: 'HTTP 403' },
    ]);
    expect(new Set(receiver.ids).size).toBe(2 * EVENTS_OF_A_SESSION + 3);
    expect(await (await ask(collector, '/v1/sinks/siem/resend', 'POST')).json()).toEqual({ resent: 0 });
    receiver.blocks = () => false;
    expect(await (await ask(collector, '/v1/sinks/siem/resend', 'POST')).json()).toEqual({ resent: 2 });
  });

  test('that fails at one event is asked again for an hour; then the event is a dead letter, and the others arrive', async () => {
    receiver.fails = ({ text }) => text.includes('poison');
    const collector = await open();
    await fill(collector, [aSession(), aSession({ text: 'select poison', segments: 1 }), aSession()]);
    await until('many tries', () => Promise.resolve(receiver.probes > 12));
    expect(await status(collector)).toMatchObject({
      state: 'failing',
      cursor: 3,
      deadLetters: [],
      error: { code: 'SinkUnreachable', message: 'HTTP 500' },
    });
    ahead = 3_600_000;
    await until('the first dead letter', async () => (await status(collector)).deadLetters.length === 1);
    // Of the second the hour begins anew.
    await until('many tries again', async () => ((await status(collector)).error?.tries ?? 0) > 10);
    expect((await status(collector)).deadLetters).toMatchObject([{ leaf: 3, cause: 'HTTP 500' }]);
    ahead = 7_200_000;
    await until(CHECK, isDone(collector));
    expect((await status(collector)).deadLetters).toHaveLength(2);
    expect(new Set(receiver.ids).size).toBe(2 * EVENTS_OF_A_SESSION + 3);
    expect(await (await ask(collector, '/v1/sinks/siem/resend', 'POST')).json()).toEqual({ resent: 0 });
    receiver.fails = () => false;
    expect(await (await ask(collector, '/v1/sinks/siem/resend', 'POST')).json()).toEqual({ resent: 2 });
    expect(new Set(receiver.ids).size).toBe(2 * EVENTS_OF_A_SESSION + 5);
  });

  test('that fails at everything for hours is away, and nothing is a dead letter', async () => {
    receiver.fails = () => true;
    receiver.isAway = true;
    const collector = await open();
    await fill(collector, aFew());
    await until('some tries', () => Promise.resolve(receiver.tries > 5));
    ahead = 36_000_000;
    const { tries } = receiver;
    await until('tries hours later', () => Promise.resolve(receiver.tries > tries + 3));
    expect(await status(collector)).toMatchObject({ state: 'failing', cursor: 0, deadLetters: [] });
    Object.assign(receiver, { fails: () => false, isAway: false });
    await until(CHECK, isDone(collector));
    expect(receiver.ids).toHaveLength(4 * EVENTS_OF_A_SESSION);
  });

  test('that lets us send nothing at all stops and says so, and makes no dead letter of anything', async () => {
    receiver.blocks = () => true;
    const collector = await open();
    await fill(collector, aFew());
    await until('some tries', () => Promise.resolve(receiver.probes > 3));
    expect(await status(collector)).toMatchObject({
      state: 'failing',
      cursor: 0,
      deadLetters: [],
      error: { code: 'SinkUnauthorized', message: 'HTTP 403' },
    });
    expect((await ask(collector, '/v1/sinks/siem/resend', 'POST')).status).toBe(200);
    receiver.blocks = () => false;
    await until(CHECK, isDone(collector));
    expect(receiver.ids).toHaveLength(4 * EVENTS_OF_A_SESSION);
    expect(receiver.batches[0]?.events).toHaveLength(5);
  });

  test('whose token is wrong for a moment makes no dead letter of the event of that moment', async () => {
    receiver.limits.events = 1;
    receiver.blocks = ({ events }) => events.length > 0 && receiver.probes === 0;
    const collector = await open();
    await fill(collector, aFew(1));
    await until(CHECK, isDone(collector));
    expect((await status(collector)).deadLetters).toEqual([]);
    expect(receiver.ids).toHaveLength(EVENTS_OF_A_SESSION);
  });

  test('stops when as many were refused as are kept, until they are sent again; nothing is lost', async () => {
    const dead = Array.from({ length: MAX_DEAD_LETTERS - 1 }, (_, at) => ({
      id: `gone#0.${at}`,
      leaf: 0,
      at: 1,
      cause: 'HTTP 400',
    }));
    await store.replace(
      'sinks/siem',
      Buffer.from(JSON.stringify({ version: 1, leaf: 0, done: '', delivered: 0, dead })),
      1,
      undefined,
    );
    receiver.refuses = () => true;
    const collector = await open();
    await fill(collector, aFew(1));
    await until('its end', async () => (await status(collector)).error?.code === 'DeadLettersFull');
    expect(receiver.ids).toEqual([]);
    receiver.refuses = () => false;
    await ask(collector, '/v1/sinks/siem/resend', 'POST');
    await until(CHECK, isDone(collector));
    expect(new Set(receiver.ids).size).toBe(EVENTS_OF_A_SESSION);
  });

  test('that is behind when a session is erased is told that it was, and nothing of what it said', async () => {
    receiver.isAway = true;
    const first = await open();
    const [session = '', kept = ''] = await fill(first, [
      aSession({ text: 'select payload' }),
      aSession({ text: 'select other' }),
    ]);
    const body = JSON.stringify({ kind: 'erasure', reason: 'asked for' });
    const digest = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(body))).toString('hex');
    const request = new Request(`http://collector/v1/sessions/${session}/orders?body=${digest}`, {
      method: 'POST',
      body,
      headers: { authorization: 'Bearer t' },
    });
    expect((await first.fetch(request)).status).toBe(200);
    receiver.isAway = false;
    await until(CHECK, isDone(first));
    const about = (id: string) =>
      receiver.batches.flatMap(({ events }) => events.filter(({ event }) => event.metadata.correlation_uid === id));
    expect(about(session).map(({ event: { class_uid, metadata } }) => `${class_uid} ${metadata.event_code}`)).toEqual([
      ...Array.from({ length: 3 }, () => '3004 Erased'),
      '3004 erasure',
    ]);
    expect(
      about(session)
        .map(({ text }) => text)
        .join(''),
    ).not.toMatch(/payload|orders-db/);
    expect(about(session).at(-1)?.text).toContain('asked for');
    expect(about(kept)).toHaveLength(EVENTS_OF_A_SESSION);
  });

  test('is told of what cannot be read, and gets the rest', async () => {
    receiver.isAway = true;
    const collector = await open();
    await fill(collector, aFew(2));
    const [name = ''] = [...store.objects.keys()].filter((each) => each.startsWith('seg/'));
    store.objects.delete(name);
    receiver.isAway = false;
    await until(CHECK, isDone(collector));
    const texts = receiver.batches.flatMap(({ events }) => events.map(({ text }) => text));
    expect(texts.filter((text) => text.includes('"event_code":"SegmentMissing"'))).toHaveLength(1);
    expect(new Set(receiver.batches.flatMap(({ events }) => events.map(({ leaf }) => leaf))).size).toBe(6);
  });

  test('that begins now has what comes from then on, also where it was away at that moment', async () => {
    receiver.isAway = true;
    const first = await open({ name: 'other' });
    await fill(first, aFew(2));
    await close(first);
    const second = await open({ start: 'now' });
    await until('its place', async () => (await status(second)).cursor === 6);
    const [session] = await fill(second, [aSession()]);
    await close(second);
    receiver.isAway = false;
    const third = await open({ start: 'now' });
    await until(CHECK, isDone(third));
    expect(new Set(receiver.batches.flatMap(({ events }) => events.map(({ event }) => event.metadata.correlation_uid)))).toEqual(
      new Set([session]),
    );
    // Nobody forgets a sink that is configured no more.
    const listed = SinkList.parse(await (await ask(third)).json()).items;
    expect(listed.map(({ name, state }) => [name, state])).toEqual([
      ['siem', 'waiting'],
      ['other', 'off'],
    ]);
  });

  test('for which another process delivers goes on from where that one is', async () => {
    const first = await open();
    await fill(first, aFew(1));
    await until(CHECK, isDone(first));
    const name = 'sinks/siem';
    const found = store.objects.get(name);
    const state = JSON.parse(found?.bytes.toString() ?? '') as object;
    await store.replace(name, Buffer.from(JSON.stringify({ ...state, leaf: 4, done: '' })), 1, found?.version);
    const before = receiver.ids.length;
    await fill(first, aFew(1));
    await until(CHECK, isDone(first));
    expect(Number(/"leaf":(\d+)/.exec(store.objects.get(name)?.bytes.toString() ?? '')?.[1])).toBe(6);
    expect(receiver.ids.length).toBeGreaterThan(before);
  });

  test.each([
    ['of a longer log', JSON.stringify({ version: 1, leaf: 99, done: '', delivered: 0, dead: [] })],
    ['that cannot be read', '{'],
    ['of another version', JSON.stringify({ version: 2, leaf: 0, done: '', delivered: 0, dead: [] })],
  ])('with a cursor %s delivers nothing, and says so', async (_, text) => {
    await store.replace('sinks/siem', Buffer.from(text), 1, undefined);
    const collector = await open();
    await fill(collector, aFew(1));
    await until('its word', async () => /SinkMisconfigured/.test(await collector.registry.metrics()));
    expect(receiver.ids).toEqual([]);
  });

  test('is shown to those who may see sessions everywhere, and sends again for those who may export them', async () => {
    const seen: string[] = [];
    const collector = await open({}, 'a', {
      authorise: () => Promise.resolve({ user: 'ann', groups: [] }),
      allowed: (_, verb, namespace) => {
        seen.push(`${verb} ${JSON.stringify(namespace)}`);
        return Promise.resolve(namespace !== '');
      },
    });
    expect((await ask(collector)).status).toBe(403);
    expect((await ask(collector, '/v1/sinks/siem/resend', 'POST')).status).toBe(403);
    expect(seen).toEqual(['list ""', 'export ""']);
  });
});

test.each([
  [{ failures: 1, random: 1 }, 1_000],
  [{ failures: 1, random: 0 }, 500],
  [{ failures: 4, random: 1 }, 8_000],
  [{ failures: 1_000_000, random: 1 }, 300_000],
  [{ failures: 1, random: 1, retryAfterMs: 20_000 }, 20_000],
  [{ failures: 1, random: 1, retryAfterMs: 86_400_000 }, 3_600_000],
])('after %o one waits %d ms', (retry, ms) => {
  expect(retryIn(retry)).toBe(ms);
});
