"""Retries: when what failed or was lost is tried again, by the same rules whoever does the work.

An engine that somebody watches leaves with the error instead: what it tries next, that person has asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agd.db.connection import AnyRow

MAX_LOST = 10
MAX_TRANSIENT = 6
"""How many attempts at one job may be lost, or fail for what may pass, before it is parked."""

_UNRECORDED = "its worker failed before it began"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a job: parked for a reason, or tried again when `pause_s` have gone by since it failed.

    `error` says what happened last.
    """

    parked: str | None
    pause_s: float
    error: str


def judge(what: object, tries: Sequence[AnyRow], *, first_pause_s: float, n_launches: int = 0) -> Verdict:
    """Judge a job by its attempts that did not succeed and are not forgiven, oldest first: rows of v_attempt.

    What failed for good is parked at once; what may pass is tried again after pauses that double; what was lost, at
    once. `n_launches` counts how often somebody set out to do it, which need not have come to an attempt.
    """
    last = tries[-1] if tries else None
    n_lost = sum(row.outcome == "lost" for row in tries)
    n_failed = sum(row.outcome == "failed" for row in tries)
    error = _UNRECORDED if last is None else last.error or "lost"
    n = n_failed or n_launches
    parked = None
    if last is not None and last.error_class == "permanent":
        parked = f"{what}: {error}"
    elif n_lost > MAX_LOST:
        parked = f"{what} was lost {n_lost} times"
    elif n > (MAX_TRANSIENT if n_failed else MAX_LOST):
        parked = f"{what} failed {n} times, at last: {error}"
    return Verdict(parked, first_pause_s * 2.0 ** (n - 1) if n else 0.0, error)
