import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { generatedFiles } from '../api/src/generate.ts';

// Writes crds/ and docs/reference/ from the sources of the API: npm run generate.
const root = join(import.meta.dirname, '..');
for (const { path, text } of generatedFiles()) {
  const target = join(root, path);
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, text);
  process.stdout.write(`wrote ${path}\n`);
}
