import { each, type Finding, type Judge, OPTION, PLAIN, plainIf, runs } from './finding.ts';

const BUILTIN: Finding = { kind: 'unknown', code: 'Builtin' };
/** Builtins read what looks like a number as an expression, and expressions of bash, ksh and zsh can run commands: `a[$(…)]`. */
const NUMBER = /^[0-9]{1,9}$/;
const NAME = /^[A-Za-z0-9_.+/][A-Za-z0-9_.+/-]*$/;

/**
 * Builtins of bash, dash, ksh, mksh, busybox, yash, posh and zsh, and names that they define as aliases or functions by themselves.
 * Some have the name of a program as well; what is said here holds for both.
 */
export const BUILTINS: Readonly<Record<string, Judge>> = {
  ...each(
    `. [ [[ alias array autoload bg bind bindkey break builtin bye caller chdir comparguments compadd compcall compctl compdescribe
    compfiles compgen compgroups complete compopt compound compquote compset comptags comptry compvalues continue declare dirs
    disable disown echotc echoti emulate enable enum eval exec exit export fc fg float functions getln getopts global hash help hist
    history integer jobs let limit local log login logout mapfile nameref newgrp popd print private pushd pushln r read readarray
    readonly redirect rehash rename return run-help sched set setopt shift shopt source stop suspend times trap ttyctl typeset
    ulimit unalias unfunction unhash unlimit unset unsetopt vared wait whence where which-command zcompile zformat zle zmodload
    zparseopts zregexparse zstyle`,
    () => BUILTIN,
  ),
  ...each('echo true false pwd', () => PLAIN),
  cd: (args) => plainIf(args.length <= 1 && !args[0]?.startsWith('-') && !args[0]?.startsWith('+')),
  umask: (args) => plainIf(args.every((arg) => /^[0-7]{1,4}$/.test(arg))),
  sleep: (args) => plainIf(args.length === 1 && /^[0-9.]{1,9}[smhd]?$/.test(args[0] ?? '')),
  kill: (args) => {
    const signal = /^-([0-9]{1,2}|[A-Z]{2,9}[12]?)$/.test(args[0] ?? '');
    return plainIf(args.slice(signal ? 1 : 0).every((arg) => NUMBER.test(arg)));
  },
  ...each('type which', (args) => plainIf(args.every((arg) => NAME.test(arg)))),
  command: (args) => {
    if (args[0] === '-v' || args[0] === '-V') return plainIf(args.slice(1).every((arg) => NAME.test(arg)));
    return args[0]?.startsWith('-') ? OPTION : runs(args);
  },
  printf: ([format = '-']) => plainIf(!format.startsWith('-') && !format.replaceAll('%%', '').replaceAll('%s', '').includes('%')),
  test: (args) => plainIf(isTest(args)),
  // mksh has these two of its own as well.
  ...each('cat realpath', () => PLAIN),
};

/** Forms with one operator that compare text or look at a file: their words are no expressions in any shell. */
function isTest(args: readonly string[]): boolean {
  const [first = '', second = '', third = ''] = args;
  if (args.length === 2) return /^-[bcdefghkLnprsSuwxz]$/.test(first);
  if (args.length !== 3 || /^[-(!]/.test(first)) return false;
  if (/^(=|!=|-nt|-ot|-ef)$/.test(second)) return true;
  return /^-(eq|ne|gt|ge|lt|le)$/.test(second) && NUMBER.test(first) && NUMBER.test(third);
}
