import { type Arguments, onlyWith } from './options.ts';
import type { Judge } from './finding.ts';

const NOWHERE = new Set(['-', '/dev/null']);
const WEB = /^https?:\/\//;

/** Clients that fetch or ask something. No files are written; what a server is asked is not judged. */
export const NETWORK: Readonly<Record<string, Judge>> = {
  // Not there: -K and -q (configuration), -T, -F, -o to a file, -O, -c, -x, and whatever writes on the way.
  curl: onlyWith(
    {
      flags: 'sSfLIiGkv46N',
      values: 'XHdAebumow',
      long: `silent show-error fail fail-with-body location head include get insecure verbose request= header= data= data-raw= data-binary= data-urlencode= user-agent=
        referer= cookie= user= max-time= connect-timeout= retry= retry-delay= retry-connrefused output= write-out= compressed http1.1 http2 json= url=
        no-buffer max-redirs= cacert= resolve=`,
    },
    isFetch,
  ),
  wget: onlyWith(
    {
      flags: 'qSnvdc46',
      values: 'OTt',
      long: 'quiet server-response spider output-document= timeout= tries= header= no-verbose no-check-certificate user-agent= max-redirect=',
    },
    ({ options, operands }) =>
      operands.every((address) => WEB.test(address)) &&
      options.some(([name]) => name === 'spider' || isOutput(name)) &&
      options.every(([name, value]) => !isOutput(name) || NOWHERE.has(value)),
  ),
  // Statements of SQL alone, not \! and its kin: psql reads those where the text begins with a backslash, or comes from its input.
  psql: onlyWith(
    {
      flags: 'AtXqwxlaebE1nz0',
      values: 'hpUdcFRv',
      long: 'csv tuples-only no-align no-psqlrc no-password quiet host= port= username= dbname= command= set= list expanded html',
    },
    ({ options, operands }) =>
      options.some(([name]) => ['c', 'command', 'l', 'list'].includes(name)) &&
      options.every(([name, value]) => (name !== 'c' && name !== 'command') || !value.trimStart().startsWith('\\')) &&
      options.every(([name, value]) => (name !== 'v' && name !== 'set') || value === 'ON_ERROR_STOP=1') &&
      operands.length <= 2,
  ),
  // Here commands of the client may stand anywhere in the text: one statement that reads, and nothing that could hold one.
  mysql: mysql(),
  mariadb: mysql(),
};

function isOutput(name: string): boolean {
  return name === 'O' || name === 'output-document';
}

function isFetch({ options, operands }: Arguments): boolean {
  const addresses = [...operands, ...options.filter(([name]) => name === 'url').map(([, value]) => value)];
  return addresses.every((address) => WEB.test(address)) && options.every(([name, value]) => !isOfFile(name, value));
}

/** Whether a value is the name of a file that is sent or written. */
function isOfFile(name: string, value: string): boolean {
  switch (name) {
    case 'o':
    case 'output':
      return !NOWHERE.has(value);
    case 'w':
    case 'write-out':
      // `%output{FILE}` writes.
      return value.startsWith('@') || value.includes('%output');
    case 'b':
    case 'cookie':
      return !value.includes('=');
    case 'data-urlencode':
      // `name@FILE`, unless a `=` stands before.
      return /^[^=]*@/.test(value);
    default:
      return /^(H|d|header|data|data-binary|json)$/.test(name) && value.startsWith('@') && value !== '@-';
  }
}

function mysql(): Judge {
  return onlyWith(
    {
      flags: 'BNstHEr',
      values: 'hPuDe',
      long: 'host= port= user= database= execute= batch skip-column-names silent table raw vertical protocol=',
    },
    ({ options }) => {
      const texts = options.filter(([name]) => name === 'e' || name === 'execute');
      return texts.length > 0 && texts.every(([, text]) => /^(select|show|describe|explain)\s[^\\;\n]*;?$/i.test(text.trim()));
    },
  );
}
