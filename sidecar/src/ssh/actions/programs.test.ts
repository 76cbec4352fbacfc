import { processorTime } from '@chaperone/testing';
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
    ['perl5.36-x86_64-linux-gnu -w x.pl', 'perl5.36-x86_64-linux-gnu -w x.pl'],
    ['setpriv --reuid=web --clear-groups rm x', 'setpriv --reuid=web --clear-groups rm x | rm x'],
    ['runuser -u web -- rm x', 'runuser -u web -- rm x | rm x'],
    ['runuser -u web rm -g x', 'Option'],
    ['git-2.40 -C /srv push', 'git-2.40 -C /srv push | git push'],
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

describe('a program that can run another', () => {
  /** One way of each to run `rm`. */
  const WAYS = `setpriv --reuid=0 rm x; run0 rm x; bwrap --bind / / rm x; firejail rm x; bash-static -c 'rm x'; gtar --to-command=rm -xf x; perl5.36-x86_64-linux-gnu -e x
    python3.11 -c x; python3.11-dbg -c x; busybox hush -c 'rm x'; busybox ash -c 'rm x'; /lib64/ld-linux-x86-64.so.2 /bin/rm x; /lib/ld-musl-x86_64.so.1 --argv0 x /bin/rm
    chroot / rm x; unshare -r rm x; nsenter -t 1 rm x; script -qc 'rm x' y; expect -c x; socat exec:rm -; gdb -ex x; strace rm x; watch rm x; parallel rm x; at now; batch; crontab x
    systemd-run rm x; doas rm x; pkexec rm x; runuser -u web -- rm x; runuser web -c 'rm x'; sg web -c 'rm x'; newgrp web; capsh -- -c 'rm x'; prlimit -n1 rm x; taskset 1 rm x; chrt 1 rm x
    ionice rm x; cpulimit -l 9 rm x; stdbuf -o0 rm x; unbuffer rm x; faketime now rm x; proot rm x; fakeroot rm x; xvfb-run rm x; dbus-run-session rm x; ssh-agent rm x; tmux new 'rm x'
    screen -dm rm x; entr rm x; direnv exec . rm x; uv run rm x; npx rm x; bunx rm x; deno run x; poetry run rm x; lua5.4 -e x; tclsh8.6 x; php8.2 -r x; Rscript -e x; R -e x; julia -e x
    node18 -e x; mawk-1.3 'BEGIN{system("rm x")}'; gawk-5.2 'BEGIN{system("rm x")}'; busybox awk 'BEGIN{system("rm x")}'; ed x; ex x; vim.tiny -c x; less x; man x; zip -TT rm x y; 7z x; tcpdump -z rm
    rsync -e rm x y; dpkg -i x; apt-get -o x=y update; pip3.11 install x; cmake -P x; ninja -f x; go1.22 run x; cargo run; java -jar x; gcc-12 -wrapper rm x; x86_64-linux-gnu-gcc-12 x; clang++-15 x
    genv rm x; gtimeout 5 rm x; gfind . -exec rm x; gxargs rm; coreutils env rm x; install --strip-program=rm -s x y; sysctl kernel.core_pattern='|/bin/rm'; ldd x; hg --config x=y log; svn diff --diff-cmd rm
    gh alias x; sudo-rs rm x; qemu-x86_64 /bin/rm x; lxc-attach x; kubectl-exec x; docker-compose run x; git-lfs x; nc.openbsd x 1; pidstat -e rm x; bfs . -exec rm x; pgbench x; sort --compress-program=rm x
    curl -K x; curl -T x https://a; curl -F x=@y https://a; curl -o x https://a; curl -d @x https://a; curl --data-urlencode x@y https://a; curl -b x https://a; curl -H @x https://a; curl --json @x https://a
    wget --post-file=x https://a; wget -i x; wget -O x https://a; wget https://a; wget --use-askpass=rm https://a`;

  it.each(WAYS.split(/[;\n]\s*/))('%s: it is known what that runs, or it is unknown', (text) => {
    const found = told(text);
    expect(found.split(' | ').some((command) => /^(\/bin\/)?rm x?/.test(command)) || /^[A-Z]\w+$/.test(found), found).toBe(true);
  });

  it.each([
    'md5sum x',
    'sha256sum x',
    'base64 x',
    'deploy2 x',
    'gls x',
    'e2label x',
    'curl -d @- https://a',
    'curl -d x https://a',
    "curl --data-urlencode 'x=a@b' https://a",
    "curl -b 'x=1' https://a",
    'install -m 600 x y',
    'sysctl -n kernel.core_pattern',
  ])('%s runs nothing else', (text) => {
    expect(told(text)).toBe(text.replaceAll("'", ''));
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
    const took = processorTime();
    judgeProgram([program, ...words(5_000)]);
    expect(took()).toBeLessThan(50);
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

it.each(['xIf-', 'cIf-', 'xf+', 'tf,', 'x1f', '\u00e4'])(
  'tar takes letters for options, and %s as well: nothing is known then',
  (word) => {
    expect(judgeProgram(['tar', word, 'sh -c id', '/srv/a.tar'])).toMatchObject({ kind: 'unknown' });
  },
);

it.each([
  ['tzf', '/srv/a.tgz'],
  ['-tzf', '/srv/a.tgz'],
  ['xf', '/srv/a.tar', '-C', '/srv'],
])('tar %s %s is known', (...words) => {
  expect(judgeProgram(['tar', ...words])).toEqual({ kind: 'plain' });
});

it.each(
  `bash; sh -s; sh -es; sh -; sh -s x; bash -l; sh stdin; sh ./stdin; sh /dev/stdin; bash 0; dash /proc/self/fd/0; zsh /dev/fd/0; ksh //dev/../dev/stdin; rbash
  python3; python3 -; python3 -u; python3 -u - x; python3 fd/0; pypy3 /srv/../dev/fd/0; perl; perl -w; perl -; ruby; ruby /proc/1/fd/0; node; node -; php; lua; luajit -
  sudo bash; nice -n 5 python3; env -i perl; busybox sh; sudo -n busybox ash -; timeout 9 sh -s`.split(/[;\n]\s*/),
)('%s runs what it reads, and nothing is known', (text) => {
  expect(told(text)).toBe('ReadsCode');
});

it.each(
  `tag -a v1; tag --annotate v1; tag -fa v1; stash -p; stash push --patch; stash save -kp; stash -p show; commit; commit --amend; merge x
  pull --rebase=interactive; pull --rebase=i origin main`.split(/[;\n]\s*/),
)('git %s starts an editor, which takes commands from its input, and is not known', (words) => {
  expect(told(`git ${words}`)).toBe('Option');
});

it.each(
  `tag v1; tag -a -m x v1; tag -l; tag --annotate --message=x v1; stash; stash push -m x; stash show -p; commit -m x; merge --no-edit x
  pull --rebase; pull --rebase=merges origin main`.split(/[;\n]\s*/),
)('git %s starts none', (words) => {
  expect(told(`git ${words}`)).toBe(`git ${words}`);
});

it('git clone brings code from where nobody looks, and is not known', () => {
  expect(judgeProgram(['git', 'clone', '/srv/x.git', '/srv/y'])).toMatchObject({ kind: 'unknown' });
});
