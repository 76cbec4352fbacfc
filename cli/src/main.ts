#!/usr/bin/env node
import { basename } from 'node:path';
import { CommanderError } from 'commander';
import { asCliError, errorObject, EXIT, renderError } from './errors.ts';
import { processIo } from './io.ts';
import { runProgram } from './program.ts';

const io = processIo();
// Whoever reads our output may stop reading (head, less): that is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed));
const name = basename(process.argv[1] ?? '').startsWith('kubectl-') ? 'kubectl chaperone' : 'chaperone';
const argv = process.argv.slice(2);

try {
  process.exitCode = await runProgram(argv, {
    io,
    name,
    stopped: () => new Promise((resolve) => void process.once('SIGTERM', resolve).once('SIGINT', resolve)),
    openCluster: async (flags) => (await import('./cluster/client.ts')).openClusterTransport(flags),
  });
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  } else {
    const shown = asCliError(error);
    const json = argv.some(
      (arg, at) =>
        arg === '--output=json' || arg === '-ojson' || (arg === 'json' && ['-o', '--output'].includes(argv[at - 1] ?? '')),
    );
    io.err.write(json ? `${JSON.stringify(errorObject(shown))}\n` : `${renderError(shown)}\n`);
    process.exitCode = shown.exit;
  }
}
