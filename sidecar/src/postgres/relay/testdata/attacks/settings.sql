# strings that are read otherwise
set standard_conforming_strings = off
select 'a\'', ssn from app.customers --'

# strings that are read otherwise, in one message
set standard_conforming_strings = off; select 'a\'', ssn from app.customers --'

# strings that are read otherwise, by a function
select set_config('standard_conforming_strings', 'off', false)
select 'a\'', ssn from app.customers --'

# strings that are read otherwise, in a transaction
begin
set local standard_conforming_strings = off
select 'a\'', ssn from app.customers --'

# another encoding
set client_encoding = 'SJIS'

# another encoding by SET NAMES
set names 'SJIS'

# another encoding by a function
select set_config('client_encoding', 'SJIS', false)

# another search path
set search_path = app
select ssn from customers

# another search path by a function
select set_config('search_path', 'app', false)
select ssn from customers

# another search path within one statement
select ssn from (select set_config('search_path', 'app', true)) x, app.customers

# another role
set role postgres

# no role
set role none
select ssn from app.customers

# another session's user
set session authorization postgres

# the tree is no longer printed
set debug_print_rewritten = off
select ssn from app.customers

# the tree is no longer sent
set client_min_messages = error
select ssn from app.customers

# the tree is broken over lines
set debug_pretty_print = on
select ssn from app.customers

# everything is reset
reset all
select ssn from app.customers

# the session is discarded
discard all
select ssn from app.customers

# plans are discarded
discard plans

# temporary tables are discarded
discard temp

# row security is off
set row_security = off

# bytes in another form
set bytea_output = 'escape'
select ssn::bytea from app.customers

# xml as a document
set xmloption = document

# identifiers are quoted
set quote_all_identifiers = on

# equality with null
set transform_null_equals = on

# a library is loaded
set session_preload_libraries = 'x'

# a library is loaded locally
set local_preload_libraries = 'x'

# the back end's own log
set log_min_messages = debug5

# the file system's path
set dynamic_library_path = '/tmp'

# the default tablespace of temporary files
set temp_tablespaces = 'x'

# read only is taken back
set default_transaction_read_only = off

# read only is taken back in a transaction
begin read only
set transaction read write
insert into app.notes values (300, 'x')

# a function's own setting
alter function app.echo(text) set search_path = app

# the role's own setting
alter role agent_role set search_path = app

# the system's own setting
alter system set log_statement = 'all'

# an unknown setting
set my.own = '1'

# a setting that is shown
show search_path

# the transaction's snapshot
begin isolation level repeatable read
set transaction snapshot '00000003-0000001B-1'
