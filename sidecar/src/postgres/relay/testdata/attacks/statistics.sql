# most common values
select most_common_vals::text from pg_stats where tablename = 'customers'

# bounds of the histogram
select attname, histogram_bounds::text, most_common_elems::text from pg_stats

# the catalog behind the view
select stavalues1::text, stavalues2::text, stavalues3::text from pg_statistic

# extended statistics
select * from pg_stats_ext

# expressions of extended statistics
select * from pg_stats_ext_exprs

# data of extended statistics
select * from pg_statistic_ext_data

# items of a most common values list
select m.* from pg_statistic_ext_data, pg_mcv_list_items(stxdmcv) m

# statements of other sessions
select query from pg_stat_activity

# statements of one back end
select pg_stat_get_backend_activity(1)

# the activity function
select query from pg_stat_get_activity(null)

# statements that were prepared
select statement from pg_prepared_statement()

# cursors by their function
select statement from pg_cursor()

# counts of rows
select * from pg_stat_user_tables

# counts of the transaction
select * from pg_stat_xact_user_tables

# progress of COPY
select * from pg_stat_progress_copy

# replication
select * from pg_stat_replication

# a whole row of the statistics view
select s from pg_stats s

# statistics as JSON
select row_to_json(s) from pg_stats s

# statistics below a view of the schema
select * from information_schema.column_udt_usage

# the source of a function
select prosrc from pg_proc where proname = 'folded'

# the definition of a function
select pg_get_functiondef('app.folded(int)'::regprocedure)

# the definition of a view
select pg_get_viewdef('app.v_nested'::regclass)

# defaults and constraints
select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'app.checked'::regclass

# a partition's bounds
select pg_get_partition_constraintdef('app.part_eu'::regclass)

# passwords
select rolname, rolpassword from pg_authid

# passwords of users
select usename, passwd from pg_shadow

# rules of authentication
select * from pg_hba_file_rules

# settings of the file
select * from pg_file_settings

# the options of user mappings
select * from pg_user_mappings

# values that were moved out of line
select chunk_data from pg_toast.pg_toast_1262

# a table's size
select pg_relation_size('app.customers')

# information about columns
select column_name, column_default from information_schema.columns where table_schema = 'app'

# rows through the ctid
select ctid, c from app.customers c where ctid = '(0,1)'
