import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findProgram, randomSegments, seededRandom } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AnswerMask, type Shape } from './answer.ts';
import { asked } from './answer.test-support.ts';
import { FIELDS, aList, anAccess, aPod, aSecret, planOf } from './objects.test-support.ts';
import { maskWrittenBack } from './written.ts';

const KUBECTL = findProgram('kubectl');
const run = promisify(execFile);
const plan = planOf(anAccess(), FIELDS);
const CANARY = 'hunter2';
const NAMESPACE = '/api/v1/namespaces/shop';
const resource = (name: string, kind: string): unknown => ({
  name,
  singularName: '',
  namespaced: true,
  kind,
  verbs: ['get', 'list', 'watch', 'patch'],
});
const DISCOVERY: Readonly<Record<string, unknown>> = {
  '/api': { kind: 'APIVersions', versions: ['v1'] },
  '/apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: [] },
  '/api/v1': {
    kind: 'APIResourceList',
    groupVersion: 'v1',
    resources: [resource('secrets', 'Secret'), resource('pods', 'Pod'), resource('events', 'Event')],
  },
};
const lastPage = (kind: string, items: readonly unknown[]): unknown => ({
  ...aList(kind, items),
  metadata: { resourceVersion: '7' },
});
const PAGES = [aList('Pod', [aPod(1, CANARY), aPod(2, CANARY)]), lastPage('Pod', [aPod(3, CANARY)])];

/** What an API server answers; undefined: no such thing. */
function answerTo(path: string, query: URLSearchParams): readonly [what: string, shape: Shape, answer: unknown] | undefined {
  switch (path) {
    case `${NAMESPACE}/secrets/db`:
      return ['secrets', 'object', aSecret(CANARY)];
    case `${NAMESPACE}/secrets`:
      return ['secrets', 'list', lastPage('Secret', [aSecret(CANARY, true)])];
    case `${NAMESPACE}/pods`:
      return ['pods', 'list', PAGES[query.has('continue') ? 1 : 0]];
    case `${NAMESPACE}/events`:
      return ['events', 'list', lastPage('Event', [])];
    default:
      return undefined;
  }
}

describe.skipIf(KUBECTL === undefined)('kubectl, of what is masked,', () => {
  let server: Server;
  let directory: string;
  const written: unknown[] = [];

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://cluster');
    const found = answerTo(pathname, searchParams);
    response.setHeader('content-type', 'application/json');
    if (request.method === 'PATCH') written.push(JSON.parse(Buffer.concat(await request.toArray()).toString()));
    if (found === undefined) {
      response.statusCode = Object.hasOwn(DISCOVERY, pathname) ? 200 : 404;
      response.end(
        JSON.stringify(
          DISCOVERY[pathname] ?? { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound', code: 404 },
        ),
      );
      return;
    }
    const [what, shape, answer] = found;
    const mask = new AnswerMask(plan, asked(what), shape);
    for (const chunk of randomSegments(Buffer.from(JSON.stringify(answer)), seededRandom(1), 1000))
      response.write(mask.push(chunk));
    response.end(mask.end());
  }

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'kubectl-'));
    server = createServer(
      (request, response) => void serve(request, response).catch((error: unknown) => response.destroy(error as Error)),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  });

  async function kubectl(...words: readonly string[]): Promise<string> {
    const { port } = server.address() as AddressInfo;
    const flags = [
      `--server=http://127.0.0.1:${port}`,
      '--kubeconfig=/dev/null',
      `--cache-dir=${join(directory, 'cache')}`,
      '--namespace=shop',
    ];
    const { stdout } = await run(KUBECTL ?? '', [...flags, ...words], { timeout: 60_000 });
    expect(stdout).not.toContain(CANARY);
    expect(stdout).not.toContain(Buffer.from(CANARY).toString('base64'));
    return stdout;
  }

  it('describes a Secret: its values are base64 still', async () => {
    const shown = await kubectl('describe', 'secret', 'db');
    for (const key of ['password', 'username']) expect(shown).toContain(`${key}:  5 bytes`);
  });

  it('prints Secrets, and pods of a list that comes in pages', async () => {
    expect(JSON.parse(await kubectl('get', 'secrets', '-o', 'json')).items[0].data).toEqual({
      password: 'KioqKio=',
      username: 'KioqKio=',
    });
    const pods = JSON.parse(await kubectl('get', 'pods', '-o', 'json', '--show-managed-fields'));
    expect(pods.items).toHaveLength(3);
    expect(pods.items[2].metadata.managedFields).toEqual((aPod(3)['metadata'] as { managedFields: unknown }).managedFields);
    expect(pods.items[2].spec.containers[0].env[1]).toEqual({ name: 'DB_PASSWORD', value: '*****' });
  });

  it('applies over what was applied before, and only what the agent itself wrote', async () => {
    const file = join(directory, 'secret.json');
    const body = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'db' }, stringData: { password: 'new' } };
    writeFileSync(file, JSON.stringify(body));
    await kubectl('apply', '--validate=false', '-f', file);
    expect(written.map((patch) => maskWrittenBack(patch))).toEqual([undefined]);
    // What it saw, with one more key: kubectl writes the difference alone, and the whole into its annotation.
    writeFileSync(
      file,
      JSON.stringify({ ...JSON.parse(await kubectl('get', 'secret', 'db', '-o', 'json')), stringData: { more: 'a' } }),
    );
    await kubectl('apply', '--validate=false', '-f', file);
    expect(maskWrittenBack(written.at(-1))).toContain('.metadata.annotations.');
  });
});
