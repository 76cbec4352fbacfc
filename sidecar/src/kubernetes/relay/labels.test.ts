import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, type Spec, startGoverned } from './governed.test-support.ts';
import { asJson, type Asking, askThrough, type StandIn, startStandIn } from './stand-in.test-support.ts';

const RULES: Spec['rules'] = [{ name: 'all', effect: 'Allow', kubernetes: { verbs: ['*'], resources: ['**'] } }];
const CANARY = 'c4nary-v4lue';
const SENSITIVE = [
  { label: 'shop.password', fields: ['configmaps:data.password', 'configmaps:metadata.labels.pin', 'env:*_PASSWORD'] },
  { label: 'shop.token', fields: ['widgets.example.com:spec.users[*].token', 'annotations:example.com/token'] },
];
const CONFIG = '/api/v1/namespaces/shop/configmaps';
const WIDGETS = '/apis/example.com/v1/namespaces/shop/widgets';
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const meta = { name: 'a', namespace: 'shop', annotations: { 'example.com/token': CANARY } };
const config = { apiVersion: 'v1', kind: 'ConfigMap', metadata: meta, data: { password: CANARY, user: 'ann' } };
const applied = {
  ...config,
  metadata: { ...meta, annotations: { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(config) } },
};
const widget = (version: string): object => ({
  apiVersion: `example.com/${version}`,
  kind: 'Widget',
  metadata: {
    name: 'w',
    managedFields: [{ manager: 'x', fieldsV1: { 'f:spec': { 'f:users': { [`k:{"token":"${CANARY}"}`]: { '.': {} } } } } }],
  },
  spec: { users: [{ name: 'ann', token: CANARY }] },
});
const table = (kind: string, cells: unknown[], object: object): object => ({
  kind: 'Table',
  apiVersion: 'meta.k8s.io/v1',
  columnDefinitions: [
    { name: 'Name', type: 'string' },
    { name: 'Users', type: 'string' },
  ],
  rows: [{ cells, object: { ...object, kind } }],
});
const pod = { spec: { containers: [{ name: 'app', env: [{ name: 'DB_PASSWORD', value: CANARY }] }] } };

let standIn: StandIn;
let governed: Governed;
beforeAll(async () => {
  standIn = await startStandIn();
  governed = await start();
});
afterAll(async () => {
  await governed?.[Symbol.asyncDispose]();
  await standIn?.[Symbol.asyncDispose]();
});
const start = (mods: Partial<Spec> = {}): Promise<Governed> =>
  startGoverned({
    upstream: standIn.address,
    ca: standIn.ca,
    credential: { token: 'of-the-owner' },
    rules: RULES,
    sensitive: SENSITIVE,
    kubernetes: { own: true },
    cluster: { namespace: '', governed: ['shop'], secrets: [] },
    ...mods,
  });

/** The warning that an agent gets with an answer that has this one. */
async function warned(warning: string, target: string): Promise<string | undefined> {
  standIn.answers((_, response) => response.writeHead(200, { 'content-type': 'application/json', warning }).end('{}'));
  return (await askThrough(governed, target)).headers.warning;
}

