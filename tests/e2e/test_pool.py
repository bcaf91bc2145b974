"""Campaigns that spend their budget on random rows of a dataset."""

import csv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.resources import files
from pathlib import Path

import pytest
from sqlalchemy import text

from agd.db.connection import Database
from agd.db.record import activities, campaigns, datasets, hashes
from agd.errors import NotFoundError
from agd.loop import LocalEngine
from agd.nets.threads import limited_threads
from agd.spec import ResolvedSpec
from agd.steps.campaign import candidates
from agd.steps.campaign.campaigns import Campaign, Step
from agd.steps.campaign.offline import compute, ingest, prepare
from agd.steps.campaign.opening import open_campaign, open_controls, plan
from agd.steps.campaign.stepping import next_step, perform
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.compositions import counts_of
from agd.steps.data.importing import import_dataset
from agd.steps.reading.explaining import why
from agd.work.workspace import Workspace

MakeSpec = Callable[..., ResolvedSpec]
STARTER = Path(str(files("agd") / "data" / "starter.csv"))
LABELLED = ImportRules("formula", "band_gap_ev", "band_gap", "eV")

TABLE = '[oracle]\nkind = "table"\n[sampler]\nkind = "pool"\npool = "{pool}"\n'
FOREST = '[oracle]\nn_trees = 10\n[sampler]\nkind = "pool"\npool = "starter"\n'


@pytest.fixture
def other_record(fresh_database: Callable[[], AbstractContextManager[str]], tmp_path: Path) -> Iterator[Workspace]:
    """A second record with the starter set, in which its compositions have ids of another order."""
    with fresh_database() as url, Database(url) as database:
        workspace = Workspace(database, tmp_path / "other")
        with STARTER.open() as file:
            formulas = [row["formula"] for row in csv.DictReader(file)]
        import_formulas(workspace, tmp_path, "backwards", formulas[::-1])
        import_dataset(workspace, STARTER, "starter", LABELLED)
        yield workspace


def import_formulas(workspace: Workspace, folder: Path, name: str, formulas: list[str]) -> None:
    path = folder / f"{name}.csv"
    path.write_text("\n".join(["formula", *formulas]) + "\n")
    import_dataset(workspace, path, name, ImportRules("formula"))


def run(workspace: Workspace, resolved: ResolvedSpec) -> Campaign:
    campaign = open_campaign(workspace, resolved)
    assert LocalEngine().run(workspace, campaign).is_ended
    return campaign


def advance(workspace: Workspace, campaign: Campaign, kind: str) -> Step:
    """Do what comes before the next step of a kind."""
    while (step := next_step(workspace, campaign)) is not None and step.kind != kind:
        with limited_threads(1):
            perform(workspace, campaign, step)
    assert step is not None
    return step


def scalar(workspace: Workspace, query: str) -> object:
    with workspace.database.read() as tx:
        return tx.scalar(text(query))


def suggested(workspace: Workspace, name: str = "small") -> list[str]:
    with workspace.database.read() as tx:
        query = "SELECT reduced_formula FROM v_suggestion WHERE campaign = :name ORDER BY iteration, rank"
        return list(tx.execute(text(query), {"name": name}).scalars())


def content_hash(workspace: Workspace) -> str | None:
    with workspace.database.read() as tx:
        found = hashes.of_campaign(tx, "small")
        return found and found.sha256


def test_real_rows_come_with_their_real_labels(starter: Workspace, make_spec: MakeSpec) -> None:
    run(starter, make_spec(more=TABLE.format(pool="starter")))
    formulas = suggested(starter)
    assert len(set(formulas)) == len(formulas) == scalar(starter, "SELECT count(*) FROM suggestion")
    assert scalar(starter, "SELECT count(*) FROM suggestion WHERE outcome = 'new'") == 25
    assert scalar(starter, "SELECT count(*) FROM suggestion WHERE outcome NOT IN ('new', 'rejected')") == 0
    real = (
        "SELECT count(*) FROM v_suggestion s JOIN label l ON l.id = s.label_id JOIN dataset d ON d.id = l.dataset_id"
        " WHERE d.name = 'starter' AND l.composition_id = s.composition_id"
    )
    assert scalar(starter, real) == 25
    initial = (
        "SELECT count(*) FROM v_suggestion s JOIN training_set_member t USING (composition_id)"
        " JOIN campaign_set q USING (training_set_id) WHERE q.role = 'initial'"
    )
    assert scalar(starter, initial) == 0
    walk = "SELECT count(*) FROM v_lineage WHERE child_kind = 'campaign' AND relation = 'draws from'"
    assert scalar(starter, walk) == 1
    assert why(starter, formulas[0]).suggestions[0].proposed == "composition"


