/** Where objects begin that were not made by initdb; no one but a superuser can change what lies below. */
export const FIRST_USER_OID = 16384;

/** Judged by what it sets, which its statement's text tells. */
export const SET_CONFIG = 'set_config';

/** What is known about one function, by its OID. */
export type FunctionVerdict =
  /**
   * `session`: it shows what an earlier statement of the session may have left there. `input`: it reads text as a value of a type
   * that it is given, which may be a domain with checks.
   */
  | { readonly kind: 'allowed'; readonly name: string; readonly session?: true; readonly input?: true }
  /** Never to be called by an agent: `why` completes "the function NAME …". */
  | { readonly kind: 'refused'; readonly name: string; readonly why: string }
  /** Its body is not known: whatever it returns may be anything. */
  | { readonly kind: 'opaque'; readonly name: string; readonly schema: string };

export interface FunctionFacts {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly language: string;
  /** pg_proc.provolatile: i, s or v. */
  readonly volatility: string;
}

const BUILT_IN_SCHEMAS: ReadonlySet<string> = new Set(['pg_catalog', 'information_schema']);
const BUILT_IN_LANGUAGES: ReadonlySet<string> = new Set(['internal', 'c', 'sql']);

/** Volatile functions of the server that neither reach outside the statement nor change the session. */
const HARMLESS_VOLATILE: ReadonlySet<string> = new Set([
  'array_sample',
  'array_shuffle',
  'bernoulli',
  'clock_timestamp',
  'currval',
  'gen_random_uuid',
  'lastval',
  'nextval',
  // It frees what only a refused function could have taken.
  'pg_advisory_unlock_all',
  'pg_database_size',
  'pg_indexes_size',
  'pg_is_in_recovery',
  'pg_partition_ancestors',
  'pg_partition_tree',
  'pg_relation_size',
  'pg_sequence_last_value',
  'pg_sleep',
  'pg_sleep_for',
  'pg_sleep_until',
  'pg_table_size',
  'pg_tablespace_size',
  'pg_total_relation_size',
  'random',
  'random_normal',
  'setseed',
  'system',
  'timeofday',
  'txid_status',
  'pg_xact_status',
  'uuidv4',
  'uuidv7',
]);

/** What a function can leave a value in, and these read: settings, sequences, the seed of random numbers. */
const SESSION_READERS: ReadonlySet<string> = new Set([
  'current_schema',
  'current_schemas',
  'current_setting',
  'currval',
  'lastval',
  'nextval',
  'pg_sequence_last_value',
  'pg_show_all_settings',
  'random',
  'random_normal',
]);

/** Input functions of types, and what asks them. */
const INPUT = /_in$|^pg_input_/;

/** Names that begin like a family below, of functions that say no more than a definition does. */
const HARMLESS_MEMBERS: ReadonlySet<string> = new Set(['pg_statistics_obj_is_visible', 'pg_advisory_unlock_all']);

/** Families of functions that are not volatile and yet show what no column of the statement does. */
const REFUSED_FAMILIES: readonly (readonly [prefix: string, why: string])[] = [
  ['query_to_xml', 'runs SQL that it is given as text'],
  ['cursor_to_xml', 'reads what it is given as text'],
  ['table_to_xml', 'reads what it is given as text'],
  ['schema_to_xml', 'reads what it is given as text'],
  ['database_to_xml', 'reads what it is given as text'],
  ['ts_stat', 'runs SQL that it is given as text'],
  ['ts_rewrite', 'runs SQL that it is given as text'],
  ['pg_stat', 'shows statistics, which hold values and other sessions’ statements'],
  ['pg_mcv_list', 'shows statistics, which hold values'],
  ['pg_cursor', 'shows statements of the session'],
  ['pg_prepared_statement', 'shows statements of the session'],
  ['pg_get_replication_slots', 'belongs to replication'],
  ['pg_logical', 'belongs to replication'],
  ['pg_event_trigger', 'belongs to event triggers'],
  ['pg_read', 'reads files of the server'],
  ['pg_ls', 'reads files of the server'],
  ['pg_hba', 'reads files of the server'],
  ['pg_ident', 'reads files of the server'],
  ['lo_', 'reads or writes large objects'],
  ['loread', 'reads large objects'],
  ['lowrite', 'writes large objects'],
  ['set_config', 'changes settings of the session'],
  ['pg_advisory', 'holds locks that other sessions see'],
  ['pg_notify', 'speaks to other sessions'],
];

