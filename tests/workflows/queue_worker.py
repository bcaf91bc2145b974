"""What the tests of the queue start in processes of their own: python queue_worker.py TASK URL ARGUMENTS."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from agd_workflows.mongo.client import QueueClient


def note(path: str, number: int) -> None:
    """A firework's task: one line in one file, whoever writes it."""
    with Path(path).open("a") as file:
        file.write(f"{number}\n")


def launch(url: str) -> None:
    """Launch fireworks until none is left."""
    from fireworks import FWorker
    from fireworks.core import rocket
    from fireworks.core.rocket_launcher import rapidfire

    from agd_workflows.launchpad import open_launchpad

    rocket.ROCKET_STREAM_LOGLEVEL = "CRITICAL"
    launchpad = open_launchpad(url)
    rapidfire(launchpad, FWorker(name=str(os.getpid())), strm_lvl="CRITICAL", sleep_time=1)


def count(url: str, n: str) -> None:
    """Take numbers from a sequence, as FireWorks takes ids, and print them."""
    sequence = QueueClient(url)["agd"]["fw_id_assigner"]
    for _ in range(int(n)):
        print(sequence.find_one_and_update({}, {"$inc": {"next_fw_id": 1}})["next_fw_id"])


def claim(url: str) -> None:
    """Claim what is READY, highest priority first, until nothing is, and print it."""
    fireworks = QueueClient(url)["agd"]["fireworks"]
    update = {"$set": {"state": "RESERVED", "holder": os.getpid()}}
    while (
        found := fireworks.find_one_and_update({"state": "READY"}, update, sort=[("spec._priority", -1)])
    ) is not None:
        print(found["fw_id"], found["spec"]["_priority"])


def upsert(url: str, n: str) -> None:
    """Add to one document, made by whoever comes first."""
    things = QueueClient(url)["agd"]["things"]
    for _ in range(int(n)):
        things.update_one({"_id": "one"}, {"$inc": {"n": 1}}, upsert=True)


def insert(url: str) -> None:
    """Insert documents for ever, and print the number of each when it is in."""
    things = QueueClient(url)["agd"]["things"]
    number = 0
    while True:
        things.insert_one({"_id": number, "text": "x" * 1000})
        print(number, flush=True)
        number += 1


def hold(url: str) -> None:
    """Lock the first READY document as a claim does, say so, and hold it."""
    from agd.db.queue import statements
    from agd.db.queue.conditions import PRIORITY_ORDER, Holds

    fireworks = QueueClient(url)["agd"]["fireworks"]
    store = fireworks._store

    def work(session: statements.Session, known: statements.Collection) -> None:
        ready = Holds(("state",), ('"READY"',))
        found = statements.find(session, known.id, ready, PRIORITY_ORDER, limit=1, lock=statements.SKIPPING)
        print(len(found), flush=True)
        time.sleep(60)

    store.run(work)


TASKS: dict[str, Callable[..., None]] = {task.__name__: task for task in (launch, count, claim, upsert, insert, hold)}

if __name__ == "__main__":
    TASKS[sys.argv[1]](*sys.argv[2:])