@pytest.mark.slow
def test_a_broken_run_in_another_record_has_the_same_hash(
    starter: Workspace, other_record: Workspace, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = make_spec(budget=12, more=FOREST)
    run(starter, resolved)
    campaign = open_campaign(other_record, resolved)
    finish = activities.finish

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    while (step := next_step(other_record, campaign)) is not None:
        monkeypatch.setattr(activities, "finish", die)
        with pytest.raises(KeyboardInterrupt), limited_threads(1):
            perform(other_record, campaign, step)
        monkeypatch.setattr(activities, "finish", finish)
        other_record._loaded.clear()
        with limited_threads(1):
            perform(other_record, campaign, step)
    assert len(suggested(starter)) >= 12
    assert suggested(other_record) == suggested(starter)
    assert content_hash(other_record) == content_hash(starter)


def test_a_pool_is_drawn_to_its_end(starter: Workspace, make_spec: MakeSpec, tmp_path: Path) -> None:
    """What the autoencoder cannot encode is passed over, what the table lacks costs nothing."""
    strangers = [f"C{n}H{n + 1}" for n in range(21, 421)]
    fitting = ["Na7Cl5", "K7Cl5", "Rb7Cl5", "Na7F5", "K7F5", "Rb7F5", "Na7Br5", "K7Br5", "Rb7Br5", "Cs7F5"]
    import_formulas(starter, tmp_path, "formulas", [*strangers, *fitting])
    run(starter, make_spec(more=TABLE.format(pool="formulas")))
    assert sorted(suggested(starter)) == sorted(fitting)
    assert scalar(starter, "SELECT count(*) FROM suggestion WHERE outcome = 'unanswered'") == len(fitting)
    assert scalar(starter, "SELECT end_reason FROM campaign") == "stalled"
    assert scalar(starter, "SELECT max(number) FROM iteration") == 3


def test_a_draw_is_a_batch_that_is_new_in_the_order_of_its_seed(
    starter: Workspace, other_record: Workspace, make_spec: MakeSpec
) -> None:
    campaign = open_campaign(starter, make_spec(more=FOREST))
    with starter.database.read() as tx:
        pool_id = campaigns.pool_of(tx, campaign.id)
        assert pool_id is not None
        everything = {row.reduced_formula for row in datasets.rows_of(tx, pool_id)}
        whole, other = (campaigns.drawn(tx, pool_id, seed, len(everything) + 1) for seed in (1, 2))
        assert set(whole) == everything
        assert campaigns.drawn(tx, pool_id, 1, 5) == whole[:5]
        assert len(set(whole[:100]) & set(other[:100])) < 50
        drawn = candidates.draw(tx, campaign, 1, set(whole[:50]))
        left = candidates.draw(tx, campaign, 1, set(whole[3:]))
        none = candidates.draw(tx, campaign, 1, everything)
    assert drawn is not None
    assert drawn.tolist() == counts_of(whole[50:58]).tolist()
    assert left is not None
    assert left.tolist() == counts_of(whole[:3]).tolist()
    assert none is not None
    assert none.shape == (0, 103)
    with other_record.database.read() as tx:
        found = datasets.find(tx, name="starter")
        assert found is not None
        assert campaigns.drawn(tx, found.id, 1, len(whole)) == whole


def test_candidates_travel_to_where_no_record_is(starter: Workspace, make_spec: MakeSpec, tmp_path: Path) -> None:
    run(starter, make_spec("near", budget=8, more=FOREST))
    campaign = open_campaign(starter, make_spec("far", budget=8, more=FOREST))
    step = advance(starter, campaign, "suggest")
    assert prepare(starter, campaign, step, tmp_path / "job", 3600.0)
    compute(tmp_path / "job")
    assert ingest(starter, tmp_path / "job").what == "recorded"
    assert LocalEngine().run(starter, campaign).is_ended
    assert suggested(starter, "far") == suggested(starter, "near")


def test_a_pool_that_is_not_there(starter: Workspace, make_spec: MakeSpec) -> None:
    resolved = make_spec(more=TABLE.format(pool="startr"))
    line = resolved.text.splitlines().index('pool = "startr"') + 1
    for opened in (open_campaign, plan):
        with pytest.raises(NotFoundError, match=rf"small.toml:{line}: sampler.pool: no dataset 'startr'.*'starter'"):
            opened(starter, resolved)
    assert scalar(starter, "SELECT count(*) FROM campaign") == 0
    assert plan(starter, make_spec(more=FOREST)).pool == "starter"


def test_controls_draw_from_no_pool(starter: Workspace, make_spec: MakeSpec) -> None:
    campaign = open_campaign(starter, make_spec(more=FOREST))
    controls = open_controls(starter, campaign)
    assert [control.spec.sampler.pool for control in controls] == [None] * len(controls)
    assert open_controls(starter, campaign) == controls
    query = "SELECT campaign.name FROM campaign_pool JOIN campaign ON campaign.id = campaign_id"
    assert scalar(starter, query) == "small"
    assert scalar(starter, "SELECT count(*) FROM campaign_pool") == 1


def test_a_specification_without_a_pool_is_what_it_was_before_there_were_any(make_spec: MakeSpec) -> None:
    assert "pool" not in make_spec().content["sampler"]
    assert make_spec(more=FOREST).content["sampler"]["pool"] == "starter"
