import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { commandsOf, judgeProgram } from './programs.ts';
import { quoteWords } from './quote.ts';
import { realShells } from './real-shells.test-support.ts';
import { parseShell } from './shell.ts';

const shells = realShells();
afterAll(() => shells.remove());

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const split = (text: string): string[] => text.split(' ');

/** Scripts of sed: commands around whatever could shift where a regular expression ends. */
const SED_PART = fc.constantFrom(
  ...split(
    String.raw`s / | , # @ ! [ ] [^ [] [[:alpha:]] [: :] [. .] \ \/ \n a boom e g p 1 $ 2,3 I ; d { } w W 1e M & \c ~ +1 s/x/y/ s|x|y|`,
  ),
  'e boom',
  'w f',
  'W f',
  ' ',
);
const some = (part: fc.Arbitrary<string>, maxLength: number): fc.Arbitrary<string> =>
  fc.array(part, { maxLength }).map((parts) => parts.join(''));
const SED_COMMAND = fc
  .tuple(
    fc.constantFrom('', '1', '$', '/a/', '1,3'),
    fc.constantFrom('/', '|', ',', '#'),
    some(SED_PART, 4),
    some(SED_PART, 3),
    some(SED_PART, 2),
  )
  .chain(([address, d, regex, replacement, flags]) =>
    fc.constantFrom(`${address}p`, `${address}s${d}${regex}${d}${replacement}${d}${flags}`, `/${regex}/d`, regex),
  );
const SED = fc.array(SED_COMMAND, { minLength: 1, maxLength: 3 }).map((commands) => commands.join(';'));

const AWK_PART = fc.constantFrom(
  ...split(
    String.raw`{ } ( ) print system "boom" "a" || | > f getline < "x" / /a/ ~ ! $1 ; = x END @ [ ] [/] \ close printf , 1 in for if a["b"] @x() - + && "|" ">"`,
  ),
);
const AWK = fc.array(AWK_PART, { minLength: 1, maxLength: 9 }).map((parts) => `BEGIN{${parts.join(' ')}}`);

/** Scripts that are judged to do nothing but their own work, from very many. */
function harmless(program: string, scripts: fc.Arbitrary<string>, count: number): string[] {
  const sample = fc.sample(scripts, { numRuns: 20_000, seed: SEED });
  return [...new Set(sample)].filter((script) => judgeProgram([program, script, 'x']).kind === 'plain').slice(0, count);
}

describe.each([
  ['sed', SED, ['sed', 'sed -E', 'sed --posix', 'busybox sed']],
  ['awk', AWK, ['gawk', 'mawk', 'original-awk', 'busybox awk']],
])('generated scripts of %s that are judged harmless', (program, scripts, versions) => {
  it.each(versions.filter((version) => shells.has(version.replace(/ .*/, ''))))(
    'run nothing and write nothing with %s',
    async (version) => {
      const texts = harmless(program, scripts, 150).map((script) => Buffer.from(`${version} ${quoteWords([script])} x`));
      expect(texts.length).toBeGreaterThan(50);
      const { ran, wrote } = await shells.run('dash', texts);
      const bad = texts.filter((_, index) => ran[index]?.length !== 0).map(String);
      expect({ bad, wrote }, `with the seed ${SEED}`).toEqual({ bad: [], wrote: [] });
    },
  );
});

describe('programs that run the rest of their words', () => {
  const PREFIXES = [
    ...`env LANG=C; env -u X; nice -n 5; nohup; setsid -w; stdbuf -oL; ionice -c 3; chrt --batch 0; taskset 1; timeout -k 1 5s; flock -n x
      busybox env LANG=C; setpriv --no-new-privs; setpriv --inh-caps=-all --keep-groups`.split(/[;\n]\s*/),
    ...(process.getuid?.() === 0 ? ['runuser -u root --', 'setpriv --reuid 0 --regid=0 --clear-groups'] : []),
  ].filter((prefix) => shells.has(prefix.replace(/ .*/, '')));

  it('run those, as they are read', async () => {
    const texts = PREFIXES.map((prefix) => `${prefix} ./boom --x 'a b' -c`);
    const { ran } = await shells.run(
      'dash',
      texts.map((text) => Buffer.from(text)),
    );
    const read = texts.map((text) => {
      const list = parseShell(Buffer.from(text));
      const found = list.kind === 'unknown' ? list : commandsOf(list);
      return found.kind === 'unknown' ? found.code : found.commands.at(-1)?.words.slice(1);
    });
    expect(read).toEqual(PREFIXES.map(() => ['--x', 'a b', '-c']));
    expect(ran.map((commands) => commands.map(([, ...words]) => words))).toEqual(read.map((words) => [words]));
  });
});

describe('these tests', () => {
  it('see what scripts run and write', async () => {
    const texts = [`sed '1e boom' x`, `sed 's/a/boom/e' x`, `sed 'w f' x`, `awk 'BEGIN{system("boom")}'`].map((text) =>
      Buffer.from(text),
    );
    const { ran, wrote } = await shells.run('dash', texts);
    expect(ran.map((commands) => commands.length)).toEqual([1, 1, 0, 1]);
    expect(wrote).toEqual(['f']);
  });
});
