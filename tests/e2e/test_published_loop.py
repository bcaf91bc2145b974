"""The published loop and the controls: what is charged, what the sampler is told, and what the record keeps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from agd import spec
from agd.db.reading import progress
from agd.db.removals import open_removal
from agd.errors import SpecError
from agd.loop import LocalEngine
from agd.plugins.samplers.gaussian_process import Ucb, UcbOptions
from agd.plugins.samplers.published_batch import labelled
from agd.spec import ResolvedSpec
from agd.steps.campaign import searching
from agd.steps.campaign.campaigns import Campaign, CampaignStep, Step
from agd.steps.campaign.opening import open_campaign, open_controls
from agd.target import Target
from agd.types import History
from agd.work.workspace import Workspace

MakeSpec = Callable[..., ResolvedSpec]

PAPER = """\
name = "{name}"
mode = "paper"
target = "band_gap > 4 eV"
seed = 3

[data]
dataset = "starter"

[initial]
n = 30
at_most = 5.0

[budget]
oracle_calls = 20
suggestions_per_iteration = 8

[autoencoder]
kind = "set"
epochs = 3
n_latent = 12
hidden = 48
min_rows = 2000

[oracle]
n_trees = 5

[sampler]
kind = "ucb"
kappa = 0
n_warmup = 200
"""


def published(folder: Path, name: str = "published") -> ResolvedSpec:
    path = folder / f"{name}.toml"
    path.write_text(PAPER.format(name=name))
    return spec.read(path)


def state(workspace: Workspace, name: str) -> dict[str, object]:
    with workspace.database.read() as tx:
        return progress.campaigns(tx, name)[0]


def scalar(workspace: Workspace, query: str) -> object:
    with workspace.database.read() as tx:
        return tx.scalar(text(query))


def run(workspace: Workspace, resolved: ResolvedSpec) -> Campaign:
    campaign = open_campaign(workspace, resolved)
    assert LocalEngine().run(workspace, campaign).is_ended
    return campaign


def test_repeats_are_charged_and_point_to_the_label_they_have(starter: Workspace, tmp_path: Path) -> None:
    run(starter, published(tmp_path))
    row = state(starter, "published")
    assert row["n_charged"] == 20
    assert row["n_charged"] == row["n_new"] + row["n_duplicate"] + row["n_known"]  # type: ignore[operator]
    assert row["n_duplicate"] > 0  # type: ignore[operator]  # with kappa 0 one optimum comes again and again
    one_label_each = (
        "SELECT count(*) FROM (SELECT composition_id FROM suggestion WHERE label_id IS NOT NULL GROUP BY composition_id"
        " HAVING count(DISTINCT label_id) > 1) twice"
    )
    assert scalar(starter, one_label_each) == 0
    assert scalar(starter, "SELECT count(*) FROM v_label WHERE source_kind = 'oracle' AND value = 0") == 0
    by_oracle = "SELECT bool_and(l.model_version_id IS NOT NULL) FROM suggestion s JOIN label l ON l.id = s.label_id"
    assert scalar(starter, by_oracle)


def test_an_undecodable_point_counts_as_zero_in_the_history_alone(starter: Workspace, tmp_path: Path) -> None:
    campaign = open_campaign(starter, published(tmp_path))
    LocalEngine().run(starter, campaign, before={"suggest"})
    with starter.database.read() as tx:
        past = searching._read_past(tx, CampaignStep(campaign, Step("suggest", 1)))
    history = searching._history(past, campaign.spec, lambda _: [])
    assert history.undecodable_objective == 0.0
    assert history.counts is not None
    assert history.n_initial == 30
    assert (history.counts.sum(axis=1) > 0).all()
    window = campaign.spec.model_copy(update={"targets": (Target.parse("2 eV < band_gap < 4 eV"),)})
    assert searching._history(past, window, lambda _: []).undecodable_objective == pytest.approx(-2.0)
    ordinary = campaign.spec.model_copy(update={"mode": "default"})
    assert searching._history(past, ordinary, lambda _: []).undecodable_objective is None


def test_the_published_loop_rejects_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(PAPER.format(name="x") + "\n[filter]\nmax_atoms = 9\n")
    with pytest.raises(SpecError, match=r"x.toml:2: mode: the published loop rejects nothing"):
        spec.read(path)


def test_controls_spend_the_same_budget_on_the_same_sets(starter: Workspace, make_spec: MakeSpec) -> None:
    campaign = run(starter, make_spec(budget=16))
    controls = open_controls(starter, campaign)
    assert [control.name for control in controls] == ["small-random", "small-substitution"]
    for control in controls:
        LocalEngine().run(starter, control)
        row = state(starter, control.name)
        assert (row["twin_of"], row["n_charged"], row["end_reason"]) == ("small", 16, "budget spent")
    assert [control.id for control in open_controls(starter, campaign)] == [control.id for control in controls]
    sets = "SELECT count(DISTINCT (role, training_set_id)) FROM campaign_set"
    assert scalar(starter, sets) == 3
    assert scalar(starter, "SELECT count(*) FROM model_version") == 2
    proposed = "SELECT DISTINCT proposed FROM v_suggestion WHERE campaign = 'small-substitution'"
    assert scalar(starter, proposed) == "composition"
    with pytest.raises(SpecError, match="is a control itself"):
        open_controls(starter, controls[0])


def test_a_substitution_differs_from_an_initial_row_in_one_element(starter: Workspace, make_spec: MakeSpec) -> None:
    campaign = open_campaign(starter, make_spec(budget=8))
    control = open_controls(starter, campaign)[1]
    LocalEngine().run(starter, control)
    with starter.database.read() as tx:
        past = searching._read_past(tx, CampaignStep(control, Step("suggest", 99)))
    history = searching._history(past, control.spec, lambda _: [])
    assert history.counts is not None
    initial, made = history.counts[: history.n_initial], history.counts[history.n_initial :]
    for row in made:
        same_amounts = np.sort(initial, axis=1) == np.sort(row)
        n_shared = ((initial > 0) & (initial == row)).sum(axis=1)
        assert (same_amounts.all(axis=1) & (n_shared == (row > 0).sum() - 1)).any()


def test_the_name_of_a_control_is_not_taken_from_another_campaign(starter: Workspace, make_spec: MakeSpec) -> None:
    campaign = open_campaign(starter, make_spec(budget=8))
    open_campaign(starter, make_spec("small-random", budget=9))
    with pytest.raises(SpecError, match="'small-random', belongs to another campaign"):
        open_controls(starter, campaign)


def test_a_control_with_nothing_left_to_substitute_ends(starter: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    more = PAPER.replace('mode = "paper"\n', "").replace("n = 30", "n = 2").replace("kappa = 0", "kappa = 1")
    path.write_text(more.format(name="tiny").replace("oracle_calls = 20", "oracle_calls = 200"))
    control = open_controls(starter, open_campaign(starter, spec.read(path)))[1]
    assert LocalEngine().run(starter, control).is_ended
    row = state(starter, control.name)
    assert row["end_reason"] == "stalled"
    assert 0 < int(str(row["n_charged"])) < 200


def test_a_specification_stays_the_same_when_a_key_with_a_default_is_added(
    starter: Workspace, make_spec: MakeSpec
) -> None:
    resolved = make_spec()
    open_campaign(starter, resolved)
    younger = (
        "UPDATE campaign SET spec_sha256 = 'older', spec = (spec - 'mode') #- '{oracle,out_of_fold}'"
        " #- '{autoencoder,variational}' || jsonb_build_object('oracle', (spec -> 'oracle') - 'out_of_fold'"
        " || '{\"minimum\": 0.0}')"
    )
    with starter.database.transaction() as tx:
        open_removal(tx, "a test")
        tx.execute(text(younger))
    assert open_campaign(starter, resolved).name == "small"
    with pytest.raises(SpecError, match=r"budget\.oracle_calls: 25 -> 26"):
        open_campaign(starter, make_spec(budget=26))


def test_only_what_stands_for_nothing_counts_as_zero() -> None:
    counts = np.zeros((4, 103), dtype=np.int32)
    counts[[0, 2], 10] = 1
    objectives = np.array([1.0, np.nan, np.nan, np.nan])
    past = History(np.eye(4), objectives, np.array([[0.0, 1.0]] * 4), counts=counts, undecodable_objective=0.0)
    np.testing.assert_array_equal(labelled(past), [1.0, 0.0, np.nan, 0.0])
    assert Ucb(UcbOptions(n_warmup=20)).suggest(past, 2, seed=0).latents is not None
