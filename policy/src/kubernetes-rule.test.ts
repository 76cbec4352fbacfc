import { processorTime } from '@chaperone/testing';
import { AccessPolicySpec, type KubernetesSelector, type PolicyRule, ProtectedResourceSpec } from '@chaperone/api';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AccessRule } from './access.ts';
import type { ApiObject, Effect } from './action.ts';
import { aPolicy, aResource, anAccess, anAccessRule, anAgent, ORDERS } from './builders.ts';
import { compileAccess } from './compile.ts';
import { keysWanted, protocolSettings, readCredential } from './credential.ts';
import { allowedHere } from './hint.ts';
import { judge } from './judge.ts';
import { matchResource, parseResourceGlob } from './kubernetes-rule.ts';
import { covers, touches } from './rule.ts';
import { policyWarnings } from './warnings.ts';

/** `deployments.apps/scale shop/web`: what is left out is ''. */
function anObject(text: string): ApiObject {
  const [plural = '', at = ''] = text.split(' ');
  const [whole = '', subresource = ''] = plural.split('/');
  const [resource = '', ...group] = whole.split('.');
  const [namespace = '', name = ''] = at.split('/');
  return { resource, group: group.join('.'), subresource, namespace, name };
}
const on = (verb: string, text: string): Effect => ({
  verb,
  object: text,
  via: 'direct',
  kind: 'api-object',
  api: anObject(text),
});
const path = (object: string): Effect => ({ verb: 'get', object, via: 'direct', kind: 'api-path' });

/** Whether a rule with the selector surely is about all of the effect, and whether it may be about some of it. */
const meets = (kubernetes: KubernetesSelector | undefined, effect: Effect): [boolean, boolean] => {
  const rule = anAccessRule(kubernetes && { kubernetes });
  return [covers(rule, effect), touches(rule, effect)];
};
const BOTH: [boolean, boolean] = [true, true];
const NEITHER: [boolean, boolean] = [false, false];
const MAYBE: [boolean, boolean] = [false, true];

describe('a pattern of resources', () => {
  it.each<[pattern: string, meets: string[], not: string[]]>([
    ['pods', ['pods'], ['pods/log', 'pods.metrics.k8s.io', 'podtemplates']],
    ['pods/log', ['pods/log'], ['pods', 'pods/exec', 'logs']],
    ['pods/*', ['pods/log', 'pods/exec'], ['pods', 'services/proxy']],
    ['*', ['pods', 'secrets'], ['pods/log', 'deployments.apps']],
    ['*.apps', ['deployments.apps'], ['deployments.apps/scale', 'pods', 'x.apps.example.com']],
    ['*.*', ['pods', 'deployments.apps', 'a.b.c'], ['pods/exec', 'deployments.apps/scale']],
    ['*.*/scale', ['deployments.apps/scale', 'replicationcontrollers/scale'], ['deployments.apps']],
    ['*.*.example.com', ['a.b.example.com', 'a.b.c.example.com'], ['a.example.com', 'pods']],
    ['deployments.apps/scale', ['deployments.apps/scale'], ['deployments.apps', 'deployments/scale']],
    ['**', ['pods', 'pods/exec', 'deployments.apps/scale'], []],
    ['apps/deployments', [], ['deployments.apps', 'apps/scale']],
  ])('%s', (pattern, those, others) => {
    const glob = parseResourceGlob(pattern);
    const matches = (text: string): boolean => glob !== undefined && matchResource(glob, anObject(text));
    expect([those.filter((text) => !matches(text)), others.filter(matches)]).toEqual([[], []]);
  });

  it.each(['', '.apps', 'pods/', '/log', 'pods.', 'pods/log/x', '**.apps', 'pods/**', 'a'.repeat(601)])(
    '%s is none',
    (pattern) => {
      expect(parseResourceGlob(pattern)).toBeUndefined();
    },
  );

  it('takes linear time', () => {
    const glob = parseResourceGlob(`${'*a'.repeat(140)}.${'*b'.repeat(140)}`);
    const api = { ...anObject(''), resource: 'a'.repeat(100_000), group: 'b'.repeat(100_000) };
    const took = processorTime();
    expect(glob && matchResource(glob, api)).toBe(true);
    expect(took()).toBeLessThan(500);
  });
});

