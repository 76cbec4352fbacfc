import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mkdtemp, rm } from 'node:fs/promises';

/** What the sidecar's image runs (docs/adr/0016). Within the repository, where libpg-query is found. */
const root = resolve(import.meta.dirname, '..');
let bundle: string;

beforeAll(async () => {
  bundle = await mkdtemp(join(root, 'node_modules/.bundle-'));
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-b', 'sidecar'], { cwd: root });
  execFileSync(process.execPath, [join(root, 'scripts/bundle.ts'), bundle], { cwd: root, stdio: 'ignore' });
});
afterAll(() => rm(bundle, { recursive: true, force: true }));

test('the bundled sidecar is one program: no other within it would take itself for the one that runs', () => {
  const text = readFileSync(join(bundle, 'main.js'), 'utf8');
  expect(text.match(/import\.meta\.main/g)).toHaveLength(1);
});

test('the bundled sidecar has nothing of what verifies decisions of people', () => {
  const text = readFileSync(join(bundle, 'main.js'), 'utf8');
  const found = ['chaperone-approval-1', 'chaperone.dev/decision/v1', 'verifyAuthenticationResponse', 'webauthn.get'];
  expect(found.filter((part) => text.includes(part))).toEqual(['chaperone-approval-1']);
});

test('the bundled sidecar runs as the compiled one does', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(bundle, 'main.js')], {
    encoding: 'utf8',
    env: {},
    timeout: 20_000,
  });
  expect([status, stdout, stderr]).toEqual([
    1,
    '',
    'chaperone-sidecar: CHAPERONE_OPERATOR is missing; CHAPERONE_OPERATOR_CA is missing (ConfigurationInvalid)\n',
  ]);
});

test("the parser's thread stands beside it and parses", () => {
  const program = `
    import { Worker } from 'node:worker_threads';
    const worker = new Worker(new URL(${JSON.stringify(`file://${bundle}/worker.js`)}), { env: {}, execArgv: [] });
    worker.on('message', (reply) => {
      if (reply.type === 'ready') return worker.postMessage({ id: 1, sql: 'select 1 from t', want: 'classify' });
      process.stdout.write(JSON.stringify([reply.type, reply.statements.length]));
      worker.terminate();
    });`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', timeout: 20_000 });
  expect(JSON.parse(stdout)).toEqual(['classified', 1]);
  expect(readFileSync(join(bundle, 'main.js'), 'utf8')).toContain('./worker');
});
