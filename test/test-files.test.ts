import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { LONG } from '../scripts/test-files.ts';
import { root } from './sources.ts';

it('the files that begin first are there, each once', () => {
  expect(LONG.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  expect(LONG).toHaveLength(new Set(LONG).size);
});
