"""Steps for nodes that cannot reach the record: checked out into folders, computed there, ingested from there."""

import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from fireworks import FWAction, LaunchPad
from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter

from agd.errors import AgdError, DatabaseError, InputError, NotFoundError, is_transient
from agd.steps.campaign import offline
from agd.steps.campaign.campaigns import Step, as_campaign, campaign_row
from agd.steps.campaign.offline import Ingested
from agd.steps.campaign.turns import Turn, standing_of
from agd.work.workspace import Workspace
from agd_workflows.build import step_of
from agd_workflows.cluster import worker_jobs
from agd_workflows.launching import Share, launch_one
from agd_workflows.task_runs import ENGINE, follow_up

_JOB_ID, _DONE, _GIVEN_UP, _DAMAGED = "job_id", "ingested", "given_up", f"{offline.SPOOL}.damaged"


@dataclass(slots=True)
class Sender:
    """Checks steps out of the queue into folders under `folder`, and takes in what comes back.

    What is quick is done here. With a `qadapter` each folder is submitted to the cluster as a job of its own. A step
    whose job ended without a spool is given up; a spool that comes later is taken in all the same.
    """

    workspace: Workspace
    launchpad: LaunchPad
    share: Share
    folder: Path
    lease_s: float
    say: Callable[[str], object]
    max_jobs: int
    qadapter: CommonAdapter | None = None
    _open: set[Path] | None = None
    _given_up: set[Path] = field(default_factory=set)
    _waiting: set[Path] = field(default_factory=set)
    _jobless: set[Path] = field(default_factory=set)
    _said: dict[Path | str, str] = field(default_factory=dict)
    _next_round: float = 0.0

    def look(self) -> int:
        """One pass: ingest what is computed and send what is ready; how much is under way.

        Jobs, and what could not be taken in, are looked after as often as queue and record are compared.
        """
        away = self._away()
        n = sum(self._take_in(folder) for folder in away if folder not in self._waiting)
        if time.monotonic() >= self._next_round:
            self._next_round = time.monotonic() + self.workspace.pace.reconcile_s
            n += sum(self._take_in(folder) for folder in sorted(self._waiting | self._given_up))
            self._round()
        while len(self._away()) < self.max_jobs and self._send():
            n += 1
        return n + len(self._away())

    def _away(self) -> list[Path]:
        """The folders of steps that are neither recorded nor given up; the disk is searched for them once."""
        if self._open is None:
            found = {path for path in folders([self.folder]) if not (path / _DONE).exists()}
            self._given_up = {path for path in found if (path / _GIVEN_UP).exists()}
            self._open = found - self._given_up
        return sorted(self._open)

    def _settle(self, folder: Path, *, is_given_up: bool) -> None:
        for known in (self._open or set(), self._given_up, self._waiting, self._jobless):
            known.discard(folder)
        if is_given_up:
            self._given_up.add(folder)

    def _round(self) -> None:
        """Forget folders that somebody removed, and look after the jobs of the others."""
        for folder in self._away():
            if not (folder / offline.JOB).exists():
                self._settle(folder, is_given_up=False)
        try:
            if self.qadapter is not None:
                self._look_after_jobs(self.qadapter)
        except OSError as error:
            self._tell(self.folder, f"jobs cannot be looked after: {_words(error)}")

    def _send(self) -> bool:
        """Check out one firework: prepare it, or launch it here where it is quick; False where none is ready."""
        fworker = self.share.fworker()
        try:
            found = self.launchpad._get_a_fw_to_run(fworker.query, checkout=False)  # noqa: SLF001  FireWorks' own look ahead
            if found is None:
                return False
            step = step_of(self.workspace, found.to_dict())
            if step is None or not self._is_sent(found.spec["campaign"], step):
                return launch_one(self.launchpad, fworker, found.fw_id)
            name = found.spec["campaign"]
            folder = self.folder / f"{name}-{str(step).replace(' ', '-')}-{found.fw_id}-{len(found.archived_launches)}"
            firework, launch_id = self.launchpad.checkout_fw(fworker, str(folder), found.fw_id)
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001  one firework that cannot be launched ends no worker
            self._tell(self.folder, f"a firework could not be checked out: {_words(error)}")
            return False
        if firework is None:
            return True
        try:
            self._prepare(name, step, folder, (firework.fw_id, launch_id))
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001  it goes to the queue, and the others go on
            self._fizzle(launch_id, error)
            self._tell(folder, f"{name}: {step} could not be prepared: {_words(error)}")
        return True

    def _is_sent(self, name: str, step: Step) -> bool:
        try:
            return offline.is_sent(as_campaign(campaign_row(self.workspace, name)), step)
        except NotFoundError:
            return False

    def _prepare(self, name: str, step: Step, folder: Path, launch: tuple[int, int]) -> None:
        lent = replace(self.workspace, launch=launch)
        campaign = as_campaign(campaign_row(lent, name))
        with lent.database.read() as tx:
            standing, due = standing_of(tx, campaign, step, ENGINE)
        if standing == "due" and offline.prepare(lent, campaign, step, folder, self.lease_s):
            assert self._open is not None  # noqa: S101  look() has searched the disk
            self._open.add(folder)
            self.say(f"{name}: {step} is prepared in {folder}")
            if self.qadapter is not None:
                self._submit(self.qadapter, folder)
        else:
            action = follow_up(self.workspace, self.launchpad, name, step, Turn(standing, due))
            self.launchpad.complete_launch(launch[1], action, "COMPLETED")

    def _submit(self, qadapter: CommonAdapter, folder: Path) -> bool:
        """Submit a folder's job; False where that failed, which is said once while it lasts."""
        try:
            job = worker_jobs.submit_command(qadapter, folder, compute_words(folder))
            (folder / _JOB_ID).write_text(f"{job}\n")
        except Exception as error:  # noqa: BLE001  the folder waits for the next round
            self._tell("submit", f"{_words(error)}; trying again")
            return False
        self._said.pop("submit", None)
        self.say(f"{folder}: submitted job {job}")
        return True

    def _look_after_jobs(self, qadapter: CommonAdapter) -> None:
        """Give up what has had no job for two looks and no spool, and submit what was never submitted."""
        here = [folder for folder in self._away() if not (folder / offline.SPOOL).exists()]
        submitted = [folder for folder in here if (folder / _JOB_ID).exists()]
        jobs = {folder: job for folder in submitted if (job := (folder / _JOB_ID).read_text().strip())}
        in_queue = worker_jobs.jobs_in_queue(qadapter)
        if in_queue is None:
            self._tell("status", "the queue does not answer: waiting for it")
            return
        self._said.pop("status", None)
        jobless = {folder for folder, job in jobs.items() if job not in in_queue}
        for folder in sorted(jobless & self._jobless):
            # a list of the folder is fresh where NFS may still remember that a file was not there
            if offline.SPOOL not in {path.name for path in folder.iterdir()}:
                self._give_up(folder)
                self._tell(folder, f"{folder}: its job {jobs[folder]} ended without a spool: the step is queued again")
        self._jobless = jobless - self._given_up
        for folder in here:
            if folder not in jobs and not self._submit(qadapter, folder):
                return

    def _take_in(self, folder: Path) -> bool:
        """Ingest a folder where its spool is there; whether it was."""
        if not (folder / offline.SPOOL).exists():
            return False
        try:
            ingested = ingest(self.workspace, self.launchpad, folder)
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001  one spool that cannot be taken in ends no worker
            self._tell(folder, f"{folder}: {_words(error)}")
            if is_transient(error):
                self._waiting.add(folder)
            else:
                self._set_aside(folder, error)
            return False
        self.say(str(ingested))
        self._settle(folder, is_given_up=False)
        return True

    def _set_aside(self, folder: Path, error: Exception) -> None:
        """Have the step computed anew where a spool is of no use."""
        with suppress(InputError):
            if (launch := offline.about(folder)["launch"]) is not None:
                self._fizzle(launch[1], error)
        self._give_up(folder)
        with suppress(OSError):
            (folder / offline.SPOOL).replace(folder / _DAMAGED)

    def _give_up(self, folder: Path) -> None:
        offline.give_up(self.workspace, folder)
        with suppress(OSError):
            (folder / _GIVEN_UP).touch()
        self._settle(folder, is_given_up=True)

    def _fizzle(self, launch_id: int, error: Exception) -> None:
        """Hand an error to the queue, where the launch is still at work."""
        if self.launchpad.launches.find_one({"launch_id": launch_id, "state": "RUNNING"}) is not None:
            action = FWAction(stored_data={"_message": _words(error)})
            self.launchpad.complete_launch(launch_id, action, "FIZZLED")

    def _tell(self, about: Path | str, line: str) -> None:
        """Say it once while it lasts."""
        if self._said.get(about) != line:
            self.say(line)
        self._said[about] = line


