import { as, isFields, list, text, type Fields } from './ast.ts';
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
  ['jit', {}],
  ['bytea_output', { values: ['hex'] }],
  ['client_encoding', { values: ['utf8', 'utf-8', 'unicode'] }],
  ['standard_conforming_strings', { values: ['on', 'true', 'yes', '1'] }],
  // Lineage is read from messages of level LOG, so the server's own setting never changes.
  ['client_min_messages', { emulated: true }],
]);

/** What set_config may set too: it changes nothing of what a statement means. `jit` is switched off by asyncpg for its own queries. */
const HARMLESS: ReadonlySet<string> = new Set([
  'application_name',
  'idle_in_transaction_session_timeout',
  'jit',
  'lock_timeout',
  'statement_timeout',
]);

/** Whether a call of set_config, by its arguments, sets one of these to a constant or to what the agent binds. */
export function isHarmlessSetConfig(args: unknown): boolean {
  const [name, value, local, ...more] = list(args);
  const given = as('ParamRef', value) !== undefined || constant(value) !== undefined;
  return HARMLESS.has(constant(name)?.toLowerCase() ?? '') && given && constant(local) !== undefined && more.length === 0;
}

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
      // Back to what our startup packet said: pinned settings stay as they are.
      return { kind: 'reset', name: 'all', emulated: false };
    default:
      return refuse(name);
  }
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
