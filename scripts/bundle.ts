import { join } from 'node:path';
import { build } from 'rolldown';

// Joins the compiled sidecar and what it imports into main.js and worker.js, as its image holds them: node scripts/bundle.ts
// DIRECTORY. Some 490 modules fewer to find and keep at each start of a pod (docs/adr/0016). Names stay: stack traces and profiles
// need them. chaperone-init and -verify are no part of it: a program in a shared file would not know that it is the one that runs.
const root = join(import.meta.dirname, '..');
const compiled = join(root, 'sidecar/dist');
const [target] = process.argv.slice(2);
if (target === undefined) throw new Error('usage: node scripts/bundle.ts DIRECTORY');
await build({
  // The parser looks for its thread beside the file that it is in, which is main.js.
  input: {
    main: join(compiled, 'main.js'),
    worker: join(compiled, 'postgres/actions/worker.js'),
  },
  platform: 'node',
  // Its WebAssembly lies beside it.
  external: ['libpg-query'],
  resolve: { conditionNames: ['chaperone-dist', 'node', 'import', 'default'] },
  // Our own modules only declare things: what nobody uses, such as reading YAML, stays out.
  treeshake: { moduleSideEffects: [{ test: /\/(api|policy|evidence|sidecar)\/dist\//, sideEffects: false }] },
  output: {
    dir: target,
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
    minify: { compress: { keepNames: { function: true, class: true } }, mangle: false, codegen: { removeWhitespace: true } },
  },
});
