import { AccessPolicy, ProtectedResource } from '@chaperone/api';
import { temporaryDirectory } from '@chaperone/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Access } from '../access.ts';
import { type Collector, createCollector } from '../collector.ts';
import { silent, readers, trust } from '../evidence.fixture.ts';
import { aPolicy, aResource, Policies } from './policies.fixture.ts';

let collector: Collector;
let source: Policies;
/** What may be got, as `RESOURCE NAMESPACE`; each question that was asked of it. */
let rights: Set<string>;
let asked: string[];

const access: Access = {
  authorise: (request) =>
    Promise.resolve(request.header('authorization') === undefined ? { refused: 'nobody' } : { user: 'mira', groups: [] }),
  allowed: (_, verb, namespace, resource = 'sessions') => {
    asked.push(`${verb} ${resource} ${namespace}`);
    if (rights.has('broken')) return Promise.reject(new Error('no answer'));
    return Promise.resolve(verb === 'get' && rights.has(`${resource} ${namespace}`));
  },
};

beforeEach(async () => {
  rights = new Set(['accesspolicies agents', 'protectedresources data']);
  asked = [];
  source = new Policies();
  const directory = await temporaryDirectory();
  collector = await createCollector({ directory: directory.path, trust, readers, access, logger: silent, policies: source });
  return async () => {
    await collector.close();
    await directory[Symbol.asyncDispose]();
  };
});

interface Answer {
  readonly code?: string;
  readonly message?: string;
  readonly metadata?: { readonly remainingItemCount?: number; readonly name?: string };
  readonly items?: readonly { readonly metadata: { readonly namespace: string; readonly name: string } }[];
}

async function ask(path: string, headers: Record<string, string> = { authorization: 'x' }): Promise<[number, Answer]> {
  const response = await collector.fetch(new Request(`http://collector${path}`, { headers }));
  return [response.status, (await response.json()) as Answer];
}

async function namesAt(path: string): Promise<string[]> {
  const [status, { items = [] }] = await ask(path);
  expect(status).toBe(200);
  return items.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
}

function fill(count: number, bytes: number): void {
  for (let at = 0; at < count; at++)
    source.put(aPolicy({ name: `p-${String(at).padStart(4, '0')}`, metadata: { annotations: { note: 'x'.repeat(bytes) } } }));
}

describe('a list', () => {
  test('has what somebody may get, by name, and asks once for each namespace', async () => {
    source.put(aPolicy({ name: 'b' }), aPolicy({ name: 'a' }), aPolicy({ namespace: 'secret' }), aResource());
    expect(await namesAt('/v1/policies')).toEqual(['agents/a', 'agents/b']);
    expect(asked).toEqual(['get accesspolicies agents', 'get accesspolicies secret']);
    expect(await namesAt('/v1/resources')).toEqual(['data/orders-db']);
  });

  test('is of one namespace, or of policies that name a resource', async () => {
    const rule = { name: 'r', effect: 'Deny', resource: { namespace: 'data', name: 'stock-db' } };
    source.put(aPolicy(), aPolicy({ name: 'stock', spec: { rules: [rule] } }), aResource());
    expect(await namesAt('/v1/policies?resource=data/stock-db')).toEqual(['agents/stock']);
    expect(await namesAt('/v1/policies?resource=data/orders-db&namespace=other')).toEqual([]);
    expect(await namesAt('/v1/resources?namespace=data')).toEqual(['data/orders-db']);
    expect(await namesAt('/v1/resources?namespace=agents')).toEqual([]);
  });

  test.each<[string, () => void, number, number]>([
    ['of a thousand and two has a thousand', () => fill(1_002, 0), 1_000, 2],
    // Each is a little over a megabyte.
    ['of large ones has what fits in four megabytes', () => fill(5, 1_050_000), 3, 2],
    ['of one that is larger than that has it', () => fill(2, 4_300_000), 1, 1],
  ])('%s, and says how many there are beside', async (_, make, length, rest) => {
    make();
    const [, { items = [], metadata }] = await ask('/v1/policies');
    expect([items.length, metadata]).toEqual([length, { remainingItemCount: rest }]);
  });

  test.each(['?namespaces=a', '?namespace=', `?namespace=${'a'.repeat(257)}`, '?resource=data', '?resource=a/b/c'])(
    'that is asked for with %s is refused',
    async (query) => {
      expect((await ask(`/v1/policies${query}`))[0]).toBe(400);
      expect((await ask(`/v1/resources${query}`))[1].code).toBe('BadRequest');
    },
  );
});

