from pathlib import Path

import pytest

from agd.db.address import resolve
from agd.db.connection import Database
from agd.db.server.place import MAJOR_VERSION
from agd.db.upkeep import dumps
from agd.db.upkeep.client_programs import orders
from agd.errors import DatabaseError


def fake(folder: Path, version: str) -> None:
    program = folder / "pg_dump"
    program.write_text(f'#!/bin/sh\necho "pg_dump (PostgreSQL) {version}"\n')
    program.chmod(0o755)


def test_the_program_is_as_new_as_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    own = dumps.find_program("pg_dump", 14)
    assert own.major_version == MAJOR_VERSION
    newer = MAJOR_VERSION + 1
    with pytest.raises(DatabaseError, match=f"PostgreSQL {newer} needs a pg_dump of that version.*PATH has none"):
        dumps.find_program("pg_dump", newer)
    fake(tmp_path, "15.18 (Debian 15.18-0+deb12u1)")
    with pytest.raises(DatabaseError, match=r"PATH has that of 15: install the client programs"):
        dumps.find_program("pg_dump", newer)
    fake(tmp_path, f"{newer}beta1")
    assert dumps.find_program("pg_dump", newer) == dumps.Program(tmp_path / "pg_dump", newer)


def test_no_secret_is_seen_among_the_processes() -> None:
    url = "postgresql+psycopg://ada:s%20cret@host:5433/agd?sslmode=require&sslpassword=s3cret"
    with orders(resolve(url, heeds_shell=False)) as told:
        assert "cret" not in told.conninfo
        for part in ("user=ada", "host=host", "port=5433", "dbname=agd", "sslmode=require", "client_encoding=UTF8"):
            assert part in told.conninfo
        assert told.environment["PGPASSWORD"] == "s cret"
        assert Path(told.environment["PGSERVICEFILE"]).read_text() == "[agd]\nsslpassword=s3cret\n"
        assert Path(told.environment["PGSERVICEFILE"]).stat().st_mode & 0o077 == 0


def test_what_the_programs_refuse_is_one_line(database: Database, tmp_path: Path) -> None:
    program = dumps.find_program("pg_dump", 14)
    with pytest.raises(DatabaseError, match=r"pg_dump: error: .*snapshot"):
        list(dumps.dump(database.address, "00000000-00000000-1", program))
    (tmp_path / "dump").write_text("nothing of the kind")
    with pytest.raises(DatabaseError, match="pg_restore: error: ") as caught, database.transaction() as tx:
        dumps.load(tx, tmp_path / "dump", 14, lambda _: None)
    assert len(str(caught.value).splitlines()) == 1


def test_settings_of_the_session_outlive_a_dump(database: Database, tmp_path: Path) -> None:
    """The script empties the search path and sets much else; who restores goes on as before."""
    with database.read() as tx:
        chunks = dumps.dump(database.address, dumps.export_snapshot(tx), dumps.find_program("pg_dump", 14))
        (tmp_path / "dump").write_bytes(b"".join(chunks))
    names = ("search_path", "client_encoding", "TimeZone", "check_function_bodies", "work_mem", "row_security")
    with database.transaction() as tx:
        before = [tx.exec_driver_sql(f"SHOW {name}").scalar() for name in names]
        tx.exec_driver_sql("DROP SCHEMA queue CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        dumps.load(tx, tmp_path / "dump", 14, lambda _: None)
        assert [tx.exec_driver_sql(f"SHOW {name}").scalar() for name in names] == before
