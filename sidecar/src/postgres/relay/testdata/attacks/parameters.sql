# the application's name is the value
select set_config('application_name', ssn, false) from app.customers

# the application's name is the value, for the transaction
select set_config('application_name', ssn, true) from app.customers

# a function that sets it, in a session of its own
select app.sets(1)
select 1

# set_config in a condition
select id from app.notes where set_config('application_name', (select ssn from app.customers where id = 1), false) <> ''

# set_config in a join
select n.id from app.notes n join app.customers c on set_config('application_name', c.ssn, false) = n.body

# set_config in ORDER BY
select id from app.customers order by set_config('application_name', ssn, false)

# set_config in RETURNING
update app.notes set body = 'y' returning set_config('application_name', (select ssn from app.customers where id = 1), false)

# set_config in INSERT
insert into app.notes select 20, set_config('application_name', ssn, false) from app.customers where id = 1

# a placeholder setting keeps the value
select set_config('my.store', ssn, false) from app.customers
select current_setting('my.store')

# a placeholder setting is shown
select set_config('my.store', ssn, false) from app.customers
show my.store

# the value through pg_settings
update pg_settings set setting = (select ssn from app.customers where id = 1) where name = 'application_name'

# a setting is read by a name made of the value
select current_setting('my.' || ssn, true) from app.customers

# all settings
select name, setting from pg_settings where name = 'application_name'

# SHOW ALL
show all

# SET from a sub-select
set application_name = (select ssn from app.customers)

# SET TIME ZONE to the value
select set_config('timezone', ssn, false) from app.customers

# the date style is the value
select set_config('datestyle', ssn, false) from app.customers

# a role's setting is the value
alter role agent_role set application_name = '271'

# a database's setting
alter database orders set application_name = 'x'
