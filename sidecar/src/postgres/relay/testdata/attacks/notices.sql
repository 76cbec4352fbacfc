# a function that raises a notice
select app.loud(ssn) from app.customers

# a function that raises a warning with a whole row
select app.warns(1)

# a function in a condition
select id from app.customers where app.loud(ssn) is not null

# a function in RETURNING
update app.notes set body = 'x' returning app.warns(id)

# a function in a default that is asked for
insert into app.notes(id, body) values (10, (select app.loud(ssn) from app.customers where id = 1))

# a trigger that raises a notice
insert into app.logged values (1, 'x')

# a trigger that fills in the value
insert into app.logged values (2, 'x') returning t

# a trigger of UPDATE with RETURNING of the whole row
update app.logged set t = 'y' returning logged

# a procedure that raises a notice
call app.proc(1)

# an anonymous block that raises a notice
do $$ begin raise notice '%', (select ssn from app.customers where id = 1); end $$

# trees in the client's messages
set client_min_messages = debug5
select id from app.customers where ssn = '271-82-8459'

# plans in the client's messages
set debug_print_plan = on

# statements in the client's messages
set log_statement = 'all'

# durations in the client's messages
set log_min_duration_statement = 0

# the parser's statistics
set log_parser_stats = on

# row security in messages
set client_min_messages = log
select app.warns(2)

# a notice of DROP that names what it is given
drop table if exists app."271"

# a truncation notice of an identifier
select ssn as a123456789012345678901234567890123456789012345678901234567890123456789 from app.customers
