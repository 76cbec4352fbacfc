import { CODES, explain, RETRY_ADVICE } from '@chaperone/api/codes';
import type { Command } from 'commander';
import { CliError, EXIT, EXIT_MEANING } from '../errors.ts';
import type { ProgramOptions } from '../program.ts';
import { withExamples } from './common.ts';

export function addExplain(program: Command, { io }: ProgramOptions): void {
  const command = program
    .command('explain [CODE]')
    .description('Say what a code means and how to mend it (offline)')
    .addHelpText('after', '\nWithout CODE it lists every code; ExitCodes explains those.')
    .action(
      (code: string | undefined) => void io.out.write(`${code === undefined ? Object.keys(CODES).join('\n') : page(code)}\n`),
    );
  withExamples(command, 'chaperone explain NoRuleAllows', 'chaperone explain ExitCodes');
}

function page(code: string): string {
  if (code.toLowerCase() === 'exitcodes')
    return Object.entries(EXIT_MEANING)
      .map(([name, text]) => `${String(EXIT[name as keyof typeof EXIT]).padStart(3)}  ${text}`)
      .join('\n');
  const found = explain(code);
  if (!found.found) {
    const hint = found.suggestion === undefined ? '' : `; did you mean "${found.suggestion}"?`;
    throw new CliError('NotFound', `there is no code ${code.slice(0, 60)}${hint}`, {
      exit: EXIT.notFound,
      fix: ['chaperone explain'],
    });
  }
  const { what, why, fix, retry, example } = found.entry;
  return `${found.code}\n\n  what     ${what}\n  why      ${why}\n  fix      ${fix}\n  retry    ${RETRY_ADVICE[retry]}\n  example  ${example}`;
}
