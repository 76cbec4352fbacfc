# a cast to integer
select ssn::int from app.customers

# a cast to numeric
select email::numeric from app.customers

# a cast to a boolean
select ssn::boolean from app.customers

# a cast to a date
select ssn::date from app.customers

# a cast to a timestamp
select email::timestamptz from app.customers

# a cast to an interval
select email::interval from app.customers

# a cast to a uuid
select ssn::uuid from app.customers

# a cast to an address
select ssn::inet from app.customers

# a cast to an enumeration
select ssn::app.mood from app.customers

# a cast to a domain that is too small
select ssn::app.tiny from app.customers

# a cast to an array
select ssn::int[] from app.customers

# a cast to a range
select ssn::int4range from app.customers

# a cast to a point
select ssn::point from app.customers

# a cast to a bit string
select ssn::bit(8) from app.customers

# a cast to money
select email::money from app.customers

# a cast to json
select ssn::json from app.customers

# a cast to jsonb inside other text
select ('{"k": ' || ssn || ' x}')::jsonb from app.customers

# a cast to xml
select ('<a>' || ssn)::xml from app.customers

# a cast to a json path
select ('$.' || ssn || '%%')::jsonpath from app.customers

# a cast to a text search query
select ('a & & ' || ssn)::tsquery from app.customers

# a cast to a composite type
select ssn::app.pair from app.customers

# a cast to a snapshot
select ssn::pg_snapshot from app.customers

# a name of a relation
select ssn::regclass from app.customers

# a name of a type
select ssn::regtype from app.customers

# a name of a function
select ssn::regproc from app.customers

# a name of a role
select ssn::regrole from app.customers

# a name of a schema
select ssn::regnamespace from app.customers

# a name of a text search configuration
select ssn::regconfig from app.customers

# a name of a collation
select ssn::regcollation from app.customers

# a name of an operator
select ssn::regoperator from app.customers

# the privileges on what does not exist
select has_table_privilege(ssn, 'select') from app.customers

# the privileges of whom does not exist
select has_table_privilege(ssn, 'app.notes', 'select') from app.customers

# an unknown privilege
select has_table_privilege('app.notes', ssn) from app.customers

# a sequence that does not exist
select nextval(ssn) from app.customers

# a setting that does not exist
select current_setting(ssn) from app.customers

# a date in a format
select to_date(ssn, 'YYYY-MM-DD') from app.customers

# a timestamp in a format
select to_timestamp(ssn, 'HH24:MI') from app.customers

# a number in a format
select to_number(ssn, '9G99') from app.customers

# a format made of the value
select format('%' || ssn, 1) from app.customers

# a regular expression made of the value
select 'x' ~ ('(' || ssn) from app.customers

# an encoding that does not exist
select convert_to('x', ssn) from app.customers

# bytes that are not hexadecimal
select decode(ssn, 'hex') from app.customers

# bytes that are not base64
select decode(email, 'base64') from app.customers

# a format of encode that does not exist
select encode('\x00', ssn) from app.customers

# a time zone that does not exist
select now() at time zone ssn from app.customers

# a field of a date that does not exist
select date_part(ssn, now()) from app.customers

# a unit of truncation that does not exist
select date_trunc(ssn, now()) from app.customers

# division by zero where a guess is right
select 1 / (case when ssn like '271%' then 0 else 1 end) from app.customers

# more than one row from a sub-select
select (select name from app.orders, app.customers c where c.ssn > '0') from app.customers

# a duplicate key prints the row's key
insert into app.checked(id, t, n, u) select 5, 'a', 1, ssn from app.customers

# a duplicate of a labelled key
insert into app.customers(id, ssn) select 7, ssn from app.customers where id = 1

# a labelled key changed to one that exists
update app.customers set ssn = (select ssn from app.customers where id = 1) where id = 2

# a missing value prints the whole row
insert into app.checked(id, t, n) select 6, left(ssn, 4), null from app.customers

# a check prints the whole row
insert into app.checked(id, t, n) select 7, ssn, 1 from app.customers

# a labelled row fails by its primary key
update app.customers set id = null

# a labelled row collides
update app.customers set id = 1

# a foreign key prints the key
insert into app.child select 1, ssn || '1' from app.customers

# a row that is referenced is deleted
with c as (insert into app.child values (1, 'x') returning 1) delete from app.customers where id = 1

# a value that is too long
update app.customers set email = repeat(ssn, 100)

# an exclusion constraint prints both values
insert into app.ranged select int4range(1, replace(ssn, '-', '')::int) from app.customers

# an exception of one's own
select app.fails(ssn) from app.customers

# an exception of a function that looks for itself
select app.any_sql('select ssn::int from app.customers')

# a context that quotes the inner query
select app.any_sql('select 1/0 from app.customers where ssn = ''271-82-8459''')

# xml that does not end
select xmlparse(document '<a>' || ssn) from app.customers

# an xpath made of the value
select xpath(ssn || '[', '<a/>') from app.customers

# keys of json that are null
select jsonb_object(array[ssn, null]) from app.customers

# keys of json that are doubled
select json_object_agg(nullif(ssn, ssn), 1) from app.customers

# a json path that is strict
select jsonb_path_query(to_jsonb(ssn), 'strict $.a') from app.customers

# a character that does not exist
select chr(-replace(ssn, '-', '')::int) from app.customers

# an integer out of range
select (replace(ssn, '-', '') || '000')::int from app.customers

# a factor out of range
select replace(ssn, '-', '')::int * 1000 from app.customers

# an array index that names the value
select (array[1])[ssn::int] from app.customers

# a bound of generate_series
select generate_series(1, 2, 0 * replace(ssn, '-', '')::int) from app.customers

# a limit that is negative
select 1 from app.notes limit (select -replace(ssn, '-', '')::int from app.customers where id = 1)

# a window frame that is negative
select count(*) over (order by id rows (select -replace(ssn, '-', '')::int from app.customers where id = 1) preceding) from app.notes

# a deferred constraint at the end
begin
set constraints all deferred
insert into app.child select 2, ssn || '2' from app.customers
commit
