select row(ssn, name) < row(name, ssn), (ssn, id) >= ('2', 0), row(ssn) is distinct from row(name) from app.customers
select id from app.customers where (ssn, id) > ('2', 0)
select (ssn, id) = any (select name, id from app.customers) from app.customers
select grouping(ssn), grouping(ssn, name), ssn from app.customers group by rollup (ssn, name)
select ssn, name, grouping(id) from app.customers group by grouping sets ((ssn, id), (name), ())
select ssn from app.customers group by distinct cube (ssn, name)
select c.ssn || c.name from app.customers c group by c.id
select upper(c.ssn), count(*) from app.customers c group by 1 having max(c.name) <> ''
select k, v from (select ssn as k, count(*) as v from app.customers group by ssn) g
select j.id, customers.ssn from app.orders join app.customers using (id) as j
select j from app.orders join (select id, ssn from app.customers) c using (id, ssn) as j
select (doc)['k'], ssn from app.customers
select (jsonb_build_object('s', ssn))['s'] from app.customers
select tags[1:1], (array[ssn, name])[1:1] from app.customers
select tags[1], (array[array[ssn]])[1][1] from app.customers
update app.customers set tags[1] = ssn returning tags
update app.customers set doc['k'] = to_jsonb(ssn) returning doc
select int4multirange(int4range(1, id)), ssn from app.customers
select string_agg(ssn, ',' order by name desc nulls last), max(ssn) filter (where name <> '') from app.customers
select rank('1') within group (order by ssn), count(distinct ssn) from app.customers
select last_value(ssn) over (order by id groups between 1 preceding and 1 following exclude ties) from app.customers
select nth_value(ssn, 1) over (order by id range between unbounded preceding and current row) from app.customers
select xmlconcat(xmlelement(name a, xmlattributes(ssn as b)), xmlparse(content ssn)) from app.customers
select xmlserialize(content xmlforest(ssn, name) as text), xmlpi(name p, ssn), xmlroot(xmlelement(name r, ssn), version '1.0') from app.customers
select xmlelement(name a, ssn) is document, xmlexists('/a' passing by ref xmlelement(name a, ssn)), (ssn = name) is true, (ssn = name) is not unknown from app.customers
select x.* from app.customers c, xmltable('/r/a' passing xmlelement(name r, xmlelement(name a, c.ssn)) columns n for ordinality, t text path '.' default c.name not null) x
select x.t from app.customers c, xmltable(xmlnamespaces('u' as n), '/n:r' passing xmlelement(name r, c.ssn) columns t text path '.' default c.ssn) x
select t.* from app.customers c, rows from (unnest(array[c.ssn]), generate_series(1, 2)) with ordinality t
select t.a from app.customers c, json_to_record(json_build_object('a', c.ssn)) as t(a text)
select t.* from app.customers c, jsonb_to_recordset(jsonb_build_array(jsonb_build_object('a', c.ssn, 'b', c.name))) as t(a text, b text)
with recursive r(n, s) as (select id, ssn from app.customers union all select n + 1, s from r where n < 3) search breadth first by n set o cycle s set m to 'y' default 'n' using p select * from r
with recursive r as (select id, ssn from app.customers union select id + 1, ssn from r where id < 3) search depth first by ssn set o select (o)[1] from r
with recursive r as (select id, ssn from app.customers union all select id, ssn from r) cycle ssn set m using p select p from r
select nullif(name, ssn), greatest(name, ssn), least(ssn, name), coalesce(null, name, ssn) from app.customers
select case ssn when '271-82-8459' then name else ssn end, case when ssn is null then 1 end from app.customers
select ssn is not distinct from name, ssn in ('1', name), ssn <> all (array[name]), ssn similar to '2%', ssn between '1' and name from app.customers
select current_user, current_catalog, current_schema, localtimestamp, ssn || current_role from app.customers
select ssn::app.short::text::app.short from app.customers
select ssn::name::text::varchar(12) collate "C" from app.customers
select array_agg(ssn)::varchar(20)[]::text from app.customers
select (k::app.base).secret from app.kid k
select k::app.base from app.kid k
select ((x.ssn, x.name)::app.pair).b, x from (select ssn, name from app.customers) x, lateral (select 1) y
select (row(ssn, name)::app.pair).* from app.customers
select make_interval(days => length(ssn), years => id), format('%s', variadic array[ssn]), app.echo(x => ssn) from app.customers
select c.* from app.customers c tablesample bernoulli (100) repeatable (1)
select ssn from app.customers order by ssn using < fetch first 1 row with ties
select ssn from app.customers for no key update of customers skip locked
select (select string_agg(o.ssn || i.ssn, '') from app.customers i where i.id >= o.id) from app.customers o
select array(select ssn from app.customers order by id), exists (select ssn from app.customers)
select l.x from app.orders o left join lateral (select c.ssn as x from app.customers c where c.id = o.id) l on true
select ssn from app.customers natural full join (select id, ssn as other from app.customers) y
select coalesce(a.ssn, b.secret) from app.customers a full join app.base b on a.id = b.id and a.ssn = b.secret
table app.v_nested
values ((select ssn from app.customers order by id limit 1), 1), ('x', 2)
insert into app.customers(id, name, ssn) overriding user value values (7, default, 's') returning ssn, ctid, tableoid
insert into app.customers as t(id, ssn) values (1, 'x') on conflict (id) where id > 0 do update set name = excluded.ssn || t.ssn where t.ssn <> '' returning t.*
insert into app.customers(id, ssn) values (8, 'x') on conflict on constraint customers_ssn_key do update set ssn = excluded.ssn returning *
insert into app.orders(id, note) values (55, (select max(ssn) from app.customers)), (56, 'x') returning note
update app.customers c set (name, note) = (select d.ssn, d.name from app.customers d where d.id = c.id) returning c.name
update app.customers c set name = default from app.base b where b.id = c.id returning b.secret, c
delete from app.part returning part, tableoid::regclass, ssn
with x as (insert into app.customers(id, ssn) values (9, 'y') returning *), y as (update app.orders set note = 'x' from x returning orders.note, x.ssn as s) select * from y, x
select regexp_split_to_array(ssn, '-'), ssn ~ '^2', ssn ilike '%8%', position('8' in ssn), substring(ssn from '\d+'), trim(both '2' from ssn) from app.customers
select extract(year from born), ssn at time zone 'utc' from (select born, born::timestamp as ssn from app.customers) x
select normalize(ssn), ssn is normalized, unistr(ssn), bit_length(ssn) from app.customers
update app.made set p.a = ssn from app.customers c where c.id = made.id returning made.p, c.ssn
update app.made set p.b = 'x', q[1].a = 'y', q[2].b = c.name from app.customers c where c.id = made.id returning made, c.ssn
insert into app.made(p.a, p.b, q[1]) select 'x', 'y', ('z', 'z')::app.pair from app.customers returning made.*, serial
insert into app.made(id) select id from app.customers returning serial, (select string_agg(ssn, '') from app.customers)
insert into app.v_checked(id, item, customer_id) values (77, 'x', (select min(id) from app.customers where ssn <> '')) returning item
update app.v_checked v set item = 'y' from app.customers c where c.id = v.customer_id returning v.item, c.ssn
insert into app.made(id, d) values (5, 'x'), (6, default), (default, 'y') returning made.d, (select ssn from app.customers where id = 1)
update app.customers set name = 'x' where current of nowhere returning ssn
/*15*/ select regexp_substr(ssn, '\d+'), regexp_like(ssn, '2'), regexp_count(ssn, '8') from app.customers
/*15*/ merge into app.orders o using app.customers c on o.id = c.id and c.ssn <> '' when matched and c.ssn like '2%' then update set note = c.name when not matched and c.ssn = 'x' then insert values (c.id) when matched then do nothing
/*15*/ merge into app.customers c using (select id, ssn as s from app.customers) d on c.id = d.id when matched then update set ssn = d.s, name = c.ssn
/*15*/ merge into app.orders using (values (1, (select ssn from app.customers limit 1))) v(i, s) on id = v.i when matched then update set (note, item) = (select s, 'x')
/*16*/ select ssn is json, ssn is json object with unique keys, ssn is not json scalar from app.customers
/*16*/ select json_object('a' value ssn, 'b': name absent on null with unique keys returning jsonb), json_array(ssn, name null on null) from app.customers
/*16*/ select json_objectagg(name: ssn returning jsonb), json_arrayagg(ssn order by id absent on null) from app.customers
/*16*/ select json_array(select ssn from app.customers order by id), json_array(ssn format json) from (values ('"a"')) v(ssn)
/*16*/ select s from (select ssn as s from app.customers)
/*16*/ select system_user, ssn || coalesce(system_user, '') from app.customers
/*16*/ select array_shuffle(array_agg(ssn)), array_sample(array_agg(ssn), 2), any_value(ssn order by id) from app.customers
/*16*/ select 0x1F, 1_000, ssn from app.customers
/*17*/ select json_exists(to_jsonb(c), '$.ssn'), json_value(to_jsonb(c), '$.ssn' returning text default upper('none') on empty error on error) from app.customers c
/*17*/ select json_query(to_jsonb(c), '$.*' with conditional array wrapper keep quotes null on empty), json_value(c.doc, '$.k' default 'x' || 'y' on empty) from app.customers c
/*17*/ select json_value(c.doc, '$ ? (@.k == $v)' passing c.ssn as v), json_query(doc, '$.k' passing ssn as s default to_jsonb('x'::text) on error) from app.customers c
/*17*/ select json(to_json(ssn)::text with unique keys), json_serialize(json_object('a': ssn)) from app.customers
/*17*/ select json_scalar(ssn), json_serialize(json_scalar(ssn) returning bytea) from app.customers
/*17*/ select j.* from app.customers c, json_table(to_jsonb(c), '$' as r passing c.name as p columns (n for ordinality, a text path '$.ssn', e boolean exists path '$.ssn', nested path '$.tags[*]' as s columns (t text path '$'))) j
/*17*/ select j.a, j.b from app.customers c, json_table(jsonb_build_array(c.ssn, c.name), '$' columns (nested '$[0]' columns (a text path '$'), nested '$[1]' columns (b text path '$' default 'x' on empty error on error))) j
/*17*/ select j.w from json_table((select jsonb_agg(ssn) from app.customers), '$[*]' columns (w jsonb path '$' with wrapper)) j
/*17*/ merge into app.customers c using app.orders o on c.id = o.id when matched then update set name = 'x' when not matched by source then delete when not matched by target then insert (id) values (o.id) returning merge_action(), c.ssn, o.note, c.*
/*17*/ merge into app.v_renamed v using app.orders o on v.a = o.id when matched then update set b = v.b returning v.b, merge_action()
/*17*/ with m as (merge into app.customers c using app.orders o on c.id = o.id when matched then delete returning c.ssn as s, merge_action() as a) select s || a from m
/*17*/ select to_bin(id), random(1, id), ssn || to_oct(id), now()::timestamp at local from app.customers
/*18*/ insert into app.customers(id, ssn) values (1, 'z') on conflict (id) do update set ssn = excluded.ssn returning old.ssn, new.name, old.ssn is null
/*18*/ update app.customers set name = 'n' returning with (old as before, new as after) before.ssn, after.ssn, before, after.*
/*18*/ update app.customers c set ssn = 'n' where id = 1 returning old.ssn || new.ssn, (select old.ssn), row(old.*), c.ssn
/*18*/ delete from app.customers returning old.ssn, new.ssn, new is null, coalesce(old.email, new.email)
/*18*/ update app.v_renamed set a = a returning old.b, new.a, old
/*18*/ merge into app.customers c using app.orders o on c.id = o.id when matched then update set name = 'm' returning old.ssn, new.email, merge_action(), old
/*18*/ with u as (update app.customers set name = 'x' returning old.ssn as o, new.ssn as n) select o || n from u
/*18*/ select array_reverse(array[ssn]), array_sort(array_agg(ssn)), casefold(ssn), reverse(ssn::bytea), crc32(ssn::bytea) from app.customers group by ssn
/*18*/ select jsonb_strip_nulls(to_jsonb(c), true), min(c) from app.customers c group by c
/*18*/ select ssn, id % 2 as p from app.customers group by ssn, p order by p, ssn
/*18*/ select count(*), max(upper(ssn)) over (partition by ssn) from app.customers group by ssn, upper(ssn)
/*18*/ select a.u from (select upper(ssn) as u from app.customers) a group by a.u having a.u <> '' order by a.u
