import { describe, expect, it } from 'vitest';
import { judgeFunction, refuseRelation } from './functions.ts';
import { isTotal } from './total.ts';

const facts = (name: string, volatility = 'i', mods: Partial<Parameters<typeof judgeFunction>[0]> = {}) => ({
  oid: 1000,
  schema: 'pg_catalog',
  language: 'internal',
  name,
  volatility,
  ...mods,
});

describe('a function', () => {
  it.each([
    ['upper', 'i', 'allowed'],
    ['now', 's', 'allowed'],
    ['current_setting', 's', 'allowed'],
    ['nextval', 'v', 'allowed'],
    ['gen_random_uuid', 'v', 'allowed'],
    ['pg_sleep', 'v', 'allowed'],
    ['setval', 'v', 'refused'],
    ['pg_terminate_backend', 'v', 'refused'],
    ['pg_reload_conf', 'v', 'refused'],
    ['pg_export_snapshot', 'v', 'refused'],
    ['pg_switch_wal', 'v', 'refused'],
    ['a_volatile_function_of_a_later_version', 'v', 'refused'],
    ['set_config', 'v', 'refused'],
    ['table_to_xml', 's', 'refused'],
    ['pg_stat_get_activity', 's', 'refused'],
    ['pg_prepared_statement', 's', 'refused'],
    ['pg_ls_dir', 'v', 'refused'],
    ['lo_get', 'v', 'refused'],
    ['pg_tablespace_size', 'v', 'allowed'],
    ['pg_statistics_obj_is_visible', 's', 'allowed'],
  ])('of the server named %s (%s) is %s', (name, volatility, kind) =>
    expect(judgeFunction(facts(name, volatility)).kind).toBe(kind),
  );

  it.each([
    ['in another schema', { schema: 'app' }],
    ['made after the server was', { oid: 16384 }],
    ['in another language', { language: 'plpgsql' }],
  ])('%s is opaque', (_, mods) => expect(judgeFunction(facts('upper', 'i', mods)).kind).toBe('opaque'));

  it('of an extension that reaches data by text is refused', () => {
    expect(judgeFunction(facts('dblink', 'v', { oid: 20000, schema: 'public', language: 'c' })).kind).toBe('refused');
  });
});

describe('a relation of the server', () => {
  it.each([
    ['pg_catalog', 'pg_class', true, false],
    ['information_schema', 'columns', true, false],
    ['pg_catalog', 'pg_stats', true, true],
    ['pg_catalog', 'pg_statistic', true, true],
    ['pg_catalog', 'pg_stat_activity', true, true],
    ['pg_catalog', 'pg_stat_activity', false, false],
    ['pg_catalog', 'pg_prepared_statements', true, true],
    ['pg_catalog', 'pg_authid', false, true],
    ['pg_catalog', 'pg_user_mappings', false, true],
    ['pg_catalog', 'pg_statistic_ext', true, false],
    ['pg_catalog', 'pg_statistic_ext_data', true, true],
    ['pg_toast', 'pg_toast_1', false, true],
    ['public', 'pg_stat_statements', true, true],
    ['app', 'pg_stats', true, false],
  ])('%s.%s with labels %s: refused %s', (schema, name, labels, refused) =>
    expect(refuseRelation(schema, name, labels) !== undefined).toBe(refused),
  );

  it.each([
    ['pg_authid', ['rolname', 'oid'], false],
    ['pg_authid', ['rolname', 'rolpassword'], true],
    ['pg_authid', undefined, true],
    ['pg_subscription', ['subname'], false],
    ['pg_subscription', ['subconninfo'], true],
    ['pg_user_mappings', ['umid'], true],
  ])('pg_catalog.%s read in %j: refused %s', (name, columns, refused) =>
    expect(refuseRelation('pg_catalog', name, false, columns) !== undefined).toBe(refused),
  );
});

describe('a call is total', () => {
  it.each([
    ['upper', [true], true],
    ['int4eq', [true, false], true],
    ['numeric_ge', [true, true], true],
    ['left', [true, false], true],
    ['left', [false, true], false],
    ['format', [false, true], true],
    ['format', [true, false], false],
    ['int4div', [false, true], false],
    ['generate_series', [false, true], false],
    ['', [true], false],
  ])('%s with labelled arguments %j: %s', (name, labelled, total) => expect(isTotal(name, labelled)).toBe(total));
});
