# a query to XML
select query_to_xml('select ssn from app.customers', true, false, '')

# a query to XML with its schema
select query_to_xml_and_xmlschema('select ssn from app.customers', true, false, '')

# a table to XML
select table_to_xml('app.customers', true, false, '')

# a schema to XML
select schema_to_xml('app', true, false, '')

# a database to XML
select database_to_xml(true, false, '')

# statistics of words of a query
select word from ts_stat('select to_tsvector(''simple'', ssn) from app.customers')

# a rewritten text query
select ts_rewrite('a'::tsquery, 'select to_tsquery(''simple'', ''a''), to_tsquery(''simple'', left(ssn, 3)) from app.customers')

# SQL in a function of one's own
select app.any_sql('select ssn from app.customers')

# SQL in a function in a condition
select id from app.notes where app.any_sql('select ssn from app.customers') like '271%'

# SQL in a function over a masked column
select app.any_sql('select ' || quote_literal(ssn)) from app.customers

# a function with the rights of its owner
select app.leak(1)

# a function that returns a table
select * from app.leak_all()

# a function in FROM with another name
select x.y from app.leak_all() as x(y)

# a function beside harmless columns
select n.id, l.s from app.notes n, app.leak_all() l

# a function as a default of COALESCE
select coalesce(null, app.leak(1))

# a function in a common table expression
with l as (select app.leak(1) as s) select reverse(s) from l

# a function in a set operation
select body from app.notes union all select app.leak(1)

# a function that is inlined
select app.echo(ssn) from app.customers

# a function that is folded
select app.folded(1)

# a function by its address
select app.folded(1)::bytea

# an anonymous block
do $$ begin perform app.tells(1); end $$

# an anonymous block that writes
do $$ begin update app.notes set body = (select ssn from app.customers where id = 1); end $$

# an anonymous block in another language
do language sql 'select ssn from app.customers'

# a procedure
call app.proc(1)

# a function is replaced
create or replace function app.echo(x text) returns text language sql as 'select ssn from app.customers'

# a function with a body of the standard
create function app.std() returns text begin atomic select ssn from app.customers; end

# a file of the server
select pg_read_file('PG_VERSION')

# a file of the server in binary
select pg_read_binary_file('PG_VERSION')

# a directory of the server
select pg_ls_dir('.')

# the state of a file
select pg_stat_file('PG_VERSION')

# the log of the server
select pg_current_logfile()

# another database
select * from dblink('dbname=orders', 'select ssn from app.customers') as t(s text)

# a pivot
select * from crosstab('select 1, ssn, ssn from app.customers') as t(a int, b text)

# a library
load 'plpgsql'

# an extension
create extension dblink

# a foreign server
create server s foreign data wrapper dummy

# code of another language
create language plperlu

# a back end is ended
select pg_terminate_backend(pg_backend_pid())

# a back end is cancelled
select pg_cancel_backend(pg_backend_pid())

# the configuration is read again
select pg_reload_conf()

# the log file is turned over
select pg_rotate_logfile()

# changes by logical decoding
select data from pg_logical_slot_peek_changes('s', null, null)

# a promotion
select pg_promote()

# text of the value through its input function
select textin(ssn::cstring) from app.customers

# bytes of the value through its send function
select textsend(ssn) from app.customers

# a row through its output function
select record_out(c) from app.customers c

# a tree of a rule
select ev_action from pg_rewrite
