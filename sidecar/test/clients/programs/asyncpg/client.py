"""asyncpg: everything prepared, everything in binary, types looked up in the catalogue."""
import asyncio, io, pathlib, sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import asyncpg
from step import failed, said

CUSTOMERS = "select id, name, email, salary, born from customers"
TYPES = """select 1::int2, 2::int4, 3::int8, 4.5::float8, 6.7::numeric, true, 'x'::text, null, date '2020-01-02',
  timestamptz '2020-01-02 03:04:05+00', '{1,2}'::int[], '{"a":1}'::jsonb, '\\x01ff'::bytea, interval '1 day',
  uuid '0e37df36-f698-11e6-8dd4-cb9ced3df976', time '10:11:12'"""


async def main():
    connection = await asyncpg.connect()
    said("client", asyncpg.__version__)

    async def step(name, act):
        try:
            said(name, await act())
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncio.TimeoutError) as error:
            failed(name, error)

    async def rows(text, *values, through=connection):
        return [[list(row.keys()), list(row.values())] for row in await through.fetch(text, *values)]

    async def prepared():
        statement = await connection.prepare(f"{CUSTOMERS} where id = $1")
        found = [list(row.values()) for id in (1, 2) for row in await statement.fetch(id)]
        return [statement.get_parameters()[0].name, [[a.name, a.type.name] for a in statement.get_attributes()], statement.get_statusmsg(), found]

    async def cursor(text):
        async with connection.transaction():
            return [list(row.values()) async for row in connection.cursor(text, prefetch=2)]

    async def moved():
        async with connection.transaction():
            at = await connection.cursor("select id from customers order by id")
            await at.forward(1)
            return [list(row.values()) for row in [await at.fetchrow(), *await at.fetch(5)]]

    async def written():
        await connection.execute("insert into scratch (id, word, amount, list, doc, raw) values ($1, $2, $3, $4, $5, $6)", 401, "w", 1.5, [1, 2], '{"a": 1}', b"\x00\xff")
        changed = await connection.fetchrow("update scratch set word = $2 where id = $1 returning *", 401, "v")
        return [list(changed.values()), await connection.execute("delete from scratch where id = $1", 401)]

    async def many():
        await connection.executemany("insert into scratch (id, word) values ($1, $2)", [(n, f"w{n}") for n in range(410, 430)])
        count = await connection.fetchval("select count(*) from scratch where id between 410 and 429")
        return [count, await connection.execute("delete from scratch where id between 410 and 429")]

    async def nested():
        outer = connection.transaction()
        await outer.start()
        try:
            await connection.execute("insert into scratch (id) values (430)")
            try:
                async with connection.transaction():
                    await connection.execute("insert into scratch (id) values (430)")
            except asyncpg.UniqueViolationError as error:
                return [error.constraint_name, error.table_name, await rows("select id from scratch where id = 430")]
        finally:
            await outer.rollback()

    async def read_only():
        async with connection.transaction(isolation="serializable", readonly=True, deferrable=True):
            return await rows("select name from customers where id = 1")

    async def copied(*args, **more):
        out = io.BytesIO()
        status = await connection.copy_from_query(*args, output=out, **more)
        return [status, out.getvalue().decode("latin1")]

    async def table_copied():
        out = io.BytesIO()
        status = await connection.copy_from_table("customers", output=out, format="csv", header=True)
        return [status, out.getvalue().decode("latin1")]

    async def records_copied():
        status = await connection.copy_records_to_table("scratch", records=[(440, "a"), (441, None)], columns=["id", "word"])
        return [status, await rows("delete from scratch where id in (440, 441) returning id, word")]

    async def text_copied():
        status = await connection.copy_to_table("scratch", source=io.BytesIO(b"442,x\n443,y\n"), columns=["id", "word"], format="csv")
        return [status, await rows("delete from scratch where id in (442, 443) returning id, word")]

    async def timeout():
        await connection.fetch("select pg_sleep(20)", timeout=0.3)

    async def pooled():
        async with asyncpg.create_pool(min_size=1, max_size=2) as pool:
            return await asyncio.gather(*(pool.fetchval("select $1::int", n) for n in range(4)))

    async def listening():
        await connection.add_listener("news", lambda *_: None)

    async def decimals():
        await connection.set_type_codec("jsonb", encoder=str, decoder=lambda text: [text], schema="pg_catalog")
        return await rows("select '{}'::jsonb")

    await step("fetch", lambda: rows("select id, name, tags, made from customers order by id"))
    await step("types, in binary", lambda: rows(TYPES))
    await step("values", lambda: rows("select name from customers where id = any($1::int[]) and name <> $2 order by 1", [1, 2], "x"))
    await step("an enum, looked up", lambda: rows("select id, mood from customers order by id"))
    await step("a domain, looked up", lambda: rows("select id, note from customers order by id"))
    await step("a composite, looked up", lambda: rows("select row(1, 'x')::pair as pair"))
    await step("an array of an enum, looked up", lambda: rows("select array_agg(mood) from customers"))
    await step("a codec of its own", decimals)
    await step("several statements", lambda: connection.execute("select 1; select 2"))
    await step("masked", lambda: rows(f"{CUSTOMERS} order by id"))
    await step("masked and prepared", prepared)
    await step("masked through a view", lambda: rows("select * from contacts order by id"))
    await step("cursor", lambda: cursor("select id, name from customers order by id"))
    await step("cursor, masked", lambda: cursor(f"{CUSTOMERS} order by id"))
    await step("cursor that moves", moved)
    await step("insert, update, delete", written)
    await step("executemany", many)
    await step("nested transactions", nested)
    await step("serializable, read only, deferrable", read_only)
    await step("copy to", lambda: copied("select id, name from customers order by id"))
    await step("copy to, in binary", lambda: copied("select id, name from customers where id = $1", 1, format="binary"))
    await step("copy to, masked", table_copied)
    await step("copy from records", records_copied)
    await step("copy from text", text_copied)
    await step("timeout, which cancels", timeout)
    await step("after the timeout", lambda: rows("select 1 as one"))
    await step("error with values", lambda: rows("select 1 / $1::int", 0))
    await step("wrong syntax", lambda: rows("selec 1"))
    await step("unknown table", lambda: rows("select * from nothing"))
    await step("listener", listening)
    await step("reset", lambda: connection.reset())
    await step("pool", pooled)
    await step("at the end", lambda: rows("select current_user, $1::text", "yes"))
    await connection.close()


asyncio.run(main())
