"""On a throw-away embedded server: migrations, tables and texts of views say the same, whichever way one came."""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from sqlalchemy import text

from agd.db import schema
from agd.db.connection import Database, Transaction
from agd.db.server.embedded import EmbeddedServer
from agd.db.tables import queue
from agd.db.upkeep import definitions
from agd.db.upkeep.definitions import Definitions

OF_TABLES = ("constraint", "index")
"""What tables define, too; views and functions are told by `agd/db/views`, triggers are the migrations' alone."""


def main() -> int:
    """Upgrade an empty database, let alembic compare it with the tables, and compare definitions; 1 if any differs."""
    alembic = Path(sys.executable).with_name("alembic")
    with tempfile.TemporaryDirectory(prefix="agd-") as home:
        server = EmbeddedServer(Path(home), linger_s=0)
        url = server.acquire()
        environment = {**os.environ, "AGD_HOME": home, "AGD_DATABASE_URL": url}
        cluster = server.status().data_directory.parent
        try:
            for command in ("upgrade", "head"), ("check",):
                code = subprocess.run([alembic, *command], env=environment, check=False).returncode
                if code:
                    return code
            with Database(url) as database:
                found = differences(database)
        finally:
            server.release()
            server.stop()
            shutil.rmtree(cluster, ignore_errors=True)  # as root it may lie outside the temporary folder
    print(
        "\n".join(found)
        or "Views, functions, triggers, constraints and indexes are what migrations, tables and texts say."
    )
    return 1 if found else 0


def differences(database: Database) -> list[str]:
    """What differs from the schema of an upgraded empty database, by the way in which it is made; it is lost."""
    with database.transaction() as tx:
        made = definitions.definitions(tx)
        unlike_files = definitions.unlike_files(tx)
    beside = definitions.freshly_made(database)
    with database.transaction() as tx:
        schema.downgrade(tx, "base")
        schema.upgrade(tx)
        again = definitions.definitions(tx)
        schema.downgrade(tx, "base")
        by_tables = _made_by_tables(tx)
    ways = {
        "beside a record": (beside, made),
        "after the way back and forth": (again, made),
        "by the tables": (by_tables, _of_tables(made)),
    }
    return unlike_files + [f"{way}: {words}" for way, pair in ways.items() for words in definitions.differences(*pair)]


def _made_by_tables(tx: Transaction) -> Definitions:
    tx.execute(text("CREATE SCHEMA queue"))
    tx.execute(text(import_module("agd_migrations.versions.0003_queue").PRIORITY))
    tx.execute(text(import_module("agd_migrations.versions.0020_long_lives").ELEMENTS))
    queue.document.metadata.create_all(tx)
    return _of_tables(definitions.definitions(tx))


def _of_tables(found: Definitions) -> Definitions:
    return {key: value for key, value in found.items() if key[0] in OF_TABLES and key[2] != "alembic_version"}


if __name__ == "__main__":
    sys.exit(main())
