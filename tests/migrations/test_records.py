"""A record of an older schema comes to that of today with every hash it had, and its campaigns go on."""

import functools
import gzip
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from agd.api import Campaign
from agd.db import schema
from agd.db.connection import Database
from agd.db.reading import progress
from agd.db.record import activities, generations, hashes, jobs, screenings
from agd.db.upkeep import checks, definitions, inventory
from agd.loop import LocalEngine
from agd.nets.threads import limited_threads
from agd.steps.campaign.opening import reopen_campaign
from agd.steps.campaign.stepping import next_step, perform
from agd.steps.upkeep.backups import open_backup, restore
from agd.work.workspace import Workspace

FIXTURES = Path(__file__).parents[1] / "fixtures"
REVISIONS = ("0005", "0007")
FreshDatabase = Callable[[], AbstractContextManager[str]]
Backup = Callable[[str], Path]


@functools.cache
def told(revision: str) -> dict[str, Any]:
    """What the release of that schema said of its record."""
    found: dict[str, Any] = json.loads((FIXTURES / f"record_{revision}.json").read_text())
    return found


@pytest.fixture(scope="session")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Backup:
    folder = tmp_path_factory.mktemp("records")

    def unpacked(revision: str) -> Path:
        file = folder / f"record_{revision}.tar"
        if not file.exists():
            file.write_bytes(gzip.decompress((FIXTURES / f"{file.name}.gz").read_bytes()))
        return file

    return unpacked


@pytest.fixture
def record(workspace: Workspace, backup: Backup) -> Callable[[str], Workspace]:
    """A record as the release of that schema left it, upgraded."""

    def upgraded(revision: str) -> Workspace:
        restored = restore(workspace, open_backup(backup(revision)))
        assert (restored.revision_in_backup, restored.revision) == (revision, schema.SCHEMA_REVISION)
        return workspace

    return upgraded


def content_hash(workspace: Workspace, name: str) -> str | None:
    with workspace.database.read() as tx:
        found = hashes.of_campaign(tx, name)
        return found and found.sha256


def state(workspace: Workspace, name: str) -> str:
    with workspace.database.read() as tx:
        return str(progress.campaigns(tx, name)[0]["state"])


def resumed(workspace: Workspace, name: str) -> str | None:
    assert LocalEngine().run(workspace, reopen_campaign(workspace, name)).is_ended
    return content_hash(workspace, name)


def is_where_it_was_made(revision: str) -> bool:
    """Whether numbers come out here as they did there, to the last bit.

    Those releases told the name of a processor alone, of which there are several kinds: that of theirs `lacks` a flag.
    """
    said = told(revision)
    versions = {name: version(name) for name in said["versions"]}
    name = activities.worker()["cpu"].partition(" (")[0]
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text().split() if cpuinfo.is_file() else []
    return (name, versions) == (said["cpu"], said["versions"]) and said["lacks"] not in flags


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_campaign_keeps_its_hash_and_its_state(record: Callable[[str], Workspace], revision: str) -> None:
    upgraded, said = record(revision), told(revision)
    assert {name: content_hash(upgraded, name) for name in said["kept"]} == said["kept"]
    assert {name: state(upgraded, name) for name in said["states"]} == said["states"]
    with upgraded.database.read() as tx:
        assert {hashes.of_campaign(tx, name).function for name in said["kept"]} == {said["hash_function"]}
        assert schema.differences(tx) == []
        here = definitions.definitions(tx)
        for row in hashes.searches(tx):
            assert hashes.search_now(tx, row.name, row.n_steps) == row.sha256
        kept = {row.name for row in hashes.searches(tx)}
        assert set(said["kept"]) - kept == (set() if revision == "0005" else {"queued"})  # 0007 keeps them by itself
        assert all(hashes.dataset_now(tx, row.id) == row.sha256 for row in hashes.datasets(tx))
        assert hashes.ended_without(tx) == []
        laws = [law for law in checks.CONTRADICTIONS if law.subject in {"job", "stage", "screening"}]
        assert [law.what for law in laws if checks.n_against(tx, law)] == []
    assert definitions.differences(here, definitions.freshly_made(upgraded.database)) == []


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_step_is_a_job(record: Callable[[str], Workspace], revision: str) -> None:
    upgraded = record(revision)
    with upgraded.database.read() as tx:
        steps = (
            "SELECT count(DISTINCT (campaign_id, kind, iteration_id)) FROM activity WHERE lease_expires_at IS NOT NULL"
        )
        rows = jobs.overview(tx)
        assert len(rows) == tx.scalar(text(steps)) > 40
        left = [(row.title, row.state, row.n_attempts, row.n_failed) for row in rows if row.state != "done"]
        assert left == ([] if revision == "0005" else [("failed: train autoencoder", "open", 2, 1)])  # one is forgiven
    with upgraded.database.transaction() as tx:  # each is found again by its key
        steps_again = (jobs.of_step(row.campaign_id, row.campaign, row.kind, row.iteration) for row in rows)
        assert [jobs.ensure(tx, step) for step in steps_again] == [row.id for row in rows]


