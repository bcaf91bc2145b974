"""Jobs: what is due, however often it is wanted. An activity is one attempt at a job, its lease and its fencing token.

`activities.finish` ends an attempt and its job in one statement; no job is done without an attempt that is.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import AnyRow, Transaction
from agd.db.record import activities
from agd.db.tables import activity, campaign, job, job_after
from agd.errors import BusyError, InputError, NotFoundError, StepError


@dataclass(frozen=True, slots=True)
class Needs:
    """What whoever takes a job has to have; `hours` is None where nobody knows how long it takes."""

    n_cores: int = 1
    hours: float | None = None
    programs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is to be done. Jobs of one key are the same job; those in `after` have to be done before."""

    kind: str
    title: str
    key_sha256: str
    campaign_id: int | None = None
    iteration: int | None = None
    request: Mapping[str, object] = field(default_factory=dict)
    priority: int = 0
    needs: Needs = Needs()
    after: tuple[int, ...] = ()


_STANDING = {
    "open": "is open",
    "held": "is held: `agd jobs release {id}` lets it go on",
    "done": "is done",
    "parked": "is parked ({reason}): `agd jobs retry {id}` tries again",
    "cancelled": "was cancelled: `agd jobs retry {id}` takes it up again",
}

# A job whose lease has run out may be taken: whoever takes it says that its last attempt is lost.
_READY = text("""
SELECT j.id FROM job j
WHERE j.state = 'open' AND coalesce(j.not_before <= clock_timestamp(), true)
  AND coalesce(j.kind = ANY (CAST(:kinds AS text[])), true)
  AND (CAST(:campaign AS bigint) IS NULL OR j.campaign_id = :campaign)
  AND coalesce(j.n_cores <= CAST(:n_cores AS integer), true)
  AND coalesce(j.hours <= CAST(:hours AS float8), true)
  AND coalesce(j.programs <@ CAST(:programs AS text[]), true)
  AND NOT EXISTS (SELECT FROM job_after w JOIN job b ON b.id = w.waits_for_id
                  WHERE w.job_id = j.id AND b.state <> 'done')
  AND NOT EXISTS (SELECT FROM activity a
                  WHERE a.job_id = j.id AND a.outcome = 'running' AND a.lease_expires_at >= clock_timestamp())
ORDER BY j.priority DESC, j.id LIMIT 1
FOR NO KEY UPDATE OF j SKIP LOCKED
""")

_WANTED = """
FROM v_job
WHERE (CAST(:campaign AS text) IS NULL OR campaign = :campaign)
  AND (CAST(:kinds AS text[]) IS NULL OR kind = ANY (:kinds))
  AND (CAST(:states AS text[]) IS NULL OR state = ANY (:states))
  AND (CAST(:ids AS bigint[]) IS NULL OR id = ANY (:ids))
"""

_OVERVIEW = text(f"SELECT * {_WANTED} ORDER BY id")
_LATEST = text(f"SELECT * {_WANTED} ORDER BY id DESC LIMIT :n_latest")
_COUNTS = text(f"SELECT state, count(*) AS n {_WANTED} GROUP BY state ORDER BY n DESC, state")

_STEPS_OF = text("""
UPDATE job j SET state = CAST(:state AS text), reason = CAST(:reason AS text), not_before = NULL,
       retries_from = CASE CAST(:state AS text) WHEN 'open' THEN clock_timestamp() ELSE j.retries_from END
FROM campaign k
WHERE k.id = :campaign AND j.campaign_id = k.id AND j.state = ANY (CAST(:of AS text[]))
  AND j.key_sha256 = agd_step_key(k.name, j.kind, j.iteration)
  AND (CAST(:because AS text) IS NULL OR j.reason = :because)
  AND NOT EXISTS (SELECT FROM activity a WHERE a.job_id = j.id AND a.outcome = 'running')
""")


_UNPARK = text("""
UPDATE campaign k SET parked_reason = NULL FROM job j
WHERE j.id = :job AND k.id = j.campaign_id AND j.key_sha256 = agd_step_key(k.name, j.kind, j.iteration)
""")


