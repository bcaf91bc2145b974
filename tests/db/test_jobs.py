"""Jobs: each is there once, attempted by one at a time, done once; the next one by needs, priority and order."""

import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from agd.db.connection import Database, Transaction
from agd.db.reading import progress
from agd.db.record import activities, amendments, campaigns, jobs
from agd.db.record.jobs import Needs, NewJob
from agd.db.upkeep import checks
from agd.errors import BusyError, InputError, NotFoundError, StepError

CAMPAIGN = """
INSERT INTO campaign (name, spec_sha256, spec, spec_text, seed, property, target_low, budget_calls, agd_version)
    VALUES ('wide-gap', 's', '{}', '', 0, 'band_gap', 6, 10, '0'), ('täg\x1f', 't', '{}', '', 0, 'band_gap', 6, 10, '0')
"""


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    with database.transaction() as opened:
        opened.execute(text(CAMPAIGN))
        yield opened


def made(tx: Transaction, name: str, **values: object) -> int:
    return jobs.ensure(tx, NewJob("generate", f"generate {name}", jobs.key_of("generation", name), **values))  # type: ignore[arg-type]


def taken(tx: Transaction, job_id: int, lease_s: float = 60.0) -> int:
    attempt = jobs.take(tx, job_id, lease_s=lease_s, threads=1, seed=7)
    assert attempt is not None
    return attempt


def shown(tx: Transaction, job_id: int) -> str:
    (row,) = jobs.overview(tx, ids=[job_id])
    return str(row.state)


@pytest.mark.parametrize(("kind", "iteration"), [("suggest", 3), ("encode", None), ("train oracle", None)])
@pytest.mark.parametrize("campaign_id", [1, 2])
def test_a_step_has_one_key_and_one_title(tx: Transaction, campaign_id: int, kind: str, iteration: int | None) -> None:
    name = str(tx.scalar(text("SELECT name FROM campaign WHERE id = :id"), {"id": campaign_id}))
    here = {"name": name, "kind": kind, "iteration": iteration}
    new = jobs.of_step(campaign_id, name, kind, iteration)
    assert new.key_sha256 == tx.scalar(text("SELECT agd_step_key(:name, :kind, :iteration)"), here)
    assert new.title == f"{name}: {kind}" + (f" {iteration}" if iteration else "")
    assert jobs.ensure(tx, new) == jobs.ensure(tx, new)


def test_what_an_end_cancelled_is_due_again_when_the_campaign_is_extended(tx: Transaction) -> None:
    left, held, unwanted = (
        jobs.ensure(tx, jobs.of_step(1, "wide-gap", kind, 2)) for kind in ("decode", "label", "record")
    )
    jobs.hold(tx, held, "not yet")
    jobs.cancel(tx, unwanted, "not wanted")
    campaigns.end(tx, 1, "stalled")
    assert [shown(tx, job_id) for job_id in (left, held, unwanted)] == ["cancelled"] * 3
    activity_id = activities.start(tx, "extend", threads=1)
    amendments.store_budget(tx, 1, 20, activity_id)
    campaigns.reopen(tx, 1, "stalled")
    assert [shown(tx, job_id) for job_id in (left, held, unwanted)] == ["open", "open", "cancelled"]
    assert amendments.held_budget(tx, 1) == 20
    kept = "SELECT end_reason, ended_at IS NOT NULL, number FROM campaign_amendment"
    assert tuple(tx.execute(text(kept)).one()) == ("stalled", True, 1)


def test_whoever_ends_an_attempt_and_whoever_takes_the_job_do_not_wait_for_each_other(database: Database) -> None:
    """Both lock the job before the attempt."""
    with database.transaction() as tx:
        attempt = taken(tx, made(tx, "one"))

    def end() -> None:
        with database.transaction() as tx:
            activities.finish(tx, attempt)

    ending = threading.Thread(target=end)
    with database.transaction() as tx:
        tx.execute(text("SELECT FROM job FOR NO KEY UPDATE"))
        ending.start()
        ending.join(0.5)
        assert ending.is_alive()
        tx.execute(text("SELECT FROM activity FOR UPDATE NOWAIT"))
    ending.join(30.0)
    with database.read() as tx:
        assert shown(tx, 1) == "done"


