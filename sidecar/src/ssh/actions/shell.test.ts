import { processorTime } from '@chaperone/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quoteList, quoteWord } from './quote.ts';
import { type CommandList, isProgramName, MAX_COMMANDS, parseShell, REDIRECTIONS } from './shell.ts';

const parse = (text: string): ReturnType<typeof parseShell> => parseShell(Buffer.from(text));
/** `[words… redirections…] operator …`, or the code and place of what is not known. */
const told = (text: string): unknown => {
  const list = parse(text);
  if (list.kind === 'unknown') return `${list.code} ${list.at ?? ''}`.trim();
  return list.commands.flatMap(({ argv, redirections }, index) => [
    [...argv, ...redirections],
    ...list.operators.slice(index, index + 1),
  ]);
};

describe('a command of a shell', () => {
  it.each<[string, unknown]>([
    ['git log --oneline', [['git', 'log', '--oneline']]],
    [`echo 'a  b' "c 'd'" e\\ f`, [['echo', 'a  b', "c 'd'", 'e f']]],
    [`echo "\\$a \\"b\\" \\\\ \\n"`, [['echo', '$a "b" \\ \\n']]],
    [`echo a'b'"c"\\d ''`, [['echo', 'abcd', '']]],
    ['a|b&&c||d;e', [['a'], '|', ['b'], '&&', ['c'], '||', ['d'], ';', ['e']]],
    ['a b >/dev/null 2>&1 ; ', [['a', 'b', '>/dev/null', '2>&1']]],
    ['a 1>>/dev/null 0< /dev/null 1>&2 b', [['a', 'b', '>/dev/null', '</dev/null', '>&2']]],
    ['test a = b', [['test', 'a', '=', 'b']]],
    ['ls $x', 'Expansion 3'],
    ['ls "a $x"', 'Expansion 6'],
    ['ls *.log', 'Pattern 3'],
    ['ls; (rm)', 'Grouping 4'],
    ['ls > x', 'Redirection 3'],
    ['ls & rm', 'Background 3'],
    ['A=b rm', 'Assignment 1'],
    ['ls && && rm', 'Syntax 6'],
    ["ls 'a", 'Unterminated 3'],
    ['ls "a', 'Unterminated 3'],
    ['ls; then rm', 'ReservedWord 4'],
    ['ls\nrm', 'ControlCharacter 2'],
    ['ls é', 'NotAscii 3'],
    ['ls ~', 'Special 3'],
    ['-rm', 'ProgramName 0'],
  ])('%s', (text, expected) => {
    expect(told(text)).toEqual(expected);
  });

  it('says nothing of the command in its reasons', () => {
    for (const text of ['secret $x', 'secret *', "secret 'x", 'secret=1'])
      expect(JSON.stringify(parse(text))).not.toContain('secret');
  });

  it('takes time by its length alone', () => {
    const hostile = ["'", '"a', '\\a', 'a;', 'a|', ' ', '\t', '2>&1 ', '>/dev/null ', '""', "''", 'a ', '"\\\\"', '> '];
    for (const piece of hostile) {
      const text = Buffer.from(`a ${piece.repeat(16_000 / piece.length)}`);
      const took = processorTime();
      parseShell(text);
      expect(took()).toBeLessThan(500);
    }
  });

  it('is read or not, and nothing is thrown, whatever its bytes', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 30 }),
      fc.string({ unit: fc.constantFrom(...'ab \'"\\|&;<>=$`~#!2/-\t\n'.split('')) }).map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(bytes, (text) => {
        expect(['commands', 'unknown']).toContain(parseShell(text).kind);
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('quoting', () => {
  it.each([
    ['', "''"],
    ["'", "\\'"],
    ["a'b", "'a'\\''b'"],
    ["''", "\\'\\'"],
    ['$x', "'$x'"],
  ])('writes %j as %s', (word, quoted) => {
    expect(quoteWord(word)).toBe(quoted);
  });

  it('leaves bare what servers without a shell look for', () => {
    expect(quoteList(parse('rsync --server -e.Ls . /a') as CommandList)).toBe('rsync --server -e.Ls . /a');
  });

  const character = fc.constantFrom(...'abz09_@%+=:,./- \t\'"\\$`*?[]{}()~#!^&|;<>éＡ日'.split(''));
  const word = fc.string({ unit: character, maxLength: 12 });
  const program = fc.string({ unit: fc.constantFrom(...'ab0_./+-'.split('')), minLength: 1, maxLength: 6 }).filter(isProgramName);
  const command = fc.record({
    argv: fc.tuple(program, fc.array(word, { maxLength: 6 })).map(([name, words]) => [name, ...words]),
    redirections: fc.array(fc.constantFrom(...REDIRECTIONS), { maxLength: 3 }),
  });
  const list = fc
    .array(fc.tuple(command, fc.constantFrom('|' as const, '&&' as const, '||' as const, ';' as const)), {
      minLength: 1,
      maxLength: 5,
    })
    .map(
      (parts): CommandList => ({
        kind: 'commands',
        commands: parts.map(([one]) => one),
        operators: parts.slice(1).map(([, operator]) => operator),
      }),
    );

  it('is read back as what it was written from, whatever the words hold', () => {
    fc.assert(
      fc.property(list, (written) => {
        expect(parse(quoteList(written))).toEqual(written);
      }),
      { numRuns: 5_000 },
    );
  });

  it('is at most four times as long', () => {
    const text = `a ${"\\'".repeat(8_000)}`;
    expect(quoteList(parse(text) as CommandList).length).toBeLessThanOrEqual(4 * text.length);
    const many = 'a;'.repeat(MAX_COMMANDS);
    expect(quoteList(parse(many) as CommandList).length).toBeLessThanOrEqual(4 * many.length);
  });
});
