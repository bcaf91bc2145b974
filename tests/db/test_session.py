"""What a connection fixes, and which databases cannot hold the record."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from agd.db import schema, session
from agd.db.address import resolve
from agd.db.connection import Database
from agd.errors import DatabaseError

FreshDatabase = Callable[[], AbstractContextManager[str]]

NEVER_MADE = "SELECT count(*) FROM pg_tables WHERE tablename IN ('alembic_version', 'composition')"


def plain(url: str) -> str:
    return url.replace("+psycopg", "")


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(plain(url), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def bare(server_url: str) -> Iterator[Callable[..., str]]:
    """Makes a database without the schema."""
    made: list[str] = []

    def make(options: str = "") -> str:
        name = f"agd_bare_{os.getpid()}_{len(made)}"
        execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE template0 {options}')
        made.append(name)
        return make_url(server_url).set(database=name).render_as_string(hide_password=False)

    yield make
    for name in made:
        execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.parametrize(
    ("options", "statement", "words"),
    [
        ("ENCODING 'SQL_ASCII'", "", r"stores text as SQL_ASCII .*ENCODING 'UTF8'"),
        ("ENCODING 'LATIN1' LOCALE 'C'", "", "stores text as LATIN1"),
        (
            "",
            "ALTER DATABASE {db} SET default_transaction_read_only = on",
            "is read-only .*default_transaction_read_only",
        ),
        ("", "DROP SCHEMA public", "has no schema public"),
        (
            "",
            "CREATE SCHEMA lab; CREATE TABLE lab.alembic_version (); CREATE TABLE lab.suggestion ()",
            'in the schema lab .*ALTER SCHEMA "lab" RENAME TO public',
        ),
    ],
)
def test_a_database_that_cannot_hold_the_record(
    bare: Callable[..., str], options: str, statement: str, words: str
) -> None:
    url = bare(options)
    name = str(conninfo_to_dict(plain(url))["dbname"])
    execute(url, *filter(None, statement.format(db=f'"{name}"').split("; ")))
    with Database(url) as database, pytest.raises(DatabaseError, match=words), database.transaction() as tx:
        schema.upgrade(tx)
    if "lab" not in statement:
        with psycopg.connect(plain(url)) as connection:
            assert connection.execute(NEVER_MADE).fetchone() == (0,)


def test_what_a_proxy_drops_is_set_afterwards(database_url: str) -> None:
    name = conninfo_to_dict(plain(database_url))["dbname"]
    execute(
        database_url,
        f"ALTER DATABASE \"{name}\" SET datestyle = 'German'",
        f'ALTER DATABASE "{name}" SET search_path = nowhere',
        f'ALTER ROLE agd IN DATABASE "{name}" SET session_replication_role = replica',
        f"ALTER ROLE agd IN DATABASE \"{name}\" SET transaction_timeout = '1h'",
    )
    with psycopg.connect(plain(database_url), autocommit=True) as opened:
        session.settle(opened, "here")
        found = opened.execute(
            "SELECT current_setting(n) FROM unnest(ARRAY['datestyle', 'search_path', 'session_replication_role',"
            " 'transaction_timeout', 'client_encoding']) n"
        ).fetchall()
    assert [value for (value,) in found] == ["ISO, MDY", "public", "origin", "0", "UTF8"]


def test_a_setting_that_the_role_may_not_change_is_named(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(session._AFTERWARDS, "block_size", "1")
    with pytest.raises(DatabaseError, match=r"block_size of the database at .* is '8192' and must be '1'"):
        session.connect(resolve(database_url, heeds_shell=False))
    monkeypatch.undo()
    monkeypatch.setattr(session, "OLDEST_SERVER", 99)
    with pytest.raises(DatabaseError, match=r"is PostgreSQL \d+, and agd needs 99 or later"):
        session.connect(resolve(database_url, heeds_shell=False))


def test_a_database_that_is_set_read_only_stays_so(database: Database, database_url: str) -> None:
    name = conninfo_to_dict(plain(database_url))["dbname"]
    execute(database_url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    for _ in range(2):
        with database.read() as tx:
            assert schema.current_revision(tx) == schema.SCHEMA_REVISION
        with pytest.raises(DatabaseError, match=r"is read-only .*default_tr"), database.transaction() as tx:
            tx.exec_driver_sql("DELETE FROM activity")


def test_an_error_while_rows_are_copied_is_one_line(database: Database) -> None:
    with pytest.raises(DatabaseError, match=r"the database at .* cancelled a statement"), database.transaction():
        raise errors.QueryCanceled("canceling statement due to user request")
