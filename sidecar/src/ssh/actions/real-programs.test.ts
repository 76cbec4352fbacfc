import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { judgeProgram } from './programs.ts';
import { quoteWords } from './quote.ts';
import { realShells } from './real-shells.test-support.ts';

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
