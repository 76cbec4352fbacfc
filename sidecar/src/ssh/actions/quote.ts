import type { CommandList } from './shell.ts';

/** Left as they are: servers that read a command without a shell (forced commands, git hosts) look for them so. */
const BARE = /^[A-Za-z0-9_@%+:,./-]+$/;

/**
 * Writes a list so that every shell that {@link file://./shell.ts} speaks of reads exactly it, whatever it holds but NUL: words of
 * characters without a meaning stay as they are, all others are quoted.
 */
export function quoteList({ commands, operators }: CommandList): string {
  return commands
    .flatMap(({ argv, redirections }, index) => [quoteWords(argv), ...redirections, ...operators.slice(index, index + 1)])
    .join(' ');
}

export function quoteWords(words: readonly string[]): string {
  return words.map((word) => (BARE.test(word) ? word : quoteWord(word))).join(' ');
}

/** In single quotes, which nothing has a meaning in; what it holds of those stands between with a backslash. */
export function quoteWord(word: string): string {
  if (word === '') return "''";
  return word
    .split("'")
    .map((part) => (part === '' ? '' : `'${part}'`))
    .join("\\'");
}
