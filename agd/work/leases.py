"""Leases: one recorded activity at a time, renewed while it lives, with its error kept where it fails."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from agd.db import activities
from agd.errors import BusyError, DatabaseError, is_transient
from agd.work.workspace import Workspace


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
        words = f"{type(error).__name__}: {error}"
        with suppress(DatabaseError, BusyError), workspace.database.transaction() as tx:
            activities.fail(tx, activity_id, words, is_transient=is_transient(error))
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
