import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { describeProblem, MANIFEST_LIMITS, type ManifestFile, readManifests } from './manifests.ts';

const examples = join(import.meta.dirname, '../../examples');

function folder(name: string): ManifestFile[] {
  return readdirSync(join(examples, name))
    .filter((path) => path.endsWith('.yaml'))
    .map((path) => ({ path, text: readFileSync(join(examples, name, path), 'utf8') }));
}

const POLICY = `# A policy of the shop.
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata:
  name: shop
  namespace: agents
spec:
  agents: {serviceAccounts: [support-agent]}
  rules:
    - {name: read, effect: Deny, resource: {namespace: data, name: orders-db}}
    - name: write
      effect: Allow
      resource: {namespace: data, name: orders-db}
      sql: {statements: [update], relations: [public.tickets]}
`;

const SECRET = `apiVersion: v1
kind: Secret
metadata: {name: s, namespace: data}
`;

function problems(text: string, path = 'shop/policy.yaml'): string[] {
  return readManifests([{ path, text }]).problems.map(describeProblem);
}

describe('the examples', () => {
  test('quickstart is read without a problem', () => {
    const { resources, policies, secrets, problems: found } = readManifests(folder('quickstart'));
    expect(found).toEqual([]);
    expect(resources.map(({ metadata }) => metadata.name)).toEqual(['orders-db']);
    expect(policies.map(({ metadata }) => metadata.name)).toEqual(['support-agent']);
    expect(secrets.map(({ metadata }) => metadata.name).toSorted()).toEqual(['orders-ca', 'orders-db-agent']);
  });

  test('defaults are filled in as the API server does', () => {
    const { resources, policies } = readManifests(folder('quickstart'));
    expect(resources[0]?.spec).toMatchObject({
      allowAudit: false,
      postgres: { searchPath: ['public'], acceptServerLogVolume: false },
    });
    expect(resources[0]?.spec.upstream.tls.caRef).toEqual({ name: 'orders-ca', key: 'ca.crt' });
    expect(policies[0]?.spec).toMatchObject({ enforcement: 'Enforce', inference: 'limit' });
  });

  const bad = folder('bad').filter(({ text }) => !text.includes('kind: EvidenceLogin'));
  test.each(bad)('bad/$path is refused in the words of the API server', ({ path, text }) => {
    const expected = /^# expect: (.+)$/m.exec(text)?.[1] ?? 'no expectation';
    const field = /^# field: (.+)$/m.exec(text)?.[1] ?? 'no field';
    const { resources, policies, problems: found } = readManifests([{ path, text }]);
    expect([...resources, ...policies]).toEqual([]);
    const said = found.map(describeProblem).join('\n');
    expect(said).toContain(expected);
    expect(said).toContain(` ${field}`);
  });

  test('there are enough bad ones, each with its expectation', () => {
    expect(bad.length).toBeGreaterThanOrEqual(30);
    for (const { path, text } of bad) expect(text, path).toMatch(/^# expect: \S.*\n# field: \S/);
  });
});

describe('a problem says where it is and what to write instead', () => {
  test.each([
    [
      'an unknown field',
      ['statements: [update]', 'statement: [update]'],
      '14:13 rules[1].sql.statement is unknown; did you mean "statements"? (ManifestInvalid)',
    ],
    ['an unknown field that resembles none', ['  rules:', '  zebra: 1\n  rules:'], '9:3 zebra is unknown (ManifestInvalid)'],
    [
      'an unknown top-level field',
      ['spec:', 'status_: {}\nspec:'],
      '7:1 status_ is unknown; did you mean "status"? (ManifestInvalid)',
    ],
    [
      'a broken rule',
      ['public.tickets', 'tickets'],
      '14:47 rules[1].sql.relations[0]: write schema.relation, for example public.tickets, public.* or ** (ManifestInvalid)',
    ],
    ['a missing field', ['      effect: Allow\n', ''], '11:7 rules[1].effect is required (ManifestInvalid)'],
    [
      'a wrong type',
      ['[support-agent]', 'support-agent'],
      '8:29 agents.serviceAccounts must be a list, not a string (ManifestInvalid)',
    ],
    [
      'a word that is not in the list',
      ['effect: Allow', 'effect: Alow'],
      '12:15 rules[1].effect has an unsupported value; supported values: "Allow", "RequireApproval", "Deny"; did you mean "Allow"? (ManifestInvalid)',
    ],
    ['a missing namespace', ['  namespace: agents\n', ''], '4:1 metadata.namespace is required (ManifestInvalid)'],
    [
      'a bad name',
      ['name: shop', 'name: Shop'],
      '5:9 metadata.name: write the name of a Kubernetes object, for example orders-db (ManifestInvalid)',
    ],
    [
      'another kind',
      ['kind: AccessPolicy', 'kind: Deployment'],
      '3:7 kind Deployment is not read here; AccessPolicy, ProtectedResource and Secret are (ManifestInvalid)',
    ],
    [
      'a mistyped kind',
      ['kind: AccessPolicy', 'kind: AccesPolicy'],
      '3:7 kind AccesPolicy is not read here; did you mean "AccessPolicy"? (ManifestInvalid)',
    ],
    [
      'another version',
      ['v1alpha1', 'v1'],
      '2:13 apiVersion must be chaperone.dev/v1alpha1 for kind AccessPolicy (ManifestInvalid)',
    ],
    [
      'the word null as a key',
      ['  rules:', '  masking: [{label: a, strategy: {null: {}}}]\n  rules:'],
      '9:35 masking[0].strategy has a key that YAML reads as nothing; write it in quotes: "null" (ManifestInvalid)',
    ],
    ['an empty list', ['[support-agent]', '[]'], '8:29 agents.serviceAccounts must have at least 1 item (ManifestInvalid)'],
    [
      'a number out of range',
      ['  rules:', '  inbound: {ports: [0]}\n  rules:'],
      '9:21 inbound.ports[0] must be at least 1 (ManifestInvalid)',
    ],
  ])('%s', (_, [before = '', after = ''], expected) => {
    expect(POLICY).toContain(before);
    expect(problems(POLICY.replace(before, after))).toContain(`shop/policy.yaml:${expected}`);
  });

  test('all of them at once, in the order of the file', () => {
    const text = POLICY.replace('effect: Deny', 'effect: No').replace('statements:', 'statment:');
    expect(problems(text).length).toBe(3);
  });

  test('a field is named in full for programs', () => {
    const [problem] = readManifests([{ path: 'p', text: POLICY.replace('statements:', 'statment:') }]).problems;
    expect(problem).toMatchObject({ field: 'spec.rules[1].sql.statment', line: 14, column: 13 });
  });

  test('a quoted "null" is a strategy', () => {
    expect(problems(POLICY.replace('  rules:', '  masking: [{label: a, strategy: {"null": {}}}]\n  rules:'))).toEqual([]);
  });

  test('the same object twice names both places', () => {
    expect(problems(`${POLICY}---\n${POLICY}`)).toEqual([
      'shop/policy.yaml:20:9 metadata.name: AccessPolicy agents/shop is there already, at shop/policy.yaml:5:9; remove one (ManifestInvalid)',
    ]);
  });

  test('the good objects of a file with a bad one are there', () => {
    const { policies, problems: found } = readManifests([{ path: 'p', text: `${POLICY}---\nkind: Pod\n---\n---\n[]\n` }]);
    expect(policies.length).toBe(1);
    expect(found.length).toBe(2);
  });
});

describe('Secrets', () => {
  test('data is decoded and stringData lies over it', () => {
    const { secrets, problems: found } = readManifests([
      { path: 's', text: `${SECRET}type: Opaque\ndata: {username: YWRh, password: b2xk}\nstringData: {password: new}\n` },
    ]);
    expect(found).toEqual([]);
    expect(secrets[0]?.data).toEqual({ username: 'ada', password: 'new' });
  });

  test.each([
    [
      'a number',
      'stringData: {password: 20261121}',
      's:4:24 stringData.password must be a string, not a number (ManifestInvalid)',
    ],
    [
      'no base64',
      'data: {password: hunter2-}',
      's:4:18 data has a value that is not base64 of UTF-8 text; write plain text under stringData (ManifestInvalid)',
    ],
    [
      'no text',
      'data: {password: /w==}',
      's:4:18 data has a value that is not base64 of UTF-8 text; write plain text under stringData (ManifestInvalid)',
    ],
    [
      'an unknown field',
      'stringdata: {password: hunter2-}',
      's:4:1 stringdata is unknown; did you mean "stringData"? (ManifestInvalid)',
    ],
  ])('%s is refused', (_, line, expected) => {
    expect(problems(`${SECRET}${line}\n`, 's')).toEqual([expected]);
  });

  test.each([
    ['an open quote', 'stringData: {password: "CANARY-7}'],
    ['a bad escape', 'stringData: {password: "CANARY-7\\q"}'],
    ['a key twice', 'stringData: {CANARY-7: a, CANARY-7: b}'],
    ['an alias', 'stringData: {password: *CANARY-7}'],
    ['a tag', 'stringData: {password: !CANARY-7 x}'],
    ['a list', 'stringData: [CANARY-7]'],
    ['an object', 'data: {password: {CANARY-7: 1}}'],
    ['an odd base64', 'data: {password: CANARY-7}'],
    ['a wrong indentation', 'stringData:\n  password: CANARY-7\n CANARY-7: x'],
    ['a tab', 'stringData:\n\tpassword: CANARY-7'],
  ])('no problem quotes a value: %s', (_, line) => {
    const found = problems(`${SECRET}${line}\n`, 's').join('\n');
    expect(found).not.toBe('');
    expect(found).not.toContain('CANARY');
  });
});

describe('hostile files', () => {
  test('one that is too large is not parsed', () => {
    const text = `# ${'x'.repeat(MANIFEST_LIMITS.fileBytes)}\n`;
    expect(problems(text, 'f')).toEqual(['f:1:1 is larger than 1048576 bytes; split it (ManifestInvalid)']);
  });

  test('aliases that multiply are refused before they do', () => {
    const bomb = [
      'a: &a [x, x, x, x, x, x, x, x, x]',
      ...'bcdefghi'.split('').map((key, i) => `${key}: &${key} [${`*${'abcdefghi'[i] ?? ''},`.repeat(9)}]`),
    ];
    expect(problems(bomb.join('\n'), 'f')).toEqual([
      'f:1:1 is not valid YAML: too many aliases, or nested too deeply (ManifestInvalid)',
    ]);
  });

  test.each(['[', '{a: ', '- '])('endless nesting of %j is refused', (opening) => {
    expect(problems(opening.repeat(200_000), 'f').join('\n')).toMatch(/^f:\d+:\d+ is not valid YAML/);
  });

  test('more objects than the limit are not read', () => {
    const text = Array.from({ length: MANIFEST_LIMITS.objects + 5 }, (_, i) => SECRET.replace('name: s', `name: s${i}`)).join(
      '---\n',
    );
    const { secrets, problems: found } = readManifests([{ path: 'f', text }]);
    expect(secrets.length).toBe(MANIFEST_LIMITS.objects);
    expect(found.map(({ message }) => message)).toEqual(['is one object too many; at most 10000 are read']);
  });

  test('problems are said up to a hundred', () => {
    expect(problems('kind: Pod\n---\n'.repeat(500)).length).toBe(MANIFEST_LIMITS.problems);
  });

  test('__proto__ is a field like another', () => {
    expect(problems(POLICY.replace('  rules:', '  __proto__: {reveal: [x]}\n  rules:'))).toEqual([
      'shop/policy.yaml:9:3 __proto__ is unknown (ManifestInvalid)',
    ]);
  });

  test('nothing makes it throw', () => {
    const piece = fc.constantFrom(
      'a',
      ':',
      ' ',
      '\n',
      '-',
      '&a',
      '*a',
      '{',
      '}',
      '[',
      ']',
      '"',
      "'",
      '|',
      '!',
      '%',
      '---\n',
      'kind: Secret\n',
      '<<',
      '?',
      '\t',
      '\u0000',
      '\ud800',
      'spec',
      'rules',
      '#',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), fc.string({ unit: 'binary', maxLength: 30 }), (pieces, text) => {
        const { problems: found } = readManifests([
          { path: 'f', text: pieces.join('') },
          { path: 'g', text },
        ]);
        for (const { line, column, message } of found)
          expect([line > 0, column > 0, message.length > 0]).toEqual([true, true, true]);
      }),
      { numRuns: 200 },
    );
  });

  test('what foreign text a problem shows is visible', () => {
    const found = problems('apiVersion: v1\nkind: "P\\e[31m\\u202eod"\n', 'f\u001b[0m');
    expect(found).toEqual([
      'f\\u{1b}[0m:2:7 kind P\\u{1b}[31m\\u{202e}od is not read here; AccessPolicy, ProtectedResource and Secret are (ManifestInvalid)',
    ]);
  });
});
