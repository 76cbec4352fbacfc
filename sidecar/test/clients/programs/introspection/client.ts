import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Client } from 'pg';
import { errorOf, say } from '../step.ts';

/**
 * What tools read that make models or diagrams of a schema, such as `prisma db pull`: the same catalogues, functions and joins, with
 * the schemas as an array parameter; and every view of information_schema.
 */
const SCHEMAS = 'n.nspname = any ($1)';
const QUERIES: Readonly<Record<string, string>> = {
  schemas: `select n.nspname from pg_namespace n where ${SCHEMAS} order by 1`,
  tables: `select n.nspname, c.relname, c.relkind = 'p' and c.relhassubclass as parted, c.relrowsecurity, c.reloptions,
    obj_description(c.oid, 'pg_class') as remark from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where (c.relkind in ('p', 'f') or c.relkind = 'r' and not c.relispartition) and ${SCHEMAS} order by 1, 2`,
  views: `select v.schemaname, v.viewname, v.definition, obj_description(c.oid, 'pg_class') from pg_catalog.pg_views v
    join pg_catalog.pg_namespace n on n.nspname = v.schemaname
    join pg_catalog.pg_class c on c.relname = v.viewname and c.relnamespace = n.oid where ${SCHEMAS} order by 1, 2`,
  'materialized views': 'select schemaname, matviewname, definition from pg_matviews where schemaname = any ($1) order by 1, 2',
  columns: `select n.nspname, i.table_name, i.column_name, format_type(a.atttypid, a.atttypmod), i.numeric_precision, i.numeric_scale,
    i.datetime_precision, i.data_type, i.udt_schema, i.udt_name, pg_get_expr(d.adbin, d.adrelid), i.is_nullable, i.is_identity,
    i.character_maximum_length, col_description(a.attrelid, i.ordinal_position)
    from information_schema.columns i join pg_class c on c.relname = i.table_name
    join pg_namespace n on n.oid = c.relnamespace and n.nspname = i.table_schema
    join pg_attribute a on a.attrelid = c.oid and a.attname = i.column_name
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum where ${SCHEMAS} order by 1, 2, i.ordinal_position`,
  constraints: `select n.nspname, c.relname, k.conname, k.contype, pg_get_constraintdef(k.oid), k.condeferrable, k.condeferred
    from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
    where ${SCHEMAS} order by 1, 2, 4, 3`,
  'foreign keys': `select k.conname, c.relname, a.attname, t.relname as target, b.attname as target_column, k.confdeltype, k.confupdtype, p.at
    from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_class t on t.oid = k.confrelid
    join pg_namespace n on n.oid = c.relnamespace
    cross join lateral (select unnest(k.conkey) as own, unnest(k.confkey) as other, generate_subscripts(k.conkey, 1) as at) p
    join pg_attribute a on a.attrelid = c.oid and a.attnum = p.own join pg_attribute b on b.attrelid = t.oid and b.attnum = p.other
    where k.contype = 'f' and ${SCHEMAS} order by 1, p.at`,
  indexes: `with parts as (select indrelid, indexrelid, indisunique, indisprimary, unnest(indkey) as attnum, unnest(indclass) as class,
      unnest(indoption) as option, generate_subscripts(indkey, 1) as at from pg_index where not indisexclusion)
    select n.nspname, c.relname, i.relname as index, a.attname, p.indisunique, p.indisprimary, p.at, o.opcname, m.amname, p.option & 1 as falling,
      pg_get_indexdef(p.indexrelid) from parts p join pg_class c on c.oid = p.indrelid join pg_class i on i.oid = p.indexrelid
    join pg_namespace n on n.oid = c.relnamespace join pg_am m on m.oid = i.relam left join pg_opclass o on o.oid = p.class
    left join pg_attribute a on a.attrelid = c.oid and a.attnum = p.attnum where ${SCHEMAS} order by 1, 2, 3, p.at`,
  enums: `select n.nspname, t.typname, e.enumlabel from pg_enum e join pg_type t on t.oid = e.enumtypid
    join pg_namespace n on n.oid = t.typnamespace where ${SCHEMAS} order by 1, 2, e.enumsortorder`,
  'types of users': `select n.nspname, t.typname, format_type(t.oid, null) from pg_type t join pg_namespace n on n.oid = t.typnamespace
    where t.typrelid = 0 and ${SCHEMAS} and not exists (select from pg_type e where e.typarray = t.oid) order by 1, 2`,
  functions: `select n.nspname, p.proname, case when l.lanname = 'internal' or p.prokind = 'a' then p.prosrc else pg_get_functiondef(p.oid) end
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang where ${SCHEMAS} order by 1, 2`,
  extensions: `select e.extname, e.extversion, n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where n.nspname <> all ($1) order by 1`,
  sequences: `select s.sequence_name, s.data_type, s.start_value, s.increment, q.seqcache, q.seqcycle from information_schema.sequences s
    join pg_class c on c.relname = s.sequence_name join pg_sequence q on q.seqrelid = c.oid where s.sequence_schema = any ($1) order by 1`,
  triggers: `select c.relname, g.tgname, pg_get_triggerdef(g.oid) from pg_trigger g join pg_class c on c.oid = g.tgrelid
    join pg_namespace n on n.oid = c.relnamespace where not g.tgisinternal and ${SCHEMAS} order by 1, 2`,
  policies: 'select * from pg_policies where schemaname = any ($1) order by policyname',
  roles: 'select rolname, rolsuper, rolcanlogin from pg_roles where rolname <> all ($1) order by 1',
  'owners and sizes': `select tableowner, tablename, pg_get_userbyid(c.relowner), pg_relation_size(c.oid) > 0 as filled from pg_tables t
    join pg_class c on c.oid = format('%I.%I', schemaname, tablename)::regclass where schemaname = any ($1) order by 2`,
  'estimated rows': `select relname, n_live_tup >= 0 as counted from pg_stat_user_tables where schemaname = any ($1) order by 1`,
};

const client = new Client({ ssl: { ca: readFileSync(process.env['PGSSLROOTCERT'] ?? '', 'utf8') } });
await client.connect();
say({ step: 'client', result: (createRequire(import.meta.url)('pg/package.json') as { version: string }).version });

async function step(name: string, text: string, values?: unknown[]): Promise<void> {
  try {
    const { rows } = await client.query({ text, ...(values === undefined ? {} : { values }), rowMode: 'array' });
    say({ step: name, result: rows });
  } catch (error) {
    say({ step: name, error: errorOf(error) });
  }
}

for (const [name, text] of Object.entries(QUERIES)) await step(name, text, [['public']]);
await step('version', 'select version()');
const { rows: views } = await client.query<{ table_name: string }>(
  `select table_name from information_schema.views where table_schema = 'information_schema' order by 1`,
);
for (const { table_name: name } of views) await step(`information_schema.${name}`, `select * from information_schema.${name}`);
await client.end();
