"""psycopg 3: text and binary, pipelines, cursors of the server, COPY."""
import pathlib, sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from step import failed, said

said("client", psycopg.__version__)
connection = psycopg.connect("", autocommit=True)
notices = []
connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
CUSTOMERS = "select id, name, email, salary, born from customers"
TYPES = """select 1::int2, 2::int4, 3::int8, 4.5::float8, 6.7::numeric, true, 'x'::text, null, date '2020-01-02',
  timestamptz '2020-01-02 03:04:05+00', '{1,2}'::int[], '{"a":1}'::jsonb, '\\x01ff'::bytea, interval '1 day',
  uuid '0e37df36-f698-11e6-8dd4-cb9ced3df976', 'sad'::mood, int4range(1, 5), inet '10.0.0.1', time '10:11:12'"""


def step(name):
    def run(act):
        try:
            said(name, act())
        except psycopg.Error as error:
            failed(name, error)
            if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                connection.rollback()
    return run


def rows(text, values=None, **more):
    with connection.cursor(binary=more.pop("binary", False), row_factory=more.pop("row_factory", psycopg.rows.tuple_row)) as cursor:
        cursor.execute(text, values, **more)
        return [cursor.statusmessage, [[c.name, c.type_code] for c in cursor.description or []], cursor.fetchall() if cursor.description else None]


step("simple query")(lambda: rows("select id, name, mood, tags, made, note from customers order by id"))
step("types, in text")(lambda: rows(TYPES))
step("types, in binary")(lambda: rows(TYPES, binary=True))
step("values")(lambda: rows("select name from customers where id = %s and mood = %s", [1, "glad"]))
step("values in binary")(lambda: rows("select name from customers where id = %b and name <> %b", [1, "x"], binary=True))
step("named values")(lambda: rows("select name from customers where id = %(id)s", {"id": 2}, row_factory=dict_row))
step("prepared at once")(lambda: [rows("select name from customers where id = %s", [n], prepare=True) for n in (1, 2)])
step("prepared after repeats")(lambda: [rows("select cents from orders where id = %s", [n % 3 + 1]) for n in range(8)])
step("several statements")(lambda: [each.fetchall() for each in connection.execute("select 1; select 'b'").results()])
step("client-side values")(lambda: psycopg.ClientCursor(connection).execute("select name from customers where id = %s", [3]).fetchall())
step("composed names")(lambda: rows(sql.SQL("select {} from {} order by 1").format(sql.Identifier("name"), sql.Identifier("public", "customers"))))


@step("executemany")
def _():
    with connection.cursor() as cursor:
        cursor.executemany("select name from customers where id = %s", [(1,), (2,)], returning=True)
        return [each.fetchall() for each in cursor.results()]


step("masked in text")(lambda: rows(f"{CUSTOMERS} order by id"))
step("masked in binary")(lambda: rows(f"{CUSTOMERS} order by id", binary=True))
step("masked with values")(lambda: rows(f"{CUSTOMERS} where id = %s", [2]))
step("masked, prepared, in binary")(lambda: [rows(f"{CUSTOMERS} where id = %s", [n], prepare=True, binary=True) for n in (1, 2)])
step("masked through a view")(lambda: rows("select * from contacts order by id", binary=True))
step("beside a mask")(lambda: rows("select array_agg(name order by id) from customers"))


@step("pipeline")
def _():
    with connection.pipeline(), connection.cursor() as one, connection.cursor() as two:
        one.execute("select name from customers where id = %s", [1])
        two.execute("select email from customers where id = %s", [2])
        return [one.fetchall(), two.fetchall()]


@step("pipeline with an error")
def _():
    with connection.pipeline(), connection.cursor() as one:
        one.execute("select 1 / %s", [0])
        one.execute("select 2")
        return one.fetchall()


@step("pipeline of inserts")
def _():
    with connection.pipeline(), connection.cursor() as cursor:
        cursor.executemany("insert into scratch (id, word) values (%s, %s)", [(n, f"w{n}") for n in range(301, 321)])
    return [rows("select count(*), max(word) from scratch where id between 301 and 320"), rows("delete from scratch where id between 301 and 320")[0]]


@step("server-side cursor")
def _():
    with connection.transaction(), connection.cursor("paged") as cursor:
        cursor.execute("select id, name from customers order by id")
        return [cursor.fetchmany(2), cursor.fetchall()]


@step("server-side cursor, masked")
def _():
    with connection.transaction(), connection.cursor("masked", binary=True) as cursor:
        cursor.execute(f"{CUSTOMERS} order by id")
        return cursor.fetchall()


