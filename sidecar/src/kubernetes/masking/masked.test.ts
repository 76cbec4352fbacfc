import { KUBERNETES_SECRET } from '@chaperone/api';
import { describe, expect, it } from 'vitest';
import { asked, shownOf } from './answer.test-support.ts';
import { FIELDS, aList, anAccess, aPod, aSecret, planOf } from './objects.test-support.ts';

const CANARY = 'c4nary-v4lue-0f-a-s3cret';
const MARK = '*****';
const MARK64 = 'KioqKio=';
const plan = planOf(anAccess({}, ['email', 'credit-card']), FIELDS);
const SECRETS = asked('secrets');
const parsed = (answer: unknown, what = SECRETS, by = plan): Record<string, unknown> => JSON.parse(shownOf(by, what, answer));
const APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** Forms in which the value could leave. */
const FORMS = [
  CANARY,
  base64(CANARY),
  base64(`x${CANARY}`).slice(2, -2),
  JSON.stringify(CANARY).slice(1, -1),
  Buffer.from(CANARY).toString('hex'),
];
function expectHidden(shown: string): void {
  for (const form of FORMS) expect(shown).not.toContain(form);
}

describe('a Secret', () => {
  it('shows its keys, and base64 of a mask for each value; its applied form too', () => {
    const shown = parsed(aSecret(CANARY)) as ReturnType<typeof aSecret> & { metadata: { annotations: Record<string, string> } };
    expect(shown['data']).toEqual({ password: MARK64, username: MARK64 });
    const applied = JSON.parse(shown.metadata.annotations[APPLIED] ?? '');
    expect(applied).toMatchObject({ kind: 'Secret', data: { password: MARK64, username: MARK64 }, type: 'Opaque' });
    expect(shown.metadata.annotations).toMatchObject({ 'meta.helm.sh/release-name': 'shop', 'example.com/copy': MARK });
  });

  const { metadata, data } = aSecret(CANARY) as { metadata: Record<string, unknown>; data: unknown };
  const late = { apiVersion: 'v1', data, metadata, kind: 'Secret', stringData: { a: CANARY } };
  it.each<[string, unknown, ReturnType<typeof asked>, ('object' | 'list' | 'watch')?]>([
    ['asked for by name', aSecret(CANARY), SECRETS],
    ['in a list, whose items have no kind', aList('Secret', [aSecret(CANARY, true)]), SECRETS, 'list'],
    ['in a list of something else', aList('Pod', [late]), asked('pods'), 'list'],
    [
      'in a list without a type of its own',
      { ...aList('', [late, aPod(1)]), kind: 'List' },
      asked('widgets', 'example.com'),
      'list',
    ],
    [
      'in a list that says its kind though others were asked for',
      aList('Secret', [aSecret(CANARY, true)]),
      asked('pods'),
      'list',
    ],
    ['that says its kind last', late, asked('things', 'example.com')],
    ['in an event of a watch', { type: 'MODIFIED', object: aSecret(CANARY) }, SECRETS, 'watch'],
    ['in an event that says its type last', { object: late, type: 'ADDED' }, asked('pods'), 'watch'],
    [
      'in the manifest of another object',
      { kind: 'Work', spec: { manifests: [late, { a: { b: late } }] } },
      asked('works', 'example.com'),
    ],
    ['in a Secret', { kind: 'Secret', data: late, spec: { list: [late] } }, SECRETS],
    ['as metadata alone, with annotations', { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata }, SECRETS],
    [
      'in the rows of a table',
      { kind: 'Table', columnDefinitions: [{ name: 'Name' }], rows: [{ cells: ['db', 'Opaque', 2], object: late }] },
      SECRETS,
      'list',
    ],
    [
      'as metadata alone in an event that was taken for an object',
      { type: 'ADDED', object: { kind: 'PartialObjectMetadata', metadata } },
      SECRETS,
    ],
    [
      'in the rows of a table in an event',
      { type: 'ADDED', object: { kind: 'Table', columnDefinitions: null, rows: [{ cells: ['db'], object: late }] } },
      SECRETS,
      'watch',
    ],
    [
      'in an annotation of another object',
      { kind: 'Pod', metadata: { annotations: { 'kapp.k14s.io/original': JSON.stringify(late) } } },
      asked('pods'),
    ],
    ['whose values are no text', { kind: 'Secret', data: { a: [CANARY], b: { c: CANARY, d: 4_111_111 } } }, SECRETS],
    ['whose applied form is broken', { kind: 'Secret', metadata: { annotations: { [APPLIED]: `{"a":"${CANARY}"` } } }, SECRETS],
    [
      'whose applied form is applied in itself, again and again',
      [1, 2, 3, 4, 5].reduce<unknown>(
        (inner) => ({
          kind: 'Secret',
          metadata: { annotations: { [APPLIED]: JSON.stringify(inner) } },
          data: { a: base64(CANARY) },
        }),
        late,
      ),
      SECRETS,
    ],
  ])('is hidden %s', (_, answer, what, shape = 'object') => {
    const shown = shownOf(plan, what, answer, shape);
    expectHidden(shown);
    expect([MARK, MARK64].some((mark) => shown.includes(mark))).toBe(true);
    expect(() => JSON.parse(shown)).not.toThrow();
  });

  it('is shown where the label is revealed, but for what else is hidden', () => {
    const by = planOf(anAccess({ reveal: [KUBERNETES_SECRET] }, ['email']));
    expect(parsed(aSecret(CANARY), SECRETS, by)).toEqual(aSecret(CANARY));
    const mail = { kind: 'Secret', data: { a: base64('ask mira.o@example.com'), b: base64('ask nobody') } };
    expect(parsed(mail, SECRETS, by)).toEqual({ kind: 'Secret', data: { a: MARK64, b: base64('ask nobody') } });
  });

  it.each([
    [{ partial: { last: 4 } }, base64('************wxyz'), `${'*'.repeat(12)}wxyz`],
    [{ null: {} }, null, null],
    [{ hash: {} }, MARK64, MARK],
  ])('is shown by the strategy %j, whole where that cannot be', (strategy, encoded, text) => {
    const by = planOf(anAccess({ masking: { [KUBERNETES_SECRET]: strategy } }));
    const secret = { kind: 'Secret', data: { a: base64('abcdefghijklwxyz') }, stringData: { a: 'abcdefghijklwxyz' } };
    expect(parsed(secret, SECRETS, by)).toEqual({ kind: 'Secret', data: { a: encoded }, stringData: { a: text } });
  });
});

