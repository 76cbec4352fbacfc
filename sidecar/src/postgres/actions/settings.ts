import { as, isFields, list, strings, text, type Fields } from './ast.ts';
import type { StatementClass } from './statement.ts';

/**
 * Settings that a client may change, with the values it may give them; any value where none are listed. What is absent here
 * could change how the server reads or answers a statement (search_path, standard_conforming_strings, role …), and is
 * pinned.
 */
const SETTINGS: ReadonlyMap<string, { readonly values?: readonly string[]; readonly emulated?: true }> = new Map([
  ['application_name', {}],
  ['datestyle', {}],
  ['timezone', {}],
  ['intervalstyle', {}],
  ['extra_float_digits', {}],
  ['statement_timeout', {}],
  ['lock_timeout', {}],
  ['idle_in_transaction_session_timeout', {}],
  ['jit', {}],
  ['bytea_output', { values: ['hex'] }],
  ['client_encoding', { values: ['utf8', 'utf-8', 'unicode'] }],
  ['standard_conforming_strings', { values: ['on', 'true', 'yes', '1'] }],
  // Lineage is read from messages of level LOG, so the server's own setting never changes.
  ['client_min_messages', { emulated: true }],
]);

/** Of BEGIN, SET TRANSACTION and SET SESSION CHARACTERISTICS: the modes, with the values that take nothing away. */
const TRANSACTION_MODES: ReadonlyMap<string, readonly string[] | undefined> = new Map([
  ['transaction_isolation', undefined],
  ['transaction_deferrable', undefined],
  ['transaction_read_only', ['1']],
]);

export function classifySet(fields: Fields): StatementClass {
  const name = text(fields['name']).toLowerCase();
  const local = fields['is_local'] === true;
  switch (fields['kind']) {
    case 'VAR_SET_MULTI':
      return transactionModes(name, fields);
    case 'VAR_RESET':
      return reset(name);
    case 'VAR_SET_DEFAULT':
      return pinned(name, '') ?? { kind: 'set', name, value: '', local, emulated: isEmulated(name) };
    case 'VAR_SET_VALUE': {
      const values = list(fields['args']).map(constant);
      const value = values.join(', ');
      if (values.includes(undefined)) return refuse(name);
      return pinned(name, value) ?? { kind: 'set', name, value, local, emulated: isEmulated(name) };
    }
    case 'VAR_RESET_ALL':
      return { kind: 'refused', code: 'SettingPinned', why: 'RESET ALL would change pinned settings; reset them one by one' };
    default:
      return refuse(name);
  }
}

/** Settings that drivers change by set_config, whose values tell nothing. */
const BY_FUNCTION: ReadonlySet<string> = new Set(['jit']);
/** What SELECT has beside its list when it is nothing but that, and what a call has beside its arguments when it is plain. */
const BARE_SELECT: ReadonlySet<string> = new Set(['targetList', 'limitOption', 'op']);
const BARE_CALL: ReadonlySet<string> = new Set(['funcname', 'args', 'funcformat', 'location']);

/**
 * `SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new`, and no more: how asyncpg sets and sets back a
 * setting. It is SET that gives rows. The name has to be a constant, and the value a constant or a parameter.
 */
export function classifySetConfig(tag: string, fields: Fields): StatementClass | undefined {
  if (tag !== 'SelectStmt' || fields['op'] !== 'SETOP_NONE') return undefined;
  if (!Object.keys(fields).every((key) => BARE_SELECT.has(key))) return undefined;
  const calls = list(fields['targetList']).map((target) => settingCall(as('ResTarget', target)?.['val']));
  const written = calls.find((call) => call?.written === true);
  if (written === undefined || calls.some((call) => call?.name !== written.name)) return undefined;
  return { kind: 'set', name: written.name, value: written.value, local: written.local, emulated: false };
}

interface SettingCall {
  readonly name: string;
  readonly written: boolean;
  readonly value: string;
  readonly local: boolean;
}

function settingCall(node: unknown): SettingCall | undefined {
  const call = as('FuncCall', node);
  if (!call || !Object.keys(call).every((key) => BARE_CALL.has(key))) return undefined;
  const called = (strings(call['funcname']) ?? []).join('.').replace(/^pg_catalog\./, '');
  const [first, value, local, ...more] = list(call['args']);
  const name = constant(first)?.toLowerCase() ?? '';
  if (!BY_FUNCTION.has(name) || more.length > 0) return undefined;
  if (called === 'current_setting' && value === undefined) return { name, written: false, value: '', local: false };
  const given = as('ParamRef', value) ? '' : constant(value);
  const scope = constant(local);
  if (called !== 'set_config' || given === undefined || scope === undefined) return undefined;
  return { name, written: true, value: given, local: scope === 'on' };
}

function reset(name: string): StatementClass {
  return pinned(name, '') ?? { kind: 'reset', name, emulated: isEmulated(name) };
}

function isEmulated(name: string): boolean {
  return SETTINGS.get(name)?.emulated ?? false;
}

/** An empty value is the default, which is the server's to say: not for a setting with fixed values. */
function pinned(name: string, value: string): StatementClass | undefined {
  const setting = SETTINGS.get(name);
  if (!setting) return refuse(name);
  if (setting.values && !setting.values.includes(value.toLowerCase())) return refuse(name, setting.values[0]);
  return undefined;
}

function transactionModes(name: string, fields: Fields): StatementClass {
  const nodes = list(fields['args']);
  const said = nodes.map(modeOf);
  if (said.length === 0) return refuse(name);
  const value = said.map(([key, mode]) => `${key}=${mode}`).join(', ');
  return refusedMode(nodes) ?? { kind: 'set', name, value, local: name === 'transaction', emulated: false };
}

/** Of the modes of a transaction, as SET TRANSACTION and BEGIN have them: the refusal of the first that gives more than was there. */
export function refusedMode(nodes: readonly unknown[]): StatementClass | undefined {
  for (const [key, value] of nodes.map(modeOf)) {
    const values = TRANSACTION_MODES.get(key);
    if (!TRANSACTION_MODES.has(key) || value === undefined || (values && !values.includes(value))) return refuse(key);
  }
  return undefined;
}

function modeOf(node: unknown): readonly [key: string, value: string | undefined] {
  const mode = as('DefElem', node);
  return [text(mode?.['defname']), constant(mode?.['arg'])];
}

/** Names that the manual lists stand in the text; others may hold anything. */
function refuse(name: string, only?: string): StatementClass {
  const shown = /^[a-z][a-z_ ]{0,40}$/.test(name) ? name : 'this setting';
  const why = only === undefined ? `${shown} is pinned for this connection` : `${shown} may only be ${only} on this connection`;
  return { kind: 'refused', code: 'SettingPinned', why };
}

function constant(node: unknown): string | undefined {
  const value = as('A_Const', node) ?? as('A_Const', as('TypeCast', node)?.['arg']);
  if (!value) return undefined;
  for (const [member, key] of [
    ['sval', 'sval'],
    ['fval', 'fval'],
  ] as const) {
    const inner = value[member];
    if (isFields(inner)) return text(inner[key]);
  }
  // The printer leaves out zero and false.
  if (isFields(value['ival'])) return String(Number(value['ival']['ival'] ?? 0));
  if (isFields(value['boolval'])) return value['boolval']['boolval'] === true ? 'on' : 'off';
  return undefined;
}
