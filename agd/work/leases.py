"""Leases: one recorded activity at a time, renewed while it lives, with its error kept where it fails."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from agd.db.record import activities, jobs
from agd.db.record.jobs import NewJob
from agd.errors import BusyError, DatabaseError, is_transient
from agd.waiting import waiting
from agd.work.absences import outlasting
from agd.work.workspace import Workspace

_LOOK_S = 0.5
"""How often whoever waits for somebody else's attempt looks whether it has ended."""


@contextmanager
def performed(workspace: Workspace, new: NewJob, *, seed: int | None = None, threads: int = 1) -> Iterator[int | None]:
    """Attempt a job in this process: the activity of it, which marks its own success; None where the job is done.

    The lease is renewed meanwhile, an error is kept in the activity's row and raised again. While somebody else is at
    the job, this waits; what is left of a process that died is free at once on its host, elsewhere when the lease has
    run out. Who asks for a job by hand that was parked or cancelled asks for it again; a firework does not. Where the
    workspace has an attempt of this kind, this is part of that one.

    Raises:
        StepError: the job is held; or parked or cancelled, and this is a firework.
    """
    if workspace.attempt is not None and workspace.attempt[0] == new.kind:
        yield workspace.attempt[1]
        return
    activity_id = _taken(workspace, new, seed=seed, threads=threads)
    if activity_id is None:
        yield None
        return
    with kept_error(workspace, activity_id), heartbeat(workspace, activity_id):
        yield activity_id


def _taken(workspace: Workspace, new: NewJob, *, seed: int | None, threads: int) -> int | None:
    who: str | None = None
    with waiting(lambda: who):
        while True:
            try:
                with workspace.database.transaction() as tx:
                    activities.bury_dead(tx)
                    job_id = jobs.ensure(tx, new)
                    if workspace.launch is None:
                        jobs.take_up(tx, job_id)
                    return jobs.take(
                        tx,
                        job_id,
                        lease_s=workspace.pace.lease_s,
                        threads=threads,
                        seed=seed,
                        launch=workspace.launch,
                    )
            except BusyError as error:
                who = f"agd: {error}"
            time.sleep(_LOOK_S)


@contextmanager
def recorded(
    workspace: Workspace, kind: str, *, campaign_id: int | None = None, seed: int | None = None, threads: int = 1
) -> Iterator[int]:
    """Do something that nobody leases as an activity row that outlives a crash; it marks its own success.

    An error is kept in the row and raised again. A process that dies leaves the row as running, and the next one on its
    host marks it as lost.
    """
    with workspace.database.transaction() as tx:
        if campaign_id is None:
            activities.bury_dead(tx)
        activity_id = activities.start(
            tx, kind, threads=threads, campaign_id=campaign_id, seed=seed, launch=workspace.launch
        )
    with kept_error(workspace, activity_id):
        yield activity_id


@contextmanager
def kept_error(workspace: Workspace, activity_id: int) -> Iterator[None]:
    """Keep an error in the activity's row, with its class, and raise it again."""
    try:
        yield
    except BaseException as error:
        words, may_pass = f"{type(error).__name__}: {error}", is_transient(error)

        def keep() -> None:
            with workspace.database.transaction() as tx:
                activities.fail(tx, activity_id, words, is_transient=may_pass)

        with suppress(DatabaseError, BusyError):
            if isinstance(error, Exception):
                outlasting(workspace, keep)
            else:
                keep()  # who interrupts does not wait
        raise


@contextmanager
def heartbeat(workspace: Workspace, activity_id: int) -> Iterator[None]:
    """Renew the lease of an activity from another thread, until it is given up as lost."""
    is_over = threading.Event()
    pace = workspace.pace

    def beat() -> None:
        while not is_over.wait(pace.heartbeat_s):
            with suppress(DatabaseError), workspace.database.transaction() as tx:
                if not activities.renew(tx, activity_id, pace.lease_s):
                    return

    thread = threading.Thread(target=beat, name=f"heartbeat {activity_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
