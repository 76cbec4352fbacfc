import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Environment } from '@marcbachmann/cel-js';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { z } from 'zod';
import { type StructuralSchema, structuralSchema } from './crd.ts';
import { EvidenceLoginSpec } from './login.ts';
import { AccessPolicySpec } from './policy.ts';
import { ProtectedResourceSpec } from './resource.ts';

// The API server runs the CEL of a rule, reading without a cluster runs its check. Here an independent CEL engine runs the
// generated schema over whole specs, and both must name the same fields with the same messages.
const cel = new Environment({ unlistedVariablesAreDyn: true });

function celProblems(schema: StructuralSchema, value: unknown, path: string): string[] {
  const own = (schema['x-kubernetes-validations'] ?? []).flatMap(({ rule, message, fieldPath = '' }) => {
    // Transition rules hold on creation; keywords of CEL are escaped in field names.
    if (rule.includes('oldSelf')) return [];
    const self = rule.includes('__null__') ? escapeKeywords(value) : value;
    const fine: unknown = cel.evaluate(rule, { self });
    expect(typeof fine, rule).toBe('boolean');
    return fine === true ? [] : [`${path}${fieldPath} ${message}`];
  });
  if (Array.isArray(value)) {
    const { items } = schema;
    return items === undefined ? own : [...own, ...value.flatMap((item, i) => celProblems(items, item, `${path}.${i}`))];
  }
  if (typeof value !== 'object' || value === null) return own;
  const inner = Object.entries(value).flatMap(([key, child]) => {
    const known = schema.properties?.[key] ?? schema.additionalProperties;
    return known === undefined ? [] : celProblems(known, child, `${path}.${key}`);
  });
  return [...own, ...inner];
}

function escapeKeywords(value: unknown): unknown {
  return Object.fromEntries(Object.entries(value as object).map(([key, child]) => [key === 'null' ? '__null__' : key, child]));
}

/** What the schema's own checks say; undefined where it already fails on types and bounds, as the API server then runs no CEL. */
function checkProblems(schema: z.ZodType, value: unknown): string[] | undefined {
  const result = schema.safeParse(value);
  if (result.success) return [];
  const { issues } = result.error;
  const custom = issues.filter((issue) => issue.code === 'custom' && !issue.message.startsWith('Duplicate value'));
  if (custom.length < issues.length) return undefined;
  return custom.map((issue) => `${issue.path.map((segment) => `.${String(segment)}`).join('')} ${issue.message}`);
}

/** Fills in defaults as the API server does before CEL. */
function withDefaults(schema: StructuralSchema, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => (schema.items === undefined ? item : withDefaults(schema.items, item)));
  if (typeof value !== 'object' || value === null) return value;
  const filled: Record<string, unknown> = { ...value };
  for (const [key, child] of Object.entries(schema.properties ?? {})) {
    if (!(key in filled) && child.default !== undefined) filled[key] = structuredClone(child.default);
    if (key in filled) filled[key] = withDefaults(child, filled[key]);
  }
  return filled;
}

function compare(schema: z.ZodType, value: unknown): string[] | undefined {
  const structure = structuralSchema(schema);
  const checked = checkProblems(schema, value);
  if (checked === undefined) return undefined;
  expect(checked.toSorted()).toEqual(celProblems(structure, withDefaults(structure, value), '').toSorted());
  return checked;
}

const SPECS = { ProtectedResource: ProtectedResourceSpec, AccessPolicy: AccessPolicySpec, EvidenceLogin: EvidenceLoginSpec };
const examples = join(import.meta.dirname, '../../examples');

function specsOf(folder: string): { name: string; kind: keyof typeof SPECS; spec: unknown }[] {
  const names = readdirSync(join(examples, folder)).filter((name) => name.endsWith('.yaml'));
  return names.flatMap((name) => {
    const documents = parseAllDocuments(readFileSync(join(examples, folder, name), 'utf8'));
    return (Array.isArray(documents) ? documents : [])
      .map((document) => document.toJS() as { kind: string; spec: unknown })
      .filter((object): object is { kind: keyof typeof SPECS; spec: unknown } => object.kind in SPECS)
      .map(({ kind, spec }) => ({ name, kind, spec }));
  });
}