describe('one of them', () => {
  test('is answered as the cluster has it, without what programs write for themselves', async () => {
    const managed = { managedFields: [{ manager: 'kubectl' }], resourceVersion: '7' };
    const annotations = { 'kubectl.kubernetes.io/last-applied-configuration': '{"spec":{}}', owner: 'data team' };
    source.put(aPolicy({ metadata: { ...managed, annotations } }), aResource({ metadata: managed }));
    const [, policy] = await ask('/v1/policies/agents/support-agent');
    expect(policy.metadata).toEqual({
      namespace: 'agents',
      name: 'support-agent',
      uid: 'uid-agents-support-agent',
      generation: 14,
      resourceVersion: '7',
      annotations: { owner: 'data team' },
    });
    const [plain] = [aPolicy(), aResource()];
    expect(AccessPolicy.parse(policy)).toMatchObject({ spec: plain.spec, status: plain.status });
    const [, resource] = await ask('/v1/resources/data/orders-db');
    expect(Object.keys(resource.metadata ?? {})).not.toContain('managedFields');
    expect(ProtectedResource.parse(resource).spec).toEqual(aResource().spec);
  });

  test.each([
    ['/v1/policies', 'secret/support-agent', 'secret/nothing'],
    ['/v1/resources', 'secret/orders-db', 'secret/nothing'],
  ])('%s that somebody may not get is not there, in the same words as what is not', async (path, hidden, missing) => {
    source.put(aPolicy({ namespace: 'secret' }), aResource({ namespace: 'secret' }));
    const word = path === '/v1/policies' ? 'policy' : 'resource';
    for (const name of [hidden, missing])
      expect(await ask(`${path}/${name}`)).toEqual([404, { code: 'NotFound', message: `no ${word} ${name} is known here` }]);
  });

  test.each(['a/B', 'a%2Fb/c', '__proto__/x', `a/${'b'.repeat(300)}`, `${'a'.repeat(64)}/b`])(
    'is none by the name %s, and nobody is asked about it',
    async (name) => {
      const [status, { code, message = '' }] = await ask(`/v1/resources/${name}`);
      expect([status, code, message.length < 160, asked]).toEqual([404, 'NotFound', true, []]);
    },
  );

  test('is not shown where nobody knows whether it may be, and why stays here', async () => {
    source.put(aPolicy());
    rights.add('broken');
    for (const path of ['/v1/policies', '/v1/policies/agents/support-agent'])
      expect(await ask(path)).toEqual([503, { code: 'Unavailable', message: 'the collector could not answer' }]);
  });

  test('is shown to nobody who is not signed in', async () => {
    source.put(aPolicy(), aResource());
    for (const path of ['/v1/policies', '/v1/policies/agents/support-agent', '/v1/resources', '/v1/resources/data/orders-db'])
      expect((await ask(path, {}))[0]).toBe(401);
  });
});

test('a collector that knows no policies has no such paths', async () => {
  const directory = await temporaryDirectory();
  const other = await createCollector({ directory: directory.path, trust, readers, access, logger: silent });
  const headers = { authorization: 'x' };
  expect((await other.fetch(new Request('http://collector/v1/policies', { headers }))).status).toBe(404);
  await other.close();
  await directory[Symbol.asyncDispose]();
});
