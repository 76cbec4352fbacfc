import { describe, expect, it } from 'vitest';
import { isPassedOn } from './environment.ts';

const passes = (name: string, value: string): boolean => isPassedOn({ name: Buffer.from(name), value: Buffer.from(value) });

describe('a variable that a client sends', () => {
  it.each([
    ['LANG', 'de_DE.UTF-8'],
    ['LC_ALL', 'C'],
    ['LC_TIME', 'C.utf8'],
    ['LC_CTYPE', 'sr_RS.UTF-8@latin'],
    ['TZ', 'Europe/Berlin'],
    ['GIT_PROTOCOL', 'version=2'],
    ['NO_COLOR', ''],
  ])('goes on where it says how output looks: %s=%s', (name, value) => {
    expect(passes(name, value)).toBe(true);
  });

  it.each([
    ['LD_PRELOAD', '/tmp/x.so'],
    ['BASH_ENV', '/tmp/x'],
    ['ENV', '/tmp/x'],
    ['PROMPT_COMMAND', 'id'],
    ['GIT_SSH_COMMAND', 'id'],
    ['PATH', '/tmp'],
    ['LANGUAGE', '../../tmp'],
    ['LANG', 'ja_JP.SJIS'],
    ['LC_ALL', '/tmp/x'],
    ['LC_ALL', '../x'],
    ['LANG', '() { :; }; id'],
    ['LANG', 'C\n'],
    ['TZ', '/etc/passwd'],
    ['TZ', ':/etc/passwd'],
    ['TZ', '../x'],
    ['GIT_PROTOCOL', '$(id)'],
    ['lang', 'C'],
    ['LC_', 'C'],
    ['LANG', 'x'.repeat(2_000)],
    ['', ''],
  ])('stays out where it could change what runs: %s=%s', (name, value) => {
    expect(passes(name, value)).toBe(false);
  });
});
