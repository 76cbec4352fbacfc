import { each, type Finding, type Judge, OPTION, plainIf } from './finding.ts';
import { onlyWith, parseArguments } from './options.ts';

/** Programs that find and change text. */
export const TEXT: Readonly<Record<string, Judge>> = {
  find,
  sed,
  ...each('awk gawk mawk nawk original-awk', awk),
  sort: onlyWith({
    flags: 'bcdfghiMmnRrsuVz',
    values: 'kSt',
    long: 'reverse numeric-sort unique key= field-separator= version-sort human-numeric-sort',
  }),
  rg: onlyWith({
    flags: 'abcFHhIilLnoPpqsSUuvwx0',
    values: 'ABCegjmtTMr',
    long: `color= glob= hidden ignore-case fixed-strings files files-with-matches count line-number no-heading no-ignore max-count= type=
      word-regexp multiline json context= after-context= before-context= sort= no-config max-depth=`,
  }),
};

const FIND_FLAGS =
  'not a and o or true false print print0 prune quit ls depth xdev mount follow empty readable writable executable nouser nogroup daystart noleaf';
const FIND_VALUES = `name= iname= path= ipath= wholename= lname= ilname= regex= iregex= regextype= type= xtype= size= user= group= uid= gid= perm=
  links= inum= samefile= newer= anewer= cnewer= newermt= mtime= ctime= atime= mmin= cmin= amin= maxdepth= mindepth= fstype= printf=`;

/** Its tests, without -exec and its kin, and without what deletes or writes. */
function find(args: readonly string[]): Finding {
  const words = args
    .filter((word) => !/^([()!,]|-[HLP])$/.test(word))
    .map((word) => (/^-[0-9]/.test(word) ? word.slice(1) : word));
  return plainIf(parseArguments(words, { oneDash: true, long: `${FIND_FLAGS} ${FIND_VALUES}` }) !== undefined);
}

/** Commands of sed that print, delete or change text, with addresses; `s` without `e` and `w`. */
function sed(args: readonly string[]): Finding {
  const found = parseArguments(args, {
    flags: 'nErsuz',
    values: 'e',
    long: 'quiet silent regexp-extended expression= null-data posix sandbox',
  });
  if (found === undefined) return OPTION;
  const scripts = found.options.filter(([name]) => name === 'e' || name === 'expression').map(([, script]) => script);
  if (scripts.length === 0) scripts.push(found.operands[0] ?? '');
  return plainIf(scripts.every(isPlainSed));
}

/** `s` with each delimiter. Where a bracket could hold the delimiter, two seds would read it in two ways; so none does. */
const SUBSTITUTION = ['/', '|', ',', '#', '@', '!']
  .map((delimiter) => {
    const regex = sedRegex(delimiter);
    const replacement = String.raw`(?:[^\\DELIMITER\n]|\\[^\n])*`.replaceAll('DELIMITER', delimiter);
    return `\\${delimiter}${regex}\\${delimiter}${replacement}\\${delimiter}`;
  })
  .join('|');
const ADDRESS = String.raw`(?:[0-9]+(?:~[0-9]+)?|\$|/${sedRegex('/')}/I?)`;
const SED_COMMAND = new RegExp(
  String.raw`[ \t]*(?:${ADDRESS}(?:,(?:${ADDRESS}|[+~][0-9]+))?)?[ \t]*!?[ \t]*` +
    String.raw`(?:[pdqQ=nNhHgGxDPl]|s(?:${SUBSTITUTION})[gpiI0-9]*)[ \t]*(?:;[ \t]*|$)`,
  'y',
);

function sedRegex(delimiter: string): string {
  return String.raw`(?:[^\\D[\]\n]|\\[^\n]|\[\^?(?:[^\\D[\]\n^]|\[:[a-z]+:\])(?:[^\\D[\]\n]|\[:[a-z]+:\])*\])*`.replaceAll(
    'D',
    delimiter,
  );
}

/** Commands with `;` between them. What a version of sed could read otherwise is not read. */
function isPlainSed(script: string): boolean {
  SED_COMMAND.lastIndex = 0;
  do if (!SED_COMMAND.test(script)) return false;
  while (SED_COMMAND.lastIndex < script.length);
  return true;
}

/** All means of awk to write, to run and to load need one of these, wherever it stands; `||` needs none. */
const AWK_REACHES_OUT = /[|>@\n]|system|getline|extension/;

function awk(args: readonly string[]): Finding {
  const found = parseArguments(args, { values: 'Fv', inFront: true });
  const [program, ...files] = found?.operands ?? [];
  if (program === undefined || AWK_REACHES_OUT.test(program.replaceAll('||', ''))) return OPTION;
  return plainIf(files.every((file) => !file.startsWith('/inet') && !file.startsWith('-')));
}
