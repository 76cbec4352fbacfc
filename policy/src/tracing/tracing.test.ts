import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { linkTo, readTracing, spanName, Tracer } from './index.ts';

/** Of 2,000 traces. */
const kept = (ratio: number): number => {
  const tracer = new Tracer({ send: () => Promise.reject(new Error('sent')), resource: {}, ratio, random: randomBytes });
  return Array.from({ length: 2000 }, () => tracer.begin()).filter((id) => id !== undefined).length;
};
const read = (endpoint?: string, ratio?: string) =>
  readTracing({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_SAMPLER_ARG: ratio });

test('of so many traces are kept: none, all, or about the part that was asked for, by the id alone', () => {
  expect([kept(0), kept(1)]).toEqual([0, 2000]);
  expect(kept(0.25)).toBeGreaterThan(350);
  expect(kept(0.25)).toBeLessThan(650);
});

test.each([
  ['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', true],
  ['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00', true],
  ['01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', false],
  ['00-00000000000000000000000000000000-b7ad6b7169203331-01', false],
  ['00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01', false],
  ['00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', false],
  ['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n', false],
  ['', false],
  ['x'.repeat(100_000), false],
])('a traceparent %j is a link: %j', (text, isLink) => {
  expect(linkTo(text) !== undefined).toBe(isLink);
});

test('the name of a span is a short word of few, or OTHER', () => {
  expect(['select', 'GET', 'drop table', '1', 'x;y', "o'brien", 'a'.repeat(33), ''].map(spanName)).toEqual([
    'select',
    'GET',
    'drop table',
    ...Array.from({ length: 5 }, () => 'OTHER'),
  ]);
});

describe('the variables of OpenTelemetry', () => {
  test('turn tracing on where they name an endpoint, and only then', () => {
    expect([read(), read(''), read('', '0.5')]).toEqual([undefined, undefined, undefined]);
    expect(read('http://otel:4318')).toEqual({ endpoint: 'http://otel:4318', ratio: 1 });
    expect(read('https://otel.corp/x', '0.25')).toEqual({ endpoint: 'https://otel.corp/x', ratio: 0.25 });
  });
  test.each([
    ['otel:4318', undefined],
    ['file:///etc/passwd', undefined],
    ['http://user:canary@otel', undefined],
    ['http://otel/?key=canary', undefined],
    [`http://${'canary'.repeat(200)}`, undefined],
    ['http://otel', '1.5'],
    ['http://otel', '-0.1'],
    ['http://otel', 'canary'],
    ['http://otel', '1e-1'],
  ])('%s with %s are refused, and not repeated', (endpoint, ratio) => {
    expect(() => read(endpoint, ratio)).toThrow(/^OTEL_\w+ is not/);
    expect(() => read(endpoint, ratio)).not.toThrow(/canary/);
  });
});