describe('a rule about the Kubernetes API', () => {
  const reading: KubernetesSelector = { verbs: ['get', 'list'], resources: ['pods', '*.apps'] };
  it.each<[string, KubernetesSelector | undefined, Effect, [boolean, boolean]]>([
    ['a verb of its', reading, on('get', 'pods shop/web'), BOTH],
    ['another verb', reading, on('delete', 'pods shop/web'), NEITHER],
    ['every verb', { verbs: ['*'], resources: ['pods'] }, on('delete', 'pods shop/web'), BOTH],
    ['a group of its', reading, on('list', 'deployments.apps shop'), BOTH],
    ['a subresource of its resource', reading, on('get', 'pods/log shop/web'), NEITHER],
    [
      'exec, where get and create of all are meant',
      { verbs: ['get', 'create'], resources: ['**'] },
      on('exec', 'pods/exec shop/web'),
      NEITHER,
    ],
    ['no verb', { resources: ['pods'] }, on('get', 'pods shop/web'), MAYBE],
    ['no resource', { verbs: ['get'] }, on('get', 'pods shop/web'), MAYBE],
    ['nothing said', undefined, on('get', 'pods shop/web'), MAYBE],
    ['an object of which nothing is known', reading, { ...on('get', ''), api: undefined } as unknown as Effect, MAYBE],
    ['a path, where objects are meant', reading, path('/healthz'), NEITHER],
    ['an object, where paths are meant', { nonResourcePaths: ['/**'] }, on('get', 'pods'), NEITHER],
    ['a path of its', { nonResourcePaths: ['/healthz', '/livez/**'] }, path('/livez/etcd'), BOTH],
    ['another path', { nonResourcePaths: ['/healthz'] }, path('/healthz/etcd'), NEITHER],
    ['a path that cannot be read', { nonResourcePaths: ['healthz'] }, path('/metrics'), MAYBE],
    ['a resource that cannot be read', { verbs: ['*'], resources: ['a/b/c'] }, on('get', 'pods'), MAYBE],
  ])('meets %s', (_, selector, effect, expected) => {
    expect(meets(selector, effect)).toEqual(expected);
  });

  const narrow: KubernetesSelector = { verbs: ['*'], resources: ['**'], namespaces: ['shop', 'team-*'], names: ['web-*'] };
  it.each<[string, string, [boolean, boolean]]>([
    ['of its namespace and name', 'pods shop/web-1', BOTH],
    ['of a namespace by pattern', 'pods team-a/web-1', BOTH],
    ['of another namespace', 'pods kube-system/web-1', NEITHER],
    ['of another name', 'pods shop/db-1', NEITHER],
    ['without a name, as where it is listed', 'pods shop', MAYBE],
    ['of all namespaces', 'pods', MAYBE],
    ['in no namespace', 'nodes /web-1', NEITHER],
    ['that is a namespace', 'namespaces shop/shop', NEITHER],
  ])('and names meets an object %s', (_, object, expected) => {
    expect(meets(narrow, on('get', object))).toEqual(expected);
  });

  it('touches whatever it covers', () => {
    const word = fc.constantFrom('pods', 'apps', 'web-1', 'shop', '*', 'we*', '**', 'a/b');
    const list = fc.option(fc.array(word, { minLength: 1, maxLength: 2 }), { nil: undefined });
    const selector = fc.record({
      verbs: fc.constantFrom(undefined, ['get'], ['*']),
      resources: list,
      namespaces: list,
      names: list,
    });
    const text = fc.constantFrom('', 'pods', 'apps', 'web-1', 'shop');
    const api = fc.record({ group: text, resource: text, subresource: text, namespace: text, name: text });
    fc.assert(
      fc.property(selector, api, fc.constantFrom('get', 'exec'), (said, object, verb) => {
        const kubernetes = Object.fromEntries(
          Object.entries(said).filter(([, value]) => value !== undefined),
        ) as KubernetesSelector;
        const [covered, touched] = meets(kubernetes, { verb, object: '', via: 'direct', kind: 'api-object', api: object });
        expect(!covered || touched).toBe(true);
      }),
    );
  });
});

const CLUSTER = {
  protocol: 'kubernetes',
  postgres: undefined,
  kubernetes: { identity: 'credential', authentication: 'token' },
  grantedTo: [{ namespace: 'agents' }],
};