def test_a_job_that_is_there_stays_as_it_is(tx: Transaction) -> None:
    first = made(tx, "one")
    needs = Needs(4, 2.5, ("gpaw",))
    job_id = made(tx, "two", request={"n": 5}, priority=3, needs=needs, campaign_id=1, after=(first, first))
    row = jobs.find(tx, job_id)
    assert row is not None
    assert (row.request, row.priority, row.n_cores, row.hours, row.programs) == ({"n": 5}, 3, 4, 2.5, ["gpaw"])
    assert made(tx, "two", request={"n": 6}, after=(first,)) == job_id
    assert jobs.find(tx, job_id) == row
    assert tx.execute(text("SELECT job_id, waits_for_id FROM job_after")).all() == [(job_id, first)]
    assert jobs.find(tx, 99) is None


def test_attempts_until_one_is_done(tx: Transaction) -> None:
    job_id = made(tx, "one")
    failed = taken(tx, job_id)
    with pytest.raises(BusyError, match=r"job 1 \(generate one\) is being done by process \d+ on "):
        jobs.take(tx, job_id, lease_s=60.0, threads=1)
    activities.fail(tx, failed, "OSError: full", is_transient=True)
    silent = taken(tx, job_id, lease_s=-1.0)
    last = taken(tx, job_id)
    assert not activities.renew(tx, silent, 60.0)
    (row,) = jobs.overview(tx)
    assert (row.title, row.kind, row.campaign, row.state) == ("generate one", "generate", None, "running")
    assert (row.n_attempts, row.n_failed, row.n_lost, row.last_error) == (3, 1, 1, "OSError: full")
    assert (row.last_error_class, row.activity_id, row.pid) == ("transient", last, activities.worker()["pid"])
    with pytest.raises(BusyError, match="given up as lost"):
        activities.finish(tx, silent)
    activities.finish(tx, last)
    assert shown(tx, job_id) == "done"
    assert jobs.take(tx, job_id, lease_s=60.0, threads=1) is None
    outcomes = tx.execute(text("SELECT outcome, campaign, is_counted FROM v_attempt ORDER BY activity_id")).all()
    assert outcomes == [("failed", None, True), ("lost", None, True), ("done", None, True)]


def test_only_a_step_counts_as_its_campaigns(tx: Transaction) -> None:
    step = jobs.ensure(tx, jobs.of_step(1, "wide-gap", "encode", None))
    attempt = jobs.take(tx, step, lease_s=60.0, threads=1, campaign_id=1)
    assert attempt is not None
    taken(tx, made(tx, "for it", campaign_id=1))
    assert [row.title for row in activities.leases(tx)] == ["wide-gap: encode", "generate for it"]
    assert [row.step for row in activities.leases(tx, 1)] == ["encode"]
    activities.fail(tx, attempt, "ValueError: no", is_transient=False)
    assert [(row.step, row.error_class) for row in activities.attempts(tx, 1)] == [("encode", "permanent")]
    assert [row.title for row in jobs.overview(tx, campaign="wide-gap")] == ["wide-gap: encode", "generate for it"]
    tx.execute(text("UPDATE campaign SET retries_from = clock_timestamp()"))
    assert activities.attempts(tx, 1) == []
    assert {row["state"] for row in progress.campaigns(tx, "wide-gap")} == {"failed"}


def test_the_next_one(tx: Transaction) -> None:
    low, first, second, waiting = (made(tx, name, priority=p) for name, p in (("a", -1), ("b", 2), ("c", 2), ("d", 3)))
    last = made(tx, "e", priority=9, after=(first, second))
    assert shown(tx, last) == "waiting"
    jobs.postpone(tx, waiting, 60.0)
    for expected in (first, second, low):
        assert jobs.claim(tx) == expected
        taken(tx, expected)
    assert jobs.claim(tx) is None
    for attempt in (1, 2):
        activities.finish(tx, attempt)
    assert jobs.claim(tx) == last
    jobs.retry(tx, waiting)
    jobs.hold(tx, last)
    assert jobs.claim(tx) == waiting


