select 1
select 'text', 1.5, null, true
select now(), current_date, current_user, version()
select id, name from app.customers
select count(*) from app.customers
select name, born, salary from app.customers where id = 1
select name from app.customers order by name limit 5
select upper(name), length(note) from app.customers
select salary * 2 from app.customers
select doc, doc ->> 'k', tags[1] from app.customers
select * from app.orders
select o from app.orders o
select o.item, c.name from app.orders o join app.customers c on c.id = o.customer_id
select name, count(*) from app.customers group by name having count(*) > 0
select distinct name from app.customers
select name from app.customers union select item from app.orders
select name, row_number() over (order by salary) from app.customers
select id from app.customers where ssn = '000-00-0000'
select id from app.customers where ssn = '000-00-0000' and name = 'x'
select o.item from app.orders o join app.customers c on c.id = o.customer_id and c.ssn = '000-00-0000'
select id, name from app.v_safe
select a from app.v_renamed
select d from app.v_nested
select item from app.v_join
select id from app.part
select region from app.part where region = 'eu'
select id from app.base
select extra from app.kid
select "weird col" from app."odd name"
with q as (select id, ssn from app.customers) select id from q
with recursive r(n) as (select 1 union all select n + 1 from r where n < 3) select n from r
with recursive r(n, s) as (select id, ssn from app.customers union all select n + 1, s from r where n < 2) select n from r
select x.id from (select * from app.customers) x
select generate_series(1, 3)
select * from generate_series(1, 3) g
select to_char(born, 'YYYY') from app.customers
select case when salary > 4500 then 'high' else 'low' end from app.customers
select coalesce(name, 'none') from app.customers
select exists(select 1 from app.customers where id = 1)
select id in (1, 2) from app.orders
select array_agg(name) from app.customers
select json_build_object('id', id, 'name', name) from app.customers
select lpad(id::text, 3, '0') from app.customers
select gen_random_uuid() is not null
select c.relname from pg_class c where c.relname = 'customers'
select table_name from information_schema.tables where table_schema = 'app'
select column_name, data_type from information_schema.columns where table_schema = 'app'
select n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner) from pg_catalog.pg_class c left join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r') and pg_catalog.pg_table_is_visible(c.oid) order by 1, 2
select name, setting from pg_settings where name = 'server_version'
insert into app.orders values (50, 1, 'new', 'note')
insert into app.orders(id, item) values (51, 'a'), (52, 'b') returning id, item
update app.orders set note = 'changed' where id = 1 returning *
update app.orders set note = c.name from app.customers c where c.id = customer_id
delete from app.orders where id = 2 returning id
insert into app.customers(id, name, ssn) values (7, 'New', '000-11-2222') returning id
update app.customers set ssn = '000-11-3333' where id = 1
update app.customers set name = 'x' where ssn = '000-00-0000'
select id, name from app.customers for update
values (1, 'a'), (2, 'b')
