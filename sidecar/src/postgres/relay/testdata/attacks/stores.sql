# a large object from bytes
select lo_from_bytea(0, ssn::bytea) from app.customers

# a large object read again
select lo_get(lo_from_bytea(424242, ssn::bytea)) from app.customers where id = 1

# a large object written in place
select lo_create(424243)
select lo_put(424243, 0, (select ssn::bytea from app.customers where id = 1))
select lo_get(424243)

# a large object opened and read
begin
select lo_open(424242, 262144)
select loread(0, 100)

# a large object imported from a file
select lo_import('/etc/passwd')

# a large object exported to a file
select lo_export(424242, '/tmp/x')

# the pages of large objects
select data from pg_largeobject

# the list of large objects
select oid from pg_largeobject_metadata

# a sequence set to the value
select setval('app.counter', replace(ssn, '-', '')::bigint) from app.customers where id = 1
select last_value from app.counter

# a sequence set to the value within an expression
select currval('app.counter') from (select setval('app.counter', replace(ssn, '-', '')::bigint) from app.customers where id = 1) x

# ALTER SEQUENCE RESTART
alter sequence app.counter restart with 1

# an advisory lock on the value
select pg_advisory_lock(replace(ssn, '-', '')::bigint) from app.customers where id = 1
select classid, objid from pg_locks where locktype = 'advisory'

# an advisory lock of the transaction
begin
select pg_advisory_xact_lock(1, replace(left(ssn, 3), '-', '')::int) from app.customers
select objid from pg_locks where locktype = 'advisory'

# a try of an advisory lock
select pg_try_advisory_lock(271828459)

# the locks of the server
select * from pg_locks

# a snapshot that is exported
select pg_export_snapshot()

# a message into the log of changes
select pg_logical_emit_message(false, 'x', ssn) from app.customers

# a restore point named by the value
select pg_create_restore_point(ssn) from app.customers

# a replication slot named by the value
select pg_create_physical_replication_slot('a' || replace(ssn, '-', '')) from app.customers

# an origin named by the value
select pg_replication_origin_create(ssn) from app.customers

# the random seed
select setseed(('0.' || replace(ssn, '-', ''))::float8) from app.customers where id = 1
select random()

# a prepared transaction named by the value
begin
prepare transaction '271'

# a savepoint named by a guess
begin
savepoint "271"
rollback to "271"

# a saved time: how long a sleep lasts
select pg_sleep(0 * ascii(ssn)) from app.customers