def key_of(*parts: object) -> str:
    """The key of work that these parts tell from all other: values of JSON, in their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def step_key(campaign: str, kind: str, iteration: int | None) -> str:
    """The key of a campaign's step, the same as agd_step_key() of the database gives."""
    return hashlib.sha256("\x1f".join(["step", campaign, kind, str(iteration or "")]).encode()).hexdigest()


def of_step(campaign_id: int, campaign: str, kind: str, iteration: int | None) -> NewJob:
    """A step of the campaign of that id and name."""
    title = f"{campaign}: {kind}{'' if iteration is None else f' {iteration}'}"
    return NewJob(kind, title, step_key(campaign, kind, iteration), campaign_id, iteration)


def ensure(tx: Transaction, new: NewJob) -> int:
    """The id of the job of that key, made where it is not there; one that is there stays as it is."""
    values = {
        "kind": new.kind,
        "title": new.title,
        "key_sha256": new.key_sha256,
        "campaign_id": new.campaign_id,
        "iteration": new.iteration,
        "request": dict(new.request),
        "priority": new.priority,
        "n_cores": new.needs.n_cores,
        "hours": new.needs.hours,
        "programs": list(new.needs.programs),
    }
    made: int | None = tx.scalar(upsert(job).values(**values).on_conflict_do_nothing().returning(job.c.id))
    if made is None:
        return int(tx.execute(select(job.c.id).where(job.c.key_sha256 == new.key_sha256)).scalar_one())
    if new.after:
        tx.execute(insert(job_after), [{"job_id": made, "waits_for_id": one} for one in sorted(set(new.after))])
    return made


def ask(
    tx: Transaction,
    kind: str,
    title: str,
    request: Mapping[str, object],
    *,
    campaign_id: int | None = None,
    needs: Needs = Needs(),
    after: Collection[int] = (),
) -> int:
    """The id of a job that does what is asked for, made where none is left to do it.

    What was done before is done again, for the record may hold more by now; what was set aside is taken up.
    """
    done = select(func.count()).where(job.c.kind == kind, job.c.request == dict(request), job.c.state == "done")
    key_sha256 = key_of("request", kind, request, tx.execute(done).scalar_one())
    job_id = ensure(tx, NewJob(kind, title, key_sha256, campaign_id, None, request, 0, needs, tuple(after)))
    take_up(tx, job_id)
    return job_id


def find(tx: Transaction, job_id: int) -> AnyRow | None:
    """A job by its id."""
    return tx.execute(select(job).where(job.c.id == job_id)).one_or_none()


def some(tx: Transaction, job_ids: Collection[int]) -> Sequence[AnyRow]:
    """Those jobs, each with the name of its `campaign`, in the order of their ids."""
    found = select(job, campaign.c.name.label("campaign")).outerjoin(campaign, campaign.c.id == job.c.campaign_id)
    return tx.execute(found.where(job.c.id.in_(list(job_ids))).order_by(job.c.id)).all()


def kept_back(tx: Transaction, keys: Collection[str]) -> dict[str, AnyRow]:
    """The jobs of these keys that are held, parked or cancelled, by key."""
    found = select(job).where(job.c.key_sha256.in_(list(keys)), job.c.state.in_(("held", "parked", "cancelled")))
    return {row.key_sha256: row for row in tx.execute(found)}


def standing(row: AnyRow) -> str:
    """How a job stands, with what changes that: for a person."""
    return f"job {row.id} ({row.title}) {_STANDING[row.state].format(id=row.id, reason=row.reason)}"


def take(
    tx: Transaction,
    job_id: int,
    *,
    lease_s: float,
    threads: int,
    seed: int | None = None,
    launch: tuple[int, int] | None = None,
    campaign_id: int | None = None,
    iteration_id: int | None = None,
) -> int | None:
    """Lease a job to this process: the id of the new attempt, None where the job is done.

    `launch` is FireWorks' fw_id and launch_id; campaign and iteration are those of a step, whose attempts count as the
    campaign's own. An attempt whose lease has run out is marked as lost, and can then write nothing any more.

    Raises:
        NotFoundError: there is no such job.
        BusyError: somebody else is at work on it.
        StepError: it is held, parked or cancelled.
    """
    row = _locked(tx, job_id)
    if row.state == "done":
        return None
    if row.state != "open":
        raise StepError(standing(row))
    new = upsert(activity).values(
        kind=row.kind,
        job_id=job_id,
        campaign_id=campaign_id,
        iteration_id=iteration_id,
        seed=seed,
        threads=threads,
        lease_expires_at=activities.in_seconds(lease_s),
        **activities.worker(launch),
    )
    attempt = new.on_conflict_do_nothing().returning(activity.c.id)
    taken: int | None = tx.scalar(attempt)
    if taken is None and activities.bury_expired(tx, job_id=job_id):
        taken = tx.scalar(attempt)
    if taken is None:
        raise _busy(tx, row)
    return taken


