import { each, type Judge, OPTION, PLAIN, runs } from './finding.ts';
import { behind, parseArguments } from './options.ts';

/** Variables that change the form of what a program prints and nothing else. All others may name programs, libraries or code. */
const HARMLESS_VARIABLE =
  /^(LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM|COLUMNS|LINES|NO_COLOR|CI|DEBIAN_FRONTEND|GIT_TERMINAL_PROMPT|GIT_OPTIONAL_LOCKS)=/;
const DURATION = /^[0-9.]{1,9}[smhd]?$/;

/** Programs that run the rest of their words. */
export const WRAPPERS: Readonly<Record<string, Judge>> = {
  env: (args) => {
    const found = parseArguments(args, { flags: 'i', values: 'uC', long: 'ignore-environment unset= chdir=', inFront: true });
    if (found === undefined) return OPTION;
    const program = found.operands.findIndex((word) => !word.includes('='));
    const settings = program < 0 ? found.operands : found.operands.slice(0, program);
    if (!settings.every((setting) => HARMLESS_VARIABLE.test(setting))) return OPTION;
    return program < 0 ? PLAIN : runs(found.operands.slice(program));
  },
  nice: behind({ values: 'n', long: 'adjustment=' }),
  nohup: behind({}),
  setsid: behind({ flags: 'cfw', long: 'ctty fork wait' }),
  stdbuf: behind({ values: 'ioe', long: 'input= output= error=' }),
  ionice: behind({ flags: 't', values: 'cn', long: 'ignore class= classdata=' }),
  chrt: behind({ flags: 'bfior', long: 'batch fifo idle other rr' }, /^[0-9]+$/),
  taskset: behind({ flags: 'c', long: 'cpu-list' }, /^[0-9a-fx,-]+$/),
  timeout: behind({ flags: 'fpv', values: 'ks', long: 'foreground preserve-status verbose kill-after= signal=' }, DURATION),
  flock: behind({ flags: 'nsxueoF', values: 'wE', long: 'nonblock shared exclusive close no-fork wait=' }, /^[^-]/),
  sudo: behind({ flags: 'nHkS', values: 'ug', long: 'non-interactive set-home user= group=' }),
  setpriv: behind({
    long: `no-new-privs nnp ruid= euid= rgid= egid= reuid= regid= clear-groups keep-groups init-groups groups= inh-caps= ambient-caps=
      bounding-set= pdeathsig= reset-env`,
  }),
  doas: behind({ flags: 'n', values: 'u' }),
  ...each('busybox toybox coreutils sbase-box', (args) => (/^[a-z[]/.test(args[0] ?? '') ? runs(args) : OPTION)),
  'ld.so': (args) => (/^[^-]/.test(args[0] ?? '') ? runs(args) : OPTION),
  // In zsh, bash and ksh a reserved word; behind another wrapper a program.
  time: behind({ flags: 'pv' }),
};
