"""Alembic environment: works on the connection it is handed, or opens the database of the settings."""

from typing import Any

from alembic import context
from sqlalchemy import Connection

from agd.config import load_settings
from agd.db.connection import open_database
from agd.db.tables import metadata
from agd.db.tables.queue import SCHEMA as QUEUE_SCHEMA


def _is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    return kind != "schema" or name in {None, QUEUE_SCHEMA}


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=False,
        include_schemas=True,
        include_name=_is_ours,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:  # the `alembic` command itself, for instance `alembic check`
    with open_database(load_settings(), check_schema=False) as database, database.transaction() as opened:
        _migrate(opened)