@step("server-side cursor that scrolls")
def _():
    with connection.transaction(), connection.cursor("scrolls", scrollable=True) as cursor:
        cursor.execute("select id from customers order by id")
        last = cursor.fetchall()
        cursor.scroll(0, mode="absolute")
        return [last, cursor.fetchone()]


@step("stream")
def _():
    with connection.cursor() as cursor:
        return list(cursor.stream("select id, name from customers order by id"))


@step("stream in chunks")
def _():
    with connection.cursor() as cursor:
        return list(cursor.stream("select id, name from customers order by id", size=2))


def copied(text):
    with connection.cursor() as cursor, cursor.copy(text) as copy:
        return b"".join(bytes(part) for part in copy).decode("latin1")


step("copy to, in text")(lambda: copied("copy (select id, name from customers order by id) to stdout"))
step("copy to, in binary")(lambda: copied("copy (select id, name from customers order by id) to stdout (format binary)"))
step("copy to, masked")(lambda: copied("copy customers to stdout"))


@step("copy from, in text")
def _():
    with connection.cursor() as cursor:
        with cursor.copy("copy scratch (id, word, amount) from stdin") as copy:
            for n in range(330, 333):
                copy.write_row((n, "w\t\\", n / 4))
        return [cursor.rowcount, rows("delete from scratch where id between 330 and 332 returning id, word, amount")]


@step("copy from, in binary")
def _():
    with connection.cursor() as cursor:
        with cursor.copy("copy scratch (id, word) from stdin (format binary)") as copy:
            copy.set_types(["int4", "text"])
            copy.write_row((340, "b"))
        return [cursor.rowcount, rows("delete from scratch where id = 340 returning id, word")]


@step("copy from, given up")
def _():
    with connection.cursor() as cursor, cursor.copy("copy scratch (id) from stdin") as copy:
        copy.write_row((350,))
        raise psycopg.errors.QueryCanceled("given up")


step("insert, update, delete")(lambda: [
    rows("insert into scratch (id, word, doc, list, raw, token, flag) values (%s, %s, %s, %s, %s, gen_random_uuid(), %s) returning id, doc, list, raw", [360, "w", Jsonb({"a": 1}), [1, 2], b"\x00\xff", True]),
    rows("update scratch set amount = 1.5 where id = %s", [360])[0], rows("delete from scratch where id = %s", [360])[0]])


@step("nested transactions")
def _():
    with connection.transaction(force_rollback=True):
        connection.execute("insert into scratch (id) values (370)")
        try:
            with connection.transaction():
                connection.execute("insert into scratch (id) values (370)")
        except psycopg.errors.UniqueViolation as error:
            return [error.diag.constraint_name, error.diag.table_name, rows("select id from scratch where id = 370")]


@step("two-phase commit")
def _():
    with psycopg.connect("") as other:
        other.tpc_begin(other.xid(1, "a", "b"))
        other.execute("select 1")
        other.tpc_prepare()
        other.tpc_rollback()


@step("read only, serializable")
def _():
    connection.read_only, connection.isolation_level = True, psycopg.IsolationLevel.SERIALIZABLE
    try:
        with connection.transaction():
            return rows("select name from customers where id = 1")
    finally:
        connection.read_only = connection.isolation_level = None


@step("read only, and a write")
def _():
    connection.read_only = True
    try:
        with connection.transaction():
            connection.execute("delete from scratch")
    finally:
        connection.read_only = None


@step("cancel")
def _():
    import threading
    timer = threading.Timer(0.3, connection.cancel_safe)
    timer.start()
    try:
        connection.execute("select pg_sleep(10)")
    finally:
        timer.join()


step("notices")(lambda: [rows("drop table if exists nothing_there")[0], notices])
step("type by name")(lambda: psycopg.types.enum.EnumInfo.fetch(connection, "mood").labels)
step("composite type by name")(lambda: psycopg.types.composite.CompositeInfo.fetch(connection, "pair").field_names)
step("range type by name")(lambda: psycopg.types.range.RangeInfo.fetch(connection, "int4range").subtype_oid)
step("error with values")(lambda: rows("select 1 / %s", [0]))
step("unknown table")(lambda: rows("select * from nothing"))
step("listen")(lambda: rows("listen news"))
step("parameters of the server")(lambda: [connection.info.parameter_status(name) for name in ("server_encoding", "client_encoding", "DateStyle", "TimeZone", "integer_datetimes")])
step("at the end")(lambda: rows("select current_user, %s::text", ["yes"]))
connection.close()
