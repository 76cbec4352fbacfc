import { posix } from 'node:path';
import { each, type Finding, type Judge, OPTION, PLAIN, plainIf, READS_CODE, runs } from './finding.ts';
import { parseArguments } from './options.ts';

/** A file with code, which the words name. What it holds is not seen; these are no files, but what somebody sends. */
const STREAMED = /^\/(dev|proc)\/|(^|\/)(stdin|fd\/[0-9]+|[0-9]+)$/;
const FILE = /^[\w./][\w./@+-]*$/;
/** What a program does with a file of code by that name; without one it reads code from its input. */
function ofFile(word: string | undefined): Finding {
  if (word === undefined || word === '-') return READS_CODE;
  const path = posix.normalize(word).replace(/^\/+/, '/');
  if (STREAMED.test(path)) return READS_CODE;
  return plainIf(FILE.test(word) && !path.startsWith('..'));
}

/**
 * Shells and languages. The text behind `sh -c` is read as any command of SSH; code of other languages is not told. A file of code
 * counts as what its words say: who may run it is who may run what is in it.
 */
export const INTERPRETERS: Readonly<Record<string, Judge>> = {
  ...each('sh bash dash ash ksh ksh93 mksh zsh yash posh rbash', shell),
  ...each(
    'hush lash msh csh tcsh fish pwsh elvish nu xonsh lksh rksh rzsh oksh loksh rc es osh ysh oil ion murex ngs nsh scsh closh',
    () => OPTION,
  ),
  su: otherUser,
  runuser: (args) => (/^(-u|--user)/.test(args[0] ?? '') ? asUser(args) : otherUser(args)),
  ...each('python pypy', python),
  perl: file('w', 'v', '--version'),
  ruby: file('w', 'v', '--version'),
  ...each('node nodejs', file('', 'v', '--version')),
  php: file('n', 'v', '--version'),
  ...each('lua luajit', file('E', 'v', '--version')),
  ...each(
    `Rscript R tclsh wish guile racket sbcl ocaml ghci runghc irb jshell java scala groovy groovysh kotlin julia octave erl elixir iex hy coffee
    osascript micropython gjs qjs mujs duk jsc swipl maxima`,
    () => OPTION,
  ),
  make,
  npm,
};

/** `sh -c TEXT`, with options that change nothing of how it is read; `sh FILE WORDS…`. */
function shell(args: readonly string[]): Finding {
  let at = 0;
  let isText = false;
  for (; /^-[^-]/.test(args[at] ?? '') || args[at] === '--login'; at++) {
    if (args[at] === '--login') continue;
    if (isText || !/^-[celsu]+$/.test(args[at] ?? '')) return OPTION;
    if (args[at]?.includes('s')) return READS_CODE;
    isText = args[at]?.includes('c') ?? false;
  }
  const [first, ...rest] = args.slice(at);
  // Words behind the text are only reached by $1, which is not read.
  if (isText) return first === undefined || /^[-+]/.test(first) || rest.length > 0 ? OPTION : { kind: 'script', text: first };
  return ofFile(first);
}

/** `su [-] USER -c TEXT`: the shell of that user reads it. */
function otherUser(args: readonly string[]): Finding {
  const words = args.filter((word) => word !== '-');
  const found = parseArguments(words, { flags: 'l', values: 'c', long: 'login command=' });
  const texts = found?.options.filter(([name]) => name === 'c' || name === 'command') ?? [];
  const [text] = texts;
  if (found === undefined || text === undefined || texts.length > 1 || found.operands.length > 1) return OPTION;
  return { kind: 'script', text: text[1] };
}

/** `runuser -u USER -- WORDS…`. Without the dashes it would take options of the program for its own. */
function asUser(args: readonly string[]): Finding {
  const at = args.indexOf('--');
  const found = parseArguments(args.slice(0, at), { flags: 'mp', values: 'ugG', long: 'user= group= supp-group=' });
  return at < 0 || found?.operands.length !== 0 ? OPTION : runs(args.slice(at + 1));
}

function file(flags: string, version: string, longVersion: string): Judge {
  return (args) => {
    if (args.length === 1 && (args[0] === `-${version}` || args[0] === longVersion)) return PLAIN;
    const found = parseArguments(args, { flags, inFront: true });
    return found === undefined ? OPTION : ofFile(found.operands[0]);
  };
}

/** Modules that read no code from their words. */
const MODULES = /^(pytest|unittest|json[.]tool|py_compile|compileall|mypy|ruff|black|flake8)$/;

function python(args: readonly string[], name: string): Finding {
  const module = args[0] === '-m' ? args[1] : undefined;
  return module === undefined ? file('BEIsSu', 'V', '--version')(args, name) : plainIf(MODULES.test(module));
}

/** What a Makefile says is run, as what is in a script. Variables would change it. */
function make(args: readonly string[]): Finding {
  const found = parseArguments(args, {
    flags: 'ksnBq',
    values: 'Cj',
    long: 'silent dry-run keep-going directory= jobs[=] no-print-directory',
  });
  return plainIf(found?.operands.every((target) => /^[\w./-]+$/.test(target)) ?? false);
}

/** What package.json says is run. */
function npm(args: readonly string[]): Finding {
  const [verb, ...words] = args;
  if (!words.every((word) => /^[\w:./@][\w:./@-]*$/.test(word))) return OPTION;
  if (/^(test|ci|ls|outdated|audit|version)$/.test(verb ?? '')) return plainIf(words.length === 0);
  return plainIf(/^run(-script)?$/.test(verb ?? '') && words.length === 1);
}
