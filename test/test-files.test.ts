import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ALONE, LONG } from '../scripts/test-files.ts';
import { root } from './sources.ts';

it.each([
  ['run alone', ALONE],
  ['begin first', LONG],
])('the files that %s are there, each once', (_, files) => {
  expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  expect(files).toHaveLength(new Set(files).size);
});
