"""What the benchmarks share: real formulas, a peer in its own environment, an empty record, alternating rounds."""

import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agd.db import schema
from agd.db.connection import Database, Transaction
from agd.db.server.embedded import EmbeddedServer

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
PEERS = ROOT / ".venv-peers" / "bin" / "python"


def read_column(path: Path, column: str) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


class Peer:
    """A worker with the other libraries, asked through a pipe."""

    def __init__(self, python: Path) -> None:
        if not python.is_file():
            sys.exit(f"{python} is not there: `make bench` makes it, or give another environment with --peers")
        worker = Path(__file__).with_name("peers_worker.py")
        self._process = subprocess.Popen(
            [str(python), str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def ask(self, task: str, formulas: Sequence[str] = ()) -> tuple[list[Any], float]:
        """The answers, one per formula, and the CPU seconds they took there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"task": task, "formulas": list(formulas)}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"the worker of {task} has ended: its last words are above")
        answer = json.loads(line)
        return answer["values"], answer["seconds"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def cpu_seconds(compute: Callable[[], object]) -> float:
    start = time.process_time()
    compute()
    return time.process_time() - start


def wall_seconds(compute: Callable[[], object]) -> float:
    start = time.perf_counter()
    compute()
    return time.perf_counter() - start


def alternate(n_rounds: int, runs: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Median seconds of each run, all of them once per round, so that a noisy machine is noisy for all."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(n_rounds):
        for name, run in runs.items():
            seconds[name].append(run())
    return {name: statistics.median(values) for name, values in seconds.items()}


@contextmanager
def empty_record() -> Iterator[Database]:
    """A database with the schema and nothing else, on an embedded server of its own."""
    with tempfile.TemporaryDirectory(prefix="agd-bench-") as home:
        server = EmbeddedServer(Path(home), linger_s=0)
        url = server.acquire()
        cluster = server.status().data_directory.parent
        try:
            with Database(url) as database:
                with database.transaction() as tx:
                    schema.upgrade(tx)
                yield database
        finally:
            server.release()
            server.stop()
            shutil.rmtree(cluster, ignore_errors=True)


def copy_out(tx: Transaction, table: str, form: str = "text") -> bytes:
    """The rows of a table as COPY gives them."""
    driver = tx.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT (FORMAT {form})") as copy:
        return b"".join(bytes(block) for block in copy)


def copy_back(tx: Transaction, tables: Iterable[tuple[str, bytes]], form: str = "text") -> None:
    """Rows that `copy_out` gave, into the same tables."""
    driver = tx.connection.driver_connection
    assert driver is not None
    for table, content in tables:
        with driver.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN (FORMAT {form})") as copy:
            copy.write(content)
