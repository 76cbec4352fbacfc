select ssn from app.customers
select ssn as harmless from app.customers
select * from app.customers
select c.* from app.customers c
select c from app.customers c
select (c).ssn from app.customers c
select (c).* from (select c from app.customers c) x
select row(c.*) from app.customers c
select c::text from app.customers c
select row_to_json(c) from app.customers c
select to_json(c) from app.customers c
select to_jsonb(c) from app.customers c
select to_jsonb(c) ->> 'ssn' from app.customers c
select json_agg(c) from app.customers c
select jsonb_agg(ssn) from app.customers
select json_build_object('a', ssn) from app.customers
select jsonb_build_array(id, ssn) from app.customers
select json_object_agg(id, ssn) from app.customers
select json_populate_record(null::app.pair, json_build_object('a', ssn)) from app.customers
select jsonb_path_query(to_jsonb(c), '$.ssn') from app.customers c
select jsonb_array_elements(jsonb_agg(ssn)) from app.customers
select e from app.customers c, jsonb_each_text(to_jsonb(c)) e
select value from app.customers c, jsonb_each_text(to_jsonb(c))
select array[ssn] from app.customers
select array_agg(ssn) from app.customers
select (array[ssn, name])[1] from app.customers
select (array_agg(ssn))[1:2] from app.customers
select unnest(array[ssn]) from app.customers
select u from app.customers, unnest(array[ssn, name]) u
select array(select ssn from app.customers)
select string_agg(ssn, ',') from app.customers
select string_agg(ssn, ',' order by id) from app.customers
select max(ssn) from app.customers
select min(ssn) filter (where id = 1) from app.customers
select mode() within group (order by ssn) from app.customers
select percentile_disc(0.5) within group (order by ssn) from app.customers
select ssn || '' from app.customers
select 'x' || ssn from app.customers
select concat(ssn, name) from app.customers
select concat_ws('-', id, ssn) from app.customers
select format('%s', ssn) from app.customers
select upper(ssn) from app.customers
select reverse(ssn) from app.customers
select replace(ssn, '-', '') from app.customers
select translate(ssn, '-', '') from app.customers
select substr(ssn, 1, 7) from app.customers
select left(ssn, 6), right(ssn, 6) from app.customers
select overlay(ssn placing 'zz' from 1 for 0) from app.customers
select regexp_replace(ssn, '^', 'a') from app.customers
select (regexp_match(ssn, '.*'))[1] from app.customers
select regexp_split_to_table(ssn, 'x') from app.customers
select string_to_array(ssn, '!') from app.customers
select encode(ssn::bytea, 'hex') from app.customers
select encode(convert_to(ssn, 'UTF8'), 'base64') from app.customers
select ssn::bytea from app.customers
select convert_to(ssn, 'UTF8') from app.customers
select ssn::varchar(20) from app.customers
select ssn::char(20) from app.customers
select ssn::name from app.customers
select ssn::app.short from app.customers
select ssn::varchar from app.customers
select ssn collate "C" from app.customers
select cast(ssn as text) from app.customers
select replace(ssn, '-', '')::bigint from app.customers
select to_tsvector('simple', ssn) from app.customers
select quote_literal(ssn) from app.customers
select coalesce(ssn, 'none') from app.customers
select nullif(ssn, 'x') from app.customers
select greatest(ssn, '') from app.customers
select case when id = 1 then ssn else name end from app.customers
select case id when 1 then ssn end from app.customers
select (select ssn from app.customers where id = 1)
select (select c.ssn) from app.customers c
select (select max(ssn) from app.customers) from app.orders
select id, (select string_agg(ssn, ';') from app.customers) s from app.orders
select exists(select ssn from app.customers), (select c from app.customers c limit 1)
with q as (select ssn from app.customers) select * from q
with q as materialized (select ssn as z from app.customers) select z from q
with a as (select ssn from app.customers), b as (select * from a) select * from b
with q(x) as (select ssn from app.customers), r as (select 1) select q.x from q, r
with recursive r(n, s) as (select 1, ssn from app.customers union all select n + 1, s from r where n < 2) select s from r
with recursive r(a, b) as (select 'x', ssn from app.customers union all select y.b, y.b from (select * from r limit 1) y where y.a = 'x') select a from r
with recursive r(a, b, c) as (select 'x', 'y', ssn from app.customers where id = 1 union all select y.b, y.c, y.c from (select * from r) y where y.a = 'x' or y.b = 'y') select a from r
with recursive r(n, s) as (select 1, ssn from app.customers union all select n + 1, s from r where n < 2) search depth first by s set o select o from r
with recursive r(n, s) as (select 1, ssn from app.customers union all select n + 1, s from r where n < 2) cycle s set c using p select p from r
select ssn from app.customers union all select 'x'
select 'x' union all select ssn from app.customers
select 'x' union select ssn from app.customers
select name from app.customers except select item from app.orders union all select ssn from app.customers
select ssn from app.customers intersect select ssn from app.customers
(select name from app.customers) union all (select item from app.orders) union all (select ssn from app.customers)
values ((select ssn from app.customers where id = 1))
select * from (values (1, (select ssn from app.customers limit 1)), (2, 'x')) v(a, b)
select column1 from (values ((select ssn from app.customers limit 1))) v
select x.s from app.orders o, lateral (select ssn as s from app.customers c where c.id = o.customer_id) x
select s from app.orders o cross join lateral (select c.ssn) y(s), app.customers c
select s from app.customers c, lateral (select c.ssn || '' as s) x
select * from app.orders o join app.customers c on c.id = o.customer_id
select * from app.orders o join app.customers c using (id)
select ssn from app.customers full join (select null::text as ssn) x using (ssn)
select ssn from app.orders full join app.customers using (ssn)
select ssn from app.orders right join app.customers using (ssn)
select j.ssn from (app.orders left join app.customers using (id)) as j(a, b, c, d, e, f, g)
select x.g from (app.orders left join app.customers using (id)) as x(a, b, c, d, e, f, g)
select * from app.orders natural join app.customers
select row_number() over (order by id), ssn from app.customers
select lag(ssn) over (order by id), lead(ssn) over (order by id) from app.customers
select first_value(ssn) over (partition by id) from app.customers
select string_agg(ssn, '') over w from app.customers window w as (order by id)
select ssn, count(*) from app.customers group by ssn
select ssn from app.customers group by grouping sets ((ssn), ())
select coalesce(ssn, 'all') from app.customers group by rollup (ssn)
select ssn, name, count(*) from app.customers group by cube (ssn, name)
select upper(ssn) from app.customers group by upper(ssn) having count(*) > 0
select distinct ssn from app.customers
select distinct on (id) ssn from app.customers order by id
select ssn from app.customers order by id limit 1
select ssn from app.customers for update
select ssn from app.customers tablesample system (100)
select ssn from only app.customers
select ctid, ssn from app.customers
select ssn_tail, ssn_tail || ssn from app.customers
select x from (select ssn as x from app.customers) y where x is not null
select * from app.v_plain
select a, b from app.v_renamed
select c from app.v_nested
select who from app.v_join
select x from app.v_union
select all_of_them from app.v_agg
select v from app.v_renamed v
select row_to_json(v) from app.v_nested v
select y from app.mv
select m from app.mv m
select ssn from app.part
select ssn from app.part_eu
select p from app.part p
select secret from app.base
select secret from only app.kid
select b from app.base b
select "a.b" from app."odd name"
select o from app."odd name" o
select app.echo(ssn) from app.customers
select app.leak(1)
select * from app.leak_all()
select l from app.leak_all() l
select ssn = any(array['271-82-8459']), ssn from app.customers
select xmlelement(name a, ssn) from app.customers
select xmlforest(ssn as a) from app.customers
select xmlagg(xmlelement(name a, ssn)) from app.customers
select (xpath('/a/text()', xmlelement(name a, ssn)))[1] from app.customers
select t.a from app.customers c, xmltable('/r' passing xmlelement(name r, xmlelement(name a, c.ssn)) columns a text) t
select query_to_xml('select ssn from app.customers', true, false, '')
select table_to_xml('app.customers', true, false, '')
select schema_to_xml('app', true, false, '')
select * from ts_stat('select to_tsvector(''simple'', ssn) from app.customers')
select most_common_vals::text, histogram_bounds::text from pg_stats where tablename = 'customers'
select query from pg_stat_activity
select pg_read_file('PG_VERSION')
select set_config('application_name', ssn, false) from app.customers
select pg_notify('x', ssn) from app.customers
select lo_from_bytea(0, ssn::bytea) from app.customers
select pg_advisory_lock(replace(ssn, '-', '')::bigint) from app.customers
select current_setting('my.' || ssn, true) from app.customers
select ssn::int from app.customers
select ('{"a":' || ssn || '}')::json from app.customers
select ssn::regclass from app.customers
select to_date(ssn, 'YYYY') from app.customers
select 1 / (case when ssn like '271%' then 0 else 1 end) from app.customers
select app.pair(ssn, 'x') from app.customers
select (row(ssn, 'x')::app.pair).a from app.customers
select row(ssn, 'x')::app.pair from app.customers
select extract(epoch from born), ssn from app.customers
insert into app.orders select 100 + id, id, 'x', ssn from app.customers returning note
insert into app.orders(id, note) values (100, (select ssn from app.customers where id = 1)) returning *
insert into app.orders(id, note) select 1, 'x' on conflict (id) do update set note = (select ssn from app.customers where id = 1) returning note
insert into app.customers(id, ssn) values (3, '271-82-8459x') returning ssn
insert into app.customers(id, ssn) select 1, 'y' on conflict (id) do update set name = app.customers.ssn returning name
update app.orders set note = ssn_of.ssn from app.customers ssn_of where ssn_of.id = customer_id returning note
update app.orders set (note, item) = (select ssn, name from app.customers where id = 1) returning note
update app.customers set name = ssn returning name
update app.customers set name = name returning *
update app.customers set ssn = ssn returning ssn
update app.customers set name = ssn_tail || ssn where id = 1
delete from app.customers returning ssn
delete from app.orders using app.customers c where c.id = customer_id returning c.ssn
delete from app.instead
with d as (delete from app.customers returning ssn) select * from d
with u as (update app.customers set name = 'x' returning ssn as q) select q from u
with i as (insert into app.orders(id, note) select 100 + id, ssn from app.customers returning note) select note from i
update app.v_renamed set a = a returning b
update app.v_instead set id = id returning ssn
insert into app.v_instead values (9, '271-82-8459') returning ssn
/*15*/ merge into app.orders o using app.customers c on o.customer_id = c.id when matched then update set note = c.ssn
/*15*/ merge into app.orders o using app.customers c on o.customer_id = c.id when not matched then insert values (9, 9, c.ssn) when matched then delete
/*17*/ merge into app.orders o using app.customers c on o.customer_id = c.id when matched then update set item = 'x' returning c.ssn
/*17*/ with m as (merge into app.customers c using app.orders o on o.customer_id = c.id when matched then update set name = 'x' returning c.ssn as q) select q from m
/*18*/ update app.customers set name = 'x' returning old.ssn, new.ssn
/*18*/ update app.customers set name = 'x' returning old, new
/*18*/ delete from app.customers returning old.ssn || ''
/*17*/ select j.a from app.customers c, json_table(to_jsonb(c), '$' columns (a text path '$.ssn')) j
/*17*/ select json_value(to_jsonb(c), '$.ssn') from app.customers c
/*17*/ select json_query(to_jsonb(c), '$.ssn') from app.customers c
/*16*/ select json_array(ssn) from app.customers
/*16*/ select json_object('a': ssn) from app.customers
/*16*/ select json_arrayagg(ssn) from app.customers
/*16*/ select any_value(ssn) from app.customers
select email from app.customers
select split_part(email, '@', 1) from app.customers
select reverse(email) from app.customers
select u.email from app.v_plain u
select ('x' || email)::name from app.customers
explain (costs off) select ssn from app.customers
prepare p as select ssn from app.customers
declare c cursor for select ssn from app.customers
create temp table stolen as select ssn from app.customers
copy (select ssn from app.customers) to stdout
