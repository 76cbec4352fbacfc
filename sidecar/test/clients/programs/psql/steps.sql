-- step: \d
\d
-- step: \d+
\d+
-- step: \d customers
\d customers
-- step: \d+ customers
\d+ customers
-- step: \d orders
\d orders
-- step: \d+ orders
\d+ orders
-- step: \d+ scratch
\d+ scratch
-- step: \d+ measures
\d+ measures
-- step: \d+ measures_2020
\d+ measures_2020
-- step: \d+ names
\d+ names
-- step: \d+ contacts
\d+ contacts
-- step: \d+ totals
\d+ totals
-- step: \d+ child
\d+ child
-- step: \d+ orders_status
\d+ orders_status
-- step: \d orders_id_seq
\d orders_id_seq
-- step: \d hidden.words
\d hidden.words
-- step: \d pg_class
\d pg_class
-- step: \d nothing_there
\d nothing_there
-- step: \da
\da
-- step: \da+
\da+
-- step: \dA
\dA
-- step: \dA+
\dA+
-- step: \dAc
\dAc
-- step: \dAc+ hash
\dAc+ hash
-- step: \dAf
\dAf
-- step: \dAo hash
\dAo hash
-- step: \dAp hash
\dAp hash
-- step: \db
\db
-- step: \db+
\db+
-- step: \dc latin
\dc latin
-- step: \dc+ latin
\dc+ latin
-- step: \dconfig
\dconfig
-- step: \dconfig+ server_version
\dconfig+ server_version
-- step: \dC
\dC
-- step: \dC+
\dC+
-- step: \dd
\dd
-- step: \dD
\dD
-- step: \dD+
\dD+
-- step: \ddp
\ddp
-- step: \dE
\dE
-- step: \dE+
\dE+
-- step: \des
\des
-- step: \des+
\des+
-- step: \deu
\deu
-- step: \dew
\dew
-- step: \dew+
\dew+
-- step: \det
\det
-- step: \det+
\det+
-- step: \df
\df
-- step: \df+
\df+
-- step: \dft
\dft
-- step: \dfS upper
\dfS upper
-- step: \dF
\dF
-- step: \dF+ plain_words
\dF+ plain_words
-- step: \dFd
\dFd
-- step: \dFp
\dFp
-- step: \dFt
\dFt
-- step: \dg
\dg
-- step: \dg+
\dg+
-- step: \di
\di
-- step: \di+
\di+
-- step: \dl
\dl
-- step: \dl+
\dl+
-- step: \dL
\dL
-- step: \dL+
\dL+
-- step: \dm
\dm
-- step: \dm+
\dm+
-- step: \dn
\dn
-- step: \dn+
\dn+
-- step: \do
\do
-- step: \do+
\do+
-- step: \dO
\dO
-- step: \dO+ plain
\dO+ plain
-- step: \dp
\dp
-- step: \dpS pg_class
\dpS pg_class
-- step: \dP
\dP
-- step: \dP+
\dP+
-- step: \dPt
\dPt
-- step: \drds
\drds
-- step: \drg
\drg
-- step: \dRp
\dRp
-- step: \dRp+
\dRp+
-- step: \dRs
\dRs
-- step: \ds
\ds
-- step: \ds+
\ds+
-- step: \dt
\dt
-- step: \dt+
\dt+
-- step: \dtS pg_c*
\dtS pg_c*
-- step: \dT
\dT
-- step: \dT+
\dT+
-- step: \du
\du
-- step: \du+
\du+
-- step: \dv
\dv
-- step: \dv+
\dv+
-- step: \dx
\dx
-- step: \dx+
\dx+
-- step: \dX
\dX
-- step: \dy
\dy
-- step: \dy+
\dy+
-- step: \l
\l
-- step: \l+
\l+
-- step: \z
\z
-- step: \sf add_one
\sf add_one
-- step: \sf+ add_one
\sf+ add_one
-- step: \sv names
\sv names
-- step: \sv+ contacts
\sv+ contacts
-- step: \conninfo
\conninfo
-- step: \encoding
\encoding

-- step: select
select id, name, mood, note, tags, made from customers order by id;

-- step: masked select
\pset format unaligned
select id, email, salary, born from customers order by id;

-- step: masked view
select * from contacts order by id;

-- step: masked expression
select upper(email) as up, coalesce(salary, 0) as pay from customers order by id;

