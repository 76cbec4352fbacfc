import { expect, test } from 'vitest';
import { ConfigError, parseConfig } from './config.ts';

const GOOD = {
  POD_NAME: 'op-0',
  POD_UID: 'u',
  POD_IP: '10.0.0.1',
  POD_NAMESPACE: 'chaperone-system',
  CHAPERONE_CLUSTER_NAME: 'prod-1',
  CHAPERONE_IMAGE: 'x/y@sha256:0',
  CHAPERONE_NATS_URL: 'tls://nats:4222',
};

test('defaults are those of the design', () => {
  const config = parseConfig(GOOD);
  expect(config.ranges).toEqual({ ipv4: '240.240.0.0/16', ipv6: '2001:2::/48' });
  expect(config.validForMs).toBe(15 * 60_000);
  expect(config.ports).toEqual({ sidecars: 8443, webhook: 9443, health: 8080, slack: 8444, decide: 8445 });
  expect(config.notify).toEqual({ webhooks: [] });
  expect(config.injection.uid).toBe(24_601);
  expect(config.hostPatterns).toEqual({});
  expect(config.recipients).toEqual([]);
});

test.each([
  ['no namespace', { POD_NAMESPACE: undefined }, 'POD_NAMESPACE'],
  ['a pod address that is none', { POD_IP: 'x' }, 'POD_IP'],
  ['a validity over an hour', { CHAPERONE_VALID_FOR_MINUTES: '61' }, 'CHAPERONE_VALID_FOR_MINUTES'],
  ['a validity of nothing', { CHAPERONE_VALID_FOR_MINUTES: '0' }, 'CHAPERONE_VALID_FOR_MINUTES'],
  ['a range that does not begin at its first address', { CHAPERONE_ADDRESSES_IPV4: '240.240.0.1/16' }, 'CHAPERONE_ADDRESSES'],
  ['an IPv6 range that is too small', { CHAPERONE_ADDRESSES_IPV6: '2001:2::/120' }, 'CHAPERONE_ADDRESSES'],
  ['patterns that are no JSON', { CHAPERONE_HOST_PATTERNS: '{' }, 'CHAPERONE_HOST_PATTERNS'],
  ['a pattern with other characters', { CHAPERONE_HOST_PATTERNS: '{"data":["(a|b)"]}' }, 'CHAPERONE_HOST_PATTERNS'],
  ['a device that could be anything', { CHAPERONE_DEVICES: '["*"]' }, 'CHAPERONE_DEVICES'],
  ['a range that is a name', { CHAPERONE_FORBIDDEN_RANGES: 'db.corp' }, 'CHAPERONE_FORBIDDEN_RANGES'],
  [
    'a webhook without encryption',
    { CHAPERONE_NOTIFY: '{"webhooks":[{"url":"http://a/","secretFile":"/s"}]}' },
    'CHAPERONE_NOTIFY',
  ],
  ['a recipient that is no key', { CHAPERONE_RECIPIENTS: 'x25519:AAAA' }, 'CHAPERONE_RECIPIENTS: number 1'],
  [
    'more recipients than a key is wrapped to',
    { CHAPERONE_RECIPIENTS: Array.from({ length: 8 }, () => `x25519:${'A'.repeat(43)}`).join(',') },
    'CHAPERONE_RECIPIENTS: there are more than 7',
  ],
  ['root as the sidecar', { CHAPERONE_SIDECAR_UID: '0' }, 'CHAPERONE_SIDECAR_UID'],
])('%s is refused, by the name of the variable', (_name, mods, variable) => {
  expect(() => parseConfig({ ...GOOD, ...mods })).toThrow(ConfigError);
  expect(() => parseConfig({ ...GOOD, ...mods })).toThrow(variable);
});
