import { type Finding, type Judge, OPTION, plainIf, runs } from './finding.ts';

/** Options of one program that neither run anything nor write where nobody expects it. What is not listed is not known. */
export interface OptionTable {
  /** Letters without a value. They may stand together behind one dash. */
  readonly flags?: string;
  /** Letters with a value, which is the rest of the word or else the next one. */
  readonly values?: string;
  /** Long options between blanks: `name`, `name=` with a value, `name[=]` with one behind `=` or none. Names are not abbreviated. */
  readonly long?: string;
  /** Long options have one dash, letters do not stand together, and `--` ends nothing: find. */
  readonly oneDash?: boolean;
  /** The first operand ends the options. By default they may follow operands. */
  readonly inFront?: boolean;
}

export interface Arguments {
  /** In their order; without a value: ''. */
  readonly options: readonly (readonly [name: string, value: string])[];
  readonly operands: readonly string[];
}

/**
 * Tells options from operands as getopt_long does; undefined where an option is not in the table. The next word is a value only
 * when it has no dash in front: a program that takes no value there would read it as an option.
 */
export function parseArguments(args: readonly string[], table: OptionTable): Arguments | undefined {
  const { flags = '', values = '', inFront = false } = table;
  const long = longOptions(table.long);
  const options: [string, string][] = [];
  const operands: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? '';
    if (word === '--' && !table.oneDash) return { options, operands: [...operands, ...args.slice(at + 1)] };
    if (!word.startsWith('-') || word === '-') {
      if (inFront) return { options, operands: args.slice(at) };
      operands.push(word);
      continue;
    }
    const next = args[at + 1];
    const taken = word.startsWith('--') || table.oneDash ? takeLong(word, next, long) : takeLetters(word, next, flags, values);
    if (taken === undefined) return undefined;
    options.push(...taken.options);
    if (taken.tookNext) at++;
  }
  return { options, operands };
}

/** A program that does its own work alone while its options are in the table and `harmless` says so of the rest. */
export function onlyWith(table: OptionTable, harmless: (found: Arguments) => boolean = () => true): Judge {
  return (args) => {
    const found = parseArguments(args, table);
    return plainIf(found !== undefined && harmless(found));
  };
}

/** What stands behind the options, and behind one word that matches `first` where that is given, is run. */
export function behind(table: OptionTable, first?: RegExp): Judge {
  return (args): Finding => {
    const found = parseArguments(args, { ...table, inFront: true });
    if (found === undefined) return OPTION;
    const { operands } = found;
    if (first !== undefined && !first.test(operands[0] ?? '')) return OPTION;
    const command = first === undefined ? operands : operands.slice(1);
    // sudo reads variables in front of a command; so do others, and no program has such a name.
    return command[0]?.includes('=') ? OPTION : runs(command);
  };
}

interface Taken {
  readonly options: [string, string][];
  readonly tookNext: boolean;
}
type Arity = 'none' | 'value' | 'optional';

function longOptions(listed = ''): ReadonlyMap<string, Arity> {
  return new Map(
    listed.split(/\s+/).map((name): [string, Arity] => {
      if (name.endsWith('[=]')) return [name.slice(0, -3), 'optional'];
      return name.endsWith('=') ? [name.slice(0, -1), 'value'] : [name, 'none'];
    }),
  );
}

function takeLong(word: string, next: string | undefined, long: ReadonlyMap<string, Arity>): Taken | undefined {
  const [, name = '', value] = /^--?([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
  const arity = long.get(name);
  if (name === '' || arity === undefined) return undefined;
  if (value !== undefined) return arity === 'none' ? undefined : { options: [[name, value]], tookNext: false };
  if (arity !== 'value') return { options: [[name, '']], tookNext: false };
  return isValue(next) ? { options: [[name, next]], tookNext: true } : undefined;
}

function takeLetters(word: string, next: string | undefined, flags: string, values: string): Taken | undefined {
  const options: [string, string][] = [];
  for (let at = 1; at < word.length; at++) {
    const letter = word.charAt(at);
    if (flags.includes(letter)) options.push([letter, '']);
    else if (!values.includes(letter)) return undefined;
    else if (at + 1 < word.length) return { options: [...options, [letter, word.slice(at + 1)]], tookNext: false };
    else return isValue(next) ? { options: [...options, [letter, next]], tookNext: true } : undefined;
  }
  return { options, tookNext: false };
}

function isValue(word: string | undefined): word is string {
  return word !== undefined && (word === '-' || !word.startsWith('-'));
}
