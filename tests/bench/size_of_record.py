"""What verbs and questions cost on a large record: milliseconds of their queries, and the plans of what is slow.

`make bench-size` fills a record of made rows (`filled_record.py`) on a server of its own, asks everything three times
and prints the medians. With --home the record is kept there, and a later run asks it again. --questions: of which
document.
"""

import argparse
import math
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from filled_record import BIG, DEMO, Size, fill
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from agd.db import schema
from agd.db.connection import Database, Transaction
from agd.db.record import campaigns, datasets
from agd.db.server.embedded import EmbeddedServer
from agd.steps.reading import explaining, overviews
from agd.work.workspace import Workspace

ROOT = Path(__file__).parents[2]
SLOW_MS = 100
_ONCE_MS = 10_000
_PATIENCE_S = 60
_QUESTION = re.compile(r"([^\n]+)\n\n```sql\n(.*?)```", re.DOTALL)


class Watched:
    """Adds up the time of statements and the server's CPU in it, and keeps those that were slow with their values.

    What parallel workers of the server compute is in the time alone.
    """

    def __init__(self, database: Database) -> None:
        self.ms = self.cpu_ms = 0.0
        self.slow: dict[str, tuple[float, Any]] = {}
        engine = database._engine
        event.listen(engine, "before_cursor_execute", self._begin)
        event.listen(engine, "after_cursor_execute", self._end)

    def _begin(self, _connection: object, cursor: Any, *_: object) -> None:
        self._began = time.perf_counter(), _cpu_ms(cursor.connection.info.backend_pid)

    def _end(self, _connection: object, cursor: Any, statement: str, values: object, *_: object) -> None:
        took_ms = 1000 * (time.perf_counter() - self._began[0])
        self.ms += took_ms
        self.cpu_ms += _cpu_ms(cursor.connection.info.backend_pid) - self._began[1]
        if took_ms > SLOW_MS:
            self.slow[statement] = took_ms, values


