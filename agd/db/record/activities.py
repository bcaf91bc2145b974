"""Activities: one row per attempt. That of a running attempt at a job is the lease on that job."""

import functools
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select, text, update

import agd
from agd.db.connection import AnyRow, Transaction
from agd.db.tables import activity
from agd.errors import BusyError

# The job is locked before the attempt, as by whoever takes a job: the two would else wait for each other.
_FINISH = text("""
WITH its_job AS MATERIALIZED (
    SELECT id FROM job WHERE id = (SELECT job_id FROM activity WHERE id = :activity) FOR NO KEY UPDATE
), ended AS (
    UPDATE activity SET outcome = 'done', ended_at = clock_timestamp()
    WHERE id = :activity AND outcome = 'running' AND (SELECT count(*) FROM its_job) >= 0
    RETURNING job_id
), closed AS (
    UPDATE job SET state = 'done', reason = NULL FROM ended WHERE job.id = ended.job_id
)
SELECT count(*) FROM ended
""")


def start(
    tx: Transaction,
    kind: str,
    *,
    threads: int,
    campaign_id: int | None = None,
    seed: int | None = None,
    launch: tuple[int, int] | None = None,
) -> int:
    """Insert a running activity of this process that is no attempt at a job, and return its id.

    `launch` is FireWorks' fw_id and launch_id.
    """
    statement = insert(activity).values(
        kind=kind, campaign_id=campaign_id, seed=seed, threads=threads, **worker(launch)
    )
    return int(tx.execute(statement.returning(activity.c.id)).scalar_one())


def standing_attempt(tx: Transaction, kind: str, campaign_id: int, iteration_id: int | None) -> AnyRow | None:
    """The attempt of a step that is at work or has succeeded (id, outcome, host, pid, lease_expires_at)."""
    found = select(
        activity.c.id, activity.c.outcome, activity.c.host, activity.c.pid, activity.c.lease_expires_at
    ).where(
        activity.c.campaign_id == campaign_id,
        activity.c.kind == kind,
        func.coalesce(activity.c.iteration_id, 0) == (iteration_id or 0),
        activity.c.outcome.in_(("running", "done")),
        activity.c.job_id.is_not(None),
    )
    return tx.execute(found).one_or_none()


def renew(tx: Transaction, activity_id: int, lease_s: float) -> bool:
    """Say that the attempt lives; False where it was given up as lost."""
    statement = update(activity).where(activity.c.id == activity_id, activity.c.outcome == "running")
    return tx.execute(statement.values(lease_expires_at=in_seconds(lease_s))).rowcount == 1


def hold(tx: Transaction, activity_id: int) -> None:
    """Make sure that the attempt was not taken over, and will not be before the transaction ends.

    Raises:
        BusyError: it was given up as lost.
    """
    found = select(activity.c.id).where(activity.c.id == activity_id, activity.c.outcome == "running")
    if tx.execute(found.with_for_update()).first() is None:
        raise _given_up(activity_id)


def is_done(tx: Transaction, activity_id: int) -> bool:
    """Whether the attempt has succeeded."""
    return bool(tx.execute(select(activity.c.outcome == "done").where(activity.c.id == activity_id)).scalar_one())


def finish(tx: Transaction, activity_id: int) -> None:
    """Mark as done, with the job that it was an attempt at.

    In the transaction that holds the activity's products, which are void where it was taken over.
    """
    if tx.execute(_FINISH, {"activity": activity_id}).scalar_one() != 1:
        raise _given_up(activity_id)


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


def bury_expired(tx: Transaction, *, campaign_id: int | None = None, job_id: int | None = None) -> int:
    """Mark attempts as lost that nobody has spoken for during their lease, and count them.

    Those at a campaign's steps, at one job, or all.
    """
    statement = update(activity).where(
        activity.c.outcome == "running", activity.c.lease_expires_at < func.clock_timestamp()
    )
    if campaign_id is not None:
        statement = statement.where(activity.c.campaign_id == campaign_id)
    if job_id is not None:
        statement = statement.where(activity.c.job_id == job_id)
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


_LEASES = text("""
SELECT * FROM v_lease
WHERE (CAST(:campaign AS bigint) IS NULL OR campaign_id = :campaign)
  AND (CAST(:job AS bigint) IS NULL OR job_id = :job)
ORDER BY token
""")


def leases(tx: Transaction, campaign_id: int | None = None, job_id: int | None = None) -> Sequence[AnyRow]:
    """The attempts at work, and those whose lease has run out: rows of v_lease.

    Those at a campaign's steps, at one job, or all.
    """
    return tx.execute(_LEASES, {"campaign": campaign_id, "job": job_id}).all()


def done_kinds(tx: Transaction, iteration_id: int) -> set[str]:
    """The steps of an iteration that have succeeded."""
    found = select(activity.c.kind).where(activity.c.iteration_id == iteration_id, activity.c.outcome == "done")
    return set(tx.execute(found).scalars())


def in_seconds(seconds: float) -> ColumnElement[datetime]:
    """The server's time so many seconds from now."""
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


def worker(launch: tuple[int, int] | None = None) -> dict[str, Any]:
    """Who computes here: columns of an activity; `launch` is FireWorks' fw_id and launch_id, where it launched this."""
    launched = {} if launch is None else {"fw_id": launch[0], "launch_id": launch[1]}
    return {"pid": os.getpid(), **_circumstances(), **launched}


_KINDS = (("family", "cpu family"), ("model", "model"))


@functools.cache
def _circumstances() -> dict[str, str | None]:
    return {
        "agd_version": agd.__version__,
        "git_commit": _git_commit(),
        "host": platform.node(),
        "cpu": _cpu_type(),
    }


def _cpu_type() -> str:
    """What the processor is called, with family and model where Linux tells: of one name there are several kinds.

    What libraries compute depends on the kind, in the last digits.
    """
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = (line.partition(":") for line in info.read_text().partition("\n\n")[0].splitlines())
        told = {key.strip(): value.strip() for key, _, value in lines}
        if "model name" in told:
            kind = ", ".join(f"{word} {told[key]}" for word, key in _KINDS if key in told)
            return f"{told['model name']} ({kind})" if kind else told["model name"]
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
