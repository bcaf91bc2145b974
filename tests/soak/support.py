"""What both harnesses share: an installation in a folder of its own, and a campaign small enough to run often."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from sqlalchemy import text

from agd.config import load_settings
from agd.db.connection import open_database
from agd.db.server.embedded import EmbeddedServer
from agd.errors import DatabaseError

REAL = "paper/Exp1_42k.csv"

SPEC = """\
name = "{name}"
target = "band_gap > 6 eV"
seed = {seed}

[data]
dataset = "gaps"

[initial]
n = 100
at_most = 5.0

[budget]
oracle_calls = {budget}
suggestions_per_iteration = 4

[autoencoder]
epochs = 1
min_rows = 5000

[oracle]
n_trees = 20
"""


THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def thread_variables(n: int | None) -> dict[str, str]:
    """What a shell may say of threads; nothing for None. The rows must not depend on it."""
    return {} if n is None else dict.fromkeys(THREADS, str(n))


class Installation:
    """One home folder and the `agd` that works in it, in a shell that sets no thread variable but those given."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith("AGD_") and name not in THREADS
        }
        self.environment = {**clean, "AGD_HOME": str(home), "AGD_SERVER_LINGER_S": "2", **settings}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "agd", *words]

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def call(self, *words: str) -> str:
        process = self.start(*words)
        out, err = process.communicate(timeout=1800)
        if process.returncode:
            raise SystemExit(f"agd {' '.join(words)} ended with {process.returncode}: {err}")
        return out

    def server(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.call("db", "status", "--json"))
        return found

    def server_pid(self) -> int | None:
        return EmbeddedServer(self.home).status().pid

    def server_supervisor_pid(self) -> int | None:
        """The process that stops the server after its last client (Linux)."""
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = command.read_bytes()
                if b"supervisor" in words and os.fsencode(self.home) in words:
                    return int(command.parent.name)
        return None

    def rows(self, query: str) -> list[Any]:
        """Ask the record, as often as it takes while its server is being restarted."""
        for left in reversed(range(60)):
            try:
                with open_database(load_settings({"home": self.home})) as database, database.read() as tx:
                    return list(tx.execute(text(query)).all())
            except DatabaseError:
                if not left:
                    raise
                time.sleep(0.5)
        raise AssertionError

    def discard(self) -> None:
        cluster = Path(str(self.server()["data_directory"])).parent
        self.call("db", "stop", "--force")
        shutil.rmtree(cluster, ignore_errors=True)

    def import_gaps(self, data: Path | None) -> None:
        """The real band gaps where `data` holds them, else the starter set."""
        is_real = data is not None and (data / REAL).is_file()
        table = data / REAL if data is not None and is_real else Path(str(files("agd") / "data" / "starter.csv"))
        columns = ("composition", "Eg") if is_real else ("formula", "band_gap_ev")
        options = ["--formula-column", columns[0], "--value-column", columns[1], "--property", "band_gap"]
        print(self.call("data", "import", str(table), "--name", "gaps", *options, "--unit", "eV").strip(), flush=True)
