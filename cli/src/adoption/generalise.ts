/** Values that differ in one word are written as a pattern from so many on. */
export const LEAST_ALIKE = 3;

/** Between the parts of names: a pattern stands for a whole part, never for the rest of a word. */
const SEPARATOR = /[-_.:=@]/;

/**
 * The one pattern of several words: what all begin with, up to a separator and with a letter or digit in it, then `*`, then what all end
 * with, from a separator on. Undefined where that is not clearly meant: fewer than {@link LEAST_ALIKE}, nothing in common, an option, a
 * path (`*` takes `/` and `..` within a word), or a star within; and behind `=`, `:` or `@`, where the whole of a path or a place may stand.
 */
export function patternOf(words: readonly string[]): string | undefined {
  const distinct = [...new Set(words)];
  if (distinct.length < LEAST_ALIKE || distinct.some((word) => /[/*]/.test(word) || word.startsWith('-'))) return undefined;
  const head = cutHead(commonHead(distinct));
  if (!/[A-Za-z0-9]/.test(head) || /[=:@]$/.test(head)) return undefined;
  const rests = distinct.map((word) => word.slice(head.length));
  const tail = cutTail(reversed(commonHead(rests.map(reversed))));
  // Where nothing is left in between, the pattern would say no more than one of them.
  return rests.some((rest) => rest.length <= tail.length) ? undefined : `${head}*${tail}`;
}

function commonHead(words: readonly string[]): string {
  const [first = '', ...more] = words;
  let length = first.length;
  for (const word of more) while (!word.startsWith(first.slice(0, length))) length--;
  return first.slice(0, length);
}

/** To its last separator. */
function cutHead(text: string): string {
  return /^.*[-_.:=@]/s.exec(text)?.[0] ?? '';
}

/** From its first separator. */
function cutTail(text: string): string {
  const at = text.search(SEPARATOR);
  return at < 0 ? '' : text.slice(at);
}

function reversed(text: string): string {
  return text.split('').toReversed().join('');
}

/**
 * Lists of words as patterns of commands, each word for word, but for those of which at least {@link LEAST_ALIKE} differ in one word
 * behind the program and {@link patternOf} has a pattern of it. No pattern has two stars, and none has one for a program's name.
 */
export function commandPatterns(commands: readonly (readonly string[])[], exact: boolean): string[] {
  const left = new Map(commands.map((words) => [words.join(' '), words]));
  const patterns: string[] = [];
  const longest = exact ? 0 : Math.max(0, ...commands.map(({ length }) => length));
  for (let at = 1; at < longest; at++) {
    const alike = Map.groupBy(
      [...left.values()].filter((words) => words.length > at),
      (words) => words.with(at, '*').join(' '),
    );
    for (const group of alike.values()) {
      const star = patternOf(group.map((words) => words[at] ?? ''));
      const [first] = group;
      if (star === undefined || first === undefined) continue;
      patterns.push(first.with(at, star).join(' '));
      for (const words of group) left.delete(words.join(' '));
    }
  }
  return [...patterns, ...left.keys()].toSorted();
}

/** Paths, but for directories of which at least {@link LEAST_ALIKE} were used alike: these as `DIRECTORY/*`. Never what lies in `/`. */
export function pathPatterns(paths: readonly string[], exact: boolean): string[] {
  if (exact) return [...paths].toSorted();
  const byDirectory = Map.groupBy(paths, (path) => path.slice(0, path.lastIndexOf('/')));
  return [...byDirectory]
    .flatMap(([directory, of]) => (directory !== '' && of.length >= LEAST_ALIKE ? [`${directory}/*`] : of))
    .toSorted();
}

/** Names, or their one pattern where there is one. */
export function namePatterns(names: readonly string[], exact: boolean): string[] {
  const pattern = exact ? undefined : patternOf(names);
  return pattern === undefined ? [...names].toSorted() : [pattern];
}