def claim(
    tx: Transaction,
    *,
    kinds: Collection[str] | None = None,
    campaign_id: int | None = None,
    n_cores: int | None = None,
    hours: float | None = None,
    programs: Collection[str] | None = None,
) -> int | None:
    """The next job that is ready, to be taken in this transaction: the highest priority first, then the oldest.

    Of these kinds, of that campaign, and needing no more than that; None stands for no limit.
    """
    wanted = {
        "kinds": None if kinds is None else list(kinds),
        "campaign": campaign_id,
        "n_cores": n_cores,
        "hours": hours,
        "programs": None if programs is None else list(programs),
    }
    while (found := tx.scalar(_READY, wanted)) is not None:
        if _at_work(tx, found, is_live=True) is None:  # the statement before may have begun before another took it
            return int(found)
    return None


def postpone(tx: Transaction, job_id: int, pause_s: float) -> None:
    """Let an open job wait before it is tried again."""
    tx.execute(
        update(job).where(job.c.id == job_id, job.c.state == "open").values(not_before=activities.in_seconds(pause_s))
    )


def park(tx: Transaction, job_id: int, reason: str) -> None:
    """Keep why an open job is not tried again until somebody says so."""
    _turn(tx, job_id, "parked", of=("open",), state="parked", reason=reason)


def hold(tx: Transaction, job_id: int, reason: str | None = None) -> None:
    """Keep an open job from being taken; who is at it goes on."""
    _turn(tx, job_id, "held", of=("open",), state="held", reason=reason)


def release(tx: Transaction, job_id: int) -> None:
    """Let a held job be taken again."""
    _turn(tx, job_id, "released", of=("held",), state="open", reason=None)


def cancel(tx: Transaction, job_id: int, reason: str | None = None) -> None:
    """Do without a job that nobody is at.

    Raises:
        BusyError: somebody is.
    """
    _turn(tx, job_id, "cancelled", of=("open", "held", "parked"), is_idle=True, state="cancelled", reason=reason)


def retry(tx: Transaction, job_id: int) -> None:
    """Have a job tried at once that was parked or cancelled, or that waits after a failure; its failures are forgiven.

    A campaign that is parked for its step goes on.

    Raises:
        BusyError: somebody is at it.
    """
    again = {"state": "open", "reason": None, "not_before": None, "retries_from": func.clock_timestamp()}
    _turn(tx, job_id, "tried again", of=("open", "parked", "cancelled"), is_idle=True, **again)
    tx.execute(_UNPARK, {"job": job_id})


def take_up(tx: Transaction, job_id: int) -> None:
    """Have a job tried again where it was parked or cancelled; how another one stands stays as it is."""
    if _locked(tx, job_id).state in {"parked", "cancelled"}:
        retry(tx, job_id)


def reopen_steps(tx: Transaction, campaign_id: int) -> None:
    """Have the parked steps of a campaign tried again; their failures are forgiven."""
    _turn_steps(tx, campaign_id, ["parked"], "open")


def cancel_steps(tx: Transaction, campaign_id: int, reason: str) -> None:
    """Do without the steps of a campaign that are left, but for those that somebody is at."""
    _turn_steps(tx, campaign_id, ["open", "held", "parked"], "cancelled", reason=reason)


def reopen_cancelled(tx: Transaction, campaign_id: int, reason: str) -> None:
    """Take up the steps of a campaign again that were cancelled for this reason."""
    _turn_steps(tx, campaign_id, ["cancelled"], "open", because=reason)


