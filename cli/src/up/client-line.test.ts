import { execFileSync } from 'node:child_process';
import { findProgram } from '@chaperone/testing';
import { describe, expect, test } from 'vitest';
import { clientLine } from './client-line.ts';

const served = (knownHosts: string, mods = {}) =>
  clientLine({ protocol: 'ssh', host: '127.0.0.1', port: 2222, knownHosts, ...mods });

test.each<[what: string, mods: object, line: string | undefined]>([
  ['a host', {}, 'ssh -o UserKnownHostsFile=/srv/data/known_hosts -p 2222 127.0.0.1'],
  ['a host by IPv6', { host: '::1' }, 'ssh -o UserKnownHostsFile=/srv/data/known_hosts -p 2222 ::1'],
  ['a database', { protocol: 'postgres', database: 'orders' }, 'psql "host=127.0.0.1 port=2222 dbname=orders"'],
  ['an API server', { protocol: 'kubernetes' }, 'kubectl --kubeconfig /dev/null --server http://127.0.0.1:2222'],
  ['an API server by IPv6', { protocol: 'kubernetes', host: '::1' }, 'kubectl --kubeconfig /dev/null --server http://[::1]:2222'],
  ['an API server beyond the loopback, behind TLS', { protocol: 'kubernetes', host: '10.0.0.1' }, undefined],
  ['what no program is usual for', { protocol: 'tcp' }, undefined],
])('the line of %s', (_, mods, line) => {
  expect(served('/srv/data/known_hosts', mods)).toBe(line);
});

describe.runIf(findProgram('ssh') !== undefined)('a shell and ssh', () => {
  test.each(['/srv/a', '/srv/a b', "/srv/it's", '/srv/100%h', '/srv/"a"', '/srv/$HOME', '/srv/a\\b'])(
    'read the path %s',
    (path) => {
      const out = execFileSync('sh', ['-c', (served(path) ?? '').replace('ssh ', 'ssh -F none -G ')], { encoding: 'utf8' });
      expect(out).toContain(`\nuserknownhostsfile ${path}\n`);
    },
  );
});
