import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { readExec } from './exec.ts';
import { BUILTINS } from './programs/builtins.ts';
import { quoteList } from './quote.ts';
import { REPORTERS, realShells } from './real-shells.test-support.ts';

const shells = realShells();
afterAll(() => shells.remove());

/** `DECISION TEXT` in each line: `runs`, `transfer`, or why it is unknown. */
const CORPUS = readFileSync(join(import.meta.dirname, 'testdata/corpus.txt'), 'utf8')
  .split('\n')
  .slice(0, -1)
  .map((line) => ({ decision: line.slice(0, 16).trimEnd(), text: line.slice(16) }));

/** What cannot stand in a file of lines. */
const ODD_BYTES: readonly (readonly [decision: string, text: string | Buffer])[] = [
  ['Empty', ''],
  ['Empty', ' \t '],
  ['runs', 'show\ta\t\tb'],
  ['runs', 'show \'a\tb\' "c\td"'],
  ['ControlCharacter', 'show a\nboom'],
  ['ControlCharacter', 'show a\r\nboom'],
  ['ControlCharacter', "show 'a\nboom'"],
  ['ControlCharacter', 'show a\\\nboom'],
  ['ControlCharacter', '#\nboom'],
  ['ControlCharacter', '\nboom'],
  ['ControlCharacter', 'show\rboom'],
  ['ControlCharacter', 'boom\r'],
  ['ControlCharacter', 'show\vboom'],
  ['ControlCharacter', 'show\fboom'],
  ['ControlCharacter', '\fboom'],
  ['ControlCharacter', 'show \u0001boom'],
  ['ControlCharacter', 'show \u007fboom'],
  ['ControlCharacter', "show '\u0001\u007f'"],
  ['ControlCharacter', 'show\u00a0boom'],
  ['ControlCharacter', 'show \u0085boom'],
  ['ControlCharacter', 'show\u2028boom'],
  ['ControlCharacter', 'show\u3000boom'],
  ['ControlCharacter', 'show\u200bboom'],
  ['ControlCharacter', "show '\u202eboom'"],
  ['ControlCharacter', '\ufeffboom'],
  ['ControlCharacter', 'show \u001b[200~boom'],
  ['NotText', Buffer.from([...Buffer.from('show '), 0xff])],
  ['NotText', Buffer.from([...Buffer.from('show '), 0xc3])],
  ['NotText', Buffer.from([...Buffer.from('show '), 0xc0, 0xa7, ...Buffer.from(';boom')])],
  ['NotText', Buffer.from([...Buffer.from("show '"), 0xe0, 0x27, ...Buffer.from(';boom')])],
  ['NotText', Buffer.from([0xed, 0xa0, 0x80])],
  ['NotAscii', 'show ａ；boom'],
  ['runs', 'show \'；boom’\' "“boom”"'],
  // Bytes from 0x81 to 0x88 are marks inside of dash and busybox.
  ['runs', 'show \'ÁÂÃÄÅÆÇÈ\' "ÁÂÃÄÅÆÇÈ"'],
  // Their last bytes are a quote, a backslash or a bar in other encodings.
  ['runs', "show '觧\u0127' \"\u015c\u057c\" 'ā|boom'"],
  ['TooLong', `show ${'a'.repeat(16_384)}`],
  ['runs', `show ${'a'.repeat(16_379)}`],
  ['runs', `show ${"\\'".repeat(8_000)}`],
  ['TooMany', `show${' a'.repeat(1_025)}`],
  ['runs', `show${' a'.repeat(1_024)}`],
  ['TooMany', 'show a;'.repeat(65)],
  ['runs', 'show a;'.repeat(64)],
];

const TEXTS = [...CORPUS, ...ODD_BYTES.map(([decision, text]) => ({ decision, text }))];

/** What names none of the reporters can run none. */
const MENTIONS = /boom|show|say|fail/;

/** Run as somebody else, by what may not be here, without the variable that reporters read, or where /etc/profile looks for programs. */
const ELSEWHERE = /^(sudo|doas|su|ld|\/lib64)|env -i|sh -l|--login/;

/** One claim: of the reporters these run and no others; of those that depend on something (a status, `..` in a word), no others. */
interface Claim {
  readonly text: Buffer;
  readonly expected: ReadonlySet<string>;
  readonly conditional: boolean;
}

/** Why something is unknown that shells decide, not the programs that they run. */
const SHELLS_SAY = new Set(['Assignment', 'Background', 'Builtin', 'Expansion', 'Grouping', 'ReservedWord', 'ControlCharacter']);

/** What we say of each text that we say anything of, about the text as it came and as it is sent. */
function claims(texts: readonly (string | Buffer)[]): Claim[] {
  return texts.flatMap((text): Claim[] => {
    const exec = readExec(Buffer.from(text));
    if (exec.kind === 'unknown') return [];
    const commands = exec.kind === 'commands' ? exec.commands : [];
    const expected = new Set(
      commands.filter(({ words: [program = ''] }) => REPORTERS.has(program)).map(({ words }) => JSON.stringify(words)),
    );
    const conditional = /&&|\|\||\.\./.test(exec.send) || ELSEWHERE.test(exec.send);
    const sent = new Set([text.toString(), exec.send].filter((said) => MENTIONS.test(said)));
    return [...sent].map((said) => ({ text: Buffer.from(said), expected, conditional }));
  });
}

