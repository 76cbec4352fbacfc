create role generator login password 'generator-password';
create schema gen;
create type gen.pair as (p text, q text);
create table gen.person(id int primary key, name text, n int, made date, info jsonb, words text[], ssn text, age int, born date, doc jsonb, tags text[], pair gen.pair, copy text generated always as (upper(ssn)) stored);
insert into gen.person(id, name, n, made, info, words, ssn, age, born, doc, tags, pair)
  select g, 'name' || g, g, date '2020-01-01' + g, jsonb_build_object('k', 'v' || g), array['w' || g],
    'qzxw-' || g, 7770000 + g, date '1777-07-07', jsonb_build_object('k', 'qzxw-d' || g), array['qzxw-t' || g, 'x'], row('qzxw-p' || g, 'q')::gen.pair
  from generate_series(1, 3) g;
create table gen.visit(id int primary key, person int, note text, secret text, at date);
insert into gen.visit select g, g, 'note' || g, 'qzxw-s' || g, date '2021-01-01' + g from generate_series(1, 3) g;
create table gen.event(id int, kind text, token text) partition by list (kind);
create table gen.event_a partition of gen.event for values in ('a');
create table gen.event_rest partition of gen.event default;
insert into gen.event values (1, 'a', 'qzxw-e1'), (2, 'b', 'qzxw-e2');
create table gen.base(id int, v text, plain text);
create table gen.kid(extra text) inherits (gen.base);
insert into gen.base values (1, 'qzxw-b', 'p');
insert into gen.kid values (2, 'qzxw-k', 'p', 'e');
create table gen.sink(id int primary key, a text, b text);
insert into gen.sink values (1, 'a', 'b');
create view gen.v_all as select * from gen.person;
create view gen.v_renamed(one, two, three) as select id, ssn, name from gen.person;
create view gen.v_nested as select two as x, one as y from gen.v_renamed;
create view gen.v_join as select v.note, p.ssn as who, p.age as years from gen.visit v join gen.person p on p.id = v.person;
create view gen.v_union as select ssn as x, id as y from gen.person union all select note, id from gen.visit;
create view gen.v_groups as select string_agg(secret, ',') as s, count(*)::int as c from gen.visit group by person;
create view gen.v_safe as select id, name, made from gen.person where ssn like 'q%';
grant usage on schema gen to generator;
grant select, insert, update, delete on all tables in schema gen to generator;
analyze;
