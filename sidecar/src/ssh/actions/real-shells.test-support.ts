import { execFile } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Shells that may be there, and how they are started. The first three have to be. */
const SHELLS: Readonly<Record<string, readonly string[]>> = {
  bash: ['bash'],
  dash: ['dash'],
  zsh: ['zsh'],
  ksh93: ['ksh93'],
  mksh: ['mksh'],
  busybox: ['busybox', 'sh'],
  yash: ['yash'],
  posh: ['posh'],
};

/** Programs that only write down that they were run, and with which words. `boom` is the one that must not run; `fail` fails. */
export const REPORTERS: ReadonlySet<string> = new Set(['boom', 'show', 'say', 'fail']);
/** Real programs that can run others; those that are missing are not found. */
const TOOLS =
  `awk bash busybox chrt gawk mawk original-awk cat dash env find flock git ionice make nice nohup perl python3 runuser sed setpriv setsid sh sort
  stdbuf su tar taskset tee timeout true xargs`.split(/\s+/);

/** Writes its words, each with a NUL behind, after their number, in one write. */
const REPORTER = `#!/bin/sh
printf '%s\\0' "$#" "\${0##*/}" "$@" >>"\${RAN:-/dev/null}"
`;

export interface Outcome {
  /** What of {@link REPORTERS} each text ran, with its words. */
  readonly ran: readonly (readonly (readonly string[])[])[];
  /** Files that any of them made where it ran. */
  readonly wrote: readonly string[];
}

export interface RealShells {
  readonly names: readonly string[];
  readonly has: (program: string) => boolean;
  /** Runs each text in a process of one shell of its own. */
  readonly run: (shell: string, texts: readonly Buffer[]) => Promise<Outcome>;
  /** What a shell prints of itself. */
  readonly print: (shell: string, text: string) => Promise<string>;
  readonly remove: () => void;
}

/** Real shells that find nothing but reporters and {@link TOOLS}, in a directory of their own. */
export function realShells(): RealShells {
  const root = mkdtempSync(join(tmpdir(), 'shells-'));
  const bin = join(root, 'bin');
  mkdirSync(bin);
  for (const name of REPORTERS) {
    writeFileSync(join(bin, name), name === 'fail' ? `${REPORTER}exit 1\n` : REPORTER);
    chmodSync(join(bin, name), 0o755);
  }
  for (const name of TOOLS) {
    const path = which(name);
    if (path !== undefined) symlinkSync(path, join(bin, name));
  }
  let turn = 0;
  return {
    names: Object.keys(SHELLS).filter((name) => which(SHELLS[name]?.[0] ?? '') !== undefined),
    has: (program) => which(program) !== undefined,
    run: (shell, texts) => runAll(join(root, `turn-${turn++}`), bin, SHELLS[shell] ?? [], texts),
    print: async (shell, text) => {
      const [program = '', ...words] = SHELLS[shell] ?? [];
      const { stdout } = await promisify(execFile)(program, [...words, '-c', text], {
        env: { PATH: '/usr/bin:/bin', HOME: root },
      });
      return stdout;
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** One driver starts the shell anew for each text, as sshd does: `SHELL -c TEXT`. What does not end by itself ends with its time. */
async function runAll(root: string, bin: string, shell: readonly string[], texts: readonly Buffer[]): Promise<Outcome> {
  const [program = '', ...words] = shell;
  const path = which(program);
  if (path === undefined) throw new Error(`${program} is not here`);
  for (const folder of ['home', 'ran', 'cwd']) mkdirSync(join(root, folder), { recursive: true });
  for (const [name, text] of [
    ['boom', REPORTER],
    ['x', 'a\n'],
    ['x.sh', 'true\n'],
  ] as const) {
    writeFileSync(join(root, 'cwd', name), text);
    chmodSync(join(root, 'cwd', name), 0o755);
  }
  const before = new Set(readdirSync(join(root, 'cwd')));
  const driver = join(root, 'driver');
  const lines = texts.map((text, index) => `run ${index} ${ansiQuoted(text)}`);
  const command = [path, ...words, '-c'].join(' ');
  writeFileSync(
    driver,
    `ulimit -t 2\nrun() { cd '${root}/cwd'; RAN='${root}/ran/'$1 PATH='${bin}' ${command} "$2" </dev/null >/dev/null 2>&1; }\n${lines.join('\n')}\n`,
  );
  const env = { PATH: bin, HOME: join(root, 'home'), LANG: 'C.UTF-8' };
  await promisify(execFile)(which('bash') ?? 'bash', [driver], { env, timeout: 110_000 }).catch((error: unknown) => {
    // The last text's exit status is the driver's.
    if (!(error instanceof Error && 'killed' in error && error.killed === false)) throw error;
  });
  return {
    ran: texts.map((_, index) => reports(join(root, 'ran', String(index)))),
    wrote: readdirSync(join(root, 'cwd')).filter((name) => !before.has(name)),
  };
}

/** In the one notation of bash that says bytes by number, so that nothing of ours is used to say it. */
function ansiQuoted(text: Buffer): string {
  return `$'${Array.from(text, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}'`;
}

function reports(path: string): string[][] {
  if (!existsSync(path)) return [];
  const words = readFileSync(path, 'utf8').split('\0').slice(0, -1);
  const found: string[][] = [];
  for (let at = 0; at < words.length; ) {
    const length = Number(words[at]) + 1;
    found.push(words.slice(at + 1, at + 1 + length));
    at += 1 + length;
  }
  return found;
}

function which(name: string): string | undefined {
  return ['/usr/local/bin', '/usr/bin', '/bin', '/usr/sbin', '/sbin']
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
