"""Activities: one row per execution of one step, and per attempt. A running step's row is the lease on that step."""

import functools
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

import agd
from agd.db.connection import AnyRow, Transaction
from agd.db.tables import activity
from agd.errors import BusyError


def start(
    tx: Transaction,
    kind: str,
    *,
    threads: int,
    campaign_id: int | None = None,
    seed: int | None = None,
    launch: tuple[int, int] | None = None,
) -> int:
    """Insert a running activity of this process and return its id; for `launch` see take_step."""
    statement = insert(activity).values(
        kind=kind, campaign_id=campaign_id, seed=seed, threads=threads, **_worker(launch)
    )
    return int(tx.execute(statement.returning(activity.c.id)).scalar_one())


def take_step(
    tx: Transaction,
    kind: str,
    *,
    campaign_id: int,
    iteration_id: int | None,
    lease_s: float,
    threads: int,
    seed: int | None = None,
    launch: tuple[int, int] | None = None,
) -> int | None:
    """Lease a step of a campaign to this process: the id of the new attempt, None where the step is done.

    `launch` is FireWorks' fw_id and launch_id. An attempt whose lease has run out is marked as lost, and can then write
    nothing any more.

    Raises:
        BusyError: somebody else is at work on the step.
    """
    statement = upsert(activity).values(
        kind=kind,
        campaign_id=campaign_id,
        iteration_id=iteration_id,
        seed=seed,
        threads=threads,
        lease_expires_at=_in_seconds(lease_s),
        **_worker(launch),
    )
    bury_expired(tx, campaign_id)
    taken: int | None = tx.execute(statement.on_conflict_do_nothing().returning(activity.c.id)).scalar_one_or_none()
    if taken is not None:
        return taken
    there = standing_attempt(tx, kind, campaign_id, iteration_id)
    if there is not None and there.outcome == "done":
        return None
    who = "somebody else" if there is None else f"process {there.pid} on {there.host}"
    raise BusyError(f"step {kind!r} is being done by {who}: it is free when that ends, or its lease has run out")


def standing_attempt(tx: Transaction, kind: str, campaign_id: int, iteration_id: int | None) -> AnyRow | None:
    """The attempt of a step that is at work or has succeeded (id, outcome, host, pid, lease_expires_at)."""
    found = select(
        activity.c.id, activity.c.outcome, activity.c.host, activity.c.pid, activity.c.lease_expires_at
    ).where(
        activity.c.campaign_id == campaign_id,
        activity.c.kind == kind,
        func.coalesce(activity.c.iteration_id, 0) == (iteration_id or 0),
        activity.c.outcome.in_(("running", "done")),
        activity.c.lease_expires_at.is_not(None),
    )
    return tx.execute(found).one_or_none()


def renew(tx: Transaction, activity_id: int, lease_s: float) -> bool:
    """Say that the attempt lives; False where it was given up as lost."""
    statement = update(activity).where(activity.c.id == activity_id, activity.c.outcome == "running")
    return tx.execute(statement.values(lease_expires_at=_in_seconds(lease_s))).rowcount == 1


def hold(tx: Transaction, activity_id: int) -> None:
    """Make sure that the attempt was not taken over, and will not be before the transaction ends.

    Raises:
        BusyError: it was given up as lost.
    """
    found = select(activity.c.id).where(activity.c.id == activity_id, activity.c.outcome == "running")
    if tx.execute(found.with_for_update()).first() is None:
        raise _given_up(activity_id)


def finish(tx: Transaction, activity_id: int) -> None:
    """Mark as done: in the transaction that holds the activity's products, which are void where it was taken over."""
    _end(tx, activity_id, outcome="done")


def fail(tx: Transaction, activity_id: int, error: str, *, is_transient: bool) -> None:
    """Mark as failed and keep the error."""
    error_class = "transient" if is_transient else "permanent"
    _end(tx, activity_id, outcome="failed", error=error.replace("\0", "\\0"), error_class=error_class)


def give_up(tx: Transaction, activity_id: int) -> bool:
    """Mark one running activity as lost, for its process is known to be gone; whether it was running."""
    statement = update(activity).where(activity.c.id == activity_id, activity.c.outcome == "running")
    return tx.execute(statement.values(outcome="lost", ended_at=func.clock_timestamp())).rowcount == 1


def bury_lost(tx: Transaction, campaign_id: int) -> int:
    """Mark the campaign's running activities as lost and count them; the caller holds the campaign's lock alone."""
    statement = (
        update(activity)
        .where(activity.c.campaign_id == campaign_id, activity.c.outcome == "running")
        .values(outcome="lost", ended_at=func.clock_timestamp())
    )
    return tx.execute(statement).rowcount


