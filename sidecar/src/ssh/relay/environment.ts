import type { Variable } from '../wire/channel-messages.ts';

export const MAX_VARIABLES = 32;
/** Of a name and of a value, bytes. */
const MAX_NAME = 64;
const MAX_VALUE = 128;

/** Names of locales, in no character set but UTF-8: in others a shell could read bytes of a command as something else. */
const LOCALE = /^(C|POSIX|[a-z]{2,3}(_[A-Z]{2})?)([.](UTF-?8|utf-?8))?(@[a-z]{1,16})?$/;
/** By name, what its value may be. */
const PASSED_ON: readonly (readonly [name: RegExp, value: RegExp])[] = [
  [/^(LANG|LC_[A-Z]+)$/, LOCALE],
  [/^TZ$/, /^[A-Za-z0-9_+-]+(\/[A-Za-z0-9_+-]+)*$/],
  [/^GIT_PROTOCOL$/, /^[a-z0-9=:]+$/],
  [/^(COLORTERM|NO_COLOR)$/, /^[A-Za-z0-9]*$/],
];

/**
 * Whether a variable goes to the server: those that say in which language and format output is, and the version of git's protocol. All
 * others could change what a command does (LD_PRELOAD, BASH_ENV, GIT_SSH_COMMAND, PATH), and are left out, whatever the server takes.
 */
export function isPassedOn({ name, value }: Variable): boolean {
  if (name.length > MAX_NAME || value.length > MAX_VALUE) return false;
  const [key, text] = [name.toString('latin1'), value.toString('latin1')];
  return PASSED_ON.some(([names, values]) => names.test(key) && values.test(text));
}
