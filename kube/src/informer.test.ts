import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually, type FakeApiServer, startFakeApiServer } from './fake-api-server.test-support.ts';
import { type Change, Informer } from './informer.ts';
import { TIMINGS } from './listwatch.ts';
import { KINDS, type KubeObject } from './objects.ts';

const FAST = { ...TIMINGS, idleMs: 150, minBackoffMs: 20, maxBackoffMs: 80 };
const pod = (name: string, labels: Record<string, string> = {}): object => ({ metadata: { namespace: 'agents', name, labels } });

describe('an informer', () => {
  let api: FakeApiServer;
  let informer: Informer<KubeObject>;
  let changes: Change<KubeObject>[];
  let errors: unknown[];

  const start = (timings = FAST): void => {
    informer = new Informer({
      kube: api.kube,
      kind: KINDS.pods,
      parse: (object) => object,
      timings,
      onError: (error) => errors.push(error),
    });
    informer.onChange((change) => changes.push(change));
    informer.start();
  };
  const watches = (): number => api.asked.filter((asked) => asked.url.searchParams.get('watch') === 'true').length;
  const lists = (): number => api.asked.filter((asked) => asked.url.searchParams.has('limit')).length;

  beforeEach(async () => {
    api = await startFakeApiServer();
    changes = [];
    errors = [];
  });
  afterEach(async () => {
    await informer.stop();
    await api.close();
  });

  test('lists in pages, then follows additions, changes and deletions', async () => {
    for (let index = 0; index < 1203; index += 1) api.put(KINDS.pods, pod(`p${index}`));
    start(TIMINGS);
    await informer.synced;
    expect(informer.size).toBe(1203);
    expect(lists()).toBe(3);
    await eventually(() => expect(api.watchers()).toBe(1));
    api.put(KINDS.pods, pod('p0', { a: 'b' }));
    api.put(KINDS.pods, pod('new'));
    api.remove(KINDS.pods, { namespace: 'agents', name: 'p1' });
    await eventually(() => expect(informer.get('agents/p1')).toBeUndefined());
    expect(informer.get('agents/p0')?.metadata.labels).toEqual({ a: 'b' });
    expect(informer.get('agents/new')).toBeDefined();
    expect(changes.at(-1)).toMatchObject({ key: 'agents/p1', after: undefined });
    expect(errors).toEqual([]);
  });

  test('asks for bookmarks and a random watch time between 240 and 480 seconds', async () => {
    start(TIMINGS);
    await eventually(() => expect(watches()).toBe(1));
    const query = api.asked.find((asked) => asked.url.searchParams.has('watch'))?.url.searchParams;
    expect(query?.get('allowWatchBookmarks')).toBe('true');
    expect(Number(query?.get('timeoutSeconds'))).toBeGreaterThanOrEqual(240);
    expect(Number(query?.get('timeoutSeconds'))).toBeLessThanOrEqual(480);
  });

  test('goes on from its last version when the server ends a watch, without a new list', async () => {
    start(TIMINGS);
    await eventually(() => expect(api.watchers()).toBe(1));
    api.sendToWatchers(`${JSON.stringify({ type: 'BOOKMARK', object: { metadata: { name: '', resourceVersion: '777' } } })}\n`);
    api.endWatchers();
    await eventually(() => expect(watches()).toBe(2));
    expect(api.asked.at(-1)?.url.searchParams.get('resourceVersion')).toBe('777');
    expect(lists()).toBe(1);
  });

  test('drops a stalled stream and watches again', async () => {
    start();
    await eventually(() => expect(watches()).toBeGreaterThanOrEqual(3));
    expect(lists()).toBe(1);
    api.put(KINDS.pods, pod('late'));
    await eventually(() => expect(informer.get('agents/late')).toBeDefined());
  });

  test('recovers from a reset connection', async () => {
    start({ ...FAST, idleMs: 60_000 });
    await eventually(() => expect(api.watchers()).toBe(1));
    api.resetWatchers();
    await eventually(() => expect(watches()).toBe(2));
    api.put(KINDS.pods, pod('after'));
    await eventually(() => expect(informer.get('agents/after')).toBeDefined());
    expect(errors).toHaveLength(1);
  });

  test('lists again at once on an ERROR 410 in the stream, and reports what vanished meanwhile', async () => {
    api.put(KINDS.pods, pod('gone'));
    start({ ...FAST, idleMs: 60_000, minBackoffMs: 60_000 });
    await eventually(() => expect(api.watchers()).toBe(1));
    api.forget(KINDS.pods, { namespace: 'agents', name: 'gone' });
    const status = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' };
    api.sendToWatchers(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
    await eventually(() => expect(informer.get('agents/gone')).toBeUndefined());
    expect(changes.at(-1)).toMatchObject({ key: 'agents/gone', after: undefined });
    expect(informer.relists).toBe(1);
  });

  test.each(['not json\n', '{"type":"ADDED"}\n', '{"type":"ADDED","object":{"metadata":{"name":"x"}}}\n'])(
    'lists again after the stream said %j',
    async (line) => {
      start({ ...FAST, idleMs: 60_000 });
      await eventually(() => expect(api.watchers()).toBe(1));
      api.sendToWatchers(line);
      await eventually(() => expect(lists()).toBe(2));
      expect(errors).toHaveLength(1);
    },
  );

  test('honours Retry-After of a 429', async () => {
    let refused = 0;
    api.intercept = (_asked, response) => {
      refused += 1;
      if (refused > 1) return false;
      response.writeHead(429, { 'retry-after': '1' }).end('{}');
      return true;
    };
    const started = performance.now();
    start();
    await informer.synced;
    expect(performance.now() - started).toBeGreaterThanOrEqual(990);
  });

  test('lists everything again after the relist time', async () => {
    start({ ...FAST, idleMs: 60_000, relistMs: 200 });
    await eventually(() => expect(api.watchers()).toBe(1));
    api.put(KINDS.pods, pod('silent'));
    await eventually(() => expect(informer.get('agents/silent')).toBeDefined());
    api.forget(KINDS.pods, { namespace: 'agents', name: 'silent' });
    await eventually(() => {
      api.endWatchers();
      expect(informer.get('agents/silent')).toBeUndefined();
    });
    expect(informer.relists).toBeGreaterThan(0);
  });

  test('survives handlers that throw', async () => {
    start();
    informer.onChange(() => {
      throw new Error('handler');
    });
    const after: string[] = [];
    informer.onChange((change) => after.push(change.key));
    await informer.synced;
    api.put(KINDS.pods, pod('a'));
    api.put(KINDS.pods, pod('b'));
    await eventually(() => expect(after).toEqual(['agents/a', 'agents/b']));
    expect(informer.size).toBe(2);
  });

  test('stops for good', async () => {
    start();
    await eventually(() => expect(api.watchers()).toBe(1));
    await informer.stop();
    const before = api.asked.length;
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(api.asked).toHaveLength(before);
  });
});
