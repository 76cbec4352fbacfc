"""SQLAlchemy over psycopg: reflection of the schema, and what the ORM writes."""
import pathlib, sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql
from step import failed, said

said("client", sa.__version__)
engine = sa.create_engine("postgresql+psycopg://")
inspector = sa.inspect(engine)


def step(name):
    def run(act):
        try:
            said(name, act())
        except sa.exc.SQLAlchemyError as error:
            failed(name, error)
            inspector.clear_cache()
    return run


TABLES = ["customers", "orders", "scratch", "measures", "child", "names"]
step("schemas")(lambda: inspector.get_schema_names())
step("tables")(lambda: sorted(inspector.get_table_names()))
step("views")(lambda: sorted(inspector.get_view_names()))
step("materialized views")(lambda: inspector.get_materialized_view_names())
step("foreign tables")(lambda: inspector.get_foreign_table_names())
step("sequences")(lambda: sorted(inspector.get_sequence_names()))
step("temporary tables")(lambda: inspector.get_temp_table_names())
step("enums")(lambda: inspector.get_enums())
step("domains")(lambda: inspector.get_domains())
for table in TABLES:
    step(f"columns of {table}")(lambda: [{k: str(v) for k, v in column.items()} for column in inspector.get_columns(table)])
    step(f"keys of {table}")(lambda: [inspector.get_pk_constraint(table), inspector.get_foreign_keys(table), inspector.get_unique_constraints(table)])
    step(f"indexes of {table}")(lambda: inspector.get_indexes(table))
step("check constraints")(lambda: inspector.get_check_constraints("orders"))
step("comments")(lambda: [inspector.get_table_comment("customers"), [c["comment"] for c in inspector.get_columns("customers")]])
step("definition of a view")(lambda: inspector.get_view_definition("names"))
step("table options")(lambda: inspector.get_table_options("orders"))
step("has table")(lambda: [inspector.has_table("orders"), inspector.has_table("nothing"), inspector.has_schema("public"), inspector.has_sequence("orders_id_seq")])


@step("all tables at once")
def _():
    found = sa.MetaData()
    found.reflect(engine, views=True)
    return {name: [f"{c.name} {c.type!r}" for c in table.columns] for name, table in sorted(found.tables.items())}


@step("create table as reflected")
def _():
    table = sa.Table("orders", sa.MetaData(), autoload_with=engine)
    return str(sa.schema.CreateTable(table).compile(dialect=engine.dialect))


class Base(orm.DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]
    email: orm.Mapped[str | None]
    salary: orm.Mapped[int | None]
    orders: orm.Mapped[list["Order"]] = orm.relationship(order_by="Order.id", back_populates="customer")


class Order(Base):
    __tablename__ = "orders"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    customer_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("customers.id"))
    cents: orm.Mapped[int]
    status: orm.Mapped[str] = orm.mapped_column(server_default="open")
    data: orm.Mapped[dict | None] = orm.mapped_column(postgresql.JSONB)
    customer: orm.Mapped[Customer] = orm.relationship(back_populates="orders")


class Scratch(Base):
    __tablename__ = "scratch"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    word: orm.Mapped[str | None]
    amount: orm.Mapped[float | None] = orm.mapped_column(sa.Numeric(12, 2))
    doc: orm.Mapped[dict | None] = orm.mapped_column(postgresql.JSONB)


def session():
    return orm.Session(engine)


@step("select of objects")
def _():
    with session() as s:
        return [(c.id, c.name) for c in s.scalars(sa.select(Customer).options(orm.load_only(Customer.name)).order_by(Customer.id))]


@step("masked objects")
def _():
    with session() as s:
        return [(c.id, c.name, c.email, c.salary) for c in s.scalars(sa.select(Customer).order_by(Customer.id))]


@step("masked in one column")
def _():
    with engine.connect() as c:
        return [tuple(row) for row in c.execute(sa.select(Customer.email).where(Customer.id == 1))]


@step("joined and selected in")
def _():
    with session() as s:
        found = s.scalars(sa.select(Order).options(orm.joinedload(Order.customer).load_only(Customer.name)).order_by(Order.id)).unique()
        joined = [(o.id, o.customer.name, o.data) for o in found]
    with session() as s:
        found = s.scalars(sa.select(Customer).options(orm.load_only(Customer.name), orm.selectinload(Customer.orders)).order_by(Customer.id))
        return [joined, [(c.name, [o.cents for o in c.orders]) for c in found]]


@step("grouped")
def _():
    with engine.connect() as c:
        total = sa.func.sum(Order.cents)
        return [tuple(row) for row in c.execute(sa.select(Customer.name, total).join(Order).group_by(Customer.name).having(total > 10).order_by(Customer.name))]


@step("insert, change and delete objects")
def _():
    with session() as s:
        s.add_all([Scratch(id=500 + n, word=f"w{n}", doc={"n": n}) for n in range(3)])
        s.commit()
        first = s.get(Scratch, 500)
        first.word, first.amount = "changed", 2.5
        s.commit()
        found = [(o.id, o.word, o.amount, o.doc) for o in s.scalars(sa.select(Scratch).where(Scratch.id >= 500).order_by(Scratch.id))]
        s.execute(sa.delete(Scratch).where(Scratch.id >= 500))
        s.commit()
        return found


@step("keys that the server makes")
def _():
    with session() as s:
        made = [Scratch(word=f"k{n}") for n in range(20)]
        s.add_all(made)
        s.flush()
        keys = [o.id for o in made]
        s.rollback()
        return [len(set(keys)), keys == sorted(keys)]


@step("upsert")
def _():
    with engine.begin() as c:
        insert = postgresql.insert(Scratch).values(id=510, word="a")
        for _ in range(2):
            row = c.execute(insert.on_conflict_do_update(index_elements=["id"], set_={"word": "b"}).returning(Scratch.word)).one()
        c.execute(sa.delete(Scratch).where(Scratch.id == 510))
        return tuple(row)


@step("savepoint")
def _():
    with session() as s:
        s.add(Scratch(id=520))
        s.flush()
        try:
            with s.begin_nested():
                s.execute(sa.insert(Scratch).values(id=520))
        except sa.exc.IntegrityError as error:
            found = s.scalar(sa.select(sa.func.count()).select_from(Scratch).where(Scratch.id == 520))
            s.rollback()
            return [error.orig.sqlstate, found]


@step("rollback after an error")
def _():
    with session() as s:
        try:
            s.execute(sa.text("select 1 / 0"))
        except sa.exc.DBAPIError:
            s.rollback()
        return s.scalar(sa.text("select 1"))


@step("isolation levels")
def _():
    found = []
    for level in ("SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED", "AUTOCOMMIT"):
        with engine.connect().execution_options(isolation_level=level) as c:
            found.append(c.scalar(sa.text("show transaction_isolation")))
    return found


@step("server-side cursor")
def _():
    with engine.connect() as c:
        return [tuple(row) for row in c.execution_options(stream_results=True, max_row_buffer=2).execute(sa.select(Customer.id, Customer.name).order_by(Customer.id))]


@step("server-side cursor, masked")
def _():
    with engine.connect() as c:
        return [tuple(row) for row in c.execution_options(yield_per=2).execute(sa.select(Customer.id, Customer.email).order_by(Customer.id))]


@step("for update")
def _():
    with session() as s:
        found = s.scalars(sa.select(Order).where(Order.id == 1).with_for_update()).one().id
        s.rollback()
        return found


@step("create and drop tables")
def _():
    sa.Table("made", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True)).create(engine)


step("at the end")(lambda: session().scalar(sa.text("select current_user")))
engine.dispose()
