import { describe, expect, test } from 'vitest';
import { reservedAddress, routes, type RuleInput, ruleset } from './rules.ts';

export function aRuleInput(mods: Partial<RuleInput> = {}): RuleInput {
  return {
    uid: 24601,
    ranges: { ipv4: '240.240.0.0/16', ipv6: '2001:2::/48' },
    dnsPort: 15053,
    denyPort: 15001,
    probePort: 15021,
    selfPort: 15011,
    inboundPorts: [],
    probedPorts: [],
    nodeAddresses: [],
    ...mods,
  };
}

describe('the text of the rules', () => {
  test('exempts the sidecar by user alone', () => {
    const text = ruleset(aRuleInput({ uid: 4242 }));
    expect(text).toContain('meta skuid 4242 th sport != 15011 return');
    expect(text).not.toMatch(/skgid/);
  });

  test('translates no destination but DNS and what is refused', () => {
    expect(ruleset(aRuleInput())).not.toMatch(/dnat/);
  });

  test('replaces itself in one transaction', () => {
    expect(ruleset(aRuleInput()).split('\n').slice(1, 4)).toEqual([
      'table inet chaperone',
      'delete table inet chaperone',
      'table inet chaperone {',
    ]);
  });

  test('opens no port but the probe port where policy names none', () => {
    expect(ruleset(aRuleInput())).toContain('tcp dport { 15021 } accept');
  });

  test('opens the ports that policy names, once each', () => {
    expect(ruleset(aRuleInput({ inboundPorts: [9000, 8080, 8080] }))).toContain('tcp dport { 8080, 9000, 15021 } accept');
  });

  test('opens probed ports to the node alone, in each family', () => {
    const text = ruleset(aRuleInput({ probedPorts: [8081], nodeAddresses: ['10.0.0.4', 'fd00::4'] }));
    expect(text).toContain('ip saddr { 10.0.0.4 } tcp dport { 8081 } accept');
    expect(text).toContain('ip6 saddr { fd00::4 } tcp dport { 8081 } accept');
  });

  test('drops frames around the IP stack where a device is named', () => {
    const text = ruleset(aRuleInput({ egressDevices: ['eth0'], egressMark: 77 }));
    expect(text).toContain('type filter hook egress device "eth0" priority 0; policy drop;');
    expect(text).toContain('meta skuid 24601 th sport != 15011 meta mark set 77 accept');
  });
});

test.each<[string, Partial<RuleInput>]>([
  ['root as the exempt user', { uid: 0 }],
  ['an inbound port that is the deny listener', { inboundPorts: [15001] }],
  ['a probed port that is the DNS server', { probedPorts: [15053] }],
  ['an inbound port that the sidecar looks from', { inboundPorts: [15011] }],
  ['port 0', { inboundPorts: [0] }],
  ['port 65536', { inboundPorts: [65_536] }],
  ['half a port', { inboundPorts: [80.5] }],
  ['two uses of one port', { dnsPort: 15021 }],
  ['the whole of IPv4', { ranges: { ipv4: '0.0.0.0/0', ipv6: '2001:2::/48' } }],
  ['an IPv6 range in the place of IPv4', { ranges: { ipv4: '2001:2::/48', ipv6: '2001:2::/48' } }],
  ['a range that carries rules', { ranges: { ipv4: '240.0.0.0/8 accept', ipv6: '2001:2::/48' } }],
  ['a node address that carries rules', { probedPorts: [80], nodeAddresses: ['10.0.0.1 } accept #'] }],
  ['a device that carries rules', { egressDevices: ['eth0" accept'], egressMark: 1 }],
  ['a device without a mark', { egressDevices: ['eth0'] }],
])('no rules are made of %s', (_what, mods) => {
  expect(() => ruleset(aRuleInput(mods))).toThrow(expect.objectContaining({ code: 'CaptureInputInvalid' }));
});

test('the reserved address is the last but one of the range', () => {
  expect(reservedAddress('240.240.0.0/16')).toBe('240.240.255.254');
  expect(reservedAddress('240.240.7.0/24')).toBe('240.240.7.254');
  expect(() => reservedAddress('2001:2::/48')).toThrow();
});

test('routes may be repeated', () => {
  expect(routes({ ipv4: '240.240.0.0/16', ipv6: '2001:2::/48' }).ipv4.slice(0, 2)).toEqual(['route', 'replace']);
});
