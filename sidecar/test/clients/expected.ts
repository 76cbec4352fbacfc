/**
 * What is not as it is without the proxy, by client and step: refused with a code, or answered in another way, and why. Everything
 * else has to be equal, but for masks. A line that does not hold any more fails the test as well as one that is missing.
 */
export interface Exception {
  /** The code of the refusal; absent: answered in another way. */
  readonly code?: string;
  readonly why: string;
  /** Holds for these major versions of PostgreSQL; absent: for all. */
  readonly majors?: readonly string[];
}

const refused = (why: string, code = 'NotAnalysable'): Exception => ({ code, why });
const differs = (why: string): Exception => ({ why });

const PINNED = refused('it would change how text is read or names are looked up', 'SettingPinned');
const LISTEN = refused('passes data between sessions unseen');
const TWO_PHASE = refused('two-phase commit is not supported');
const DISCARD = refused('would undo the settings of the connection');
const NOTICES = differs('notices and warnings of DDL are not told while columns are labelled: they may name values');
const ERROR_TEXT = differs(
  'the text of an error is a general one where a labelled table takes part, here by a foreign key; the SQLSTATE is kept',
);
const STATISTICS = refused('statistics hold values, and statements of other sessions');
const CREDENTIALS = refused('user mappings hold credentials');
const SYNTAX = refused(
  'what is not SQL cannot be judged; the answer says where it breaks off, and has the same SQLSTATE',
  'StatementSyntax',
);
const DUMP = refused('pg_dump and pg_restore empty search_path by set_config; they are for the owner');

export const EXPECTED: Readonly<Record<string, Readonly<Record<string, Exception>>>> = {
  psql: {
    '\\deu': CREDENTIALS,
    '\\dconfig': differs('lists what Chaperone set for its own session with the server'),
    '\\conninfo': differs(
      'port, process and password are those of Chaperone’s side; whether the role is a superuser is not told',
    ),
    'show search_path': differs('it is pinned to what policies name'),
    'set search_path': PINNED,
    'set client_encoding': PINNED,
    'function of our own': differs('while a label is hidden, what functions of the database return is masked whole'),
    procedure: refused('what it runs cannot be told'),
    do: refused('what it runs cannot be told'),
    prepare: { ...refused('PostgreSQL 14 does not print what PREPARE stores, so it cannot be judged'), majors: ['14'] },
    listen: LISTEN,
    'temporary table': refused('takes data out of reach of labels'),
    vacuum: NOTICES,
    notices: NOTICES,
    'discard all': DISCARD,
  },
  'node-postgres': {
    constraint: ERROR_TEXT,
    notices: NOTICES,
    listen: LISTEN,
    'advisory lock': refused('other sessions see it'),
    set_config: differs('it is set; what set_config gives back is masked while a label is hidden'),
  },
  psycopg: {
    'two-phase commit': TWO_PHASE,
    notices: NOTICES,
    listen: LISTEN,
  },
  asyncpg: {
    'cursor that moves': refused('MOVE of a portal of the protocol'),
    'wrong syntax': SYNTAX,
    listener: LISTEN,
  },
  SQLAlchemy: {
    'create and drop tables': differs(
      'the text of an error of DDL is a general one while columns are labelled; the SQLSTATE is kept',
    ),
  },
  pgx: { 'wrong syntax': SYNTAX, notices: NOTICES, listen: LISTEN },
  'pgx, simple protocol': { 'wrong syntax': SYNTAX, notices: NOTICES, listen: LISTEN },
  pgjdbc: {
    'search path': PINNED,
    listen: LISTEN,
    'large object': refused('they are reached by function calls of the protocol, and hold what no label follows'),
  },
  introspection: {
    'estimated rows': STATISTICS,
    'information_schema.user_mapping_options': CREDENTIALS,
    'information_schema.user_mappings': CREDENTIALS,
  },
  pg_dump: {
    schema: DUMP,
    rows: DUMP,
    'masked rows as inserts': DUMP,
    'restore of rows': DUMP,
    restored: differs('nothing was restored'),
  },
};

/** What is expected of a client on one major version. */
export function expectedOf(client: string, major: string): Map<string, Exception> {
  return new Map(Object.entries(EXPECTED[client] ?? {}).filter(([, { majors }]) => majors?.includes(major) !== false));
}
