"""One process that launches what the queue has ready, one firework after another: the child of a worker."""

import argparse
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fireworks import FWorker, LaunchPad, fw_config
from fireworks.core import rocket
from fireworks.utilities import fw_serializers

from agd import registry, streams
from agd.config import Pace, Settings, load_settings
from agd.db.connection import open_database
from agd.db.record import activities
from agd.errors import AgdError, DatabaseError
from agd.work.workspace import Workspace
from agd_workflows import task_runs
from agd_workflows.atomic_launchpad import WholeLaunchPad
from agd_workflows.cluster.worker_jobs import this_job
from agd_workflows.launchpad import open_launchpad
from agd_workflows.reconciling import Reconciler
from agd_workflows.tasks import Job

PACKAGE = "agd_workflows"

POLL_S = 0.3
"""Between looks into an empty queue."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a worker takes from the queue, and when it leaves.

    Fireworks of one campaign or all; of some categories or all; `until_idle_s` after the last one, or never. Those that
    need more cores, hours or other programs are left to others; None and no programs stand for no limit. What says
    nothing of its needs is taken.
    """

    campaign: str | None = None
    categories: tuple[str, ...] = ()
    until_idle_s: float | None = None
    is_quiet: bool = False
    n_cores: int | None = None
    hours: float | None = None
    programs: tuple[str, ...] = ()

    def fworker(self) -> FWorker:
        """Who checks fireworks out, by FireWorks' rules; each launch keeps host, process and cluster job."""
        query = self._limits() | ({} if self.campaign is None else {"spec.campaign": self.campaign})
        category: Any = list(self.categories) if self.categories else ""
        return FWorker(f"{os.uname().nodename}:{os.getpid()}", category, query, this_job())

    @property
    def is_limited(self) -> bool:
        """Whether something may need more than this."""
        return bool(self._limits())

    def _limits(self) -> dict[str, Any]:
        query: dict[str, Any] = {}
        if self.n_cores is not None:
            query["spec.n_cores"] = {"$not": {"$gt": self.n_cores}}
        if self.hours is not None:
            query["spec.hours"] = {"$not": {"$gt": self.hours}}
        if self.programs:
            query["spec.programs"] = {"$not": {"$elemMatch": {"$nin": list(self.programs)}}}
        return query

    def words(self) -> list[str]:
        """The same as arguments of this module."""
        words = [f"--category={category}" for category in self.categories]
        words += [] if self.campaign is None else [f"--campaign={self.campaign}"]
        words += [] if self.n_cores is None else [f"--cores={self.n_cores}"]
        words += [] if self.hours is None else [f"--hours={self.hours}"]
        words += [f"--program={program}" for program in self.programs]
        words += [] if self.until_idle_s is None else [f"--until-idle={self.until_idle_s}"]
        return words + (["--quiet"] if self.is_quiet else [])

    def job_words(self) -> list[str]:
        """The same as options of `agd worker`, but for when to leave, which the job's file says."""
        return [word for word in self.words() if not word.startswith("--until-idle")]

    @classmethod
    def of(cls, words: Sequence[str]) -> Self:
        """Read such arguments."""
        parser = argparse.ArgumentParser()
        parser.add_argument("--campaign")
        parser.add_argument("--category", action="append", default=[])
        parser.add_argument("--cores", type=int)
        parser.add_argument("--hours", type=float)
        parser.add_argument("--program", action="append", default=[])
        parser.add_argument("--until-idle", type=float)
        parser.add_argument("--quiet", action="store_true")
        given = parser.parse_args(words)
        return cls(
            given.campaign,
            tuple(given.category),
            given.until_idle,
            given.quiet,
            n_cores=given.cores,
            hours=given.hours,
            programs=tuple(given.program),
        )


def open_queue(workspace: Workspace, settings: Settings | None = None) -> LaunchPad:
    """The queue that belongs to the record: `AGD_LAUNCHPAD_URL`, or the record's own database."""
    own_url = (settings or load_settings()).launchpad_url
    prepare_fireworks(workspace.pace)
    is_embedded = own_url is None and workspace.database.is_embedded
    launchpad = open_launchpad(own_url or workspace.database.url, heeds_shell=not is_embedded)
    _set_counters(workspace, launchpad)
    return launchpad


