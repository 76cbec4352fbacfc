import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

test('the program loads, and without configuration ends with one sentence that names what is missing', () => {
  const main = join(import.meta.dirname, 'main.ts');
  const { status, stdout, stderr } = spawnSync(process.execPath, [main], { encoding: 'utf8', env: {}, timeout: 20_000 });
  expect([status, stdout]).toEqual([1, '']);
  expect(stderr).toBe(
    'chaperone-sidecar: CHAPERONE_OPERATOR is missing; CHAPERONE_OPERATOR_CA is missing (ConfigurationInvalid)\n',
  );
});
