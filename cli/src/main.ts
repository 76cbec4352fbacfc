#!/usr/bin/env node
import { safeJson } from '@chaperone/api/text';
import { asCliError, EXIT, errorObject, renderError } from './errors.ts';
import { processIo } from './io.ts';
import { colourWhen, painter, wantsColour } from './paint.ts';
import { runProgram } from './program.ts';

const io = processIo();
const argv = process.argv.slice(2);
// Whoever reads our output may stop reading (head, less): that is no fault. A proxy goes on serving.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (argv[0] !== 'up') process.exit(code === 'EPIPE' ? (process.exitCode ?? EXIT.ok) : EXIT.failed);
});
process.stderr.on('error', () => undefined);

/** Asks for JSON, as one document or line by line, in any of the forms that the parser takes, also where the command line as a whole is wrong. */
function wantsJson(): boolean {
  return argv.some(
    (arg, at) => /^(-o|--output=)jsonl?$/.test(arg) || (/^jsonl?$/.test(arg) && /^(-o|--output)$/.test(argv[at - 1] ?? '')),
  );
}

try {
  await runProgram(argv, {
    io,
    // bin/chaperone gives the name it was called by.
    name: process.title.startsWith('kubectl-') ? 'kubectl chaperone' : 'chaperone',
    stopped: () => new Promise((resolve) => void process.once('SIGTERM', () => resolve()).once('SIGINT', () => resolve())),
    openCluster: async (flags) =>
      (await import('./cluster/client.ts')).openClusterTransport(flags, {
        env: io.env,
        onNotice: (text) => void io.err.write(`${text}\n`),
      }),
    exit: (code) => {
      process.exitCode = code;
    },
  });
} catch (error) {
  const shown = asCliError(error);
  process.exitCode = shown.exit;
  const paint = painter(wantsColour(colourWhen(argv), io.env, io.terminal.err));
  io.err.write(`${wantsJson() ? safeJson(errorObject(shown)) : renderError(shown, paint)}\n`);
}
