import { posix } from 'node:path';
import { ARCHIVES } from './programs/archives.ts';
import { BUILTINS } from './programs/builtins.ts';
import { type Finding, type Judge, PLAIN } from './programs/finding.ts';
import { GIT } from './programs/git.ts';
import { INTERPRETERS } from './programs/interpreters.ts';
import { NETWORK } from './programs/network.ts';
import { OTHERS } from './programs/others.ts';
import { SERVICES } from './programs/services.ts';
import { TEXT } from './programs/text.ts';
import { WRAPPERS } from './programs/wrappers.ts';
import { isProgramName, MAX_COMMANDS, parseShell } from './shell.ts';
import { unknown, type Unknown } from './unknown.ts';

/** No program in a table has so long a name, with a version behind it. */
const MAX_NAME = 64;
/** `sudo nice timeout 5 …`: programs that run programs. */
const MAX_DEPTH = 8;

export const TABLES: readonly Readonly<Record<string, Judge>>[] = [
  ARCHIVES,
  BUILTINS,
  GIT,
  INTERPRETERS,
  NETWORK,
  OTHERS,
  SERVICES,
  TEXT,
  WRAPPERS,
];
const PROGRAMS = new Map(TABLES.flatMap((table) => Object.entries(table)));

/**
 * What a program runs, as its words tell. A program that is in no table runs nothing else, as far as anybody here knows: a rule that
 * allows it allows all that it can do.
 */
export function judgeProgram([program = '', ...args]: readonly string[]): Finding {
  const name = tableName(program);
  return PROGRAMS.get(name)?.(args, name) ?? PLAIN;
}

/** What stands behind a name and changes nothing of what it is: a system, a flavour, a version. */
const SUFFIX =
  /(-(x86_64|i[3-6]86|aarch64|arm\w*|riscv64|ppc64\w*|s390x|mips\w*)-linux-(gnu|musl)\w*|[-.](basic|tiny|nox|gtk3?|qt|distrib|real|static|dbg|debug|bin|original|wrapped|openbsd|traditional|alt|rs|minimal|huge)|[-.]?v?[0-9][0-9.]*[a-z]?)$/;
/** And in front of it. */
const SYSTEM = /^(x86_64|i[3-6]86|aarch64|arm\w*|riscv64|ppc64\w*|s390x|mips\w*)-linux-(gnu|musl)\w*-/;
/** GNU's programs have it where they stand beside the system's own. */
const GNU = /^g(?=(awk|chroot|csplit|env|find|install|make|nice|nohup|sed|sort|split|stdbuf|tar|time|timeout|xargs)$)/;
/** Parts of one set of programs, each of which may run others. */
const FAMILY = /^(git|apt|dpkg|lxc|s6|qemu|kubectl|docker)-/;

/** The name under which a program may be listed: `perl` for /usr/bin/perl5.36-x86_64-linux-gnu. One that is in no table is itself. */
function tableName(program: string): string {
  const base = program.slice(program.lastIndexOf('/') + 1);
  if (base.length > MAX_NAME) return base;
  if (/^ld[\w.-]*\.so[\d.]*$/.test(base)) return 'ld.so';
  let name = base.replace(SYSTEM, '').replace(GNU, '');
  while (!PROGRAMS.has(name) && SUFFIX.test(name)) name = name.replace(SUFFIX, '');
  return !PROGRAMS.has(name) && FAMILY.test(base) ? 'git-shell' : name;
}

export interface Commands {
  readonly kind: 'commands';
  /** Each that runs, the same ones once. */
  readonly commands: readonly Command[];
}
export interface Command {
  /** As the program gets them; the first is its name. */
  readonly words: readonly string[];
  /** nested: another of the commands runs it, or is it under another spelling. */
  readonly via: 'direct' | 'nested';
}

/** All that a list runs: its commands, what those run, and so on; unknown as soon as it cannot be told of one. */
export function commandsOf(list: { readonly commands: readonly { readonly argv: readonly string[] }[] }): Commands | Unknown {
  const found: Running[] = [];
  const waiting: Running[] = list.commands.map(({ argv }) => ({ argv, depth: 0, isText: false }));
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    if (!isProgramName(next.argv[0] ?? '')) return unknown('ProgramName');
    if (next.depth > MAX_DEPTH) return unknown('Nested');
    found.push(next);
    if (found.length > MAX_COMMANDS) return unknown('TooMany');
    const inner = runBy(next);
    if ('kind' in inner) return inner;
    waiting.push(...inner);
  }
  const straight = found.map(({ argv }): Command => ({ words: straightened(argv), via: 'nested' }));
  const asWritten = found.map(({ argv, depth }): Command => ({ words: argv, via: depth === 0 ? 'direct' : 'nested' }));
  return { kind: 'commands', commands: distinct([...asWritten, ...straight]) };
}

interface Running {
  readonly argv: readonly string[];
  readonly depth: number;
  /** It stands in a text that is given to a shell. */
  readonly isText: boolean;
}

function runBy({ argv, depth, isText }: Running): Running[] | Unknown {
  const finding = judgeProgram(argv);
  switch (finding.kind) {
    case 'plain':
      return [];
    case 'runs':
      return finding.commands.map((command) => ({ argv: command, depth: depth + 1, isText }));
    case 'script': {
      if (isText) return unknown('Nested');
      const inner = parseShell(Buffer.from(finding.text));
      if (inner.kind === 'unknown') return unknown(inner.code);
      return inner.commands.map((command) => ({ argv: command.argv, depth: depth + 1, isText: true }));
    }
    default:
      return unknown(finding.code);
  }
}

/** `cat /var/log/../../etc/shadow` is `cat /etc/shadow` too, so that `*` in a rule does not lead out of where it stands. */
function straightened(argv: readonly string[]): readonly string[] {
  return argv.map((word) => (LEADS_BACK.test(word) ? posix.normalize(word) : word));
}
/** `..` behind the beginning of a word. */
const LEADS_BACK = /\/\.\.(\/|$)/;

function distinct(commands: readonly Command[]): Command[] {
  const seen = new Set<string>();
  return commands.filter(({ words }) => seen.size < seen.add(JSON.stringify(words)).size);
}