describe('what else is issued', () => {
  it.each([
    [
      'a token',
      asked('serviceaccounts'),
      { kind: 'TokenRequest', status: { token: CANARY } },
      { kind: 'TokenRequest', status: { token: MARK } },
    ],
    [
      'a token that is reviewed',
      asked('tokenreviews', 'authentication.k8s.io'),
      { kind: 'TokenReview', spec: { token: CANARY } },
      { kind: 'TokenReview', spec: { token: MARK } },
    ],
    [
      'a certificate',
      asked('certificatesigningrequests', 'certificates.k8s.io'),
      { kind: 'CertificateSigningRequest', status: { certificate: base64(CANARY) } },
      { kind: 'CertificateSigningRequest', status: { certificate: MARK64 } },
    ],
    [
      'what is packed',
      asked('configmaps'),
      { kind: 'ConfigMap', data: { release: 'H4sIAAAAAAAAA' }, binaryData: { r: 'H4sIAAAA', b: base64('plain') } },
      { kind: 'ConfigMap', data: { release: MARK }, binaryData: { r: MARK64, b: base64('plain') } },
    ],
  ])('%s is hidden', (_, what, answer, expected) => {
    expect(parsed(answer, what)).toEqual(expected);
  });
});

const table = (cells: unknown[]): unknown => ({
  kind: 'Table',
  apiVersion: 'meta.k8s.io/v1',
  columnDefinitions: [],
  rows: [{ cells, object: { kind: 'PartialObjectMetadata', metadata: { name: 'a' } } }],
});
const status = (message: string, cause: string): unknown => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Failure',
  message,
  reason: 'Invalid',
  details: { name: 'a', causes: [{ message: cause, field: 'spec' }] },
  code: 422,
});
const env = (name: string, value: string, mark = value): [unknown, unknown] => [
  { name, value },
  { name, value: mark },
];