def test_what_a_worker_can_do(tx: Transaction) -> None:
    big = made(tx, "big", needs=Needs(16, 48.0, ("gpaw", "phonopy")), campaign_id=1)
    small = made(tx, "small", needs=Needs(2))
    for limits, expected in (
        ({}, big),
        ({"n_cores": 16, "hours": 48.0, "programs": ["phonopy", "gpaw", "vasp"]}, big),
        ({"n_cores": 15}, small),
        ({"hours": 47.0}, small),  # how long it takes nobody knows
        ({"programs": ["gpaw"]}, small),
        ({"n_cores": 1}, None),
        ({"kinds": ["generate"]}, big),
        ({"kinds": ["screen", "train"]}, None),
        ({"campaign_id": 1}, big),
        ({"campaign_id": 2}, None),
    ):
        assert jobs.claim(tx, **limits) == expected, limits  # type: ignore[arg-type]


def test_two_that_claim_get_two(database: Database, tx: Transaction) -> None:
    both = [made(tx, "one"), made(tx, "two")]
    tx.commit()
    with database.transaction() as one, database.transaction() as other:
        assert [jobs.claim(one), jobs.claim(other)] == both
        taken(one, both[0])
        one.commit()
        assert jobs.claim(other) == both[1]


TURNS: dict[str, tuple[Callable[[Transaction, int], object], tuple[str, ...]]] = {
    "parked": (lambda tx, i: jobs.park(tx, i, "why"), ("open",)),
    "held": (lambda tx, i: jobs.hold(tx, i, "why"), ("open",)),
    "released": (jobs.release, ("held",)),
    "cancelled": (jobs.cancel, ("open", "held", "parked")),
    "tried again": (jobs.retry, ("open", "parked", "cancelled")),
}
CURES = {"held": "agd jobs release 1", "parked": r"\(why\): `agd jobs retry 1`", "cancelled": "agd jobs retry 1"}


@pytest.mark.parametrize("state", ["open", "held", "parked", "cancelled", "done"])
@pytest.mark.parametrize("turn", TURNS)
def test_how_a_job_may_turn(tx: Transaction, turn: str, state: str) -> None:
    job_id = made(tx, "one")
    if state == "done":
        activities.finish(tx, taken(tx, job_id))
    elif state != "open":
        {"held": jobs.hold, "parked": jobs.park, "cancelled": jobs.cancel}[state](tx, job_id, "why")
    done, of = TURNS[turn]
    if state in of:
        done(tx, job_id)
        assert shown(tx, job_id) == {"released": "open", "tried again": "open"}.get(turn, turn)
    else:
        with pytest.raises(InputError, match=rf"job 1 \(generate one\) (is|was) {state}.*; it cannot be {turn}"):
            done(tx, job_id)
        assert shown(tx, job_id) == state
    if (cure := CURES.get(shown(tx, job_id))) is not None:
        with pytest.raises(StepError, match="agd jobs"):
            taken(tx, job_id)
        if shown(tx, job_id) == state:
            with pytest.raises(StepError, match=cure):
                taken(tx, job_id)


def test_what_is_at_work_goes_on_and_is_not_cancelled(tx: Transaction) -> None:
    job_id = made(tx, "one")
    attempt = taken(tx, job_id)
    for turn in (jobs.cancel, jobs.retry):
        with pytest.raises(BusyError, match="is being done by process"):
            turn(tx, job_id)
    jobs.hold(tx, job_id, "the disk is full")
    assert shown(tx, job_id) == "running"
    activities.finish(tx, attempt)
    row = jobs.find(tx, job_id)
    assert row is not None
    assert (row.state, row.reason) == ("done", None)
    with pytest.raises(NotFoundError, match="no job 99: see `agd jobs`"):
        jobs.hold(tx, 99)