function access(rules: readonly Partial<PolicyRule>[], resource: object = {}) {
  const whole = rules.map((rule, at): PolicyRule => ({ name: `rule-${at}`, effect: 'Allow', resource: ORDERS, ...rule }));
  return compileAccess({
    agent: anAgent(),
    policies: [aPolicy({ rules: whole })],
    resource: aResource({ ...CLUSTER, ...resource }),
  });
}

function verdict(rules: readonly Partial<PolicyRule>[], effects: readonly Effect[], resource: object = {}): string {
  const compiled = access(rules, resource);
  if (!compiled.ok) throw new Error(compiled.message);
  return judge(compiled.access, { effects }).code;
}

const command = (...words: string[]): Effect => ({
  verb: 'exec',
  object: words.join(' '),
  via: 'direct',
  kind: 'command',
  words,
});
const unread: Effect = { verb: 'exec', object: 'sh -c $X', via: 'direct', kind: 'command' };
const file = (verb: string, object: string, below = true): Effect => ({ verb, object, via: 'direct', kind: 'path', below });
const shell: Effect = { verb: 'shell', object: '', via: 'direct', kind: 'shell' };
const portOf = (object: string): Effect => ({ verb: 'portforward', object, via: 'direct', kind: 'address' });
const opens = (verb: string, inside?: Effect): Effect => ({ ...on(verb, `pods/${verb} shop/web`), ...(inside && { inside }) });

describe('a rule about what is done in pods', () => {
  const EXEC: KubernetesSelector = { verbs: ['exec'], resources: ['pods/exec'] };
  const LS: KubernetesSelector = { ...EXEC, commands: ['ls **'] };
  const COPY: KubernetesSelector = { ...EXEC, files: { operations: ['read'], paths: ['/srv/**'] } };
  const FORWARD: KubernetesSelector = { verbs: ['portforward'], resources: ['pods/portforward'], ports: [8080] };
  const ALL: KubernetesSelector = { verbs: ['*'], resources: ['**'] };
  it.each<[string, KubernetesSelector, Effect, [boolean, boolean]]>([
    ['a command of its', LS, opens('exec', command('ls', '-l')), BOTH],
    ['another command', LS, opens('exec', command('rm', '-rf', '/')), NEITHER],
    ['its program by a path', LS, opens('exec', command('/bin/ls')), MAYBE],
    ['its command in another namespace', { ...LS, namespaces: ['other'] }, opens('exec', command('ls')), NEITHER],
    ['its command by another verb', { ...LS, verbs: ['get'] }, opens('exec', command('ls')), NEITHER],
    ['its command on a resource that it does not name', { ...LS, resources: ['pods'] }, opens('exec', command('ls')), NEITHER],
    ['a command whose words are not known', LS, opens('exec', unread), MAYBE],
    ['any command, and names none', EXEC, opens('exec', command('ls')), MAYBE],
    ['any command, and says everything', ALL, opens('exec', command('ls')), MAYBE],
    ['a command, and names files alone', COPY, opens('exec', command('ls')), NEITHER],
    ['an exec of which nothing is known', LS, opens('exec'), MAYBE],
    ['files of its', COPY, opens('exec', file('read', '/srv/app')), BOTH],
    ['files around its', COPY, opens('exec', file('read', '/')), MAYBE],
    ['files of its, written', COPY, opens('exec', file('write', '/srv/app')), NEITHER],
    ['files, and names commands alone', LS, opens('exec', file('read', '/srv/app')), NEITHER],
    ['a shell, in a rule that asks nobody', { ...EXEC, shell: true }, opens('exec', shell), MAYBE],
    ['a shell, and names commands alone', { ...EXEC, commands: ['**'] }, opens('exec', shell), NEITHER],
    ['attaching, and says everything', ALL, opens('attach', shell), MAYBE],
    ['a port of its', FORWARD, opens('portforward', portOf('8080')), BOTH],
    ['another port', FORWARD, opens('portforward', portOf('808')), NEITHER],
    ['any port, and names none', ALL, opens('portforward', portOf('8080')), MAYBE],
    ['the beginning of a port-forward', FORWARD, opens('portforward'), [true, false]],
    ['the beginning of one, and names no port', ALL, opens('portforward'), MAYBE],
    [
      'what is read, beside the commands that it names',
      { ...LS, verbs: ['*'], resources: ['**'] },
      on('get', 'pods shop/web'),
      BOTH,
    ],
  ])('meets %s', (_, kubernetes, effect, expected) => {
    expect(meets(kubernetes, effect)).toEqual(expected);
  });

  it.each<[string, KubernetesSelector, Effect, boolean]>([
    ['a shell', { ...EXEC, shell: true }, opens('exec', shell), true],
    ['attaching', { verbs: ['attach'], resources: ['pods/attach'], shell: true }, opens('attach', shell), true],
    ['a command whose words are not known, where it is about all', { ...EXEC, commands: ['**'] }, opens('exec', unread), true],
    ['a command whose words are not known, where it is about some', LS, opens('exec', unread), false],
  ])('that asks people lets %s through, or not', (_, kubernetes, effect, expected) => {
    expect(covers(anAccessRule({ effect: 'RequireApproval', kubernetes }), effect)).toBe(expected);
  });

  it('lets a port-forward begin whose ports people are asked about, and asks nobody yet', () => {
    const asking = anAccessRule({ effect: 'RequireApproval', kubernetes: FORWARD });
    const approval = { groups: ['sre'], users: [], all: [], minimum: 1, timeoutMs: 1, transactionTimeoutMs: 1, reason: false };
    const rule: AccessRule = { ...asking, approval: { ...approval, mode: 'hold' } };
    const asked = anAccess([{}], { rules: [rule] });
    expect(judge(asked, { effects: [opens('portforward')] }).verdict).toBe('allow');
    expect(judge(asked, { effects: [opens('portforward', portOf('8080'))] }).verdict).toBe('approve');
    expect(judge(asked, { effects: [opens('portforward', portOf('9090'))] }).verdict).toBe('deny');
  });
});

