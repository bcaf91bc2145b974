"""The schema's revision: made by migrations alone, refused when it is not the one this code was written for."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from agd.db.removals import open_removal
from agd.db.tables import queue
from agd.errors import BusyError, DatabaseError, SchemaError
from agd.installing import upgrading

SCHEMA_REVISION = "0027"

_LOCK = 0x6167640001
_CLEAR_PATIENCE_S = 10
_LOCK_NOT_AVAILABLE = "55P03"


_FITNESS = text("""
SELECT current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS is_standby,
       current_setting('transaction_read_only') = 'on' AS is_read_only,
       to_regnamespace('public') IS NOT NULL AS has_public,
       (SELECT min(v.schemaname::text) FROM pg_tables v JOIN pg_tables c USING (schemaname)
        WHERE v.tablename = 'alembic_version' AND c.tablename = 'suggestion' AND schemaname <> 'public') AS elsewhere
""")


def current_revision(connection: Connection) -> str | None:
    """The revision in the database, None where agd never made a table."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def is_empty(connection: Connection) -> bool:
    """Whether the database holds no table at all."""
    return not connection.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))


def require_current(connection: Connection) -> None:
    """Refuse a schema of another revision, naming the command that cures it."""
    found = current_revision(connection)
    if found == SCHEMA_REVISION:
        return
    if found is None:
        raise SchemaError("the database holds no agd schema yet: run `agd db upgrade`")
    if found > SCHEMA_REVISION:
        raise _newer(found)
    raise SchemaError(
        f"the database schema is at revision {found}, this agd needs {SCHEMA_REVISION}: run `agd db upgrade`"
    )


def _newer(found: str) -> SchemaError:
    return SchemaError(
        f"the database schema is at revision {found}, this agd knows up to {SCHEMA_REVISION}: "
        f"bring agd up to date: {upgrading()}"
    )


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the schema to `revision` inside the caller's transaction; one process at a time."""
    from alembic import command
    from alembic.config import Config

    found = current_revision(connection)
    if found is None:
        _require_fit(connection)
    elif found > SCHEMA_REVISION:
        raise _newer(found)
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "agd_migrations:")
    command.upgrade(config, revision)


def _require_fit(connection: Connection) -> None:
    """Refuse a database that cannot hold the record, before anything is made in it.

    Raises:
        DatabaseError: it is read-only, its text is not UTF-8, it has no schema public, or the record is in another one.
    """
    fitness = connection.execute(_FITNESS).one()
    if fitness.is_standby or fitness.is_read_only:
        why = "it is a standby" if fitness.is_standby else "its default_transaction_read_only is on"
        raise DatabaseError(
            f"the database is read-only ({why}): name the primary server, or let its owner RESET that setting"
        )
    if fitness.encoding != "UTF8":
        raise DatabaseError(
            f"the database stores text as {fitness.encoding} and cannot hold the record: make one with "
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0, and name it in AGD_DATABASE_URL"
        )
    if fitness.elsewhere is not None:
        raise DatabaseError(
            f"the record is in the schema {fitness.elsewhere} of this database, and agd keeps it in public: "
            f'say ALTER SCHEMA public RENAME TO public_before; ALTER SCHEMA "{fitness.elsewhere}" RENAME TO public'
        )
    if not fitness.has_public:
        raise DatabaseError("the database has no schema public, where the record is kept: let its owner make it")


def downgrade(connection: Connection, revision: str) -> None:
    """Take the schema back to `revision` ("base" removes it with everything in it)."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "agd_migrations:")
    command.downgrade(config, revision)


def clear(connection: Connection) -> None:
    """Remove what migrations made and every row in it; a database that they never touched is left as it is.

    Emptied first, because a downgrade refuses to lose rows.

    Raises:
        SchemaError: a newer agd made it.
        BusyError: another session uses the tables.
    """
    found = current_revision(connection)
    if found is None:
        return
    if found > SCHEMA_REVISION:
        raise _newer(found)
    tables = queue.document.metadata.tables
    there = [name for name in tables if connection.scalar(text("SELECT to_regclass(:name)"), {"name": name})]
    open_removal(connection, "the record is cleared")
    connection.execute(text(f"SET LOCAL lock_timeout = '{_CLEAR_PATIENCE_S}s'"))
    try:
        connection.execute(text(f"TRUNCATE {', '.join(there)} CASCADE"))
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise BusyError("other processes work with the record: end them (`agd stop NAME`), then try again") from error
    downgrade(connection, "base")
    connection.execute(text("DROP TABLE alembic_version"))


def differences(connection: Connection) -> list[str]:
    """What tables, columns, indexes and constraints lack or have beyond what migrations make."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    ours = {None, queue.SCHEMA}
    options = {"include_schemas": True, "include_name": lambda name, kind, _: kind != "schema" or name in ours}
    context = MigrationContext.configure(connection, opts=options)
    found = compare_metadata(context, queue.document.metadata)
    return [_told(change) for change in found]


def _told(change: Any) -> str:
    """One difference of alembic's, in words: a tuple, or a list of tuples where a column differs in several ways."""
    if isinstance(change, list):
        return ", ".join(f"{verb.removeprefix('modify_')} of {table}.{column}" for verb, _, table, column, *_ in change)
    verb, kind = change[0].split("_", 1)
    subject = change[-1]
    name = getattr(subject, "name", None) or "without a name"
    table = getattr(getattr(subject, "table", None), "name", None) or (change[2] if kind == "column" else None)
    where = f" of {table}" if table is not None and kind != "table" else ""
    return f"{kind.replace('_', ' ')} {name}{where} is {'missing' if verb == 'add' else 'not known'}"


def server_time(connection: Connection) -> datetime:
    """The server's clock."""
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now


def server_version(connection: Connection) -> str:
    """The server's version, e.g. 18.4."""
    return str(connection.scalar(text("SHOW server_version")))


def database_bytes(connection: Connection) -> int:
    """Size of the database on the server's disk."""
    return int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)
