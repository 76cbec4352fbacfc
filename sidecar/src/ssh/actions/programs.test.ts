import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commandsOf, judgeProgram, TABLES } from './programs.ts';
import { parseArguments } from './programs/options.ts';
import { parseShell } from './shell.ts';

/** What a command runs, each between bars; or why that is not known. */
const told = (text: string): string => {
  const list = parseShell(Buffer.from(text));
  if (list.kind === 'unknown') return `not read: ${list.code}`;
  const found = commandsOf(list);
  return found.kind === 'unknown' ? found.code : found.commands.map(({ words }) => words.join(' ')).join(' | ');
};

describe('what a command runs', () => {
  it.each([
    ['ls -l', 'ls -l'],
    ['ls; ls', 'ls'],
    [
      'sudo -u root nice -n 5 timeout 9 ls -l',
      'sudo -u root nice -n 5 timeout 9 ls -l | nice -n 5 timeout 9 ls -l | timeout 9 ls -l | ls -l',
    ],
    ["sh -c 'ls; rm x' && pwd", 'sh -c ls; rm x | pwd | ls | rm x'],
    ["sudo bash -lc 'env LANG=C rm x'", 'sudo bash -lc env LANG=C rm x | bash -lc env LANG=C rm x | env LANG=C rm x | rm x'],
    ["su - web -c 'rm x'", 'su - web -c rm x | rm x'],
    ['/usr/bin/env -i rm x', '/usr/bin/env -i rm x | rm x'],
    ['busybox rm x', 'busybox rm x | rm x'],
    ['busybox find . -delete', 'Option'],
    ['git -C /srv push origin main', 'git -C /srv push origin main | git push origin main'],
    ['git --no-pager -C /srv push --exec=x', 'Option'],
    ['kubectl -n a delete pod x', 'kubectl -n a delete pod x | kubectl delete pod x'],
    ['/opt/git/bin/git -c a=b log', 'Option'],
    ['/lib64/ld-linux-x86-64.so.2 /bin/rm x', '/lib64/ld-linux-x86-64.so.2 /bin/rm x | /bin/rm x'],
    ['python3.11 -c x', 'Option'],
    ['vim.basic x', 'RunsOthers'],
    ['/usr/lib/git-core/git-bisect run x', 'RunsOthers'],
    ['cat /var/log/../../etc/shadow', 'cat /var/log/../../etc/shadow | cat /etc/shadow'],
    ['head --lines=1 a/../../b', 'head --lines=1 a/../../b | head --lines=1 ../b'],
    ['head --file=/a/../b', 'head --file=/a/../b | head --file=/b'],
    ['cd ../..', 'cd ../..'],
    ['./deploy.sh --exec x', './deploy.sh --exec x'],
    ["sh -c 'sh -c ls'", 'Nested'],
    ["sh -c 'ls $x'", 'Expansion'],
    ["sh -c 'eval ls'", 'Builtin'],
    ['env - ls', 'ProgramName'],
    [`${'nice '.repeat(8)}ls`, Array.from({ length: 9 }, (_, index) => `${'nice '.repeat(8 - index)}ls`).join(' | ')],
    [`${'nice '.repeat(9)}ls`, 'Nested'],
    [`sh -c '${'a;'.repeat(64)}'`, 'TooMany'],
  ])('%s', (text, expected) => {
    expect(told(text)).toBe(expected);
  });
});

describe('the tables of programs', () => {
  it('have each name once', () => {
    const names = TABLES.flatMap((table) => Object.keys(table));
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });

  it('are not asked for what objects have by themselves', () => {
    for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
      expect(judgeProgram([name])).toEqual({ kind: 'plain' });
      expect(judgeProgram(['git', name])).toMatchObject({ kind: 'unknown' });
    }
  });

  it('know no option that nobody wrote down', () => {
    const listed = TABLES.flatMap((table) => Object.keys(table));
    const careless = listed.filter((name) => judgeProgram([name, '--no-such-option=boom', 'x']).kind === 'plain');
    // They take any words, and run none.
    expect(careless.toSorted()).toEqual(['cat', 'echo', 'false', 'pwd', 'realpath', 'true']);
  });

  it('have an answer to any words', () => {
    const name = fc.constantFrom(...TABLES.flatMap((table) => Object.keys(table)));
    const word = fc.oneof(
      fc.string({ maxLength: 6 }),
      fc.constantFrom('-', '--', '-c', '-e', '-n', 'x', 'log', '', '-exec', '--x=', '='),
    );
    fc.assert(
      fc.property(name, fc.array(word, { maxLength: 6 }), (program, words) => {
        const finding = judgeProgram([program, ...words]);
        expect(['plain', 'runs', 'script', 'unknown']).toContain(finding.kind);
        // What is run stands in the words: none of it is made up.
        if (finding.kind === 'runs')
          for (const command of finding.commands) for (const part of command) expect([program, ...words]).toContain(part);
      }),
      { numRuns: 5_000 },
    );
  });

  it.each<[string, (n: number) => string[]]>([
    ['sed', (n) => [`${'1,5p;'.repeat(n)}e`]],
    ['sed', (n) => [`s/${'[a]'.repeat(n)}/x`]],
    ['sed', (n) => [`s/${'\\a'.repeat(n)}`]],
    ['sed', (n) => [`/${'[[:a:]'.repeat(n)}`]],
    ['awk', (n) => ['|'.repeat(n)]],
    ['find', (n) => Array.from({ length: n }, () => '-name')],
    [`python${'1.'.repeat(8_000)}x`, () => []],
    ['mysql', (n) => ['-e', `select ${' '.repeat(n)}\\`]],
    ['git', (n) => ['fetch', `https://${'a.'.repeat(n)}\n`]],
  ])('take time by length alone: %.20s', (program, words) => {
    const began = performance.now();
    judgeProgram([program, ...words(5_000)]);
    expect(performance.now() - began).toBeLessThan(50);
  });
});

describe('options', () => {
  const table = { flags: 'ab', values: 'v', long: 'flag value= maybe[=]' };
  it.each<[string, string[] | undefined, string[]]>([
    ['-a -b x', ['a', 'b'], ['x']],
    ['-ab x', ['a', 'b'], ['x']],
    ['-avx', ['a', 'v=x'], []],
    ['-av x y', ['a', 'v=x'], ['y']],
    ['x -a y', ['a'], ['x', 'y']],
    ['-- -x', [], ['-x']],
    ['- -a', ['a'], ['-']],
    ['--flag --value=x --value y --maybe --maybe=z', ['flag', 'value=x', 'value=y', 'maybe', 'maybe=z'], []],
    ['--maybe x', ['maybe'], ['x']],
    ['-c', undefined, []],
    ['-ac', undefined, []],
    ['--fla', undefined, []],
    ['--flag=x', undefined, []],
    ['--value', undefined, []],
    ['-v', undefined, []],
    ['--value -c', undefined, []],
    ['-v --exec', undefined, []],
    ['--', [], []],
    ['--=x', undefined, []],
  ])('%s', (words, options, operands) => {
    const found = parseArguments(words.split(' '), table);
    expect(found?.options.map(([name, value]) => (value === '' ? name : `${name}=${value}`))).toEqual(options);
    if (options) expect(found?.operands).toEqual(operands);
  });

  it('end at the first operand where the program says so', () => {
    expect(parseArguments(['-a', 'x', '-c'], { ...table, inFront: true })?.operands).toEqual(['x', '-c']);
  });
});