describe('what an owner labelled', () => {
  it.each<[form: string, target: string, answer: object]>([
    ['in an object', `${CONFIG}/a`, config],
    [
      'in a list, whose items have no kind',
      CONFIG,
      { kind: 'ConfigMapList', items: [config, { metadata: meta, data: config.data }] },
    ],
    ['in an event of a watch', `${CONFIG}?watch=true`, { type: 'ADDED', object: config }],
    ['in what was applied last', `${CONFIG}/a`, applied],
    ['as metadata alone', `${CONFIG}/a`, { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: meta }],
    ['in a list of metadata', CONFIG, { kind: 'PartialObjectMetadataList', items: [{ metadata: meta }] }],
    ['in rows of a table, and their columns', WIDGETS, table('PartialObjectMetadata', ['w', CANARY], { metadata: meta })],
    ['in rows that hold whole objects', WIDGETS, table('Widget', ['w', `ann:${CANARY}`], widget('v1'))],
    ['in a list, with keys of managedFields', `${WIDGETS}/w`, widget('v1')],
    ['in another version of its kind', WIDGETS.replace('v1', 'v2beta1'), { kind: 'WidgetList', items: [widget('v2beta1')] }],
    [
      'in the same kind of another group',
      '/apis/other.io/v1/namespaces/shop/configmaps/a',
      { ...config, apiVersion: 'other.io/v1' },
    ],
    [
      'in an object within another',
      '/apis/work.io/v1/namespaces/shop/works/w',
      { kind: 'Work', spec: { manifests: [config, widget('v1')] } },
    ],
    [
      'in the template of another',
      '/apis/apps/v1/namespaces/shop/deployments/d',
      { kind: 'Deployment', spec: { template: pod } },
    ],
    [
      'in the reason of a refusal',
      `${CONFIG}/a`,
      { kind: 'Status', status: 'Failure', message: `data.password: Invalid value: "${CANARY}": too short`, code: 422 },
    ],
  ])('is hidden %s', async (_, target, answer) => {
    standIn.answers(asJson(answer));
    const { status, text } = await askThrough(governed, target);
    expect(status).toBe(200);
    expect(text).not.toContain(CANARY);
    expect(text).toContain('*****');
  });

  it('is in no warning about such an object, and other warnings are shown', async () => {
    const quoting = `299 - "data.password: Invalid value: ${CANARY}: is short"`;
    expect(await warned(quoting, `${CONFIG}/a`)).toBeUndefined();
    expect(await warned('299 - "v1 ComponentStatus is deprecated"', `${CONFIG}/a`)).toContain('deprecated');
  });

  it('is shown to whom its owner and a policy let see it, and the rest is not', async () => {
    await using revealed = await start({
      grant: { reveal: ['shop.password'] },
      policy: { reveal: ['shop.password', 'shop.token'] },
    });
    standIn.answers(asJson(config));
    expect(JSON.parse((await askThrough(revealed, `${CONFIG}/a`)).text)).toMatchObject({
      data: { password: CANARY },
      metadata: { annotations: { 'example.com/token': '*****' } },
    });
  });

  it('is in no record of what is written, whatever the body is', async () => {
    standIn.answers(asJson(config));
    const bodies: [string, string, object][] = [
      ['POST', 'application/json', config],
      ['PATCH', 'application/merge-patch+json', { data: { password: CANARY } }],
      ['PATCH', 'application/json-patch+json', [{ op: 'add', path: '/data/password', value: CANARY }]],
      ['PATCH', 'application/json-patch+json', [{ op: 'add', path: '/spec/containers/-1/env/-1/value', value: CANARY }]],
      ['PATCH', 'application/json-patch+json', [{ op: 'add', path: '/data', value: { password: CANARY } }]],
    ];
    for (const [method, type, body] of bodies) {
      const target = method === 'POST' ? CONFIG : `${CONFIG}/a`;
      const asking: Asking = { method, headers: { 'content-type': type }, body: JSON.stringify(body) };
      expect(await askThrough(governed, target, asking)).toMatchObject({ status: 200 });
    }
    const texts = governed.of('action').map(({ text = '' }) => text);
    expect(texts.filter((text) => text.includes('/configmaps') && text.includes('*****'))).toHaveLength(bodies.length);
    expect(JSON.stringify([governed.records, governed.logged])).not.toContain(CANARY);
  });

  it('of which a field cannot be read opens no session', async () => {
    await using broken = await start({ unreadable: 'pods' });
    standIn.answers(asJson(config));
    expect(await askThrough(broken, `${CONFIG}/a`)).toMatchObject({ status: 503, codes: ['ResourceNotReady'] });
    expect(standIn.seen).toEqual([]);
  });
});

describe('what Secrets hold', () => {
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'db' },
    data: { password: base64(CANARY), user: base64(CANARY) },
  };
  const SECRET = '/api/v1/namespaces/shop/secrets/db';
  it.each<[what: string, mods: Partial<Spec>, value: unknown]>([
    [
      'is shown as the policy says: in part',
      { policy: { masking: [{ label: 'kubernetes.secret', strategy: { partial: { last: 4 } } }] } },
      base64('********4lue'),
    ],
    [
      'is shown by hash, equal ones alike',
      { policy: { masking: [{ label: 'kubernetes.secret', strategy: { hash: {} } }] } },
      expect.not.stringMatching(/^KioqKio=$/),
    ],
    ['stays hidden where its owner does not let it be revealed', { policy: { reveal: ['kubernetes.secret'] } }, base64('*****')],
    [
      'is revealed where both say so',
      { policy: { reveal: ['kubernetes.secret'] }, grant: { reveal: ['kubernetes.secret'] } },
      base64(CANARY),
    ],
  ])('%s', async (_, mods, value) => {
    await using at = await start(mods);
    standIn.answers(asJson(secret));
    const { data } = JSON.parse((await askThrough(at, SECRET)).text) as { data: Record<string, string> };
    expect(data).toEqual({ password: value, user: value });
    expect(data['user']).toBe(data['password']);
  });
});

