# the star of one side of a join
select c.*, o.item from app.customers c join app.orders o on o.customer_id = c.id

# attribute notation calls a function of the row
select c.ssn_of from app.customers c

# a function of one's own over a whole row
select app.ssn_of(c) from app.customers c

# an operator of one's own
select ssn operator(app.###) '' from app.customers

# an aggregate of one's own
select app.glue(ssn) from app.customers

# a composite is taken apart again
select (p).a from (select row(ssn, 'x')::app.pair as p from app.customers) x

# a composite cast to text
select row(ssn, 'x')::app.pair::text from app.customers

# json elements of an array of whole rows
select e ->> 'ssn' from (select jsonb_agg(c) as j from app.customers c) x, jsonb_array_elements(x.j) e

# a whole row through json_populate_record
select (json_populate_record(null::app.customers, to_json(c))).ssn from app.customers c

# a record with a column definition list
select r.s from app.customers c, json_to_record(to_json(c)) as r(ssn text, s text), lateral (select r.ssn as s) y

# ROWS FROM with ordinality
select u.s from app.customers c, rows from (unnest(array[c.ssn]), generate_series(1, 2)) with ordinality as u(s, n, o)

# a correlated sub-select in the target list
select (select x.s from (select c.ssn as s) x) from app.orders o, app.customers c

# VALUES in a lateral join
select v.x from app.customers c cross join lateral (values (c.ssn), (c.name)) v(x)

# a recursive walk that carries the value along
with recursive w(i, s) as (select 1, ''::text union all select i + 1, w.s || c.ssn from w, app.customers c where i < 3 and c.id = 1) select max(s) from w

# nested set operations with another order of columns
select a from (select name as a, ssn as b from app.customers union all (select ssn, name from app.customers except select item, note from app.orders)) x

# a window frame over the value
select nth_value(ssn, 1) over (order by id rows between unbounded preceding and unbounded following) from app.customers

# an ordered-set aggregate
select percentile_disc(array[0.0, 1.0]) within group (order by ssn) from app.customers

# grouping sets hide and show the value
select ssn, name, grouping(ssn) from app.customers group by grouping sets ((ssn), (name), ())

# a range between values
select textrange from (select int4range(1, replace(left(ssn, 3), '-', '')::int) as textrange from app.customers) x

# the number inside, as a number
select replace(ssn, '-', '')::numeric + 0 from app.customers

# the number inside, as another number of eight bytes
select replace(ssn, '-', '')::int8 from app.customers

# character codes instead of characters
select array(select ascii(x) from regexp_split_to_table(ssn, '') x) from app.customers

# one row for each character
select substr(ssn, i, 1) from app.customers, generate_series(1, 11) i where id = 1 order by i

# bits of the value
select get_bit(ssn::bytea, i) from app.customers, generate_series(0, 87) i where id = 1

# a hash that can be looked up
select md5(ssn), sha256(ssn::bytea) from app.customers

# a masked column beside a revealed expression of itself
select ssn, length(ssn), ssn || ssn from app.customers

# a generated column
select ssn_tail from app.customers

# a partition read by itself
select p.* from app.part_eu p

# a child table through its parent
select base.* from app.base

# a view with rights of its owner over a function
select l from app.v_secdef

# xml of the whole row
select xmlforest(c as r) from app.customers c

# an xml table over the value
select t.v from app.customers c, xmltable('/a' passing xmlelement(name a, c.ssn) columns v text path 'text()') t

# a json path with the value as a variable
select jsonb_path_query('{"a":1}', '$v', jsonb_build_object('v', ssn)) from app.customers

# a text search vector
select to_tsvector('simple', email) from app.customers

# the best headline of a document
select ts_headline('simple', ssn, to_tsquery('simple', 'x')) from app.customers

# [16] the JSON constructor of the standard
select json_object('k' value ssn returning jsonb) from app.customers

# [17] JSON_TABLE with nested paths
select j.* from app.customers c, json_table(jsonb_build_array(to_jsonb(c)), '$[*]' columns (n for ordinality, nested path '$' columns (s text path '$.ssn'))) j

# [17] JSON_SERIALIZE and JSON_SCALAR
select json_serialize(json_scalar(ssn)) from app.customers

# [17] MERGE in a common table expression
with m as (merge into app.orders o using app.customers c on c.id = o.customer_id when matched then update set item = 'x' returning merge_action(), c.ssn) select * from m

# [18] old and new rows under other names
update app.customers set name = 'x' returning with (old as before, new as after) before.ssn, after.*

# RETURNING of an upsert
insert into app.customers(id, ssn) values (1, 'zz') on conflict (id) do update set name = 'x' returning customers.*

# the row that DELETE USING joins
delete from app.orders o using app.customers c where c.id = o.customer_id returning c

# a cast to a domain and back
select ssn::app.short::text from app.customers

# DISTINCT over the whole row
select distinct c from app.customers c

# FETCH FIRST WITH TIES
select ssn from app.customers order by id fetch first 1 rows with ties

# the table sample of a sub-select
select s from (select ssn as s from app.customers tablesample bernoulli (100)) x

# the system column beside the value
select tableoid::regclass, xmin, ssn from app.customers

# a large value in pieces
select substr(doc, 1, 11) from app.big, (select ssn from app.customers where id = 1) s(doc2) where doc like doc2 || '%'