describe('what an owner labelled', () => {
  const [[secret, hidden], [plain]] = [env('DB_PASSWORD', CANARY, MARK), env('LEVEL', 'info')];
  const turned = { value: CANARY, valueFrom: null, name: 'DB_PASSWORD' };
  it.each<[string, ReturnType<typeof asked>, unknown, unknown]>([
    [
      'a variable of a pod',
      asked('pods'),
      { spec: { containers: [{ env: [secret, plain] }] } },
      { spec: { containers: [{ env: [hidden, plain] }] } },
    ],
    [
      'one whose name stands behind its value',
      asked('pods'),
      { spec: { initContainers: [{ env: [plain, turned] }] } },
      { spec: { initContainers: [{ env: [plain, { ...turned, value: MARK }] }] } },
    ],
    [
      'one of a template of any kind',
      asked('rollouts', 'argoproj.io'),
      { spec: { jobTemplate: { spec: { template: { spec: { containers: [{ env: [secret] }] } } } } } },
      { spec: { jobTemplate: { spec: { template: { spec: { containers: [{ env: [hidden] }] } } } } } },
    ],
    [
      'one of a map',
      asked('apps', 'example.com'),
      { spec: { env: { DB_PASSWORD: CANARY, LEVEL: 'info' } } },
      { spec: { env: { DB_PASSWORD: MARK, LEVEL: 'info' } } },
    ],
    [
      'keys of a ConfigMap',
      asked('configmaps'),
      { data: { DB_URL: CANARY, 'DB_a.b': CANARY, URL: 'x' } },
      { data: { DB_URL: MARK, 'DB_a.b': MARK, URL: 'x' } },
    ],
    [
      'a field within lists of an own kind',
      asked('widgets', 'example.com'),
      { spec: { users: [{ token: CANARY, name: 'a' }, { token: 12 }, { token: null }] } },
      { spec: { users: [{ token: MARK, name: 'a' }, { token: null }, { token: null }] } },
    ],
    [
      'all below it, but for keys',
      asked('widgets', 'example.com'),
      { spec: { users: { token: { a: [CANARY, true], b: { c: CANARY } } } } },
      { spec: { users: { token: { a: [MARK, null], b: { c: MARK } } } } },
    ],
    [
      'an annotation wherever it is',
      asked('jobs', 'batch'),
      {
        metadata: { annotations: { 'example.com/token-1': CANARY } },
        spec: { template: { metadata: { annotations: { 'example.com/token': CANARY } } } },
      },
      {
        metadata: { annotations: { 'example.com/token-1': MARK } },
        spec: { template: { metadata: { annotations: { 'example.com/token': MARK } } } },
      },
    ],
    [
      'nothing of another group',
      asked('widgets', 'example.org'),
      { spec: { users: { token: 'a' } } },
      { spec: { users: { token: 'a' } } },
    ],
    [
      'the owners of fields of such a kind',
      asked('widgets', 'example.com'),
      { metadata: { managedFields: [{ manager: 'a', fieldsV1: { 'f:spec': { [`v:"${CANARY}"`]: {} } } }] } },
      { metadata: { managedFields: [{ manager: 'a', fieldsV1: {} }] } },
    ],
  ])('is hidden: %s', (_, what, answer, expected) => {
    expect(parsed(answer, what)).toEqual(expected);
    expect(parsed({ ...(answer as object), kind: 'X', apiVersion: 'v1' }, what)).toEqual({
      ...(expected as object),
      kind: 'X',
      apiVersion: 'v1',
    });
  });

  it('is hidden in what was applied last, which stays JSON', () => {
    const shown = JSON.stringify(parsed(aPod(1, CANARY, false), asked('pods')));
    expectHidden(shown);
    const { metadata, spec } = JSON.parse(shown);
    expect(JSON.parse(metadata.annotations[APPLIED]).spec.containers[0].env[1]).toEqual({ name: 'DB_PASSWORD', value: MARK });
    expect(spec.containers[0].env[1]).toEqual({ name: 'DB_PASSWORD', value: MARK });
    expect(metadata.managedFields).toEqual((aPod(1, CANARY) as { metadata: { managedFields: unknown } }).metadata.managedFields);
  });

  it.each<[string, ReturnType<typeof asked>, unknown[]]>([
    ['hides all behind the name where columns may show it', asked('widgets', 'example.com'), ['a', MARK, null, [MARK], null]],
    ['shows those of built-in kinds', asked('pods'), ['a', CANARY, 3, [CANARY], true]],
    [
      'hides those of kinds that someone defined, as annotations are labelled',
      asked('gadgets', 'example.org'),
      ['a', MARK, null, [MARK], null],
    ],
  ])('a table %s', (_, what, cells) => {
    expect(parsed(table(['a', CANARY, 3, [CANARY], true]), what)).toEqual(table(cells));
  });

  it('is not quoted by what is refused', () => {
    const said = status(`Pod "web" is invalid: spec.a: Invalid value: "${CANARY}": no`, `Invalid value: "${CANARY}"`);
    const difference = status('Pod "web" is invalid: spec: Forbidden: no such change\n  core.PodSpec{\n- "a"', 'Forbidden');
    expect(parsed(said, asked('pods'))).toEqual(
      status(`Pod "web" is invalid: spec.a: Invalid value: ${MARK}`, `Invalid value: ${MARK}`),
    );
    expect(parsed(difference, asked('pods'))).toEqual(
      status(`Pod "web" is invalid: spec: Forbidden: no such change\n${MARK}`, 'Forbidden'),
    );
    expect(parsed(said, asked('pods'), planOf(anAccess()))).toEqual(said);
    expectHidden(shownOf(planOf(anAccess()), SECRETS, said));
    const gone = status('pods "web" not found', '');
    expect(parsed(gone, asked('pods'))).toEqual(gone);
  });

  it('must be readable, or nothing is shown', () => {
    for (const text of [
      '',
      'secrets',
      'secrets:',
      ':data',
      'env:',
      'a b:c',
      'pods:a..b',
      'pods:a[0]',
      'pods:\\',
      `pods:${'a'.repeat(600)}`,
    ])
      expect(() => planOf(anAccess(), [{ label: 'a', fields: [text] }])).toThrow(
        expect.objectContaining({ code: 'FieldNotReadable' }),
      );
  });
});