/**
 * Whether a call of this function can be followed through its arguments. Allowed are functions that came with the server
 * and work on their arguments alone; a volatile one only by name.
 */
/** Whether a function that agents may call gives another result each time. */
export function isVolatile({ name }: Extract<FunctionVerdict, { kind: 'allowed' }>): boolean {
  return HARMLESS_VOLATILE.has(name);
}

export function judgeFunction(facts: FunctionFacts): FunctionVerdict {
  const { name, schema } = facts;
  const builtIn = facts.oid < FIRST_USER_OID && BUILT_IN_SCHEMAS.has(schema) && BUILT_IN_LANGUAGES.has(facts.language);
  if (!builtIn) {
    const dynamic = /^(dblink|pg_stat_statements|pg_read_|pg_logdir|xpath_table|crosstab|connectby|loread|lowrite)/.test(name);
    return dynamic ? { kind: 'refused', name, why: 'reaches data by text that it is given' } : { kind: 'opaque', name, schema };
  }
  const family = HARMLESS_MEMBERS.has(name) ? undefined : REFUSED_FAMILIES.find(([prefix]) => name.startsWith(prefix));
  if (family) return { kind: 'refused', name, why: family[1] };
  if (facts.volatility === 'v' && !HARMLESS_VOLATILE.has(name))
    return { kind: 'refused', name, why: 'works beyond its arguments' };
  if (SESSION_READERS.has(name)) return { kind: 'allowed', name, session: true };
  return INPUT.test(name) ? { kind: 'allowed', name, input: true } : { kind: 'allowed', name };
}

/** Relations of the server that hold values of tables or the text of statements; pg_statistic_ext holds definitions alone. */
const VALUE_RELATIONS =
  /^(pg_stat(?!istic_ext$)|pg_prepared_statements$|pg_cursors$|pg_largeobject$|pg_replication_slots$|pg_get_|pg_locks$|pg_mcv)/;
/** Relations of the server that hold credentials. */
const SECRET_RELATIONS =
  /^(pg_shadow|pg_user_mapping|pg_user_mappings|pg_hba_file_rules|pg_ident_file_mappings|pg_file_settings|_pg_user_mappings|user_mapping_options)$/;
/** Relations of the server where one column holds credentials. Views such as pg_roles, which everybody reads, show the others. */
const SECRET_COLUMNS: ReadonlyMap<string, string> = new Map([
  ['pg_authid', 'rolpassword'],
  ['pg_subscription', 'subconninfo'],
]);

/**
 * Why a relation of the server may not be read, if it may not. `labels`: whether the resource has any. `columns`: what is read
 * of it, as far as that is known.
 */
export function refuseRelation(schema: string, name: string, labels: boolean, columns?: readonly string[]): string | undefined {
  if (schema === 'pg_toast') return 'holds values of tables in pieces';
  if (!BUILT_IN_SCHEMAS.has(schema)) {
    return labels && name.startsWith('pg_stat_statements') ? 'holds statements of other sessions' : undefined;
  }
  const secret = SECRET_COLUMNS.get(name);
  const readsSecret = secret !== undefined && columns?.includes(secret) !== false;
  if (readsSecret || SECRET_RELATIONS.test(name)) return 'holds credentials';
  return labels && VALUE_RELATIONS.test(name) ? 'holds values of tables or statements of other sessions' : undefined;
}