def ingest(workspace: Workspace, launchpad: LaunchPad, folder: Path) -> Ingested:
    """Record what a folder's step came to, and tell the queue, which goes on from there.

    Raises:
        AgdError: see agd.steps.campaign.offline.ingest.
    """
    ingested = offline.ingest(workspace, folder)
    campaign = as_campaign(campaign_row(workspace, ingested.campaign))
    with workspace.database.read() as tx:
        standing, due = standing_of(tx, campaign, ingested.step, ENGINE)
    launch = offline.about(folder)["launch"]
    if launch is not None and launchpad.launches.find_one({"launch_id": launch[1], "state": "RUNNING"}) is not None:
        if ingested.what == "failed":
            launchpad.mark_fizzled(launch[1])
            launchpad._refresh_wf(launch[0])  # noqa: SLF001  what mark_fizzled leaves to its caller
        else:
            action = follow_up(workspace, launchpad, campaign.name, ingested.step, Turn(standing, due))
            launchpad.complete_launch(launch[1], action, "COMPLETED")
    (folder / _DONE).touch()
    if ingested.what != "failed":
        shutil.rmtree(folder / offline.MODELS, ignore_errors=True)
    return ingested


def folders(paths: Sequence[Path]) -> Iterator[Path]:
    """The step folders among some paths: the folders themselves, those in them, and those of spool files."""
    for path in paths:
        if path.is_file():
            yield path.parent
        elif (path / offline.JOB).exists():
            yield path
        else:
            yield from (job.parent for job in sorted(path.glob(f"*/{offline.JOB}")))


def compute_words(folder: Path) -> str:
    """The command that computes a folder's step."""
    return f"exec agd compute {shlex.quote(str(folder))}"


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, AgdError) else f"{type(error).__name__}: {error}"
