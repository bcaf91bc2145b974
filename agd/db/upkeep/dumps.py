"""The whole database as one stream of pg_dump's custom format, and back inside the caller's transaction.

pg_restore only writes the statements; they run on the caller's connection. So what was there, what comes and every
check of it are one transaction, no meta-command of a script is ever obeyed, and an older server can take the dump of
a newer one.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psycopg
from sqlalchemy import text

from agd.db import causes, session
from agd.db.address import Address
from agd.db.connection import Transaction
from agd.db.server.embedded import MAJOR_VERSION, binary
from agd.db.upkeep.client_programs import orders, own_environment
from agd.errors import DatabaseError

_CHUNK_BYTES = 1 << 20
_ROWS_AT_ONCE_BYTES = 1 << 16
_SECTIONS = ("pre-data", "data", "post-data")
_UNWANTED_ENTRY = re.compile(r"\d+; \d+ \d+ (EXTENSION - |COMMENT - EXTENSION |(COMMENT - )?SCHEMA (- )?public\b)")
"""Of the dump's table of contents: what the target has already, or its owner alone may make. agd needs none of it."""
_UNKNOWN_TO_SOME_SERVERS = (b"SET transaction_timeout ", b"\\restrict ", b"\\unrestrict ")


@dataclass(frozen=True, slots=True)
class Program:
    """A client program of PostgreSQL and the newest server it speaks to."""

    path: Path
    major_version: int


def export_snapshot(tx: Transaction) -> str:
    """Name what this transaction sees, for other sessions to see the same while it lasts."""
    name: str = tx.execute(text("SELECT pg_export_snapshot()")).scalar_one()
    return name


def server_major_version(tx: Transaction) -> int:
    """The first number of the server's version."""
    return int(tx.execute(text("SHOW server_version_num")).scalar_one()) // 10_000


def find_program(name: str, major_version: int) -> Program:
    """The program of agd's own PostgreSQL where that is new enough, else the one on PATH.

    Raises:
        DatabaseError: both are older than `major_version`.
    """
    own = Program(binary(name), MAJOR_VERSION)
    if own.major_version >= major_version:
        return own
    on_path = _on_path(name)
    if on_path is not None and on_path.major_version >= major_version:
        return on_path
    there = "none" if on_path is None else f"that of {on_path.major_version}"
    raise DatabaseError(
        f"PostgreSQL {major_version} needs a {name} of that version; agd brings that of {MAJOR_VERSION}, PATH has "
        f"{there}: install the client programs of PostgreSQL {major_version} and put them on PATH"
    )


def dump(address: Address, snapshot: str, program: Program) -> Generator[bytes]:
    """The dump of every schema as the snapshot shows it, in chunks.

    Raises:
        DatabaseError: pg_dump failed; what it gave before is of no use.
    """
    with orders(address) as told:
        command = [
            str(program.path),
            *("--format=custom", f"--snapshot={snapshot}", "--no-owner", "--no-privileges", "--no-tablespaces"),
            *("--no-publications", "--no-subscriptions", "--no-security-labels", "--no-password"),
            f"--dbname={told.conninfo}",
        ]
        with _output(command, told.environment) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                yield chunk


def load(tx: Transaction, path: Path, major_version: int, on_rows: Callable[[int], object]) -> None:
    """Play the dump that pg_dump of `major_version` wrote; told how many rows came, now and then.

    Raises:
        DatabaseError: the dump cannot be read, or what it makes cannot be made here.
    """
    program = find_program("pg_restore", major_version)
    base = [str(program.path), "--no-owner", "--no-privileges", "--no-tablespaces", "--no-security-labels"]
    with tempfile.NamedTemporaryFile("wb", prefix="agd-", suffix=".list") as wanted:
        with _output([*base, "--list", str(path)]) as lines:
            wanted.writelines(line for line in lines if not _UNWANTED_ENTRY.match(line.decode(errors="replace")))
        wanted.flush()
        command = [*base, f"--use-list={wanted.name}", "--no-publications", "--no-subscriptions", "--file=-"]
        with _refused_by_server(), _driver_cursor(tx) as cursor:
            for section in _SECTIONS:
                with _output([*command, f"--section={section}", str(path)]) as lines:
                    _play(cursor, lines, on_rows if section == "data" else None)
            cursor.execute("RESET ALL")
            session.settle(cursor.connection, "the database")
            cursor.execute("ANALYZE")


