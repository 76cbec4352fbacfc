import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openNote, parseCheckpoint, SinkList, verifierOf } from '@chaperone/evidence';
import { eventually, temporaryDirectory, testAuthority } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createTokenAccess } from '../src/access.ts';
import { createCollector } from '../src/collector.ts';
import { aSession, readers, trust } from '../src/evidence.fixture.ts';
import { encodeParquet } from '../src/sinks/kinds/parquet.ts';
import { openSplunk } from '../src/sinks/kinds/splunk.ts';
import { framed, paramValue } from '../src/sinks/kinds/syslog.ts';
import { HOSTILE, sessionEvents } from '../src/sinks/ocsf/samples.test-support.ts';
import { faultsOf } from '../src/sinks/ocsf/schema.test-support.ts';
import { parseSinks } from '../src/sinks/settings.ts';
import { asciiJson, type Batch } from '../src/sinks/sink.ts';
import { openSink } from '../src/sinks/sinks.ts';
import {
  answering,
  bucket,
  nats,
  otlp,
  parquet,
  rowsOf,
  type Setting,
  splunk,
  syslog,
  type TestReceiver,
  webhook,
} from './sink-receivers.ts';

const RECEIVERS = { syslog, splunk, otlp, webhook, nats, bucket, parquet } satisfies Record<
  string,
  (of: Setting) => Promise<TestReceiver>
>;
type Kind = keyof typeof RECEIVERS;
const KINDS = Object.keys(RECEIVERS) as Kind[];

let setting: Setting;
let disposal: AsyncDisposable;
beforeAll(async () => {
  const directory = await temporaryDirectory();
  disposal = directory;
  const authority = await testAuthority();
  const caFile = join(directory.path, 'ca.crt');
  writeFileSync(caFile, authority.ca);
  setting = { directory: directory.path, caFile, ca: authority.ca, tls: await authority.issue(['127.0.0.1', 'localhost']) };
});
afterAll(() => disposal[Symbol.asyncDispose]());

function sinkOf(kind: Kind, { settings }: TestReceiver, changes: object = {}) {
  const [found] = parseSinks({ sinks: [{ name: kind, ...settings, ...changes }] }, join(setting.directory, 'sinks.json'));
  if (found === undefined) throw new Error('no sink');
  return found;
}

const open: typeof openSink = (settings, origin, now) =>
  settings.splunk === undefined ? openSink(settings, origin, now) : openSplunk(settings.splunk, 5);

/** A batch of one event of each kind, with hostile strings wherever they may be. */
function hostileBatch(): Batch {
  const events = sessionEvents('postgres', 'results', HOSTILE).map((event) => ({
    id: event.metadata.uid,
    leaf: 7,
    event,
    text: asciiJson(event),
  }));
  return { events, checkpoint: { note: `log\n9\n${HOSTILE}\n`, size: 9 } };
}

