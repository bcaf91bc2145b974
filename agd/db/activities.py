"""Activities: one row per execution of one step, and per attempt."""

import functools
import os
import platform
import subprocess
from pathlib import Path

from sqlalchemy import func, insert, select, update

import agd
from agd.db.connection import Transaction
from agd.db.tables import activity
from agd.errors import BusyError


def start(
    tx: Transaction,
    kind: str,
    *,
    threads: int,
    campaign_id: int | None = None,
    iteration_id: int | None = None,
    seed: int | None = None,
) -> int:
    """Insert a running activity of this process and return its id."""
    statement = insert(activity).values(
        kind=kind,
        campaign_id=campaign_id,
        iteration_id=iteration_id,
        seed=seed,
        threads=threads,
        pid=os.getpid(),
        **_circumstances(),
    )
    return int(tx.execute(statement.returning(activity.c.id)).scalar_one())


def finish(tx: Transaction, activity_id: int) -> None:
    """Mark as done: in the transaction that holds the activity's products."""
    _end(tx, activity_id, "done", None)


def fail(tx: Transaction, activity_id: int, error: str) -> None:
    """Mark as failed and keep the error."""
    _end(tx, activity_id, "failed", error)


def bury_lost(tx: Transaction, campaign_id: int) -> int:
    """Mark the campaign's running activities as lost and count them; the caller holds the campaign's lock."""
    statement = (
        update(activity)
        .where(activity.c.campaign_id == campaign_id, activity.c.outcome == "running")
        .values(outcome="lost", ended_at=func.clock_timestamp())
    )
    return tx.execute(statement).rowcount


def bury_dead(tx: Transaction) -> None:
    """Mark as lost what ran outside a campaign in processes of this host that are no more."""
    outside = (activity.c.campaign_id.is_(None), activity.c.outcome == "running", activity.c.host == platform.node())
    for row in tx.execute(select(activity.c.id, activity.c.pid).where(*outside)).all():
        if not _is_alive(row.pid):
            gone = update(activity).where(activity.c.id == row.id, activity.c.outcome == "running")
            tx.execute(gone.values(outcome="lost", ended_at=func.clock_timestamp()))


def done_kinds(tx: Transaction, iteration_id: int) -> set[str]:
    """The steps of an iteration that have succeeded."""
    found = select(activity.c.kind).where(activity.c.iteration_id == iteration_id, activity.c.outcome == "done")
    return set(tx.execute(found).scalars())


def _end(tx: Transaction, activity_id: int, outcome: str, error: str | None) -> None:
    statement = update(activity).where(activity.c.id == activity_id, activity.c.outcome == "running")
    ended = tx.execute(statement.values(outcome=outcome, error=error, ended_at=func.clock_timestamp())).rowcount
    if ended != 1:
        raise BusyError(f"activity {activity_id} was given up as lost: another process has taken the campaign over")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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
