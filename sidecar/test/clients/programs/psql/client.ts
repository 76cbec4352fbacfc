import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { say } from '../step.ts';

/** Runs psql once over steps.sql, with marks on both of its outputs between the steps. */
const MARK = '@@step ';
const [psql = 'psql', steps = join(import.meta.dirname, 'steps.sql')] = process.argv.slice(2);
const script = readFileSync(steps, 'utf8').replaceAll(/^-- step: (.*)$/gm, (_, name: string) => {
  const mark = `'${MARK}${name.replaceAll('\\', '\\\\')}'`;
  return `\\echo ${mark}\n\\warn ${mark}`;
});
const settings = ['VERBOSITY=verbose', 'ON_ERROR_STOP=0'].flatMap((setting) => ['-v', setting]);
const { stdout, stderr, error } = spawnSync(psql, ['-X', '-q', ...settings, '-P', 'null=(null)', '-P', 'pager=off', '-f', '-'], {
  input: script,
  encoding: 'utf8',
  maxBuffer: 1 << 26,
});
if (error !== undefined) throw error;

function parts(output: string): Map<string, string> {
  const [before = '', ...found] = output.split(new RegExp(`^${MARK}`, 'm'));
  if (before !== '') throw new Error(`psql said before the first step: ${before}`);
  return new Map(found.map((part) => [part.slice(0, part.indexOf('\n')), part.slice(part.indexOf('\n') + 1)]));
}
say({
  step: 'client',
  result: spawnSync(psql, ['--version'], { encoding: 'utf8' })
    .stdout.replace(/^.*\) /, '')
    .trim(),
});
const said = parts(stderr);
for (const [step, output] of parts(stdout)) {
  // \watch says when, and databases grow.
  const text = output.replaceAll(/^.* \(every 0\.01s\)$/gm, '(every 0.01s)').replaceAll(/\d{4} kB/g, 'size');
  // Where in its own source the server found an error is no part of it.
  const complaint = (said.get(step) ?? '').replaceAll(/^LOCATION: .*\n/gm, '').replaceAll(/^psql:<stdin>:\d+: /gm, '');
  const found = /^(?:error: )?(?:ERROR|FATAL): {2}(?:(\w{5}): )?([^\n]*)/m.exec(complaint);
  if (found !== null) say({ step, error: { sqlstate: found[1] ?? '', message: found[2] ?? '' } });
  else say({ step, result: complaint === '' ? text : [text, complaint] });
}
