# INSERT … SELECT into a table without labels
insert into app.notes select 100, ssn from app.customers where id = 1

# INSERT … VALUES with a sub-select
insert into app.notes values (101, (select ssn from app.customers where id = 1)) returning body

# INSERT of a piece of the value
insert into app.notes select 102, left(ssn, 6) from app.customers where id = 1

# an upsert of the excluded value
insert into app.notes select 1, ssn from app.customers where id = 1 on conflict (id) do update set body = excluded.body

# an upsert that takes it from a sub-select
insert into app.notes values (1, 'x') on conflict (id) do update set body = (select ssn from app.customers where id = 1)

# UPDATE … FROM
update app.notes set body = c.ssn from app.customers c where c.id = notes.id

# UPDATE of several columns at once
update app.orders set (item, note) = (select name, ssn from app.customers where id = 1)

# UPDATE within the labelled table
update app.customers set name = ssn

# UPDATE of another label's column
update app.customers set email = ssn

# UPDATE through a view
update app.v_renamed set a = replace(left(b, 3), '-', '')::int

# a write in a common table expression
with w as (update app.notes set body = (select ssn from app.customers where id = 1) returning body) select count(*) from w

# a write in a common table expression that nobody reads
with w as (insert into app.notes select 103, ssn from app.customers where id = 1) select 1

# [15] MERGE updates
merge into app.notes n using app.customers c on n.id = c.id when matched then update set body = c.ssn

# [15] MERGE inserts
merge into app.notes n using app.customers c on false when not matched then insert values (c.id + 200, c.ssn)

# [17] MERGE by source
merge into app.notes n using app.customers c on n.id = c.id when not matched by source then delete when matched then update set body = c.ssn returning n.body

# CREATE TABLE AS
create table app.stolen as select ssn from app.customers

# CREATE TABLE AS without data
create table app.stolen as select ssn from app.customers with no data

# SELECT INTO
select ssn into app.stolen from app.customers

# a temporary table as a store
create temp table t as select ssn from app.customers
select * from t

# a temporary table that is filled later
create temp table t(x text)
insert into t select ssn from app.customers
select x from t

# a materialised view
create materialized view app.mv2 as select ssn as y from app.customers
select y from app.mv2

# a view under another name
create view app.v2 as select ssn as z from app.customers
select z from app.v2

# a temporary view
create temp view v as select ssn as z from app.customers
select z from v

# a temporary view that takes a harmless table's name
create temp view notes as select ssn as body, id from app.customers
select body from notes

# a default from a function
alter table app.notes alter body set default app.folded(1)

# a generated column
alter table app.notes add g text generated always as (app.folded(1)) stored

# a column's type by USING
alter table app.notes alter body type text using app.folded(1)

# a check that calls a function
alter table app.notes add check (app.loud(body) is not null)

# an index over an expression
create index on app.customers (app.loud(ssn))

# an index whose predicate compares
create index on app.notes (id) where app.warns(id) = 1

# a comment that keeps the value
comment on table app.notes is '271'

# a rule that also selects
create rule r as on insert to app.notes do also select ssn from app.customers

# a trigger of the agent
create trigger t before insert on app.notes for each row execute function app.f_logged()

# a table of the same shape
create table app.twin (like app.customers including all)

# a child of the labelled table
create table app.heir () inherits (app.customers)

# a partition is detached
alter table app.part detach partition app.part_eu

# a table is renamed away from its label
alter table app.customers rename to clients

# a column is renamed away from its label
alter table app.customers rename ssn to harmless

# a schema is renamed away from its label
alter schema app rename to app2

# a table moves to another schema
alter table app.customers set schema public

# a publication
create publication p for table app.customers

# a row security policy with a function
create policy p on app.notes using (app.warns(id) = 1)

# a type of one's own with a domain check
create domain app.d as text check (app.loud(value) is not null)

# extended statistics
create statistics app.st on ssn, name from app.customers

# a sequence that starts at the value
create sequence app.s2 start 271828459

# masked text is written back
update app.customers set ssn = '*****' where id = 1

# masked text is written elsewhere
insert into app.notes values (104, 'ssn ***')

# a foreign table
create foreign table app.f(x text) server s

# a function that is made of the value
create function app.mine() returns text language sql as 'select ssn from app.customers'
select app.mine()

# an aggregate of one's own making
create aggregate app.agg2(text) (sfunc = textcat, stype = text)

# an operator of one's own making
create operator app.=== (leftarg = text, rightarg = text, function = app.loud)

# a cast of one's own making
create cast (text as int) with inout