describe('a question that would tell a hidden value', () => {
  const patch = (operations: object[], target = `${CONFIG}/a`): [string, Asking] => [
    target,
    { method: 'PATCH', headers: { 'content-type': 'application/json-patch+json' }, body: JSON.stringify(operations) },
  ];
  const SECRET = '/api/v1/namespaces/shop/secrets/db';
  it.each<[what: string, asked: [string, Asking?], code: string]>([
    ['a field selector', [`${WIDGETS}?fieldSelector=spec.users.token%3Dx`], 'InferenceLimited'],
    [
      'a field selector of a watch',
      [`${WIDGETS}?watch=true&fieldSelector=metadata.name%3Da,spec.users.token!%3Dx`],
      'InferenceLimited',
    ],
    ['a label selector', [`${CONFIG}?labelSelector=app%3Da,pin+in+(1,2)`], 'InferenceLimited'],
    ['a label selector that asks for none', [`${CONFIG}?labelSelector=!pin`], 'InferenceLimited'],
    ['a selector of what is deleted', [`${CONFIG}?labelSelector=pin%3D1`, { method: 'DELETE' }], 'InferenceLimited'],
    ['a test of a value', patch([{ op: 'test', path: '/data/password', value: 'x' }]), 'InferenceLimited'],
    ['a test of a map', patch([{ op: 'test', path: '/data', value: { password: 'x' } }]), 'InferenceLimited'],
    ['a test of the whole', patch([{ op: 'test', path: '', value: {} }]), 'InferenceLimited'],
    [
      'a test of what was applied last',
      patch([{ op: 'test', path: '/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration', value: '{}' }]),
      'InferenceLimited',
    ],
    [
      'a test of a variable, from the end of its list',
      patch([{ op: 'test', path: '/spec/containers/-1/env/-1/value', value: 'x' }], '/api/v1/namespaces/shop/pods/a'),
      'InferenceLimited',
    ],
    ['a test in a list', patch([{ op: 'test', path: '/spec/users/0/token', value: 'x' }], `${WIDGETS}/w`), 'InferenceLimited'],
    ['a test of a Secret', patch([{ op: 'test', path: '/data/password', value: 'x' }], SECRET), 'InferenceLimited'],
    [
      'a removal by a key that holds a value',
      patch([{ op: 'remove', path: '/metadata/managedFields/0/fieldsV1/f:spec/f:users/k:{"token":"x"}' }], `${WIDGETS}/w`),
      'InferenceLimited',
    ],
    ['a copy', patch([{ op: 'copy', from: '/data/password', path: '/data/shown' }]), 'LabelledValueWrite'],
    ['a move of what is around it', patch([{ op: 'move', from: '/data', path: '/binaryData' }]), 'LabelledValueWrite'],
    [
      'a copy within a Secret',
      patch([{ op: 'copy', from: '/data/a', path: '/metadata/labels/a' }], SECRET),
      'LabelledValueWrite',
    ],
  ])('is refused: %s', async (_, asked, code) => {
    standIn.answers(asJson({ kind: 'Status', status: 'Success' }));
    expect(await askThrough(governed, ...asked)).toMatchObject({ status: 403, codes: [code] });
    expect(standIn.seen).toEqual([]);
  });

  it.each<[what: string, asked: [string, Asking?]]>([
    ['a field selector of what is shown', [`${CONFIG}?fieldSelector=metadata.name%3Da`]],
    ['a label selector of what is shown', [`${CONFIG}?labelSelector=app%3Da`]],
    [
      'a test of the version',
      patch([
        { op: 'test', path: '/metadata/resourceVersion', value: '1' },
        { op: 'replace', path: '/data/user', value: 'bob' },
      ]),
    ],
    ['a removal', patch([{ op: 'remove', path: '/data/password' }])],
  ])('is no other one: %s', async (_, asked) => {
    standIn.answers(asJson({ kind: 'ConfigMap', items: [] }));
    expect(await askThrough(governed, ...asked)).toMatchObject({ status: 200 });
  });
});
