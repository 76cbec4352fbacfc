import { randomBytes } from 'node:crypto';
import { postJson } from '@chaperone/kube/post';
import { type Attributes, otlpSender, type Span, Tracer, type TracerOptions } from '@chaperone/policy/tracing';
import { attributeOf, Receiver } from '@chaperone/policy/tracing/test-support';
import { describe, expect, test } from 'vitest';

const aTracer = (endpoint: string, mods: Partial<TracerOptions> = {}): Tracer =>
  new Tracer({ send: otlpSender(endpoint, postJson), resource: {}, ratio: 1, random: randomBytes, everyMs: 10, ...mods });
const aSpan = (mods: Partial<Span> = {}): Span => ({
  traceId: '0af7651916cd43dd8448eb211c80319c',
  spanId: 'b7ad6b7169203331',
  name: 'select',
  kind: 'server',
  startMs: 1_700_000_000_000.25,
  endMs: 1_700_000_000_003,
  attributes: {},
  ...mods,
});
const refusing =
  (status: number, headers: Record<string, string> = {}): Receiver['answer'] =>
  (response) => {
    response.writeHead(status, headers).end('no');
    return true;
  };

describe('spans', () => {
  test('arrive as OTLP has them: times in nanoseconds, ids in hex, attributes by type, an error as status and type', async () => {
    await using receiver = await Receiver.start();
    const tracer = aTracer(receiver.endpoint, { resource: { 'service.name': 'sidecar', none: undefined } });
    const attributes: Attributes = { text: 'x'.repeat(1000), half: '\ud800', count: 7, part: 0.5, is: true, none: undefined };
    const links = [{ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) }];
    tracer.add(aSpan({ attributes, parentId: 'c'.repeat(16), error: 'DeniedByRule', links }));
    tracer.add(aSpan({ name: 'backwards', endMs: 0 }));
    await expect.poll(() => receiver.spans.length).toBe(2);
    const [first, second] = receiver.spans;
    expect(first).toMatchObject({
      startTimeUnixNano: '1700000000000250000',
      endTimeUnixNano: '1700000000003000000',
      parentSpanId: 'c'.repeat(16),
      kind: 2,
      status: { code: 2 },
      links,
    });
    expect(first?.attributes).toEqual([
      { key: 'text', value: { stringValue: 'x'.repeat(256) } },
      { key: 'half', value: { stringValue: '\ufffd' } },
      { key: 'count', value: { intValue: '7' } },
      { key: 'part', value: { doubleValue: 0.5 } },
      { key: 'is', value: { boolValue: true } },
      { key: 'error.type', value: { stringValue: 'DeniedByRule' } },
    ]);
    expect(second?.endTimeUnixNano).toBe(second?.startTimeUnixNano);
    expect(receiver.bytes).toContain('"service.name"');
    expect(receiver.problems).toEqual([]);
  });
});

describe('a receiver', () => {
  test('that is away costs nobody anything: the queue is bounded, what has no room is counted, nothing rejects', async () => {
    const said: (string | undefined)[] = [];
    const tracer = aTracer('http://127.0.0.1:9', { onTrouble: (why) => said.push(why) });
    for (let at = 0; at < 5_000; at++) tracer.add(aSpan());
    expect(tracer.dropped).toBe(5_000 - 2_048);
    await expect.poll(() => said.length).toBe(1);
    await tracer.stop(50);
    expect(tracer.dropped).toBe(5_000);
    tracer.add(aSpan());
    expect(tracer.dropped).toBe(5_001);
    expect(said).toHaveLength(1);
  });

  test('that never answers is left when time is up', async () => {
    await using receiver = await Receiver.start();
    receiver.answer = () => true;
    const tracer = aTracer(receiver.endpoint);
    tracer.add(aSpan());
    await expect.poll(() => receiver.requests).toBe(1);
    await tracer.stop(20);
    expect(tracer.dropped).toBe(1);
  });

  test.each([[429], [502], [503], [504]])('that says %i is sent the same again, and nothing is lost', async (status) => {
    await using receiver = await Receiver.start();
    receiver.answer = (response) => {
      receiver.answer = undefined;
      return refusing(status, { 'retry-after': '0' })?.(response) ?? false;
    };
    const said: (string | undefined)[] = [];
    const tracer = aTracer(receiver.endpoint, { onTrouble: (why) => said.push(why) });
    tracer.add(aSpan());
    await expect.poll(() => receiver.spans.length).toBe(1);
    await tracer.stop(1_000);
    expect([tracer.dropped, said]).toEqual([0, [`HTTP ${status}`, undefined]]);
  });

  test.each<[string, number, Record<string, string>]>([
    ['refuses them', 400, {}],
    ['has no such path', 404, {}],
    ['fails otherwise', 500, {}],
  ])('that %s is sent them once, and they are counted', async (_what, status, headers) => {
    await using receiver = await Receiver.start();
    receiver.answer = refusing(status, headers);
    const tracer = aTracer(receiver.endpoint);
    tracer.add(aSpan());
    await expect.poll(() => tracer.dropped).toBe(1);
    await tracer.stop(100);
    expect([receiver.requests, tracer.dropped]).toEqual([1, 1]);
  });

  test('that leads elsewhere is not followed', async () => {
    await using elsewhere = await Receiver.start();
    await using receiver = await Receiver.start();
    receiver.answer = refusing(307, { location: `${elsewhere.endpoint}/v1/traces` });
    const tracer = aTracer(receiver.endpoint);
    tracer.add(aSpan());
    await expect.poll(() => receiver.requests).toBe(1);
    await tracer.stop(100);
    expect([elsewhere.requests, tracer.dropped]).toEqual([0, 1]);
  });

  test.each(['{"partialSuccess":{"rejectedSpans":"2"}}', '{"partial_success":{"rejected_spans":2}}'])(
    'that takes some of them has the rest counted: %s',
    async (body) => {
      await using receiver = await Receiver.start();
      receiver.answer = (response) => {
        response.writeHead(200, { 'content-length': body.length }).end(body);
        return true;
      };
      const tracer = aTracer(receiver.endpoint);
      for (let at = 0; at < 3; at++) tracer.add(aSpan());
      await expect.poll(() => tracer.dropped).toBe(2);
      await tracer.stop(100);
    },
  );

  test('gets what is there at the end, in batches', async () => {
    await using receiver = await Receiver.start();
    const tracer = aTracer(receiver.endpoint, { everyMs: 60_000 });
    for (let at = 0; at < 1_300; at++) tracer.add(aSpan({ attributes: { at } }));
    await tracer.stop(10_000);
    expect(receiver.spans.map((span) => attributeOf(span, 'at'))).toEqual(Array.from({ length: 1_300 }, (_, at) => `${at}`));
    expect([receiver.requests, tracer.dropped]).toEqual([3, 0]);
  });
});
