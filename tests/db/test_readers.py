"""A role that can read the record, and do nothing else to it."""

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from typer.testing import CliRunner

from agd.cli.app import app
from agd.db import schema
from agd.db.connection import Database
from agd.db.tables import metadata
from agd.db.upkeep.reader_roles import grant_reader
from agd.errors import InputError


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """A name that has to be quoted: roles are the server's, so one for each test."""
    name = f"""Ad"a o':x %s {uuid.uuid4().hex[:12]}"""
    with database.transaction() as tx:
        if not tx.scalar(text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = session_user")):
            pytest.skip("the server's role may not make roles")
    yield name
    with database.transaction() as tx:
        drop = (
            "DO $$ BEGIN EXECUTE format('DROP OWNED BY %I', current_setting('t.role'));"
            " EXECUTE format('DROP ROLE %I', current_setting('t.role')); END $$"
        )
        if tx.scalar(text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :name)"), {"name": name}):
            tx.execute(text("SELECT set_config('t.role', :name, true)"), {"name": name})
            tx.execute(text(drop))


def test_a_reader_reads_all_and_changes_nothing(database: Database, role: str) -> None:
    with database.transaction() as tx:
        assert grant_reader(tx, role) is True
    with database.transaction() as tx:
        assert grant_reader(tx, role) is False
        tx.execute(text("CREATE TABLE later (x int)"))
        tx.execute(text("CREATE VIEW v_later AS SELECT x FROM later"))
    with database.transaction() as tx:
        tx.execute(text("SELECT set_config('role', :role, true)"), {"role": role})
        views = tx.scalars(text("SELECT viewname FROM pg_views WHERE schemaname = current_schema()")).all()
        assert len(views) > 10
        for name in (*views, *metadata.tables, "queue.document", "later", "alembic_version"):
            tx.execute(text(f"SELECT * FROM {name} LIMIT 1"))
        tx.execute(text("SELECT agd_content_hash_v2('none'), queue.priority('{}')"))
        schema.require_current(tx)
        for statement in (
            "INSERT INTO property VALUES ('x', 'eV', 0, 'x')",
            "UPDATE campaign SET engine = 'x'",
            "DELETE FROM label",
            "TRUNCATE label CASCADE",
            "DELETE FROM queue.document",
            "INSERT INTO later VALUES (1)",
            "CREATE TABLE theirs (x int)",
            "DROP VIEW v_label",
            "SELECT agd_open_removal('a reader')",
        ):
            with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), tx.begin_nested():
                tx.execute(text(statement))


def test_a_schema_made_anew_is_read_too(database: Database, role: str) -> None:
    """As a forced restore does it."""
    with database.transaction() as tx:
        grant_reader(tx, role)
        schema.clear(tx)
        schema.upgrade(tx)
        tx.execute(text("SELECT set_config('role', :role, true)"), {"role": role})
        tx.execute(text("SELECT FROM v_suggestion, queue.document"))


@pytest.mark.parametrize("name", ["", " ", "public", "pg_monitor", "x" * 64, "ä" * 32])
def test_a_name_that_no_role_can_have(database: Database, name: str) -> None:
    with pytest.raises(InputError, match="name"), database.transaction() as tx:
        grant_reader(tx, name)


def test_a_role_that_can_do_more_is_refused(database: Database, role: str) -> None:
    with database.transaction() as tx:
        me = str(tx.scalar(text("SELECT session_user")))
    with pytest.raises(InputError, match=r"can do more than read.*nothing was granted"), database.transaction() as tx:
        grant_reader(tx, me)
    with database.transaction() as tx:
        grant_reader(tx, role)
        quoted = tx.scalar(text("SELECT quote_ident(:role)"), {"role": role})
        tx.exec_driver_sql(f"GRANT UPDATE ON label TO {quoted}".replace("%", "%%"))
    with pytest.raises(InputError, match="it may change label"), database.transaction() as tx:
        grant_reader(tx, role)


def test_who_may_not_make_roles_is_told_who_can(database: Database, role: str) -> None:
    with database.transaction() as tx:
        grant_reader(tx, role)
    told = {"other": "let an administrator CREATE ROLE other LOGIN", role: "run it as the role that owns the record"}
    for name, cure in told.items():
        with database.transaction() as tx:
            tx.execute(text("SELECT set_config('role', :role, true)"), {"role": role})
            with pytest.raises(InputError, match=cure), tx.begin_nested():
                grant_reader(tx, name)


def test_the_command(database: Database, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGD_DATABASE_URL", database.url)
    made, again = (CliRunner().invoke(app, ["db", "grant-reader", role]) for _ in range(2))
    assert (made.exit_code, again.exit_code) == (0, 0)
    assert "was made and can read" in made.output
    assert r"`\password`" in made.output
    assert "can read the record and the queue, and change nothing" in again.output


def test_psql_only_reads_unless_told(
    database: Database, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGD_DATABASE_URL", database.url)
    change = "INSERT INTO activity (kind, agd_version, host, cpu, threads, pid) VALUES ('t', '0', 'h', 'c', 1, 1)"
    psql = ["db", "psql"]
    assert CliRunner().invoke(app, [*psql, "-Atc", "SELECT count(*) FROM v_label"]).exit_code == 0
    assert CliRunner().invoke(app, [*psql, "-c", change]).exit_code == 1
    assert "read-only transaction" in capfd.readouterr().err
    assert CliRunner().invoke(app, [*psql, "--write", "-c", change]).exit_code == 0
    assert CliRunner().invoke(app, [*psql, "-c", change, "--write"]).exit_code == 0
    with database.read() as tx:
        assert tx.scalar(text("SELECT count(*) FROM activity")) == 2
