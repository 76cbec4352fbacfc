import { CODES, type Code, explain, RETRY_ADVICE } from '@chaperone/api/codes';
import type { Command } from 'commander';
import { CliError, EXIT, EXIT_MEANING } from '../errors.ts';
import { type DocumentOutput, writeDocument } from '../output.ts';
import type { ProgramOptions } from '../program.ts';
import { outputOption, withExamples } from './common.ts';

interface ExplainFlags {
  readonly output: 'text' | DocumentOutput;
}

export function addExplain(program: Command, { io }: ProgramOptions): void {
  const command = program
    .command('explain [CODE]')
    .description('Say what a code means and how to mend it (offline)')
    .addOption(outputOption('explain', ['text', 'json', 'yaml'], 'json, yaml: one document, a list where there are several'))
    .addHelpText('after', '\nWithout CODE it lists every code; ExitCodes explains those.')
    .action(async (word: string | undefined, { output }: ExplainFlags) => {
      const asked = word === undefined ? ALL : word.toLowerCase() === 'exitcodes' ? EXITS : page(find(word));
      if (output === 'text') io.out.write(`${asked.text}\n`);
      else await writeDocument(io, output, asked.document);
    });
  withExamples(command, 'chaperone explain NoRuleAllows', 'chaperone explain ExitCodes');
}

interface Page {
  readonly text: string;
  readonly document: unknown;
}

const EXITS: Page = {
  text: Object.entries(EXIT_MEANING)
    .map(([name, text]) => `${String(EXIT[name as keyof typeof EXIT]).padStart(3)}  ${text}`)
    .join('\n'),
  document: Object.entries(EXIT_MEANING).map(([name, means]) => ({ exit: EXIT[name as keyof typeof EXIT], means })),
};
const ALL: Page = {
  text: Object.keys(CODES).join('\n'),
  document: Object.keys(CODES).map((code) => documentOf(code as Code)),
};

function find(word: string): Code {
  const found = explain(word);
  if (found.found) return found.code;
  const hint = found.suggestion === undefined ? '' : `; did you mean "${found.suggestion}"?`;
  throw new CliError('NotFound', `there is no code ${word.slice(0, 60)}${hint}`, {
    exit: EXIT.notFound,
    why: 'codes are the words in parentheses at the end of what Chaperone says; exit code 5',
    fix: ['chaperone explain'],
  });
}

function page(code: Code): Page {
  const { what, why, fix, retry, example } = CODES[code];
  const text = `${code}\n\n  what     ${what}\n  why      ${why}\n  fix      ${fix}\n  retry    ${RETRY_ADVICE[retry]}\n  example  ${example}`;
  return { text, document: documentOf(code) };
}

/** The fields of an error as `-o json` writes it, and what is general about the code. Fields only ever grow. */
function documentOf(code: Code): object {
  const { what, why, fix, retry, example } = CODES[code];
  return {
    code,
    what,
    why,
    fix,
    retry,
    advice: RETRY_ADVICE[retry],
    example,
    docs: `docs/reference/codes.md#${code.toLowerCase()}`,
  };
}
