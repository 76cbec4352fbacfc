select * from d.a
select 1 from d.a where false
select count(*) from d.a, d.b
select * from d.a join d.b on b.a_id = a.id
select * from d.a left join d.b on b.a_id = a.id and b.y = 'none'
select * from d.a natural join d.c
select * from d.a full join d.b using (id)
select * from d.a cross join lateral (select * from d.b where b.a_id = a.id) l
select * from d.a where id in (select a_id from d.b)
select * from d.a where exists (select 1 from d.b where b.a_id = a.id)
select * from d.a where id = any (array(select id from d.c))
select * from d.a where (id, x) in (select id, y from d.b)
select id, (select y from d.b where b.id = a.id) from d.a
select case when exists (select 1 from d.c) then 1 end from d.a
select * from (select * from (select * from d.c) x) y
with w as (select * from d.b) select * from w
with w as materialized (select * from d.b) select 1 from w, d.a
with w as (select * from d.b), v as (select * from w) select * from v
with recursive r(i) as (select 1 union all select i + 1 from r, d.c where i < 3 and c.id = 1) select * from r
select id from d.a union select id from d.b
select id from d.a union all (select id from d.b except select id from d.c)
select id from d.a intersect select id from d.b
select * from d.a order by (select max(id) from d.b)
select * from d.a limit (select count(*) from d.b)
select x, count(*) from d.a group by x having count(*) >= (select min(id) from d.c)
select n, sum(n) over (order by n) from d.a
select distinct on (x) x from d.a order by x
select * from d.a for update
select * from d.a, d.b for update of b
select * from d.a for share skip locked
select * from d.a tablesample bernoulli (100)
select * from only d.i
select * from d.i
select * from d.i1
select * from d.p
select * from d.p where k = 'a'
select * from d.p2
select * from d.p2_high
select * from d.p1 join d.p2 on p1.id < p2.id
select * from d.va
select * from d.vva
select * from d.vc
select * from d.vj
select * from d.vu
select * from d.vs
select * from d.vf
select * from d.vsub
select y from d.vj where x = 'x1'
select count(*) from d.vu
select * from d.va join d.vj using (id)
with w as (select * from d.vva) select * from w
select * from d.mv
/* d.c */ select * from d.rls
select d.f_read()
select * from d.a where d.f_read() > 0
select d.f_write('w')
select * from d.a where d.f_write(x) = 'x1'
select * from d.f_inline()
select f.y from d.f_inline() f join d.a on a.id = f.id
select d.f_pure(id) from d.a
select array(select z from d.c)
select row_to_json(a) from d.a
select jsonb_agg(b) from d.b
select xmlforest(a.x) from d.a
select * from generate_series(1, (select max(id)::int from d.a)) g
select * from d.a, unnest(array(select id from d.b)) u
values ((select max(x) from d.a))
table d.a
select 1
select * from (values (1), (2)) v
select coalesce((select x from d.a where false), (select y from d.b limit 1))
select * from rows from (generate_series(1, 2), d.f_inline()) r
insert into d.a values (10, 'x', 10)
insert into d.a select id + 20, y, id + 20 from d.b
insert into d.a(id) values ((select max(id) + 100 from d.c))
insert into d.a values (1, 'x', 1) on conflict do nothing
insert into d.a values (1, 'x', 1) on conflict (id) do update set x = excluded.x
insert into d.a values (1, 'x', 1) on conflict (id) do update set x = (select max(z) from d.c)
insert into d.a values (1, 'x', 1) on conflict (id) do update set x = 'y' where a.n > 0
insert into d.a values (11, 'x', 11) returning *
insert into d.a values (12, 'x', 12) returning (select count(*) from d.b)
insert into d.a table d.same
insert into d.p values (5, 'a', 'v')
insert into d.p values (6, 'b', 'v'), (600, 'b', 'v'), (7, 'q', 'v')
insert into d.p1 values (8, 'a', 'v')
insert into d.p values (1, 'a', 'n') on conflict (id, k) do update set v = excluded.v
insert into d.i values (10, 's')
insert into d.i1 values (11, 's', 't')
insert into d.va values (13, 'x', 13)
insert into d.vva values (14, 'x')
insert into d.vc values (15, 15)
insert into d.va values (1, 'x', 1) on conflict (id) do update set x = excluded.x
/* d.parent */ insert into d.child values (5, 1, 'c')
/* d.child */ insert into d.grandchild values (5, 2)
/* d.tree */ insert into d.tree values (4, 3)
/* d.audit d.note */ insert into d.trig values (5, 't')
insert into d.ruled values (5, 't')
insert into d.vr values (50, 't')
insert into d.numbered(t) values ('a')
insert into d.numbered default values
insert into d.numbered(id, t) overriding user value select id, z from d.c
with s as (select * from d.b) insert into d.c select id + 50, y from s
with i as (insert into d.c values (60, 'z') returning id) insert into d.b select id, id, 'y' from i
insert into d.c select id + 70, d.f_write(z) from d.c
update d.a set x = 'y'
update d.a set x = 'y' where id = 1
update d.a set x = b.y from d.b where b.a_id = a.id
update d.a set (x, n) = (select y, id + 1000 + a.id from d.b where b.id = a.id)
update d.a set x = (select max(z) from d.c)
update d.a set x = 'y' where id in (select id from d.vu)
update d.a set x = 'y' where exists (select 1 from d.p)
update d.a set x = 'y' from d.b join d.c using (id) where b.a_id = a.id returning a.*, c.z
update d.a set n = n + 100 returning d.f_read()
update d.a set x = d.f_write(x)
update d.a as t set x = t.x || 'z' from d.a as o where o.id = t.id
update only d.i set s = 'n'
update d.i set s = 'n'
update d.i1 set s = 'n' where id = 3
update d.p set v = 'n'
update d.p set v = 'n' where k = 'a'
update d.p set k = 'b' where k = 'a'
update d.p set k = 'z' where id = 200
update d.p2 set id = id + 500
update d.va set x = 'n'
update d.vva set x = 'n' where id = 1
update d.vc set n = n + 50
update d.vj set x = 'n' where id = 1
update d.va set x = b.y from d.b where b.id = va.id
/* d.child d.kept */ update d.parent set id = id + 100 where id = 3
/* d.child d.kept */ update d.parent set id = 100 where id = 1 and false
update d.parent set t = 'n'
/* d.parent */ update d.child set parent_id = 2
update d.tree set up = up
/* d.audit d.note */ update d.trig set t = 'n'
update d.ruled set t = 'n'
/* d.c */ update d.rls set who = 'z2'
with u as (update d.a set x = 'q' returning id) select count(*) from u
with u as (update d.a set x = 'q' returning id) update d.b set y = 'q' from u where u.id = b.id
with u as (update d.a set x = 'q') select * from d.c
update d.numbered set t = default
delete from d.a
delete from d.a where id = 1
delete from d.a using d.b where b.a_id = a.id
delete from d.a using d.b, d.c where b.a_id = a.id and c.id = b.id returning c.z
delete from d.a where id in (select id from d.vj)
delete from d.a where x = (select max(z) from d.c)
delete from d.a where d.f_read() > 0
delete from only d.i
delete from d.i
delete from d.p
delete from d.p where k = 'b' and id > 100
delete from d.p1
delete from d.va
delete from d.vva where id = 2
delete from d.vc
/* d.child d.kept d.grandchild */ delete from d.parent where id = 1
/* d.grandchild */ delete from d.child
/* d.tree */ delete from d.tree where id = 1
/* d.audit d.note */ delete from d.trig
delete from d.ruled
/* d.c */ delete from d.rls
with x as (delete from d.a returning *) insert into d.same select * from x
with x as (delete from d.b returning id), y as (delete from d.c returning id) select * from x, y
with x as (delete from d.a where false) delete from d.b where false
/*15*/ merge into d.a using d.b on b.a_id = a.id when matched then update set x = b.y
/*15*/ merge into d.a using d.b on b.a_id = a.id when matched then delete
/*15*/ merge into d.a using d.b on b.a_id = a.id + 100 when not matched then insert values (b.id + 300, b.y, b.id + 300)
/*15*/ merge into d.a using (select * from d.b join d.c using (id)) s on s.id = a.id when matched and s.z = 'z1' then delete when matched then update set x = s.z when not matched then insert (id, x) values (s.id, s.z)
/*15*/ merge into d.a using d.b on b.a_id = a.id when matched then do nothing
/*15*/ merge into d.a using d.vj on vj.id = a.id when matched then update set x = (select max(z) from d.c)
/*15*/ merge into d.p using d.b on b.id = p.id when matched then update set v = b.y when not matched then insert values (b.id, 'a', 'm')
/*15*/ with s as (select * from d.c) merge into d.b using s on s.id = b.id when matched then update set y = s.z
/*15*/ /* d.audit d.note */ merge into d.trig using d.b on b.id = trig.id when matched then update set t = 'm' when not matched then insert values (b.id, 'm')
/*15*/ /* d.child d.kept d.grandchild */ merge into d.parent using d.b on b.id = parent.id when matched then delete
/*17*/ merge into d.va using d.b on b.id = va.id when matched then update set x = b.y
/*17*/ merge into d.a using d.b on b.a_id = a.id when not matched by source then delete when matched then update set x = 'm' returning a.*, b.y
/*17*/ with m as (merge into d.a using d.b on b.id = a.id when matched then update set x = 'm' returning b.y) select * from m, d.c
/*18*/ update d.a set x = 'n' returning old.x, new.x, (select max(z) from d.c)
/*18*/ delete from d.a returning old.*
explain select * from d.a
