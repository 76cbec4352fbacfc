import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { say } from '../step.ts';

/** pg_dump in its usual forms, and pg_restore of what the owner dumped (PGRESTORE_FILE names it). */
const [programs = ''] = process.argv.slice(2);
const run = (program: string, ...args: string[]) =>
  spawnSync(join(programs, program), args, { encoding: 'utf8', maxBuffer: 1 << 26 });

function step(name: string, program: string, ...args: string[]): void {
  const { status, stdout, stderr, error } = run(program, ...args);
  if (error !== undefined) throw error;
  if (status === 0) {
    // Each dump has a key of its own, against psql's \! in it.
    return say({ step: name, result: [stdout.replaceAll(/^\\(un)?restrict .*$/gm, ''), stderr] });
  }
  const [, message = stderr] = /(?:ERROR|FATAL): {2}([^\n]*)/.exec(stderr) ?? [];
  say({ step: name, error: { sqlstate: `exit ${status}`, message } });
}

say({
  step: 'client',
  result: run('pg_dump', '--version')
    .stdout.replace(/^.*\) /, '')
    .trim(),
});
step('schema', 'pg_dump', '--schema-only', '--table=public.orders', '--table=public.customers');
step('rows', 'pg_dump', '--data-only', '--table=public.orders');
step('masked rows as inserts', 'pg_dump', '--data-only', '--inserts', '--table=public.customers');
step('restore of rows', 'pg_restore', '--data-only', '--dbname=orders', process.env['PGRESTORE_FILE'] ?? '');
step(
  'restored',
  'psql',
  '-X',
  '-At',
  '-c',
  'select id, word from scratch where id >= 800 order by id',
  '-c',
  'delete from scratch where id >= 800',
);
