# PREPARE and EXECUTE
prepare p as select ssn from app.customers
execute p

# PREPARE with a parameter
prepare p(int) as select ssn from app.customers where id = $1
execute p(1)

# EXECUTE in CREATE TABLE AS
prepare p as select ssn from app.customers
create table app.x as execute p

# PREPARE of a write
prepare p as update app.notes set body = (select ssn from app.customers where id = 1) returning body
execute p

# the statements of the session
select statement from pg_prepared_statements

# DEALLOCATE
deallocate all

# the driver's statement is run by SQL
execute a

# PREPARE and EXECUTE in one message
prepare p as select ssn from app.customers; execute p; deallocate p