def _cpu_ms(pid: int) -> float:
    """What a process of this machine has computed; 0 where nothing tells."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e6
    except OSError:
        return 0.0


def questions(document: Path) -> Iterator[tuple[str, str]]:
    """The questions of a document in SQL, each with the last line of the text before it."""
    for found in _QUESTION.finditer(document.read_text(encoding="utf-8")):
        yield found[1].strip(), found[2].strip().rstrip(";")


def asked(tx: Transaction, document: Path) -> dict[str, Callable[[], object]]:
    """Every verb that reads the record, and every question, by what it is called in the table."""
    ids = {name: _campaign(tx, name) for name in (DEMO, BIG)}
    picks = {name: _pick(tx, campaign) for name, campaign in ids.items()}
    calls: dict[str, Callable[[], object]] = {
        "agd list": lambda: overviews.campaigns(tx),
        "agd data list": lambda: overviews.all_datasets(tx),
        "agd jobs": lambda: overviews.latest_jobs(tx, 20),
        "agd screens": lambda: overviews.all_screenings(tx),
        "agd generations": lambda: overviews.all_generations(tx),
    }
    for name, campaign in ids.items():
        calls |= _of_campaign(tx, name, campaign)
    for title, statement in questions(document):
        if "'demo'" in statement:
            calls |= {f"{title} ({name})": _question(tx, statement.replace("'demo'", f"'{name}'")) for name in ids}
        else:
            calls[title] = _question(tx, statement.replace("'NaF'", f"'{picks[BIG]}'"))
    return calls


def _of_campaign(tx: Transaction, name: str, campaign_id: int) -> dict[str, Callable[[], object]]:
    return {
        f"agd status {name}": lambda: overviews.campaigns(tx, name),
        f"agd status {name}, iterations": lambda: overviews.iterations(tx, campaign_id, 10),
        f"agd top {name}": lambda: overviews.top_finds(tx, campaign_id, 20),
        f"agd run {name}, calls": lambda: campaigns.n_calls(tx, campaign_id),
    }


def _question(tx: Transaction, statement: str) -> Callable[[], object]:
    return lambda: tx.execute(text(statement.replace(":", r"\:"))).all()


def _campaign(tx: Transaction, name: str) -> int:
    return int(tx.execute(text("SELECT id FROM campaign WHERE name = :name"), {"name": name}).scalar_one())


def _pick(tx: Transaction, campaign_id: int) -> str:
    """A compound in the middle of a campaign that has a label."""
    found = text(
        "SELECT c.reduced_formula FROM suggestion s JOIN composition c ON c.id = s.composition_id"
        " WHERE s.campaign_id = :campaign AND s.label_id IS NOT NULL ORDER BY s.id"
        " LIMIT 1 OFFSET (SELECT count(*) / 2 FROM suggestion WHERE campaign_id = :campaign AND label_id IS NOT NULL)"
    )
    return str(tx.scalar(found, {"campaign": campaign_id}))


def _within_patience(tx: Transaction, call: Callable[[], object]) -> bool:
    """Whether the call was answered before the server gave it up."""
    nested = tx.begin_nested()
    tx.execute(text(f"SET LOCAL statement_timeout = '{_PATIENCE_S}s'"))
    try:
        call()
    except OperationalError:
        nested.rollback()
        return False
    nested.commit()
    return True


def ask(database: Database, document: Path, n_rounds: int, plans: Path | None) -> None:
    """Print the medians, the slowest last, and write the plans of slow statements."""
    watched = Watched(database)
    workspace = Workspace(database, Path("none"))
    taken: dict[str, list[tuple[float, float]]] = {}
    slow: dict[str, Mapping[str, tuple[float, Any]]] = {}
    with database.read() as tx:
        calls = asked(tx, document)
        for name in (DEMO, BIG):
            calls[f"agd why, a pick of {name}"] = partial(explaining.why, workspace, _pick(tx, _campaign(tx, name)))
        for name, call in calls.items():
            for _ in range(1 + n_rounds):
                watched.ms, watched.cpu_ms, watched.slow = 0.0, 0.0, {}
                if not _within_patience(tx, call):
                    watched.ms = watched.cpu_ms = math.inf
                taken.setdefault(name, []).append((watched.ms, watched.cpu_ms))
                if watched.ms > _ONCE_MS:
                    break
            slow[name] = watched.slow
            print(f"{name}: {taken[name][-1][0]:.0f} ms", file=sys.stderr, flush=True)
        _print(taken)
        if plans is not None:
            with plans.open("w", encoding="utf-8") as file:
                tx.execute(text("SET LOCAL statement_timeout = 0"))
                for name, statements in slow.items():
                    for statement, (took_ms, values) in statements.items():
                        driver = tx.connection.driver_connection
                        assert driver is not None
                        rows = driver.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", values)
                        file.write(
                            f"== {name}: {took_ms:.0f} ms\n{statement}\n" + "\n".join(row[0] for row in rows) + "\n\n"
                        )


def _print(taken: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """The medians without the first, cold round; the slowest last."""
    print(f"{'':76} {'ms':>9} {'CPU ms':>9} {'slowest':>9}")
    rows = [(name, *zip(*(rounds[1:] or rounds), strict=True)) for name, rounds in taken.items()]
    for name, ms, cpu_ms in sorted(rows, key=lambda row: statistics.median(row[1])):
        print(f"{name[:76]:76} {statistics.median(ms):9.1f} {statistics.median(cpu_ms):9.1f} {max(ms):9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, default=1, help="of compositions")
    parser.add_argument("--millions-of-labels", type=float, default=1, help="and of suggestions")
    parser.add_argument("--home", type=Path, help="where the record is kept; a throw-away folder if not given")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--questions", type=Path, default=ROOT / "docs" / "reference" / "sql.md")
    parser.add_argument("--plans", type=Path, help="a file for the plans of what takes more than 100 ms")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agd-bench-") as folder:
        server = EmbeddedServer(chosen.home or Path(folder), linger_s=0)
        url = server.acquire()
        try:
            with Database(url) as database:
                with database.transaction() as tx:
                    is_new = schema.is_empty(tx)
                    schema.upgrade(tx)
                if is_new:
                    n, n_labels = int(1e6 * chosen.millions), int(1e6 * chosen.millions_of_labels)
                    fill(database, Size(n, n_labels, min(n, n_labels)))
                with database.read() as tx:
                    print(f"{schema.database_bytes(tx) / 1e9:.1f} GB, {datasets.n_compositions(tx):,} compositions")
                ask(database, chosen.questions, chosen.rounds, chosen.plans)
        finally:
            server.release()
            server.stop()


main()