def bury_expired(tx: Transaction, campaign_id: int) -> int:
    """Mark the campaign's steps as lost that nobody has spoken for during their lease, and count them."""
    statement = update(activity).where(
        activity.c.campaign_id == campaign_id,
        activity.c.outcome == "running",
        activity.c.lease_expires_at < func.clock_timestamp(),
    )
    return tx.execute(statement.values(outcome="lost", ended_at=func.clock_timestamp())).rowcount


def bury_dead(tx: Transaction) -> None:
    """Mark as lost what ran outside a campaign in processes of this host that are no more."""
    outside = (activity.c.campaign_id.is_(None), activity.c.outcome == "running", activity.c.host == platform.node())
    for row in tx.execute(select(activity.c.id, activity.c.pid).where(*outside)).all():
        if not is_alive(row.pid):
            gone = update(activity).where(activity.c.id == row.id, activity.c.outcome == "running")
            tx.execute(gone.values(outcome="lost", ended_at=func.clock_timestamp()))


def attempts(tx: Transaction, campaign_id: int) -> Sequence[AnyRow]:
    """The campaign's attempts that did not succeed and are not forgiven, oldest first: rows of v_attempt."""
    return tx.execute(
        text(
            "SELECT * FROM v_attempt WHERE campaign_id = :campaign AND is_counted"
            " AND outcome IN ('failed', 'lost') ORDER BY activity_id"
        ),
        {"campaign": campaign_id},
    ).all()


def find(tx: Transaction, activity_id: int) -> AnyRow | None:
    """An activity by its id."""
    return tx.execute(select(activity).where(activity.c.id == activity_id)).one_or_none()


def computed_by(tx: Transaction, activity_id: int, values: Mapping[str, Any]) -> None:
    """Name the process that computed what the activity records, where that was another one; see worker()."""
    tx.execute(update(activity).where(activity.c.id == activity_id).values(**values))


def last_launch(tx: Transaction) -> tuple[int, int]:
    """The largest fw_id and launch_id that an activity names, 0 where none does."""
    row = tx.execute(select(func.max(activity.c.fw_id), func.max(activity.c.launch_id))).one()
    return row[0] or 0, row[1] or 0


def n_steps_done(tx: Transaction, campaign_id: int) -> int:
    """How many steps of the campaign have succeeded."""
    found = select(func.count()).where(
        activity.c.campaign_id == campaign_id, activity.c.outcome == "done", activity.c.lease_expires_at.is_not(None)
    )
    return int(tx.execute(found).scalar_one())


def leases(tx: Transaction, campaign_id: int | None = None) -> Sequence[AnyRow]:
    """The steps at work, and those whose lease has run out: rows of v_lease."""
    return tx.execute(
        text("SELECT * FROM v_lease WHERE CAST(:campaign AS bigint) IS NULL OR campaign_id = :campaign ORDER BY token"),
        {"campaign": campaign_id},
    ).all()


def done_kinds(tx: Transaction, iteration_id: int) -> set[str]:
    """The steps of an iteration that have succeeded."""
    found = select(activity.c.kind).where(activity.c.iteration_id == iteration_id, activity.c.outcome == "done")
    return set(tx.execute(found).scalars())


def _in_seconds(seconds: float) -> ColumnElement[datetime]:
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def _end(tx: Transaction, activity_id: int, **values: str | None) -> None:
    statement = update(activity).where(activity.c.id == activity_id, activity.c.outcome == "running")
    ended = tx.execute(statement.values(**values, ended_at=func.clock_timestamp())).rowcount
    if ended != 1:
        raise _given_up(activity_id)


def _given_up(activity_id: int) -> BusyError:
    return BusyError(f"activity {activity_id} was given up as lost: another process has taken its step over")


def is_alive(pid: int) -> bool:
    """Whether this host has a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def worker() -> dict[str, Any]:
    """Who computes here: columns of an activity."""
    return {"pid": os.getpid(), **_circumstances()}


def _worker(launch: tuple[int, int] | None) -> dict[str, Any]:
    fw_id, launch_id = launch or (None, None)
    return {"fw_id": fw_id, "launch_id": launch_id, **worker()}


@functools.cache
def _circumstances() -> dict[str, str | None]:
    return {
        "agd_version": agd.__version__,
        "git_commit": _git_commit(),
        "host": platform.node(),
        "cpu": _cpu_type(),
    }


def _cpu_type() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git_commit() -> str | None:
    """The commit of the checkout this code runs from, None for an installed package."""
    checkout = Path(agd.__file__).parents[1]
    if not (checkout / ".git").exists():
        return None
    try:
        found = subprocess.run(  # noqa: S603  fixed command line
            ["git", "-C", str(checkout), "rev-parse", "HEAD"],  # noqa: S607  git is where PATH says
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
