"""Import of 42,669 band gaps beside raw COPY of the same rows into the same tables; prints seconds and the ratio.

python tests/bench/bench_import.py [--data FOLDER] [--repeats 3]
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from sqlalchemy import text

from agd.db import schema
from agd.db.connection import Database
from agd.db.server.embedded import EmbeddedServer
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.work.workspace import Workspace

TABLES = ("activity", "composition", "verdict_rule", "verdict", "dataset", "dataset_row", "label")


def fresh(database: Database) -> None:
    with database.transaction() as tx:
        schema.clear(tx)
        schema.upgrade(tx)


def take_out(database: Database) -> dict[str, bytes]:
    """The rows of each table in PostgreSQL's own text form."""
    rows = {}
    with database.transaction() as tx:
        driver = tx.connection.driver_connection
        assert driver is not None
        for table in TABLES:
            with driver.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT") as copy:
                rows[table] = b"".join(bytes(block) for block in copy)
    return rows


def copy_raw(database: Database, rows: dict[str, bytes]) -> float:
    fresh(database)
    started = time.perf_counter()
    with database.transaction() as tx:
        driver = tx.connection.driver_connection
        assert driver is not None
        for table, content in rows.items():
            with driver.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(content)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    table = chosen.data / "paper" / "Exp1_42k.csv"
    rules = ImportRules("composition", "Eg", "band_gap", "eV")
    with tempfile.TemporaryDirectory(prefix="agd-bench-") as home:
        server = EmbeddedServer(Path(home), linger_s=0)
        url = server.acquire()
        cluster = server.status().data_directory.parent
        imports, again, raw = [], [], []
        with Database(url) as database:
            with database.transaction() as tx:
                schema.upgrade(tx)
            workspace = Workspace(database, Path(home, "artifacts"))
            import_dataset(workspace, table, "warm-up", rules)  # loads libraries and caches
            for _ in range(chosen.repeats):
                fresh(database)
                started = time.perf_counter()
                summary = import_dataset(workspace, table, "mp", rules)
                imports.append(time.perf_counter() - started)
                started = time.perf_counter()
                assert import_dataset(workspace, table, "mp", rules).was_there
                again.append(time.perf_counter() - started)
                with database.read() as tx:
                    n_labels = tx.scalar(text("SELECT count(*) FROM label"))
                raw.append(copy_raw(database, take_out(database)))
        server.release()
        server.stop()
        shutil.rmtree(cluster, ignore_errors=True)
    fast, slow = statistics.median(raw), statistics.median(imports)
    print(f"{summary.n_imported} compositions, {n_labels} labels, each with verdict and source row")
    print(f"import {slow:.2f} s (parse, reduce, judge, store), again {statistics.median(again):.2f} s, nothing added")
    print(f"raw COPY of the finished rows {fast:.2f} s; ratio import / COPY {slow / fast:.1f}")


main()