-- step: masked expanded
\x on
select email, salary from customers where id = 1;
\x off

-- step: several statements in one message
select 1 as a \; select 2 as b \; select name from customers where id = 2;

-- step: \gdesc
select id, email, salary, made from customers \gdesc

-- step: \bind
select name, cents from customers c join orders o on o.customer_id = c.id where c.id = $1 and cents > $2 order by cents \bind 1 50 \g

-- step: \bind masked
select email, salary, born from customers where id = $1 \bind 3 \g

-- step: \parse, \bind_named, \close_prepared
select name from customers where id = $1 \parse by_id
\bind_named by_id 1 \g
\bind_named by_id 2 \g
\close_prepared by_id

-- step: \startpipeline
\startpipeline
select name from customers where id = $1 \bind 1 \sendpipeline
select email from customers where id = $1 \bind 2 \sendpipeline
select 3 as three \bind \sendpipeline
\flushrequest
\getresults
\endpipeline

-- step: \gset
select 41 + 1 as answer \gset
\echo :answer

-- step: \gexec
select format('select %s as x', n) from generate_series(1, 3) n \gexec

-- step: \crosstabview
select customer_id, status, cents from orders order by 1, 2 \crosstabview

-- step: \copy to
\copy (select id, name from customers order by id) to pstdout csv header

-- step: \copy table to
\copy orders to pstdout

-- step: \copy binary to
\copy (select 1) to pstdout binary
\echo

-- step: \copy masked to
\copy customers to pstdout

-- step: copy to stdout
copy (select cents from orders order by id) to stdout;

-- step: \copy from
\copy scratch (id, word, amount) from stdin csv
101,one,1.50
102,"two, too",2
\.
select id, word, amount from scratch order by id;

-- step: copy from stdin that fails
copy scratch (id) from stdin;
x
\.

-- step: insert, update, delete
insert into scratch (id, word) values (103, 'three') returning id, word;
update scratch set word = upper(word) where id = 103 returning word;
delete from scratch where id >= 101;

-- step: transaction
begin;
insert into scratch (id, word) values (104, 'four');
savepoint a;
insert into scratch (id, word) values (104, 'again');
rollback to a;
rollback;

-- step: serial
begin; insert into scratch (word) values ('s') returning id > 0 as numbered; rollback;

-- step: error in the statement
select nothing from customers;

-- step: error while running
select 1 / 0;

-- step: no right
select * from hidden.words;

-- step: begin isolation level serializable read only
begin isolation level serializable read only; select 1; commit;

-- step: begin read only deferrable
begin isolation level serializable read only deferrable; select 1; commit;

-- step: explain
explain (costs off) select * from orders where id = 1;

-- step: show
show server_version; show client_encoding; show standard_conforming_strings; show DateStyle; show TimeZone;

-- step: show search_path
show search_path;

-- step: show all
select count(*) > 300 as many from pg_settings;

-- step: set TimeZone
set timezone = 'Europe/Berlin'; select made from customers where id = 1; reset timezone;

-- step: set search_path
set search_path = hidden; reset search_path;

-- step: set client_encoding
set client_encoding = 'LATIN1'; reset client_encoding;

-- step: function of our own
select add_one(41);

-- step: procedure
call nothing();

-- step: do
do $$ begin null; end $$;

-- step: declare
begin; declare c cursor for select 1; fetch c; close c; commit;

-- step: FETCH_COUNT
\set FETCH_COUNT 2
select id, name from customers order by id;
\unset FETCH_COUNT

-- step: prepare
prepare p as select 1; execute p; deallocate p;

-- step: listen
listen news;

-- step: \lo_list
\lo_list

-- step: temporary table
create temporary table t (id int);

-- step: lock
begin; lock table orders in access share mode; rollback;

-- step: vacuum
vacuum scratch;

-- step: discard all
discard all;

-- step: who
select current_user, session_user, current_database(), current_schema;

-- step: \watch
select 1 as w \watch c=2 i=0.01

-- step: values, table
values (1, 'a'), (2, 'b'); table orders;

-- step: merge
merge into scratch s using (values (105, 'five')) v (id, word) on s.id = v.id when not matched then insert (id, word) values (v.id, v.word);
delete from scratch where id = 105;

-- step: notices
select 1 as quiet; drop table if exists nothing_there;

-- step: at the end
select 2 as still_here;