def overview(
    tx: Transaction,
    *,
    campaign: str | None = None,
    kinds: Collection[str] | None = None,
    states: Collection[str] | None = None,
    ids: Collection[int] | None = None,
    n_latest: int | None = None,
) -> Sequence[AnyRow]:
    """Rows of v_job: all, or those of a campaign, of some kinds, in some states, of some ids.

    Oldest first; with `n_latest` so many at most, the latest first.
    """
    wanted = _wanted(campaign, kinds, states, ids)
    if n_latest is None:
        return tx.execute(_OVERVIEW, wanted).all()
    return tx.execute(_LATEST, {**wanted, "n_latest": n_latest}).all()


def count_by_state(
    tx: Transaction,
    *,
    campaign: str | None = None,
    kinds: Collection[str] | None = None,
    states: Collection[str] | None = None,
) -> dict[str, int]:
    """How many jobs stand how, of those that `overview` gives; the most first."""
    return {row.state: row.n for row in tx.execute(_COUNTS, _wanted(campaign, kinds, states, None))}


def kinds_there(tx: Transaction) -> list[str]:
    """The kinds that the record holds jobs of."""
    return list(tx.execute(select(job.c.kind).distinct().order_by(job.c.kind)).scalars())


def attempts(tx: Transaction, job_id: int) -> Sequence[AnyRow]:
    """Every attempt at a job, oldest first: rows of v_attempt."""
    return tx.execute(text("SELECT * FROM v_attempt WHERE job_id = :job ORDER BY activity_id"), {"job": job_id}).all()


def waits_for(tx: Transaction, job_id: int) -> Sequence[AnyRow]:
    """The jobs that have to be done before that one (id, title, state), oldest first."""
    before = select(job_after.c.waits_for_id).where(job_after.c.job_id == job_id)
    return tx.execute(select(job.c.id, job.c.title, job.c.state).where(job.c.id.in_(before)).order_by(job.c.id)).all()


def _wanted(
    campaign: str | None,
    kinds: Collection[str] | None,
    states: Collection[str] | None,
    ids: Collection[int] | None,
) -> dict[str, object]:
    lists = {
        name: None if of is None else list(of) for name, of in (("kinds", kinds), ("states", states), ("ids", ids))
    }
    return {"campaign": campaign, **lists}


def _turn(
    tx: Transaction, job_id: int, verb: str, *, of: Sequence[str], is_idle: bool = False, **values: object
) -> None:
    """Change how a job stands.

    Raises:
        NotFoundError: there is no such job.
        InputError: it does not stand so that this can be done with it.
        BusyError: somebody is at it, where nobody may be.
    """
    row = _locked(tx, job_id)
    if row.state not in of:
        raise InputError(f"{standing(row)}; it cannot be {verb}")
    if is_idle and _at_work(tx, job_id, is_live=True) is not None:
        raise _busy(tx, row)
    tx.execute(update(job).where(job.c.id == job_id).values(**values))


def _turn_steps(
    tx: Transaction,
    campaign_id: int,
    of: Sequence[str],
    state: str,
    *,
    reason: str | None = None,
    because: str | None = None,
) -> None:
    """Change how the steps of a campaign stand, but for those that somebody is at."""
    values = {"campaign": campaign_id, "of": list(of), "state": state, "reason": reason, "because": because}
    tx.execute(_STEPS_OF, values)


def _locked(tx: Transaction, job_id: int) -> AnyRow:
    """A job's row, which nobody takes or changes before the transaction ends."""
    row = tx.execute(select(job).where(job.c.id == job_id).with_for_update(key_share=True)).one_or_none()
    if row is None:
        raise NotFoundError(f"no job {job_id}: see `agd jobs`")
    return row


def _at_work(tx: Transaction, job_id: int, *, is_live: bool) -> AnyRow | None:
    """The attempt that is running (host, pid); with `is_live` only while its lease stands."""
    found = select(activity.c.host, activity.c.pid).where(activity.c.job_id == job_id, activity.c.outcome == "running")
    if is_live:
        found = found.where(activity.c.lease_expires_at >= func.clock_timestamp())
    return tx.execute(found).one_or_none()


def _busy(tx: Transaction, row: AnyRow) -> BusyError:
    there = _at_work(tx, row.id, is_live=False)
    who = "somebody else" if there is None else f"process {there.pid} on {there.host}"
    return BusyError(
        f"job {row.id} ({row.title}) is being done by {who}: it is free when that ends, or its lease has run out"
    )
