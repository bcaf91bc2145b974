"""Jobs: what is due, held, at work or done, and every attempt at one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Job:
    """A job; of attempts that are forgiven, only `n_attempts` and the last error know."""

    id: int
    title: str
    kind: str
    campaign: str | None
    iteration: int | None
    state: str
    reason: str | None
    priority: int
    n_cores: int
    hours: float | None
    programs: Sequence[str]
    n_attempts: int
    n_failed: int
    n_lost: int
    last_error: str | None
    last_error_class: str | None
    host: str | None
    pid: int | None
    fw_id: int | None
    since: datetime | None
    lease_expires_at: datetime | None
    not_before: datetime | None
    made_at: datetime
    campaign_id: int | None
    activity_id: int | None


@dataclass(frozen=True, slots=True)
class JobBefore:
    """A job that has to be done before another."""

    id: int
    title: str
    state: str


@dataclass(frozen=True, slots=True)
class JobAttempt:
    """An attempt at a job; `is_counted` says that nobody has forgiven it since."""

    campaign: str | None
    step: str
    iteration: int | None
    outcome: str
    error_class: str | None
    error: str | None
    started_at: datetime
    ended_at: datetime | None
    host: str
    pid: int
    fw_id: int | None
    launch_id: int | None
    is_counted: bool
    activity_id: int
    campaign_id: int | None
    iteration_id: int | None
    title: str
    job_id: int


@dataclass(frozen=True, slots=True)
class JobWithAttempts(Job):
    """A job with what it asks for, what it waits for, and every attempt at it, oldest first."""

    request: Mapping[str, Any]
    waits_for: Sequence[JobBefore]
    attempts: Sequence[JobAttempt]