def _play(
    cursor: psycopg.Cursor[Any], lines: Iterator[bytes] | IO[bytes], on_rows: Callable[[int], object] | None
) -> None:
    """Run a script of pg_restore; only that of the data section holds rows to copy."""
    statements: list[bytes] = []
    for line in lines:
        if on_rows is not None and line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
            _execute(cursor, statements)
            statements = []
            with cursor.copy(line.removesuffix(b";\n")) as copy:
                for block, n_rows in _blocks(iter(lines)):
                    copy.write(block)
                    on_rows(n_rows)
        elif not line.startswith(_UNKNOWN_TO_SOME_SERVERS):
            statements.append(line)
    _execute(cursor, statements)


def _execute(cursor: psycopg.Cursor[Any], statements: Sequence[bytes]) -> None:
    if any(line.strip() and not line.startswith(b"--") for line in statements):
        cursor.execute(b"".join(statements))


def _blocks(lines: Iterator[bytes]) -> Iterator[tuple[bytes, int]]:
    """The rows up to the mark of their end, many at once, each block with their number."""
    block: list[bytes] = []
    n_bytes = 0
    for line in lines:
        if line == b"\\.\n":
            break
        block.append(line)
        n_bytes += len(line)
        if n_bytes >= _ROWS_AT_ONCE_BYTES:
            yield b"".join(block), len(block)
            block, n_bytes = [], 0
    if block:
        yield b"".join(block), len(block)


@contextmanager
def _output(command: Sequence[str], environment: dict[str, str] | None = None) -> Iterator[IO[bytes]]:
    """Standard output of a client program; an exit code other than 0 is an error with its last words."""
    environment = (own_environment() if environment is None else environment) | {"LC_ALL": "C", "PG_COLOR": "never"}
    with tempfile.TemporaryFile() as words:
        with subprocess.Popen(  # noqa: S603  own arguments
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words, env=environment
        ) as process:
            assert process.stdout is not None  # noqa: S101  a pipe was asked for
            try:
                yield process.stdout
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            words.seek(0)
            said = [line.strip() for line in words.read().decode(errors="replace").splitlines() if line.strip()]
            reason = next((line for line in said if "error:" in line), said[-1] if said else "it gave no reason")
            raise DatabaseError(f"{reason} (exit code {process.returncode} of {command[0]})")


@contextmanager
def _driver_cursor(tx: Transaction) -> Iterator[psycopg.Cursor[Any]]:
    """The driver's own cursor on the transaction: it takes several statements at once, and COPY."""
    connection = tx.connection.driver_connection
    assert isinstance(connection, psycopg.Connection)  # noqa: S101  the driver of the URL
    with connection.cursor() as cursor:
        yield cursor


@contextmanager
def _refused_by_server() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        reason = str(error).strip().partition("\n")[0]
        if isinstance(
            error, psycopg.OperationalError
        ):  # a full disk, a lost connection: nothing is wrong with the dump
            raise causes.explained(error, "the database") or error from error
        raise DatabaseError(
            f"the database does not take the backup ({reason}); nothing was changed: restore into an empty database"
        ) from error


def _on_path(name: str) -> Program | None:
    path = shutil.which(name)
    if path is None:
        return None
    said = subprocess.run([path, "--version"], check=False, capture_output=True, text=True).stdout  # noqa: S603  from PATH
    version = re.search(r"\(PostgreSQL\) (\d+)", said)
    return Program(Path(path), int(version[1])) if version else None
