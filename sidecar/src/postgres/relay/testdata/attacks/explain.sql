# EXPLAIN
explain select ssn from app.customers where ssn = 'x'

# EXPLAIN VERBOSE
explain (verbose) select ssn, upper(ssn) from app.customers

# EXPLAIN ANALYZE
explain analyze select ssn from app.customers

# EXPLAIN ANALYZE of a write
explain (analyze, verbose) update app.notes set body = (select ssn from app.customers where id = 1)

# an immutable function is folded into the plan
explain select app.folded(1)

# an immutable function is folded into a condition
explain select id from app.notes where body = app.folded(1)

# an immutable function is folded in JSON format
explain (format json) select app.folded(1) || 'x'

# an immutable function is folded in XML format
explain (format xml, verbose) select app.folded(1)

# an immutable function is folded in YAML format
explain (format yaml, verbose) select app.folded(1)

# an immutable function decides the shape of the plan
explain select id from app.notes where app.folded(1) = '271-82-8459'

# a folded function below EXPLAIN of INSERT
explain (verbose) insert into app.notes select 30, app.folded(1)

# a folded function in a limit
explain select id from app.notes limit length(app.folded(1))

# row security folds a function into the plan
explain select id from app.guarded

# a view over row security
explain (analyze, format json) with g as (select * from app.guarded) select count(*) from g

# EXPLAIN of EXECUTE
prepare p as select app.folded(1)
explain execute p

# EXPLAIN of CREATE TABLE AS
explain create table app.x as select ssn from app.customers

# EXPLAIN of DECLARE
explain declare c cursor for select ssn from app.customers

# EXPLAIN ANALYZE with settings and buffers
explain (analyze, buffers, settings, wal) select c from app.customers c

# [16] EXPLAIN of a generic plan
explain (generic_plan) select id from app.customers where ssn = $1

# [17] EXPLAIN with serialization
explain (analyze, serialize text) select ssn from app.customers

# a plan's rows tell the most common values
explain select id from app.customers where ssn > '271'
