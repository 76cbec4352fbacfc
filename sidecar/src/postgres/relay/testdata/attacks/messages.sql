# a forbidden statement after a harmless one
select 1; drop table app.customers; select 2

# a masked column behind a comment
select 1 /* ; */; select ssn from app.customers

# a masked column behind a nested comment
select /* /* */ ssn, */ ssn from app.customers

# a masked column behind a dollar quote
select $a$ ; $b$ $a$, ssn from app.customers

# a masked column behind an escape string
select E'\'', ssn from app.customers

# a masked column behind a Unicode escape
select U&"\0073\0073\006e" from app.customers

# a masked column behind another Unicode escape
select U&"!0073sn" uescape '!' from app.customers

# a masked column behind a continued string
select 'a'
 'b', ssn from app.customers

# an operator that looks like a comment
select 1 --1
 , ssn from app.customers

# letters of another case
SELECT "ssn", SSN FROM APP.Customers

# white space of another kind
select	ssn
	from app.customers

# an empty statement between
;;select ssn from app.customers;;

# a masked column in each of several statements
select ssn from app.customers; select name from app.customers; select email from app.customers

# a transaction in one message
begin; update app.notes set body = 'x'; select ssn from app.customers; rollback

# an error after a masked row
select ssn from app.customers; select 1/0

# an error before a masked row
select 1/0; select ssn from app.customers

# a refusal before a masked row
listen x; select ssn from app.customers

# a refusal after a write
insert into app.notes values (400, 'x'); listen x

# a write that reads what the message wrote before
insert into app.notes values (401, 'y'); select body, ssn from app.notes, app.customers

# a long list of statements
select 1; select 2; select 3; select 4; select 5; select 6; select 7; select 8; select ssn from app.customers

# a name that looks like a part of the tree
select ssn as ":expr" from app.customers

# a name that looks like an open list
select ssn as "[" from app.customers

# a name that closes a node
select ssn as "} :expr <> {" from app.customers

# a name as long as names can be
select ssn as "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" from app.customers

# a common table expression named like a field
with ":rtekind" as (select ssn from app.customers) select * from ":rtekind"

# a statement with a zero-width space
select​ ssn from app.customers

# a query by inheritance syntax
select ssn from app.customers *

# TABLE instead of SELECT
table app.customers

# VALUES of a whole table
values ((select array_agg(c) from app.customers c))

# parentheses around everything
((((select ssn from app.customers))))
