import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Cluster, ROOT } from './harness/cluster.ts';
import { Installation } from './harness/installation.ts';

/** What somebody who writes a manifest is told by the API server itself, before anything is stored. */
const read = (...path: string[]): string => readFileSync(join(ROOT, 'examples', ...path), 'utf8');
let cluster: Cluster;

beforeAll(async () => {
  cluster = (await Installation.create()).cluster;
});

describe('the API server', () => {
  test.each(readdirSync(join(ROOT, 'examples/bad')))('refuses examples/bad/%s with a message that helps', async (name) => {
    const text = read('bad', name);
    const expected = /^# expect: (.+)$/m.exec(text)?.[1] ?? 'every bad example says what it expects';
    const { status, stderr } = await cluster.kubectl(['apply', '--dry-run=server', '-f', '-'], text);
    expect(status).toBe(1);
    // kubectl breaks no line, but says a field twice where two rules hold it.
    const said = stderr.replaceAll(/\s+/g, ' ');
    expect(said).toContain(expected);
    expect(said).toContain(/^# field: (.+)$/m.exec(text)?.[1] ?? 'every bad example names its field');
  });

  test('takes the examples of the quickstart', async () => {
    for (const name of ['resource.yaml', 'policy.yaml']) {
      const text = read('quickstart', name).replaceAll(/namespace: (data|agents)$/gm, 'namespace: default');
      const { status, stderr } = await cluster.kubectl(['apply', '--dry-run=server', '-f', '-'], text);
      expect([status, stderr]).toEqual([0, '']);
    }
  });

  test.each([
    ['accesspolicy.spec.rules.effect', 'Order never matters'],
    ['protectedresource.spec.sensitive', 'DESCRIPTION'],
  ])('explains %s in the words of the API', async (field, words) => {
    const text = await cluster.demand(['explain', field]);
    expect(text).toContain(words);
    expect(text).not.toContain('<empty>');
  });

  test('knows the kinds by their short names and by their category', async () => {
    const named = ['api-resources', '--api-group=chaperone.dev', '--categories=chaperone', '--no-headers'];
    const text = await cluster.demand(named);
    expect(text).toMatch(/^accesspolicies +accpol +chaperone\.dev\/v1alpha1 +true +AccessPolicy$/m);
    expect(text).toMatch(/^protectedresources +protres +chaperone\.dev\/v1alpha1 +true +ProtectedResource$/m);
    for (const name of ['accpol', 'protres', 'chaperone']) await cluster.demand(['get', name, '-A']);
  });
});
