import { join } from 'node:path';
import { defineConfig } from 'vite';

// What the collector serves: hashed names, no inline script, style or data: address, so that its policy for the page can forbid
// them all. Names of chunks are the routes' own, so that the list of them can be looked at (console/test/size.test.ts).
export default defineConfig({
  root: import.meta.dirname,
  base: '/',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  // The packages of the log ask Node for digests and signatures in one module alone: here this one answers.
  resolve: { alias: [{ find: /^\.{1,2}\/primitives\.ts$/, replacement: join(import.meta.dirname, 'src/verify/primitives.ts') }] },
  worker: { format: 'es', rolldownOptions: { output: { entryFileNames: 'assets/[name]-[hash].js' } } },
  build: {
    target: 'es2023',
    outDir: 'dist',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        entryFileNames: 'assets/[name]-[hash].js',
        chunkFileNames: 'assets/[name]-[hash].js',
        assetFileNames: 'assets/[name]-[hash][extname]',
      },
    },
  },
});
