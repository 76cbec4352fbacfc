import { PassThrough } from 'node:stream';
import { text as readText } from 'node:stream/consumers';
import { type Collector, createCollector, createTokenAccess } from '@chaperone/collector';
import { generateSigner, type KubernetesCall } from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { beforeAll, expect, test } from 'vitest';
import { CollectorClient } from '../collector/client.ts';
import type { Io } from '../io.ts';
import { finished, recordSession, type Step } from '../recorded.test-support.ts';
import { replaySession, showSession } from './sessions.ts';

const enrolment = generateSigner();
const trust = { origin: 'test/kubernetes', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
const RUN = { command: 'kubectl apply', run: '1f2e3d4c-0000-4000-8000-000000000000' };
const MAPS = '/api/v1/namespaces/shop/configmaps';

const call = (mods: Partial<KubernetesCall> = {}): KubernetesCall => ({
  verb: 'list',
  group: '',
  version: 'v1',
  resource: 'configmaps',
  subresource: '',
  namespace: 'shop',
  name: '',
  dryRun: false,
  userAgent: 'kubectl/v1.34.1 (linux/amd64) kubernetes/93248f9',
  ...mods,
});
const asks = (
  action: number,
  text: string,
  kubernetes: KubernetesCall | undefined,
  verdict: 'allow' | 'deny' | 'approve' = 'allow',
): Step => ({
  after: 400,
  body: {
    type: 'action',
    action,
    text,
    bytes: Buffer.byteLength(text),
    verdict,
    code: verdict === 'deny' ? 'NoRuleAllows' : 'Allowed',
    reason: 'because',
    effects: [],
    ...(kubernetes !== undefined && { kubernetes }),
  },
});
const STEPS: Step[] = [
  asks(0, 'GET /apis?timeout=32s', undefined),
  finished(0, '200', { bytes: 20 }),
  asks(1, `GET ${MAPS}`, call()),
  finished(1, '200 audit-id a-1', { bytes: 2_000 }),
  asks(
    2,
    `PATCH /apis/apps/v1/namespaces/shop/deployments/web/scale\nspec:\n  replicas: 3`,
    call({ verb: 'patch', group: 'apps', resource: 'deployments', subresource: 'scale', name: 'web', ...RUN }),
    'approve',
  ),
  {
    after: 5_000,
    body: {
      type: 'approval',
      action: 2,
      request: 'ar-7f3kq2mzt4hcnw5e',
      digest: '',
      state: 'Released',
      waitedMs: 5_000,
      change: ['  spec:', '-   replicas: 2', '+   replicas: 3'],
      decisions: [{ by: 'jane@corp', decision: 'Approve', at: '2026-01-01T12:00:00Z', assurance: 'signed' }],
    },
  },
  finished(2, '200 audit-id a-2', { bytes: 300 }),
  asks(3, `POST ${MAPS}?dryRun=All\ndata:\n  a: "1"\n  b: "\\u202e\u202e"`, call({ verb: 'create', name: 'new', dryRun: true })),
  finished(3, '201 audit-id a-3', { bytes: 10 }),
  asks(4, `DELETE ${MAPS}/x`, call({ verb: 'delete', name: 'x' }), 'deny'),
  asks(5, `POST ${MAPS}\n${'data: x\n'.repeat(100)}`, call({ verb: 'create', name: 'long', userAgent: '\u001b[2Jme' })),
  finished(5, '201 audit-id a-4'),
];

let client: CollectorClient;
let name: string;
beforeAll(async () => {
  const directory = await temporaryDirectory();
  const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const collector: Collector = await createCollector({
    directory: directory.path,
    trust,
    access: createTokenAccess('t'),
    logger,
  });
  name = await recordSession({ collector, origin: trust.origin, enrolment, steps: STEPS, protocol: 'kubernetes' });
  client = new CollectorClient({
    fetch: (path) =>
      Promise.resolve(collector.fetch(new Request(`http://collector${path}`, { headers: { authorization: 'Bearer t' } }))),
    trust: () => Promise.resolve(trust),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
  return async () => {
    await collector.close();
    await directory[Symbol.asyncDispose]();
  };
});

async function said(work: (io: Io) => Promise<void>): Promise<string> {
  const out = new PassThrough();
  const io: Io = {
    in: new PassThrough(),
    out,
    err: new PassThrough(),
    env: {},
    now: () => Date.now(),
    terminal: { in: false, out: false, err: false },
  };
  const read = readText(out);
  await work(io);
  out.end();
  return read;
}
const show = (output: 'table' | 'json'): Promise<string> =>
  said((io) => showSession(client, name, { output, paint: (_, text) => text, again: (command) => command }, io));

test('a session of the Kubernetes API is shown as a log of its requests', async () => {
  const lines = (await show('table')).split('\n');
  const table = lines.slice(lines.findIndex((line) => line.startsWith('ACTION')));
  expect(table.slice(0, 7).map((line) => line.split(/ {2,}/).map((cell) => cell.trim()))).toEqual([
    ['ACTION', 'VERDICT', 'STATUS', 'BYTES', 'DECIDED', 'VERB', 'RESOURCE', 'OBJECT', 'AUDIT-ID', 'CLIENT'],
    ['0', 'allow', '200', '20', '-', 'get', '/apis', '-', '-', '-'],
    ['1', 'allow', '200', '2000', '-', 'list', 'v1/configmaps', 'shop/*', 'a-1', 'kubectl/v1.34.1'],
    [
      '2',
      'approved',
      '200',
      '300',
      'approve by jane@corp, signed',
      'patch',
      'apps/v1/deployments/scale',
      'shop/web',
      'a-2',
      'kubectl apply, run 1f2e3d4c',
    ],
    ['3', 'allow', '201', '10', '-', 'create', 'v1/configmaps', 'shop/new (dry run)', 'a-3', 'kubectl/v1.34.1'],
    ['4', 'deny', 'NoRuleAllows', '-', '-', 'delete', 'v1/configmaps', 'shop/x', '-', 'kubectl/v1.34.1'],
    ['5', 'allow', '201', '0', '-', 'create', 'v1/configmaps', 'shop/long', 'a-4', '\\u{1b}[2Jme'],
  ]);
});

test('what was written is shown in lines: what it changed where people saw that, else what was sent', async () => {
  const out = await show('table');
  expect(out).toContain(
    '2  patch apps/v1/deployments/scale shop/web was to change:\n      spec:\n    -   replicas: 2\n    +   replicas: 3\n',
  );
  expect(out).toContain(
    '3  create v1/configmaps shop/new (dry run) sent:\n    data:\n      a: "1"\n      b: "\\u202e\\u{202e}"\n',
  );
  const long = out.slice(out.indexOf('5  create'));
  expect(long.match(/data: x/g)).toHaveLength(40);
  expect(long).toContain(`    … all of it: chaperone sessions replay ${name}`);
  expect(out).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
});

test('a program gets each request with what it is about and what it changed', async () => {
  const { requests } = JSON.parse(await show('json')) as { requests: { kubernetes?: object; change?: string[] }[] };
  expect(requests).toHaveLength(6);
  expect(requests[2]).toMatchObject({
    kubernetes: { verb: 'patch', group: 'apps', version: 'v1', subresource: 'scale', namespace: 'shop', name: 'web', ...RUN },
    change: ['  spec:', '-   replicas: 2', '+   replicas: 3'],
    ended: '200 audit-id a-2',
  });
});

test('a replay has bodies and changes in lines', async () => {
  const out = await said((io) => replaySession(client, name, { all: false, output: 'table' }, io));
  expect(out).toContain('scale\n                   spec:\n                     replicas: 3\n            approve: because');
  expect(out).toContain('approved after 5.0 s\n                     spec:\n                   -   replicas: 2\n');
});