/** Where a shell did something else. */
async function broken(shell: string, of: readonly Claim[]): Promise<string[]> {
  const { ran, wrote } = await shells.run(
    shell,
    of.map(({ text }) => text),
  );
  expect(wrote).toEqual([]);
  return of.flatMap(({ text, expected, conditional }, index) => {
    const seen = new Set((ran[index] ?? []).map((words) => JSON.stringify(words)));
    const asSaid = conditional ? seen.isSubsetOf(expected) : seen.size === expected.size && seen.isSubsetOf(expected);
    return asSaid ? [] : [`${text.toString().slice(0, 200)} ran ${[...seen].join(' ').slice(0, 200)}`];
  });
}

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const NASTY = fc.constantFrom(
  ...'\' " \\ $ ` * ? [ ] { } ( ) ~ # ! ^ & | ; < > = % @ + : , . / - _ a 0 2 é Á ；'.split(' '),
  ' ',
  '\t',
  '$(boom)',
  '`boom`',
  ';boom;',
  '${x}',
  "'\\''",
  '--',
  '=boom',
);
const PIECE = fc.oneof(
  fc.constantFrom('a', 'b=c', '-x', '--y=z', '/a/b', 'a:b', '%1', '0', '=', ' ', '  ', "''", '""'),
  fc.array(NASTY, { maxLength: 5 }).map((parts) => `'${parts.join('').replaceAll("'", '')}'`),
  fc.array(NASTY, { maxLength: 5 }).map((parts) => `"${parts.join('').replaceAll(/["$`\\]/g, '')}"`),
  fc.array(NASTY, { maxLength: 3 }).map((parts) => `"${parts.join('').replaceAll(/["$`\\]/g, '\\$&')}"`),
  NASTY.filter((part) => part.length === 1 && part !== '\t').map((part) => `\\${part}`),
  NASTY,
);
const COMMAND = fc
  .tuple(
    fc.constantFrom('show ', 'say ', "'sh'ow ", '\\show ', 'env show ', "sh -c 'show a' ", 'nice say '),
    fc.array(PIECE, { maxLength: 8 }),
  )
  .map(([program, pieces]) => `${program}${pieces.join('')}`);
const JOINED = fc
  .array(fc.tuple(COMMAND, fc.constantFrom(' | ', ';', ' && ', '||', ' 2>/dev/null|', ' >&2;', ' </dev/null ;')), {
    minLength: 1,
    maxLength: 3,
  })
  .map((parts) => parts.flat().slice(0, -1).join(''));
const WORDS = fc.array(
  fc.array(NASTY, { maxLength: 6 }).map((parts) => parts.join('')),
  { maxLength: 5 },
);
const QUOTED = WORDS.map((words) =>
  quoteList({ kind: 'commands', commands: [{ argv: ['show', ...words], redirections: [] }], operators: [] }),
);

/** Texts of which we say something, from very many. */
const GENERATED = [
  ...fc
    .sample(JOINED, { numRuns: 6_000, seed: SEED })
    .filter((text) => readExec(Buffer.from(text)).kind === 'commands')
    .slice(0, 80),
  ...fc.sample(QUOTED, { numRuns: 20, seed: SEED }),
];

it.each(TEXTS.map(({ decision, text }) => [text.toString().slice(0, 60), decision, text] as const))(
  '%s: %s',
  (_, decision, text) => {
    const exec = readExec(Buffer.from(text));
    expect(exec.kind === 'unknown' ? exec.code : exec.kind.replace('commands', 'runs')).toBe(decision);
  },
);

it('the corpus has enough in it', () => {
  expect(TEXTS.length).toBeGreaterThan(300);
  expect(shells.names).toEqual(expect.arrayContaining(['bash', 'dash', 'zsh']));
});

describe.each(shells.names)('%s', (shell) => {
  it('runs of the corpus what we say and nothing else, as it came and as it is sent', async () => {
    expect(await broken(shell, claims(TEXTS.map(({ text }) => text)))).toEqual([]);
  });

  it('shows to these tests what runs: many texts that are unknown do run the forbidden program', async () => {
    const unknown = CORPUS.filter(({ decision, text }) => /boom/.test(text) && SHELLS_SAY.has(decision));
    const { ran } = await shells.run(
      shell,
      unknown.map(({ text }) => Buffer.from(text)),
    );
    expect(ran.filter((commands) => commands.some(([program]) => program === 'boom')).length).toBeGreaterThan(40);
  });

  it('runs of generated texts what we say and nothing else, quoted in many ways and with all that has a meaning in them', async () => {
    expect(await broken(shell, claims(GENERATED)), `with the seed ${SEED}`).toEqual([]);
  });
});

function isJudged(name: string): boolean {
  return Object.hasOwn(BUILTINS, name) || readExec(Buffer.from(name)).kind === 'unknown';
}

describe('builtins', () => {
  it.each([
    ['bash', 'compgen -b -k'],
    ['zsh', 'print -rl -- ${(k)builtins} ${(k)reswords} ${(k)aliases} ${(k)functions}'],
    ['ksh93', 'builtin; alias -p'],
    ['mksh', 'alias'],
    ['busybox', 'help'],
  ])('of %s are all judged', async (shell, command) => {
    if (!shells.names.includes(shell)) return;
    const listed = (await shells.print(shell, command)).split(/\s+/).map((name) => name.replace(/=.*/, ''));
    const names = listed.filter((name) => /^[a-z][a-z_-]*$/.test(name) && !['alias', 'commands'].includes(name));
    expect(names.length).toBeGreaterThan(8);
    expect(names.filter((name) => !isJudged(name))).toEqual([]);
  });
});
