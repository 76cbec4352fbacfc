# a cursor in a transaction
begin
declare c cursor for select ssn from app.customers
fetch all from c

# a cursor that outlives its transaction
declare c cursor with hold for select ssn from app.customers
fetch 1 from c

# a scrollable binary cursor
begin
declare c binary scroll cursor for select ssn from app.customers
fetch last from c

# MOVE and FETCH
begin
declare c scroll cursor for select ssn from app.customers
move 1 in c
fetch prior from c

# a cursor below EXPLAIN ANALYZE
explain analyze declare c cursor for select ssn from app.customers

# an update of the current row
begin
declare c cursor for select * from app.customers for update
update app.customers set name = ssn where current of c returning name

# a cursor read as XML
select cursor_to_xml('c', 10, true, false, '')

# CLOSE ALL
close all

# the cursors of the session
select statement from pg_cursors
