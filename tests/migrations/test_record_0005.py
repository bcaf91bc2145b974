"""A record of schema 0005 comes to the schema of today with every hash it had, and its campaigns go on."""

import gzip
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path

import pytest
from sqlalchemy import text

from agd.api import Campaign
from agd.db import activities, definitions, hashes, progress, schema
from agd.db.connection import Database
from agd.loop import LocalEngine
from agd.nets.threads import limited_threads
from agd.steps import next_step, perform
from agd.steps.keeping import open_backup, restore
from agd.steps.opening import reopen_campaign
from agd.work.workspace import Workspace

FIXTURES = Path(__file__).parents[1] / "fixtures"
TOLD = json.loads((FIXTURES / "record_0005.json").read_text())
FreshDatabase = Callable[[], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("record") / "record_0005.tar"
    file.write_bytes(gzip.decompress((FIXTURES / "record_0005.tar.gz").read_bytes()))
    return file


@pytest.fixture
def record(workspace: Workspace, backup: Path) -> Workspace:
    """The record as its release left it, upgraded."""
    restored = restore(workspace, open_backup(backup))
    assert (restored.revision_in_backup, restored.revision) == ("0005", schema.SCHEMA_REVISION)
    return workspace


def content_hash(workspace: Workspace, name: str) -> str | None:
    with workspace.database.read() as tx:
        return progress.content_hash(tx, name)


def state(workspace: Workspace, name: str) -> str:
    with workspace.database.read() as tx:
        return str(progress.campaigns(tx, name)[0]["state"])


def resumed(workspace: Workspace, name: str) -> str | None:
    assert LocalEngine().run(workspace, reopen_campaign(workspace, name)).is_ended
    return content_hash(workspace, name)


def is_where_it_was_made() -> bool:
    """Whether numbers come out here as they did there, to the last bit."""
    versions = {name: version(name) for name in TOLD["versions"]}
    return (activities.worker()["cpu"], versions) == (TOLD["cpu"], TOLD["versions"])


def test_every_campaign_keeps_its_hash_and_its_state(record: Workspace) -> None:
    assert {name: content_hash(record, name) for name in TOLD["kept"]} == TOLD["kept"]
    assert {name: state(record, name) for name in TOLD["states"]} == TOLD["states"]
    with record.database.read() as tx:
        assert {hashes.of_campaign(tx, name).function for name in TOLD["kept"]} == {TOLD["hash_function"]}
        assert schema.differences(tx) == []
        here = definitions.definitions(tx)
        for row in hashes.searches(tx):  # kept by the upgrade
            assert hashes.search_now(tx, row.name, row.n_steps) == row.sha256
        assert {row.name for row in hashes.searches(tx)} == set(TOLD["kept"])
        assert all(hashes.dataset_now(tx, row.id) == row.sha256 for row in hashes.datasets(tx))
        assert hashes.ended_without(tx) == []
    assert definitions.differences(here, definitions.freshly_made(record.database)) == []


@pytest.mark.parametrize("name", TOLD["resumed"])
def test_a_cut_campaign_goes_on_to_the_rows_of_its_release(
    record: Workspace, name: str, fresh_database: FreshDatabase, backup: Path
) -> None:
    """Step by step or at one go: the same rows, on the machine of the release those that it gave itself."""
    at_one_go = resumed(record, name)
    if name == "cut-random" or is_where_it_was_made():  # chance asks no BLAS
        assert at_one_go == TOLD["resumed"][name]
    with fresh_database() as url, Database(url) as database:
        other = Workspace(database, record.artifacts)
        restore(other, open_backup(backup))
        campaign = reopen_campaign(other, name)
        while (step := next_step(other, campaign)) is not None:
            other._loaded.clear()
            with limited_threads(1):
                perform(other, campaign, step)
        assert content_hash(other, name) == at_one_go


def test_a_campaign_that_waits_for_labels_goes_on(record: Workspace) -> None:
    with record.database.read() as tx:
        outcomes = "SELECT outcome, count(*) AS n FROM v_suggestion WHERE campaign = 'outside' GROUP BY outcome"
        assert {row.outcome: row.n for row in tx.execute(text(outcomes))} == {"new": 7, "unanswered": 1}
        told = "SELECT max(value) FROM v_suggestion WHERE campaign = 'outside'"
        assert tx.scalar(text(told)) == 5.75  # in the place of the one that was retracted
        n_charged = progress.campaigns(tx, "outside")[0]["n_charged"]
    campaign = Campaign(record, reopen_campaign(record, "outside"), None)  # type: ignore[arg-type]  # left open
    first = campaign.ask()
    for suggestion in first:
        campaign.tell(suggestion.formula, 2.5, operator="ada", measured_on="2026-01-16")
    second = campaign.ask()
    assert len(first) == 3
    assert {row.iteration for row in second} == {3}
    assert campaign.status["n_charged"] == n_charged + 4  # the one told before, too
    campaign.give_up(second[0].formula, reason="no precursor")
    assert len(campaign.ask()) == len(second) - 1