def test_failures_are_forgiven(tx: Transaction) -> None:
    job_id = made(tx, "one")
    activities.fail(tx, taken(tx, job_id), "ValueError: no", is_transient=False)
    jobs.park(tx, job_id, "ValueError: no")
    jobs.retry(tx, job_id)
    (row,) = jobs.overview(tx)
    assert (row.state, row.reason, row.n_attempts, row.n_failed) == ("open", None, 1, 0)


_JOB = "INSERT INTO job (kind, title, key_sha256, {}) VALUES ('k', 't', 'x', {})"
_ATTEMPT = "INSERT INTO activity (kind, agd_version, host, cpu, threads, pid, job_id, lease_expires_at) VALUES "

BREACHES = {
    "the same work twice": ("INSERT INTO job (kind, title, key_sha256) SELECT 'k', 't', key_sha256 FROM job", "uq_job"),
    "a state that nobody knows": ("UPDATE job SET state = 'lost'", "state_is_known"),
    "parked for no reason": ("UPDATE job SET state = 'parked'", "parked_has_reason"),
    "a reason for being open": ("UPDATE job SET reason = 'x'", "reason_is_of_a_pause"),
    "no title": ("UPDATE job SET title = ''", "title was recorded|title_is_given"),
    "no cores": (_JOB.format("n_cores", "0"), "n_cores_is_positive"),
    "endless": (_JOB.format("hours", "'Infinity'"), "hours_are_finite"),
    "a program without a name": (_JOB.format("programs", "'{NULL}'"), "programs_are_named"),
    "an iteration of no campaign": (_JOB.format("iteration", "1"), "iteration_has_campaign"),
    "waiting for itself": ("INSERT INTO job_after VALUES (1, 1)", "waits_for_an_earlier_one"),
    "waiting for a later one": ("INSERT INTO job_after VALUES (1, 2)", "waits_for_an_earlier_one"),
    "a lease on nothing": (f"{_ATTEMPT} ('generate', '0', 'h', 'c', 1, 1, NULL, now())", "lease_is_on_a_job"),
    "an attempt without a lease": (f"{_ATTEMPT} ('generate', '0', 'h', 'c', 1, 1, 1, NULL)", "lease_is_on_a_job"),
    "an attempt at another kind": (f"{_ATTEMPT} ('screen', '0', 'h', 'c', 1, 1, 1, now())", "fk_activity_job_id_kind"),
    "two at work": (
        f"{_ATTEMPT} ('generate', '0', 'h', 'c', 1, 1, 1, now()), ('generate', '0', 'h', 'c', 1, 1, 1, now())",
        "uq_activity_job",
    ),
    "another job": ("UPDATE activity SET job_id = 1", "job_id was recorded"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_refused(tx: Transaction, breach: str) -> None:
    made(tx, "one")
    taken(tx, made(tx, "two"))
    statement, law = BREACHES[breach]
    with pytest.raises(IntegrityError, match=law), tx.begin_nested():
        tx.execute(text(statement))


def test_what_contradicts_itself_is_counted(tx: Transaction) -> None:
    done, of_another = [law for law in checks.CONTRADICTIONS if law.subject == "job"]
    job_id = jobs.ensure(tx, jobs.of_step(1, "wide-gap", "encode", None))
    attempt = jobs.take(tx, job_id, lease_s=60.0, threads=1, campaign_id=1)
    assert attempt is not None
    assert (checks.n_against(tx, done), checks.n_against(tx, of_another)) == (0, 0)
    tx.execute(text("UPDATE job SET state = 'done'"))
    assert checks.n_against(tx, done) == 1
    activities.finish(tx, attempt)
    assert checks.n_against(tx, done) == 0
    wrong = jobs.ensure(tx, NewJob("decode", "x", jobs.step_key("wide-gap", "decode", 1), campaign_id=1))
    jobs.take(tx, wrong, lease_s=60.0, threads=1, campaign_id=1)
    assert checks.n_against(tx, of_another) == 1