describe.each(KINDS)('a receiver by %s', (kind) => {
  test('that was away has every event of the log in its order when it is back, with checkpoints that the log’s key signed', async () => {
    const receiver = await RECEIVERS[kind](setting);
    const said: string[] = [];
    const log = (message: string, fields?: object): void => void said.push(message + JSON.stringify(fields));
    const collector = await createCollector({
      directory: join(setting.directory, `collector-${kind}`),
      readers,
      trust,
      access: createTokenAccess('t'),
      logger: { info: log, warn: log, error: log },
      sinks: [sinkOf(kind, receiver)],
      sinkOptions: { open, times: { lingerMs: 5, retryMs: 5 } },
    });
    const status = async (): Promise<SinkList['items'][number] | undefined> => {
      const request = new Request('http://collector/v1/sinks', { headers: { authorization: 'Bearer t' } });
      return SinkList.parse(await (await collector.fetch(request)).json()).items[0];
    };
    try {
      const sessions = [aSession(), aSession({ text: `select '${HOSTILE}'` }), aSession()];
      for (const { sealed } of sessions) for (const { parcel } of sealed) await collector.ingest(parcel);
      await eventually('failed tries', async () => ((await status())?.error?.tries ?? 0) > 1 || undefined);
      await receiver.up();
      await eventually('the end of the log', async () => (await status())?.cursor === 9 || undefined);
      const received = await receiver.received();
      const ids = received.map(({ id }) => id);
      expect(new Set(ids).size).toBe(3 * 11);
      expect(ids).toHaveLength(3 * 11);
      const leaves = ids.map((id) => Number(/#(\d+)/.exec(id)?.[1]));
      expect(leaves).toEqual(leaves.toSorted((a, b) => a - b));
      for (const { id, event } of received) {
        expect(faultsOf(event as Parameters<typeof faultsOf>[0])).toEqual([]);
        expect(event).toMatchObject({ metadata: { uid: id } });
      }
      const notes = await receiver.checkpoints();
      const sizes = notes.map((note) => parseCheckpoint(openNote(Buffer.from(note), [verifierOf(collector.logKey)]).text).size);
      expect(Math.max(...sizes)).toBe(9);
      expect(said.join()).not.toMatch(/secret|select/);
    } finally {
      await collector.close();
      await receiver.down();
    }
  });

  test('is sent hostile strings that leave no place, and come back as they were', async () => {
    const receiver = await RECEIVERS[kind](setting);
    await receiver.up();
    const sink = open(sinkOf(kind, receiver), 'log', Date.now);
    const batch = hostileBatch();
    try {
      await sink.deliver(batch, new AbortController().signal);
      // The same again is dropped where the receiver knows ids, and else is the same.
      await sink.deliver(batch, new AbortController().signal);
      const received = await receiver.received();
      const known = new Map(received.map(({ id, event }) => [id, event]));
      // Strings of OTLP are protobuf's: half a character is none.
      const wellFormed = (text: string): string => (kind === 'otlp' ? text.toWellFormed() : text);
      const expected = batch.events.map(({ id, event }) => [
        id,
        JSON.parse(JSON.stringify(event), (_, value: unknown) =>
          typeof value === 'string' ? wellFormed(value) : value,
        ) as unknown,
      ]);
      expect([...known]).toEqual(expected);
      expect(received.length).toBe(['nats', 'bucket', 'parquet'].includes(kind) ? expected.length : 2 * expected.length);
    } finally {
      await sink.close();
      await receiver.down();
    }
  });

  test('whose certificate nobody vouches for, or that is another host’s, is sent nothing', async () => {
    const stranger = await testAuthority('stranger');
    const other = { ...setting, ca: stranger.ca, tls: await stranger.issue(['127.0.0.1', 'localhost']) };
    const signal = new AbortController().signal;
    const receiver = await RECEIVERS[kind](other);
    await receiver.up();
    const sink = open(sinkOf(kind, receiver), 'log', Date.now);
    try {
      await expect(sink.deliver(hostileBatch(), signal)).rejects.toThrow();
    } finally {
      await sink.close();
      await receiver.down();
    }
  });
});

test.each<[string, number, string, string | undefined]>([
  ['says that all was taken', 200, '{"partialSuccess":{}}', undefined],
  ['says so by an empty object', 202, '{}', undefined],
  ['has no body by its status', 204, '', undefined],
  ['rejects none, in words', 200, '{"partialSuccess":{"rejectedLogRecords":"0","errorMessage":"slow down"}}', undefined],
  ['rejects some', 200, '{"partialSuccess":{"rejectedLogRecords":"3"}}', 'SinkRefused'],
  ['rejects some by the name of the field', 200, '{"partial_success":{"rejected_log_records":3}}', 'SinkRefused'],
  ['is empty', 200, '', 'SinkMisconfigured'],
  ['is the page of something in between', 200, '<html>Request Rejected</html>', 'SinkMisconfigured'],
  ['is no object', 200, '[]', 'SinkMisconfigured'],
  ['counts what is no number', 200, '{"partialSuccess":{"rejectedLogRecords":"many"}}', 'SinkMisconfigured'],
  ['counts less than none', 200, '{"partialSuccess":{"rejectedLogRecords":-1}}', 'SinkMisconfigured'],
  ['is cut off', 200, '{"partialSuccess":', 'SinkMisconfigured'],
  ['is a page by another status', 406, 'no', 'SinkMisconfigured'],
])('an answer over OTLP that %s (%d %s) is %s', async (_, status, body, code) => {
  const server = await answering(setting, status, body);
  onTestFinished(() => server.down());
  const [settings] = parseSinks(
    { sinks: [{ name: 'otel', otlp: { url: `${server.url}/v1/logs`, caFile: setting.caFile } }] },
    '/sinks.json',
  );
  if (settings === undefined) throw new Error('no sink');
  const sink = openSink(settings, 'log', Date.now);
  onTestFinished(() => sink.close());
  const { signal } = new AbortController();
  const { checkpoint } = hostileBatch();
  for (const deliver of [() => sink.deliver(hostileBatch(), signal), () => sink.probe?.(checkpoint, signal)])
    if (code === undefined) await deliver();
    else await expect(deliver()).rejects.toMatchObject({ code });
});

test('what somebody else put into a bucket where a batch belongs does not count as the batch', async () => {
  const receiver = await bucket(setting);
  await receiver.up();
  const sink = openSink(sinkOf('bucket', receiver), 'log', () => 0);
  const batch = hostileBatch();
  const { signal } = new AbortController();
  try {
    await sink.deliver(batch, signal);
    await sink.deliver({ ...batch, checkpoint: { note: 'another', size: 9 } }, signal);
    expect(await receiver.checkpoints()).toHaveLength(2);
    await receiver.overwrite('.ndjson', 'nothing of it');
    await expect(sink.deliver(batch, signal)).rejects.toMatchObject({ code: 'SinkMisconfigured' });
  } finally {
    await sink.close();
    await receiver.down();
  }
});

test('a row of Parquet has in columns what analysts look for, and the same events are the same bytes', async () => {
  const { events } = hostileBatch();
  const file = encodeParquet(events);
  expect(encodeParquet(events).equals(file)).toBe(true);
  const rows = await rowsOf(file);
  expect(rows.map(({ event }) => event)).toEqual(events.map(({ text }) => text));
  const [first, ...rest] = rows;
  const { class_uid, time, metadata } = events[0]?.event ?? {};
  expect(first).toMatchObject({
    id: events[0]?.id,
    leaf: 7n,
    class_uid,
    time: new Date(Number(time)),
    session: (metadata as { correlation_uid: string }).correlation_uid,
    severity: 'Informational',
    verdict: 'Allowed',
  });
  const denial = rest.find(({ class_uid: uid }) => uid === 2004);
  const { actor } = JSON.parse(denial?.event ?? '{}') as { actor: { user: { name: string } } };
  expect(denial).toMatchObject({
    actor: actor.user.name.toWellFormed(),
    severity: expect.stringMatching(/Medium|High/) as string,
  });
  expect(new Set(rows.flatMap(Object.keys)).size).toBe(15);
});

test('a frame of syslog is of printable ASCII but for its values of structured data, and each is counted in octets', () => {
  const batch = hostileBatch();
  const text = framed(batch, { host: 'h', enterpriseId: 32_473 }).toString('utf8');
  // oxlint-disable-next-line eslint/no-control-regex -- what must not be there
  expect(text).not.toMatch(/[\0-\x1f\x7f]/);
  expect(paramValue('a"b\\c]d\n\ud800')).toBe('a\\"b\\\\c\\]d\ufffd\ufffd');
});
