import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { generatedFiles } from '../api/src/generate.ts';
import { PAGE, page, readResults } from './bypasses/page.ts';

// Writes crds/ and docs/reference/ from the sources of the API, and docs/security/bypasses.md from what its tests showed: npm run generate.
const root = join(import.meta.dirname, '..');
for (const { path, text } of [...generatedFiles(), { path: PAGE, text: page(readResults()) }]) {
  const target = join(root, path);
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, text);
  process.stdout.write(`wrote ${path}\n`);
}
