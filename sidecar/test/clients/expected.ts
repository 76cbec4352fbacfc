/**
 * What is not as it is without the proxy, by client and step: refused with a code, or answered in another way, and why. Everything
 * else has to be equal, but for masks. A line that does not hold any more fails the test as well as one that is missing.
 */
export interface Exception {
  /** The code of the refusal; absent: answered in another way. */
  readonly code?: string;
  readonly why: string;
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
const DEALLOCATE = differs(
  'after a rollback psycopg sends `DEALLOCATE ALL` where it had prepared statements; that is refused, and fails the transaction around',
);

export const EXPECTED: Readonly<Record<string, Readonly<Record<string, Exception>>>> = {
  psql: {
    '\\deu': refused('user mappings hold credentials'),
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
    prepare: refused('statements are prepared by the protocol'),
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
    set_config: refused('changes settings from inside of a query'),
  },
  psycopg: {
    'nested transactions': DEALLOCATE,
    'two-phase commit': TWO_PHASE,
    notices: NOTICES,
    listen: LISTEN,
  },
};
