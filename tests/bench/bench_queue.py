"""Fireworks launched per second: the queue in PostgreSQL beside mongomock, and with ever more workflows in the store.

python tests/bench/bench_queue.py [--launches 200] [--sizes 200,3000,30000] [--workers 4]

A firework calls a function that does nothing, so what is measured is FireWorks and its store. Of the single-firework
workflows of a store, those beyond the ones to be launched are half READY and half COMPLETED.
"""

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from fireworks import Firework, FWorker, LaunchPad, PyTask
from fireworks.core import launchpad as fireworks_launchpad
from fireworks.core import rocket
from fireworks.core.rocket_launcher import rapidfire
from mongomock import MongoClient
from support import empty_record

from agd_workflows.launchpad import open_launchpad

WORKER = "--worker"


def launch(launchpad: LaunchPad, n: int) -> None:
    rocket.ROCKET_STREAM_LOGLEVEL = "CRITICAL"
    with tempfile.TemporaryDirectory(prefix="agd-bench-") as folder, contextlib.chdir(folder):
        rapidfire(launchpad, FWorker(), nlaunches=n, strm_lvl="CRITICAL", sleep_time=1)


def fill(launchpad: LaunchPad, n_ready: int, n_more: int = 0) -> None:
    """An empty store but for `n_ready` fireworks to launch and `n_more` others."""
    launchpad.reset("", require_password=False, max_reset_wo_password=sys.maxsize)
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
        launchpad.bulk_add_wfs([Firework(PyTask(func="time.time")) for _ in range(n_ready + n_more)])
    done = {"fw_id": {"$in": list(range(1, n_more // 2 + 1))}}
    launchpad.fireworks.update_many(done, {"$set": {"state": "COMPLETED"}})


def in_this_process(launchpad: LaunchPad, n: int) -> float:
    """Launches per second."""
    started = time.perf_counter()
    launch(launchpad, n)
    return n / (time.perf_counter() - started)


def in_workers(url: str, n: int, n_workers: int) -> float:
    """Launches per second of all workers together, from when the last is ready to when the last is done."""
    command = [sys.executable, __file__, WORKER, url, str(n // n_workers)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(n_workers)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    started = time.perf_counter()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.close()
    for worker in workers:
        assert worker.wait() == 0
        assert worker.stdout is not None
        worker.stdout.close()
    return n / (time.perf_counter() - started)


def work(url: str, n: int) -> None:
    """One worker: the first launch, which loads and prepares, is not counted."""
    launchpad = open_launchpad(url, "bench")
    launch(launchpad, 1)
    print("ready", flush=True)
    sys.stdin.readline()
    launch(launchpad, n)


def beside_mongomock() -> LaunchPad:
    def connect(*_given: Any, **_options: Any) -> MongoClient:
        return MongoClient()

    before: Any = fireworks_launchpad.MongoClient
    fireworks_launchpad.MongoClient = connect
    try:
        return LaunchPad(name="bench", strm_lvl="CRITICAL")
    finally:
        fireworks_launchpad.MongoClient = before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--launches", type=int, default=200)
    parser.add_argument("--sizes", default="200,3000,30000")
    parser.add_argument("--workers", type=int, default=4)
    chosen = parser.parse_args()
    threading.excepthook = lambda _: None  # mongomock gives pings a document that another thread is changing
    n = chosen.launches - chosen.launches % chosen.workers
    with empty_record() as record:
        launchpad = open_launchpad(record.url, "bench")
        rates: dict[str, list[float]] = {"mongomock": [], "one": [], "many": []}
        for _ in range(3):
            peer = beside_mongomock()
            fill(peer, n)
            rates["mongomock"].append(in_this_process(peer, n))
            fill(launchpad, n)
            rates["one"].append(in_this_process(launchpad, n))
            fill(launchpad, n + chosen.workers)
            rates["many"].append(in_workers(record.url, n, chosen.workers))
        mongomock, one, many = (sorted(values)[1] for values in rates.values())
        print(f"{n} fireworks, median of 3: mongomock in one process {mongomock:.1f} launches/s")
        print(f"PostgreSQL, 1 worker {one:.1f} launches/s, ratio {one / mongomock:.2f}")
        print(f"PostgreSQL, {chosen.workers} workers {many:.1f} launches/s, ratio {many / mongomock:.2f}")
        for size in map(int, chosen.sizes.split(",")):
            started = time.perf_counter()
            n_launched = min(n, size - chosen.workers - size % chosen.workers)
            fill(launchpad, n_launched + chosen.workers, size - n_launched - chosen.workers)
            filled_s = time.perf_counter() - started
            rate = in_workers(record.url, n_launched, chosen.workers)
            print(
                f"{size} workflows in the store (added in {filled_s:.1f} s), {chosen.workers} workers,"
                f" {n_launched} launches: {rate:.1f} launches/s",
                flush=True,
            )
        launchpad.connection.close()


if sys.argv[1:2] == [WORKER]:
    os.environ["OMP_NUM_THREADS"] = "1"
    work(sys.argv[2], int(sys.argv[3]))
else:
    main()
