# COPY of a table as text
copy app.customers to stdout

# COPY of one column
copy app.customers (ssn) to stdout

# COPY of a column as CSV
copy app.customers (id, ssn) to stdout with (format csv, header)

# COPY of a column as CSV, quoted
copy app.customers (ssn) to stdout with (format csv, force_quote *)

# COPY in binary
copy app.customers (ssn) to stdout with (format binary)

# COPY of a query
copy (select ssn from app.customers) to stdout

# COPY of a query with another name
copy (select reverse(ssn) as x from app.customers) to stdout with csv

# COPY of a query in binary
copy (select ssn::bytea from app.customers) to stdout with binary

# COPY of a view
copy (select * from app.v_nested) to stdout

# COPY of RETURNING
copy (update app.customers set name = 'x' returning ssn) to stdout

# COPY of RETURNING of DELETE
copy (delete from app.customers returning *) to stdout

# COPY with a delimiter that hides the value
copy (select ssn from app.customers) to stdout with (delimiter '-')

# COPY with a null string
copy (select nullif(ssn, 'x') from app.customers) to stdout with (null '271')

# COPY in another encoding
copy app.customers (ssn) to stdout with (encoding 'LATIN1')

# COPY of a partitioned table's part
copy app.part_eu to stdout

# COPY of a parent without children
copy app.kid to stdout

# COPY of a materialised view
copy (select y from app.mv) to stdout

# COPY of a function's result
copy (select app.leak(1)) to stdout

# COPY of a large value
copy (select doc from app.big where false union all select ssn from app.customers) to stdout

# COPY to a file
copy app.customers to '/tmp/x'

# COPY to a program
copy app.customers to program 'cat'

# COPY from a program
copy app.notes from program 'echo 1'

# COPY from a file
copy app.notes from '/etc/passwd'

# COPY into a labelled table
copy app.customers (id, ssn) from stdin

# COPY of statistics
copy (select most_common_vals::text from pg_stats) to stdout

# COPY in one message with another statement
select 1; copy app.customers (ssn) to stdout

# COPY with a condition
copy app.notes from stdin where body = (select ssn from app.customers)
