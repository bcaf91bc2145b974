"""The schema's revision: made by migrations alone, refused when it is not the one this code was written for."""

from datetime import datetime

from sqlalchemy import Connection, text

from agd.errors import SchemaError

SCHEMA_REVISION = "0002"

_LOCK = 0x6167640001


def current_revision(connection: Connection) -> str | None:
    """The revision in the database, None where agd never made a table."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def is_empty(connection: Connection) -> bool:
    """Whether the database holds no table at all."""
    return not connection.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"))


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
        "upgrade the package with `pip install --upgrade agd`"
    )


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the schema to `revision` inside the caller's transaction; one process at a time."""
    from alembic import command
    from alembic.config import Config

    found = current_revision(connection)
    if found is not None and found > SCHEMA_REVISION:
        raise _newer(found)
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "agd_migrations:")
    command.upgrade(config, revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Take the schema back to `revision` ("base" removes it with everything in it)."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "agd_migrations:")
    command.downgrade(config, revision)


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