const some = <T>(item: fc.Arbitrary<T>) => fc.uniqueArray(item, { minLength: 1, maxLength: 3 });
const maybe = <T>(item: fc.Arbitrary<T>) => fc.option(item, { nil: undefined });
const defined = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('the CEL of a rule and its check', () => {
  const good = ['quickstart', 'client-certificate', 'ssh'].flatMap((folder) =>
    specsOf(folder).map((each) => ({ ...each, folder })),
  );
  test.each(good)('both accept examples/$folder/$name', ({ kind, spec }) => {
    expect(compare(SPECS[kind], spec)).toEqual([]);
  });

  test.each(specsOf('bad'))('both say the same of examples/bad/$name', ({ kind, spec }) => {
    compare(SPECS[kind], spec);
  });

  // Words that rules care about, so that random specs meet both sides of every rule.
  const names = fc.constantFrom(
    'a',
    'orders-db',
    'Orders',
    'a..b',
    'localhost',
    'x.localhost',
    '10.1.2.3',
    'db.corp',
    '-a',
    'a-',
  );
  const labels = fc.constantFrom('pii.email', 'pii.ssn', 'PII', '.x');
  const fields = fc.constantFrom(
    'configmaps:data.password',
    'secrets:data.tls\\.key',
    'widgets.example.com:spec.users[*].token',
    'env:*_PASSWORD',
    'annotations:example.com/token*',
    'pods',
    'pods:',
    ':data',
    'Pods:spec',
    'pods:a..b',
    'pods:a[0]',
    'pods:\\',
    "pods:spec['a']",
    'pods:a\tb',
    `pods:${'a.'.repeat(98)}b`,
  );
  const columns = fc.constantFrom('a.b.c', 'a.b', 'a.*.c', '"x.y".b.c', 'a b.c.d', '"x.b.c', 'a.b.c.d');

  const hostKeys = fc.constantFrom('ssh-ed25519 AAAAC3Nza+/=', 'ssh-rsa AAAA comment', 'ssh-dss AAAA', 'db ssh-rsa AAAA');

  const resource = fc.record({
    protocol: fc.constantFrom('postgres', 'ssh', 'kubernetes', 'tcp'),
    hosts: some(names),
    port: fc.integer({ min: 1, max: 65_535 }),
    upstream: fc.record({
      address: fc.constantFrom('db:5432', 'db', '[::1]:1', 'db:0', 'db:65536', 'db:65535', 'a_b:1'),
      tls: maybe(
        fc.record({
          mode: fc.constantFrom('verify-full', 'verify-ca', 'disable'),
          caRef: maybe(fc.record({ name: names, key: maybe(fc.constantFrom('ca.crt', 'a/b')) })),
          serverName: maybe(names),
        }),
      ),
    }),
    credentials: maybe(
      fc.record({
        secretRef: maybe(fc.record({ name: names })),
        vault: maybe(
          fc.record({
            path: fc.constantFrom('database/creds/a-b_c.d', 'a', 'a/../b', '/a/b', 'a/b/', 'a//b', 'a/b\n', 'a/b?c', 'a/.b'),
          }),
        ),
        onRotation: maybe(fc.constantFrom('end', 'keep', 'other')),
      }),
    ),
    postgres: maybe(
      fc.record({
        database: names,
        searchPath: maybe(some(fc.constantFrom('public', 'a.b', 'a'))),
        authentication: maybe(some(fc.constantFrom('scram', 'md5'))),
      }),
    ),
    ssh: maybe(
      fc.record({
        hostKeys: maybe(some(hostKeys)),
        hostAuthorities: maybe(some(hostKeys)),
        authentication: maybe(some(fc.constantFrom('publickey', 'password'))),
        algorithms: maybe(fc.constantFrom('default', 'legacy')),
      }),
    ),
    kubernetes: maybe(
      fc.record({ identity: fc.constantFrom('credential', 'agent'), authentication: maybe(fc.constant('cert')) }),
    ),
    sensitive: maybe(
      fc.array(
        fc.record({
          label: labels,
          columns: maybe(some(columns)),
          fields: maybe(some(fields)),
          detector: maybe(fc.constantFrom('email', 'ssn')),
        }),
        { maxLength: 3 },
      ),
    ),
    grantedTo: maybe(
      fc.array(
        fc.record({
          namespace: names,
          serviceAccounts: maybe(some(names)),
          statements: maybe(some(fc.constantFrom('select', 'update'))),
          operations: maybe(some(fc.constantFrom('exec', 'read', 'get', '*'))),
          reveal: maybe(some(labels)),
        }),
        { maxLength: 2 },
      ),
    ),
  });

  const globs = fc.constantFrom('**', '*', 'a.*', 'a.**', '**.c', 'a.b.c', 'a.b.*', 'a', 'a.b.c.d', '"a.b".c', 'a.b\tc');
  const rule = fc.record({
    name: fc.constantFrom('read', 'write', 'No'),
    effect: fc.constantFrom('Allow', 'RequireApproval', 'Deny'),
    resource: fc.record({ namespace: names, name: names }),
    sql: maybe(
      fc.record({
        statements: maybe(some(fc.constantFrom('select', '*'))),
        relations: maybe(some(globs)),
        columns: maybe(some(globs)),
        functions: maybe(some(globs)),
      }),
    ),
    ssh: maybe(
      fc.oneof(
        fc.constant({}),
        fc.record({
          commands: maybe(some(fc.constantFrom('**', 'git log **', 'git  log', ' ls', 'ls -l', "echo 'a'", 'é', 'a\tb'))),
          files: maybe(
            fc.record({
              operations: maybe(some(fc.constantFrom('read', 'write'))),
              paths: maybe(
                some(fc.constantFrom('/', '/**', '/a/..b/.c', '/a/../b', '/a/./b', '/a//b', '/a/', 'a', '/...', '/..', '/.')),
              ),
            }),
          ),
          subsystems: maybe(some(fc.constantFrom('sftp', 'netconf@x', 'SFTP', 'two words'))),
          forward: maybe(some(fc.constantFrom('db:5432', '*.corp:*', '*:1', '[::1]:443', 'db', 'db:0', 'DB:1', '**.corp:1'))),
          shell: maybe(fc.constant(true)),
        }),
      ),
    ),
    kubernetes: maybe(
      fc.oneof(
        fc.constant({}),
        fc.record({
          verbs: maybe(some(fc.constantFrom('get', 'exec', '*'))),
          commands: maybe(some(fc.constantFrom('ls **', '**', 'git  log', '** x'))),
          files: maybe(
            fc.record({
              operations: maybe(some(fc.constantFrom('read', 'write'))),
              paths: maybe(some(fc.constantFrom('/srv/**', 'a'))),
            }),
          ),
          ports: maybe(some(fc.constantFrom(1, 8080))),
          shell: maybe(fc.constant(true)),
          resources: maybe(
            some(
              fc.constantFrom(
                'pods',
                'pods/log',
                '*',
                '*.*',
                '**',
                '*.apps/*',
                'deployments.apps/scale',
                'Pods',
                'a/b/c',
                '.apps',
                'a.',
                'a/',
              ),
            ),
          ),
          namespaces: maybe(some(fc.constantFrom('shop', 'team-*', 'Shop', '-a', 'a.b'))),
          names: maybe(some(fc.constantFrom('web-1', 'system:*', 'a/b', 'a b'))),
          nonResourcePaths: maybe(some(fc.constantFrom('/healthz', '/openapi/**', 'healthz', '/a/../b'))),
        }),
      ),
    ),
    onBehalfOf: maybe(
      fc.record({ users: maybe(some(fc.constantFrom('mira@corp', 'a\tb'))), groups: maybe(some(fc.constantFrom('dba'))) }),
    ),
    message: maybe(fc.constantFrom('no', 'two\nlines')),
    approval: maybe(
      fc.record({
        approvers: fc.record({ groups: maybe(some(fc.constantFrom('dba', 'a\tb'))) }),
        timeout: maybe(fc.constantFrom('5m', '1h30m', '0s', '5', '30m1h', '1d1h1m1s1ms')),
      }),
    ),
  });
  const certificate = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
  const identity = fc.record({
    oidc: fc.record({
      issuer: fc.constantFrom(
        'https://login.corp',
        'https://login.corp:8443/realms/a',
        'http://login.corp',
        'http://127.0.0.1:9999',
        'http://[::1]:9999/x',
        'http://127.0.0.1.corp',
        'https://u:p@login.corp',
        'https://login.corp?x=1',
        'https://login.corp#x',
      ),
      audiences: some(fc.constantFrom('chaperone', 'a\nb')),
      requiredClaims: maybe(fc.dictionary(fc.constantFrom('team', 'https://corp/level'), some(fc.constantFrom('a', 'b')))),
      groupsClaim: maybe(fc.constantFrom('groups', 'two words')),
      userClaim: maybe(fc.constantFrom('email', 'https://corp/user')),
      caBundle: maybe(fc.constantFrom(certificate, certificate + certificate, 'ca.crt', `${certificate}x`)),
    }),
  });
  const strategy = fc.record({
    redact: maybe(fc.constant({})),
    partial: maybe(fc.record({ first: maybe(fc.integer({ min: 1, max: 64 })), last: maybe(fc.constant(4)) })),
    hash: maybe(fc.constant({})),
    null: maybe(fc.constant({})),
  });
  const policy = fc.record({
    agents: fc.record({
      podSelector: maybe(
        fc.record({
          matchLabels: maybe(fc.dictionary(fc.constantFrom('app', 'a/b'), fc.constant('x'))),
          matchExpressions: maybe(fc.constant([{}])),
        }),
      ),
      serviceAccounts: maybe(some(names)),
    }),
    purpose: maybe(fc.constant('answer tickets')),
    purposeFrom: maybe(
      fc.record({ annotation: fc.constantFrom('chaperone.dev/purpose', 'example.com/purpose', 'chaperone.dev/') }),
    ),
    identity: maybe(identity),
    rules: fc.array(rule, { minLength: 1, maxLength: 3 }),
    reveal: maybe(fc.uniqueArray(labels)),
    masking: maybe(fc.array(fc.record({ label: labels, strategy }), { maxLength: 3 })),
    limits: maybe(
      fc.record({
        bytes: maybe(fc.constantFrom('1Mi', '0', '10', '1MB', '1234567k')),
        idle: maybe(fc.constantFrom('1m', '1 m')),
        statementDuration: maybe(fc.constantFrom('1s', '0s')),
      }),
    ),
  });

  test.each([
    ['ProtectedResource', ProtectedResourceSpec, resource],
    ['AccessPolicy', AccessPolicySpec, policy],
  ] as const)('agree on any %s', (_, schema, arbitrary) => {
    const met = new Set<string>();
    let compared = 0;
    fc.assert(
      fc.property(arbitrary, (value) => {
        const problems = compare(schema, defined(value));
        if (problems === undefined) return;
        compared++;
        for (const problem of problems) met.add(problem.slice(problem.indexOf(' ') + 1));
      }),
      { numRuns: 400, seed: 20_261_121 },
    );
    expect(compared).toBeGreaterThan(200);
    // Every rule was seen to refuse something, so none of them is idle.
    expect([...messagesOf(structuralSchema(schema))].filter((message) => !met.has(message))).toEqual([]);
  });
});

function messagesOf(schema: StructuralSchema): Set<string> {
  const own = (schema['x-kubernetes-validations'] ?? []).filter(({ rule }) => !rule.includes('oldSelf'));
  const children = [...Object.values(schema.properties ?? {}), schema.items, schema.additionalProperties];
  const found = new Set(own.map(({ message }) => message));
  for (const child of children) if (child !== undefined) for (const message of messagesOf(child)) found.add(message);
  return found;
}