describe('what is found by its content', () => {
  it('is hidden in texts and keys, and leaves alone what clients know objects by', () => {
    const name = 'mira.o@example.com';
    const answer = {
      kind: 'Event',
      metadata: { name, namespace: name, uid: name, resourceVersion: '4111111111111111', labels: { a: '4111111111111111' } },
      message: `asked ${name} 4111 1111 1111 1111`,
      count: 4111111111111111,
      [name]: `"${name}"`,
      involvedObject: { kind: 'Pod', name: 'web' },
    };
    expect(parsed(answer, asked('events'))).toEqual({
      ...Object.fromEntries(Object.entries(answer).filter(([key]) => key !== name)),
      metadata: { ...answer.metadata, labels: { a: MARK } },
      message: `asked ${MARK} ${MARK}`,
      count: null,
      [MARK]: `"${MARK}"`,
    });
  });

  it('is found behind escapes', () => {
    const shown = shownOf(
      plan,
      asked('events'),
      '{"message":"\\u006dira.o\\u0040example.com\\n4111111111111111","m\\u0040b.cd":1}',
    );
    expect(JSON.parse(shown)).toEqual({ message: `${MARK}\n${MARK}`, [MARK]: 1 });
  });
});

it('names that clients know objects by are texts: what stands in their place is looked through', () => {
  const mail = 'mira.o@example.com';
  const answer = {
    kind: { a: mail },
    metadata: { name: [mail, { a: mail }], ownerReferences: [{ kind: 'Pod', name: mail, uid: mail }] },
  };
  expect(parsed(answer, asked('pods'))).toEqual({
    kind: { a: MARK },
    metadata: { name: [mail, { a: MARK }], ownerReferences: [{ kind: 'Pod', name: mail, uid: mail }] },
  });
});

it('an object that says two kinds, or a variable two names, is hidden as both', () => {
  const secret = `"data":{"a":"${base64(CANARY)}"}`;
  for (const text of [
    `{${secret},"kind":"Secret","kind":"Pod"}`,
    `{"kind":"Pod",${secret},"kind":"Secret"}`,
    `{"kind":"Secret","kind":"Pod",${secret}}`,
  ])
    expectHidden(shownOf(plan, asked('pods'), text));
  const value = `"value":"${CANARY}"`;
  for (const text of [
    `{"name":"DB_PASSWORD",${value},"name":"A"}`,
    `{${value},"name":"A","name":"DB_PASSWORD"}`,
    `{${value},"name":"DB_PASSWORD","name":"A",${value}}`,
  ])
    expectHidden(shownOf(plan, asked('pods'), `{"env":[${text}]}`));
});

it('a kind that no API has is no kind, but for what is labelled in all', () => {
  const all = planOf(anAccess(), [{ label: 'a', fields: ['*:spec.password'] }]);
  for (const kind of ['Own', 'x'.repeat(100_000)])
    expect(parsed({ list: [{ kind, spec: { password: CANARY } }] }, asked('pods'), all)).toEqual({
      list: [{ kind, spec: { password: MARK } }],
    });
});

it('keys are read with their escapes', () => {
  const text = `{"\\u006bind":"S\\u0065cret","d\\u0061ta":{"a":"${base64(CANARY)}"},"metadat\\u0061":{"annotations":{"a":"${CANARY}"}}}`;
  expectHidden(shownOf(plan, asked('pods'), text));
});

it('what is not hidden passes with its very bytes', () => {
  const text =
    '{ "kind" : "Secret",\n "x":[1.0, 12345678901234567890, -0, 1E+2,"\\u00e9\\/" ,[],{}],"data":{"a":"YQ=="} , "y":null }\r\n';
  expect(shownOf(plan, SECRETS, text)).toBe(text.replace('YQ==', MARK64));
});
