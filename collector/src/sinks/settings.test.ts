import { expect, test } from 'vitest';
import { parseSinks, SinksInvalid } from './settings.ts';

const syslog = { name: 'siem', syslog: { address: 'siem.corp:6514' } };
const hook = { name: 'hook', webhook: { url: 'https://hooks.corp', secretFile: 'hook.secret' } };
const read = (...sinks: readonly object[]) => parseSinks({ sinks }, '/etc/sinks/sinks.yaml');

test('a file of sinks is read with its defaults, and what it names stands beside it', () => {
  expect(read(syslog, { ...hook, content: 'results', start: 'now', maxText: 64 })).toMatchObject([
    {
      name: 'siem',
      content: 'commands',
      start: 'beginning',
      maxText: 8_192,
      syslog: { address: { host: 'siem.corp', port: 6514 }, enterpriseId: 32_473 },
    },
    { content: 'results', webhook: { secretFile: '/etc/sinks/hook.secret' } },
  ]);
  expect(read({ name: 'a', syslog: { address: '[fd00::1]:6514', caFile: '/ca.crt' } })[0]?.syslog).toMatchObject({
    address: { host: 'fd00::1', port: 6514 },
    caFile: '/ca.crt',
  });
  expect(read()).toEqual([]);
});

test.each<[string, readonly object[], RegExp]>([
  ['a name that is none', [{ ...syslog, name: '../etc' }], /sinks\[0\]\.name: is not a name/],
  ['a name twice', [syslog, { ...hook, name: 'siem' }], /sinks: has a name twice/],
  ['no kind', [{ name: 'a' }], /sinks\[0\]: has not one of syslog, /],
  ['two kinds', [{ ...syslog, ...hook, name: 'a' }], /sinks\[0\]: has not one of/],
  ['an unknown field', [{ ...syslog, token: 'SECRET' }], /sinks\[0\]: Unrecognized key: "token"/],
  [
    'a secret in its text',
    [{ name: 'a', splunk: { url: 'https://s.corp', token: 'SECRET' } }],
    /tokenFile: .*; .*Unrecognized key: "token"/,
  ],
  [
    'an address without TLS',
    [{ name: 'a', otlp: { url: 'http://otel.corp/SECRET' } }],
    /sinks\[0\]\.otlp\.url: is not an address that begins with https:/,
  ],
  ['a password in an address', [{ name: 'a', otlp: { url: 'https://a:SECRET@otel.corp' } }], /url: has a user, a password/],
  ['a broker without TLS', [{ name: 'a', nats: { servers: ['nats://a:4222'], subject: 'x' } }], /servers\[0\]: is not tls:/],
  [
    'a subject with a wildcard',
    [{ name: 'a', nats: { servers: ['tls://a:4222'], subject: 'x.>' } }],
    /subject: is not a subject/,
  ],
  ['a port that is none', [{ name: 'a', syslog: { address: 'a:70000' } }], /address: has no such port/],
  [
    'a certificate without its key',
    [{ name: 'a', syslog: { address: 'a:1', certificateFile: 'c' } }],
    /keyFile: is there without/,
  ],
  ['more than there may be', Array.from({ length: 17 }, (_, at) => ({ ...syslog, name: `a${at}` })), /sinks: Too big/],
  ['a number beyond its bounds', [{ ...syslog, maxText: 65_537 }], /maxText: Too big/],
])('a file of sinks with %s is refused by its field, without its values', (_, sinks, message) => {
  const attempt = () => read(...sinks);
  expect(attempt).toThrow(SinksInvalid);
  expect(attempt).toThrow(message);
  expect(attempt).not.toThrow(/SECRET/);
});

test.each([undefined, null, [], 'sinks', { sink: [] }, { sinks: {} }])('what is no file of sinks is refused: %j', (said) => {
  expect(() => parseSinks(said, 'sinks.yaml')).toThrow(SinksInvalid);
});