describe('policies about the Kubernetes API', () => {
  const all: Partial<PolicyRule> = { kubernetes: { verbs: ['*'], resources: ['**'] } };
  it('grant reading and no more where the owner does not say', () => {
    expect(verdict([all], [on('watch', 'pods shop')])).toBe('Allowed');
    expect(verdict([all], [on('delete', 'pods shop/web')])).toBe('NotGranted');
    expect(verdict([all], [on('create', 'pods shop/web')])).toBe('NotGranted');
  });

  it('let a Deny of a namespace meet what reaches into it', () => {
    const rules: Partial<PolicyRule>[] = [all, { effect: 'Deny', kubernetes: { namespaces: ['kube-*'] } }];
    expect(verdict(rules, [on('get', 'pods kube-system/dns')])).toBe('DeniedByRule');
    expect(verdict(rules, [on('list', 'secrets')])).toBe('DeniedByRule');
    expect(verdict(rules, [on('list', 'secrets shop')])).toBe('Allowed');
    expect(verdict(rules, [on('get', 'nodes /n1')])).toBe('Allowed');
    expect(verdict(rules, [path('/metrics')])).toBe('NoRuleAllows');
  });

  it('need a rule for every effect', () => {
    const rules: Partial<PolicyRule>[] = [{ kubernetes: { verbs: ['patch'], resources: ['deployments.apps'] } }];
    const granted = { grantedTo: [{ namespace: 'agents', operations: ['*'] }] };
    expect(verdict(rules, [on('patch', 'deployments.apps shop/web')], granted)).toBe('Allowed');
    expect(verdict(rules, [on('patch', 'deployments.apps shop/web'), on('create', 'deployments.apps shop/web')], granted)).toBe(
      'NoRuleAllows',
    );
  });

  it('say what is allowed instead', () => {
    const rules: Partial<PolicyRule>[] = [
      { kubernetes: { verbs: ['get', 'list', 'delete'], resources: ['pods'] } },
      { kubernetes: { nonResourcePaths: ['/healthz'] } },
    ];
    const compiled = access(rules);
    expect(compiled.ok && allowedHere(compiled.access)).toEqual(['GET on /healthz, pods', 'LIST on pods']);
  });

  it.each<[string, Partial<PolicyRule>, object]>([
    ['says sql', { sql: { statements: ['select'], relations: ['**'] } }, {}],
    ['says ssh', { ssh: { commands: ['**'] } }, {}],
    ['says nothing', {}, {}],
    ['has a pattern that cannot be read', { kubernetes: { verbs: ['get'], resources: ['**.apps'] } }, {}],
    ['has an empty list', { kubernetes: { verbs: ['get'], resources: [] } }, {}],
    ['is about another protocol', all, { protocol: 'ssh' }],
  ])('are invalid where a rule %s', (_, rule, resource) => {
    expect(access([rule], resource)).toMatchObject({ ok: false, code: 'PolicyInvalid' });
  });

  it('are warned of verbs that the owner does not grant', () => {
    const rules = [
      { name: 'write', effect: 'Allow', resource: ORDERS, kubernetes: { verbs: ['get', 'delete'], resources: ['pods'] } },
    ];
    const warnings = policyWarnings(aPolicy({ rules }), new Map([['data/orders-db', aResource(CLUSTER)]]));
    expect(warnings.map(({ code, message }) => [code, message])).toEqual([
      [
        'StatementNotGranted',
        'rule "write": delete on data/orders-db stays denied, since its owner grants get, list, watch; it belongs in spec.grantedTo[].operations of the resource',
      ],
    ]);
  });
});