def test_what_was_left_at_each_stage(record: Callable[[str], Workspace]) -> None:
    upgraded = record("0007")
    with upgraded.database.read() as tx:
        (drawn,) = generations.overview(tx)
        funnel = generations.stages(tx, drawn.dataset_id)
        assert list(funnel) == ["sampled", "decoded", "distinct", "within trims", "valid", "novel"]
        assert funnel["sampled"] == drawn.n_samples == 2000
        screened = screenings.overview(tx, campaign="ended")
        assert [(row.role, row.pool) for row in screened] == [
            (role, pool) for pool in ("made", "drawn") for role in ("baseline", "al")
        ]
        for row in screened:
            counts = list(screenings.stages(tx, row.screening_id).values())
            assert (counts[0], counts[-1]) == (row.n_read, row.n_hits)
        n_in = "SELECT n_in FROM stage WHERE activity_id = :id ORDER BY position"
        assert tx.scalars(text(n_in), {"id": drawn.activity_id}).all() == [2000, *list(funnel.values())[:-1]]


def test_there_and_back(record: Callable[[str], Workspace]) -> None:
    """What 0008 moved is where it was when one goes back, and comes again."""
    upgraded = record("0007")
    with upgraded.database.transaction() as tx:
        hashes_ = {name: inventory.content_hashes(tx, name) for name in (hashes.WITH_LATER, "agd_content_hash_v2")}
        shown, stages = jobs.overview(tx), tx.execute(text("SELECT * FROM stage ORDER BY 1, 2, 3")).all()
        attempts = tx.execute(text("SELECT * FROM v_attempt ORDER BY activity_id")).all()
        schema.downgrade(tx, "0007")
        counts = [tx.scalar(text(f"SELECT count(*) FROM {of}_stage")) for of in ("generation", "screening")]
        assert (counts[0], sum(counts)) == (6, len(stages))
        assert {name: inventory.content_hashes(tx, name) for name in hashes_} == hashes_
        before = tx.execute(text("SELECT * FROM v_attempt ORDER BY activity_id")).all()
        assert before == [row[: len(before[0])] for row in attempts]
        schema.upgrade(tx)
        assert tx.execute(text("SELECT * FROM stage ORDER BY 1, 2, 3")).all() == stages
        assert jobs.overview(tx) == shown
        assert {name: inventory.content_hashes(tx, name) for name in hashes_} == hashes_


@pytest.mark.parametrize(
    ("revision", "name"),
    [
        pytest.param(one, name, marks=() if (one, name) == (REVISIONS[0], "cut") else pytest.mark.slow)
        for one in REVISIONS
        for name in told(one)["resumed"]
    ],
)
def test_a_cut_campaign_goes_on_to_the_rows_of_its_release(
    record: Callable[[str], Workspace], revision: str, name: str, fresh_database: FreshDatabase, backup: Backup
) -> None:
    """Step by step or at one go: the same rows, on the machine of the release those that it gave itself."""
    upgraded = record(revision)
    at_one_go = resumed(upgraded, name)
    if name in {"cut-random", "queued"} or is_where_it_was_made(revision):  # chance asks no BLAS
        assert at_one_go == told(revision)["resumed"][name]
    with fresh_database() as url, Database(url) as database:
        other = Workspace(database, upgraded.artifacts)
        restore(other, open_backup(backup(revision)))
        campaign = reopen_campaign(other, name)
        while (step := next_step(other, campaign)) is not None:
            other._loaded.clear()
            with limited_threads(1):
                perform(other, campaign, step)
        assert content_hash(other, name) == at_one_go


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_campaign_that_waits_for_labels_goes_on(record: Callable[[str], Workspace], revision: str) -> None:
    upgraded = record(revision)
    with upgraded.database.read() as tx:
        outcomes = "SELECT outcome, count(*) AS n FROM v_suggestion WHERE campaign = 'outside' GROUP BY outcome"
        assert {row.outcome: row.n for row in tx.execute(text(outcomes))} == {"new": 7, "unanswered": 1}
        value = "SELECT max(value) FROM v_suggestion WHERE campaign = 'outside'"
        assert tx.scalar(text(value)) == 5.75  # in the place of the one that was retracted
        n_charged = progress.campaigns(tx, "outside")[0]["n_charged"]
    campaign = Campaign(upgraded, reopen_campaign(upgraded, "outside"), None)  # type: ignore[arg-type]  # left open
    first = campaign.ask()
    for suggestion in first:
        campaign.tell(suggestion.formula, 2.5, operator="ada", measured_on="2026-01-16")
    second = campaign.ask()
    assert len(first) == 3
    assert {row.iteration for row in second} == {3}
    assert campaign.status["n_charged"] == n_charged + 4  # the one told before, too
    campaign.give_up(second[0].formula, reason="no precursor")
    assert len(campaign.ask()) == len(second) - 1
