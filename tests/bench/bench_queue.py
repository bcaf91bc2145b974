"""Fireworks launched per second and statements for each, now and at a revision before, in ever fuller stores.

python tests/bench/bench_queue.py [--against REV] [--sizes 3000,30000,100000] [--workers 1,4] [--launches 200]
                                  [--rounds 3]

A firework calls a function that does nothing, so what is measured is FireWorks and its store. Of the single-firework
workflows of a store half are READY, with priorities of 0 to 9, and half COMPLETED. Each revision has its own code,
server and schema, and they alternate; what is launched is replaced. mongomock, in one process and with an empty store,
is there for comparison.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
NAME = "bench"


@dataclass
class Side:
    """A revision at work: its tree, and the server that holds its record."""

    name: str
    tree: Path
    url: str = ""
    n_ready: int = 0
    rates: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    statements: dict[tuple[int, int], list[float]] = field(default_factory=dict)

    def start(self, *words: object) -> "subprocess.Popen[str]":
        folders = ("tests/bench", "", "workflows", "migrations")
        path = os.pathsep.join(str(self.tree / folder) for folder in folders)
        return subprocess.Popen(
            [sys.executable, "-P", str(HERE), *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )

    def grow(self, size: int, n_ready: int) -> float:
        """Fill the store up to a size, with at least so many fireworks ready; seconds."""
        started = time.perf_counter()
        ask(self.start("--fill", self.url, size, n_ready))
        return time.perf_counter() - started

    def launch(self, size: int, n: int, n_workers: int) -> None:
        """Launch with all workers together, from when the last is ready to when the last is done."""
        workers = [self.start("--work", self.url, n // n_workers) for _ in range(n_workers)]
        for worker in workers:
            assert told(worker) == "ready"
        started = time.perf_counter()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        counts = [float(told(worker)) for worker in workers]
        rate = n / (time.perf_counter() - started)
        for worker in workers:
            ask(worker)
        self.rates.setdefault((size, n_workers), []).append(rate)
        self.statements.setdefault((size, n_workers), []).append(sum(counts) / n)


def told(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ask(process: "subprocess.Popen[str]") -> str:
    """What it says until it ends well."""
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


# -- in processes of a side's own: its code alone is imported here


def hold_record() -> None:
    """An empty record, until the caller is done."""
    from support import empty_record

    with empty_record() as record:
        url = record.url
        print(url, flush=True)
        sys.stdin.read()


def opened(url: str) -> Any:
    from agd_workflows.launchpad import open_launchpad

    return open_launchpad(url, NAME)


def fill(url: str, size: int, n_ready: int) -> None:
    from fireworks import Firework, PyTask

    launchpad = opened(url)
    if launchpad.fw_id_assigner.find_one({}) is None:
        launchpad.reset("", require_password=False)
    there = launchpad.workflows.count_documents({})
    ready = launchpad.fireworks.count_documents({"state": "READY"})
    n_done = (size - there) // 2
    new = [
        Firework(PyTask(func="time.time"), spec={"_priority": number % 10})
        for number in range(max(size - there, n_done + n_ready - ready))
    ]
    first = launchpad.fw_id_assigner.find_one({})["next_fw_id"]
    for start in range(0, len(new), 5000):
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
            launchpad.bulk_add_wfs(new[start : start + 5000])
    done = {"fw_id": {"$in": list(range(first, first + n_done))}}
    launchpad.fireworks.update_many(done, {"$set": {"state": "COMPLETED"}})
    launchpad.connection.close()


def work(url: str, n: int) -> None:
    """One worker: the first launch, which loads and prepares, is not counted."""
    import psycopg

    launchpad = opened(url)
    counted = {"n": 0}
    execute = psycopg.Cursor.execute

    def count(self: Any, *given: Any, **options: Any) -> Any:
        counted["n"] += 1
        return execute(self, *given, **options)

    launch(launchpad, 1)
    print("ready", flush=True)
    sys.stdin.readline()
    psycopg.Cursor.execute = count  # type: ignore[assignment,method-assign]
    launch(launchpad, n)
    print(counted["n"], flush=True)


def launch(launchpad: Any, n: int) -> None:
    """As a worker of agd does."""
    from fireworks import FWorker
    from fireworks.core import rocket

    rocket.ROCKET_STREAM_LOGLEVEL = "CRITICAL"
    fworker = FWorker()
    with tempfile.TemporaryDirectory(prefix="agd-bench-") as folder, contextlib.chdir(folder):
        for _ in range(n):
            while not rocket.Rocket(launchpad, fworker, None).run():
                pass


def beside_mongomock(n: int) -> None:
    from fireworks import Firework, LaunchPad, PyTask
    from fireworks.core import launchpad as fireworks_launchpad
    from mongomock import MongoClient

    from agd_workflows.launchpad import install

    install()
    threading.excepthook = lambda _: None  # mongomock gives pings a document that another thread is changing
    fireworks_launchpad.MongoClient = lambda *_given, **_options: MongoClient()
    launchpad = LaunchPad(name=NAME, strm_lvl="CRITICAL")
    launchpad.reset("", require_password=False)
    with contextlib.redirect_stderr(io.StringIO()):
        launchpad.bulk_add_wfs([Firework(PyTask(func="time.time")) for _ in range(n + 1)])
    launch(launchpad, 1)
    started = time.perf_counter()
    launch(launchpad, n)
    print(json.dumps(n / (time.perf_counter() - started)))


# -- the comparison


@contextlib.contextmanager
def sides(revision: str | None) -> Iterator[list[Side]]:
    with contextlib.ExitStack() as stack:
        found = [Side("now", ROOT)]
        if revision is not None:
            tree = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agd-bench-")))
            archive = subprocess.run(["git", "-C", ROOT, "archive", revision], stdout=subprocess.PIPE, check=True)
            subprocess.run(["tar", "-x", "-C", tree], input=archive.stdout, check=True)
            found.append(Side(revision, tree))
        for side in found:
            holder = side.start("--record")
            stack.callback(ask, holder)
            side.url = told(holder)
        yield found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", metavar="REV")
    parser.add_argument("--sizes", default="3000,30000,100000")
    parser.add_argument("--workers", default="1,4")
    parser.add_argument("--launches", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    crews = [int(words) for words in chosen.workers.split(",")]
    peer = statistics.median(
        float(ask(Side("", ROOT).start("--mongomock", chosen.launches))) for _ in range(chosen.rounds)
    )
    print(f"mongomock, 1 process: {peer:.1f} launches/s", flush=True)
    with sides(chosen.against) as found:
        for size in map(int, chosen.sizes.split(",")):
            for side in found:
                filled_s = side.grow(size, chosen.rounds * sum(chosen.launches + crew for crew in crews))
                print(f"{side.name}: {size} workflows in the store after {filled_s:.0f} s", flush=True)
            for _ in range(chosen.rounds):
                for crew in crews:
                    for side in found:
                        side.launch(size, chosen.launches - chosen.launches % crew, crew)
            for crew in crews:
                report(found, size, crew)


def report(found: list[Side], size: int, crew: int) -> None:
    rates = [statistics.median(side.rates[size, crew]) for side in found]
    for side, rate in zip(found, rates, strict=True):
        per_launch = statistics.median(side.statements[size, crew])
        print(
            f"{size} workflows, {crew} worker{'s' if crew > 1 else ''}, {side.name}: {rate:.1f} launches/s"
            f" ({min(side.rates[size, crew]):.1f} to {max(side.rates[size, crew]):.1f}),"
            f" {per_launch:.1f} statements a launch"
        )
    if len(found) > 1:
        print(f"{size} workflows, {crew} worker{'s' if crew > 1 else ''}: ratio {rates[0] / rates[1]:.2f}", flush=True)


match sys.argv[1:]:
    case ["--record"]:
        hold_record()
    case ["--fill", url, size, n_ready]:
        fill(url, int(size), int(n_ready))
    case ["--work", url, n]:
        work(url, int(n))
    case ["--mongomock", n]:
        beside_mongomock(int(n))
    case _:
        main()
