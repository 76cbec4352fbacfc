import { MAX_GLOB_LENGTH, matchWord, parseSegment, type SegmentGlob } from './glob.ts';

/**
 * Patterns of commands, word by word as the program gets them:
 *
 *     systemctl status nginx     that command
 *     systemctl status *         `*` stands for any characters inside one word, also none
 *     git log **                 `**` as the last word stands for any number of words, also none
 *     **                         any command
 *
 * The first word is the program as it is called: `git` is not `/usr/bin/git`. Matching takes a number of steps linear in the length
 * of pattern and command.
 */
export interface CommandGlob {
  readonly words: readonly SegmentGlob[];
  /** The program by its name alone; absent: any program. */
  readonly program: SegmentGlob | undefined;
  /** More words may follow. */
  readonly open: boolean;
}

/** Reads a pattern; undefined when it is not one (`**` anywhere but as the last word, two blanks in a row, too long). */
export function parseCommandGlob(pattern: string): CommandGlob | undefined {
  if (pattern.length === 0 || pattern.length > MAX_GLOB_LENGTH) return undefined;
  const words = pattern.split(' ');
  const open = words.at(-1) === '**';
  if (open) words.pop();
  if (words.some((word) => word === '' || word.includes('**'))) return undefined;
  const [program] = words;
  return {
    words: words.map(parseSegment),
    program: program === undefined ? undefined : parseSegment(nameOf(program)),
    open,
  };
}

/** Whether the command surely is one of the pattern's. */
export function matchCommand({ words, open }: CommandGlob, command: readonly string[]): boolean {
  if (open ? command.length < words.length : command.length !== words.length) return false;
  return command.length > 0 && words.every((word, index) => matchWord(word, command[index] ?? ''));
}

/** Whether it may be one: whatever the path by which its program is called. */
export function mayMatchCommand(glob: CommandGlob, command: readonly string[]): boolean {
  if (matchCommand(glob, command)) return true;
  const [program = '', ...rest] = command;
  const [, ...words] = glob.words;
  if (glob.program === undefined || !matchWord(glob.program, nameOf(program))) return false;
  if (glob.open ? rest.length < words.length : rest.length !== words.length) return false;
  return words.every((word, index) => matchWord(word, rest[index] ?? ''));
}

/** A program's name without its path. */
function nameOf(program: string): string {
  return program.slice(program.lastIndexOf('/') + 1);
}