def _set_counters(workspace: Workspace, launchpad: LaunchPad) -> None:
    """See that no id that the record names is given again, be the queue empty, wiped or reset."""
    with workspace.database.read() as tx:
        fw_id, launch_id = activities.last_launch(tx)
    there = launchpad.fw_id_assigner.find_one({})
    first = {"next_fw_id": fw_id + 1, "next_launch_id": launch_id + 1}
    if there is None:
        launchpad.fw_id_assigner.find_one_and_update({"_id": -1}, {"$setOnInsert": first}, upsert=True)
        launchpad.tuneup(bkground=False)
    elif any(there[key] < least for key, least in first.items()):
        launchpad.fw_id_assigner.find_one_and_update({"_id": there["_id"]}, {"$max": first})


def prepare_fireworks(pace: Pace) -> None:
    """Let FireWorks launch as this program does: our tasks, our heartbeat, no files beside the rows, no chatter."""
    if PACKAGE not in fw_config.USER_PACKAGES:
        fw_config.USER_PACKAGES.append(PACKAGE)
    # FireWorks looks for a task by its name and would import all that it ships on the way, its tests included.
    fw_serializers.SAVED_FW_MODULES[Job._fw_name] = Job.__module__  # noqa: SLF001  FireWorks' own convention
    rocket.PING_TIME_SECS = pace.heartbeat_s
    rocket.do_ping = _ping
    rocket.PRINT_FW_JSON = False
    rocket.ROCKET_STREAM_LOGLEVEL = "CRITICAL"


def _ping(launchpad: LaunchPad, launch_id: int) -> None:
    """Say that a launch lives; where the queue does not answer, the next heartbeat says so."""
    with suppress(Exception):
        launchpad.ping_launch(launch_id)


def launch_one(launchpad: LaunchPad, fworker: FWorker, fw_id: int | None = None) -> bool:
    """Launch one firework, or that one; False where there is none. An error of its task goes to queue and log."""
    with Path(os.devnull).open("w") as nowhere:
        return bool(rocket.Rocket(launchpad, fworker, fw_id).run(err_file=nowhere))


def launch_all(
    launchpad: LaunchPad,
    share: Share,
    is_stopped: Callable[[], bool],
    on_failure: Callable[[], object] = lambda: None,
) -> int:
    """Launch what is ready until asked to stop, or until nothing was for a while; returns how many."""
    fworker = share.fworker()
    n_launched, last = 0, time.monotonic()
    while not is_stopped():
        n_failed = task_runs.n_failed()
        if launch_one(launchpad, fworker):
            n_launched, last = n_launched + 1, time.monotonic()
            if task_runs.n_failed() > n_failed:
                on_failure()
        elif share.until_idle_s is not None and time.monotonic() - last >= share.until_idle_s:
            break
        else:
            time.sleep(POLL_S)
    return n_launched


def main(words: Sequence[str]) -> int:
    """Work until SIGTERM, or until the process that started this one is gone; the firework at hand is finished."""
    streams.prepare()
    share = Share.of(words)
    _log_to_stderr(logging.ERROR if share.is_quiet else logging.INFO)
    asked_to_stop = False
    parent = os.getppid()

    def stop(_number: int, _frame: object) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, stop)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # both reach the whole group; the parent says what they mean
    try:
        settings = load_settings()
        folder = settings.require_home() / "launches"
        folder.mkdir(exist_ok=True)
        os.chdir(folder)
        _warm_up()
        with open_database(settings) as database:
            workspace = Workspace(database, settings.home / "artifacts", settings.pace)
            task_runs.lend(workspace)
            queue = open_queue(workspace, settings)
            if isinstance(queue, WholeLaunchPad):
                queue.connection.pool.outlast(settings.pace.lease_s, database.revive)
            launch_all(
                queue,
                share,
                lambda: asked_to_stop or os.getppid() != parent,
                on_failure=Reconciler(workspace, queue).look,  # what failed for good is parked, and said, at once
            )
            task_runs.leave(workspace)
    except AgdError as error:
        print(f"agd: {error}", file=sys.stderr, flush=True)  # noqa: T201  the child's log
        return error.exit_code
    except Exception as error:  # noqa: BLE001  whatever FireWorks raises: the parent starts a new child
        traceback.print_exc()
        return DatabaseError.exit_code if isinstance(error, OSError) else 1
    return 0


def _log_to_stderr(level: int) -> None:
    """Our lines alone: FireWorks' loggers say the same at length, and that there is nothing to do."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s [%(process)d] %(message)s", "%Y-%m-%d %H:%M:%S"))
    task_runs.log.addHandler(handler)
    task_runs.log.setLevel(level)
    task_runs.log.propagate = False


def _warm_up() -> None:
    """Load what steps need before one is checked out: loading holds up the heartbeat, and costs a launch its time.

    Plug-ins of other packages are loaded by the steps that name them, and are the concern of nobody else.
    """
    for _ in registry.troubles(is_own=True):
        pass  # said by the step that needs it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