const isValid = (kubernetes: object, effect = 'Allow'): boolean =>
  AccessPolicySpec.safeParse({ agents: { podSelector: {} }, rules: [{ name: 'a', effect, resource: ORDERS, kubernetes }] })
    .success;

describe('the manifest', () => {
  it.each<[boolean, object, string?]>([
    [true, { verbs: ['get'], resources: ['pods'] }],
    [true, { nonResourcePaths: ['/metrics'] }],
    [true, { verbs: ['get'], resources: ['pods'], names: ['a'], namespaces: ['b'], nonResourcePaths: ['/metrics'] }],
    [false, { verbs: ['get'] }],
    [false, { resources: ['pods'] }],
    [false, { verbs: ['get'], nonResourcePaths: ['/metrics'] }],
    [false, { namespaces: ['shop'] }],
    [false, {}],
    [false, {}, 'Deny'],
    [true, { namespaces: ['shop'] }, 'Deny'],
    [true, { verbs: ['delete'] }, 'Deny'],
    [false, { verbs: ['proxy'] }, 'Deny'],
  ])('is %s: %j %s', (expected, selector, effect) => {
    expect(isValid(selector, effect)).toBe(expected);
  });

  const SPEC = {
    protocol: 'kubernetes',
    hosts: ['api.corp'],
    port: 6443,
    upstream: { address: 'api.corp:6443' },
    credentials: { secretRef: { name: 'api' } },
    kubernetes: { identity: 'agent' },
  };
  it.each<[string, object, boolean]>([
    ['with what it needs', {}, true],
    ['with operations of its own', { grantedTo: [{ namespace: 'a', operations: ['exec', 'get', '*'] }] }, true],
    ['with operations of ssh', { grantedTo: [{ namespace: 'a', operations: ['read'] }] }, false],
    ['with statements', { grantedTo: [{ namespace: 'a', statements: ['select'] }] }, false],
    ['without its settings', { kubernetes: undefined }, false],
    ['without a credential', { credentials: undefined }, false],
    ['with less than a verified server', { upstream: { address: 'a:1', tls: { mode: 'verify-ca' } } }, false],
    ['with settings of another', { postgres: { database: 'x' } }, false],
    ['with columns', { sensitive: [{ label: 'a', columns: ['a.b.c'] }] }, false],
    ['with a detector', { sensitive: [{ label: 'a', detector: 'email' }] }, true],
  ])('of a resource %s', (_, mods, expected) => {
    expect(ProtectedResourceSpec.safeParse({ ...SPEC, ...mods }).success).toBe(expected);
  });

  it('has a token or a client certificate for credential', () => {
    const spec = ProtectedResourceSpec.parse(SPEC);
    const read = (token: string): object => readCredential(spec, (key) => (key === 'token' ? token : undefined));
    expect(keysWanted(spec)).toEqual(['token']);
    expect(read('eyJh.b-c_d')).toEqual({ credential: { username: '', token: 'eyJh.b-c_d' } });
    for (const wrong of ['', 'a b', 'a\r\nImpersonate-User: admin', 'ä']) expect(read(wrong)).toHaveProperty('problem');
    expect(keysWanted({ ...spec, kubernetes: { identity: 'agent', authentication: 'cert' } })).toEqual(['tls.crt', 'tls.key']);
    expect(protocolSettings(spec)).toEqual({ kubernetes: { identity: 'agent', authentication: 'token' } });
  });
});
