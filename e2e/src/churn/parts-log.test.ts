import { expect, test } from 'vitest';
import { partLine } from './parts-log.ts';
import { seenBy } from './traffic.ts';

const line = (container: string, text: string): unknown => partLine({ pod: 'p', container, at: 5, text });
const error = (container: string, what: string): object => ({ source: 'log', name: `p/${container}`, what, from: 5, to: 5 });

test.each<[string, string, string, unknown]>([
  [
    'an error of the operator',
    'operator',
    '{"level":"error","event":"failed","error":"E","message":"m"}',
    error('operator', 'failed: m error="E"'),
  ],
  ['an error of the collector', 'collector', '{"level":"error","message":"m","code":3}', error('collector', 'm code=3')],
  ['a warning of the sidecar', 'chaperone-sidecar', '{"level":"warn","event":"e"}', { warning: 'chaperone-sidecar: e' }],
  ['news', 'chaperone-sidecar', '{"level":"info","event":"e"}', undefined],
  ['words of the container that installs capture', 'chaperone-init', 'chaperone-init: capture is installed', undefined],
  ['an empty line', 'operator', '', undefined],
  ['a stack trace', 'operator', '    at main (main.ts:1:1)', error('operator', '    at main (main.ts:1:1)')],
  ['an error of the broker', 'nats', '[1] 2026/12/01 09:00:00.000000 [ERR] slow', error('nats', 'slow')],
  ['a warning of the broker', 'nats', '[1] 2026/12/01 09:00:00.000000 [WRN] slow', { warning: 'nats: slow' }],
  ['news of the broker', 'nats', '[1] 2026/12/01 09:00:00.000000 [INF] ready', undefined],
  ['a panic of the broker', 'nats', 'panic: no', error('nats', 'panic: no')],
])('%s', (_what, container, text, expected) => {
  expect(line(container, text)).toEqual(expected);
});

test('a line of an agent is what it was told, and any other is none', () => {
  expect(seenBy('p', '[1, 2, "masked = 3"]')).toEqual({ source: 'agent', name: 'p', what: 'masked = 3', from: 1, to: 2 });
  expect(seenBy('p', 'Traceback')).toBeUndefined();
});
