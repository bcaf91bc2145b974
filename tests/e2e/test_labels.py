"""Labels by hand: measured, told apart, withdrawn; never removed."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from agd.cli.app import app
from agd.db.reading import progress
from agd.db.record import hashes
from agd.errors import FormulaError, InputError, NotFoundError
from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps.campaign import searching
from agd.steps.campaign.campaigns import CampaignStep, Step
from agd.steps.campaign.opening import open_campaign
from agd.steps.campaign.stepping import perform
from agd.steps.data.labelling import Measurement, add_label, retract_label, what_rests_on
from agd.steps.models.evaluating import evaluate
from agd.steps.reading.explaining import why
from agd.steps.screening.screening import ScreenerChoice, ScreeningPlan, screen
from agd.work.workspace import Workspace

MakeSpec = Callable[..., ResolvedSpec]

DAY = date(2026, 1, 15)
MORE = '[oracle]\nn_trees = 5\nexclude_initial = false\n[sampler]\nkind = "random"\n'
GAP = Measurement(5.2, "ada", uncertainty=0.1, note="ellipsometry")


def scalar(workspace: Workspace, query: str) -> object:
    with workspace.database.read() as tx:
        return tx.scalar(text(query))


def test_a_measurement_is_a_label_with_its_operator_and_day(workspace: Workspace) -> None:
    added = add_label(workspace, "F5 Y Sr", "band_gap", GAP, measured_on=DAY)
    assert (added.reduced_formula, added.was_there) == ("SrYF5", False)
    (label,) = why(workspace, "SrYF5").labels
    assert (label.value, label.uncertainty, label.unit) == (5.2, 0.1, "eV")
    assert (label.source_kind, label.source, label.measured_on) == ("measurement", "ada", DAY)
    assert label.note == "ellipsometry"
    again = add_label(workspace, "SrYF5", "band_gap", GAP, measured_on=DAY)
    assert (again.label_id, again.was_there) == (added.label_id, True)
    in_mev = Measurement(5200, "ada", uncertainty=100, note="ellipsometry", unit="meV")  # the same, written otherwise
    assert add_label(workspace, "SrYF5", "band_gap", in_mev, measured_on=DAY).was_there
    assert scalar(workspace, "SELECT count(*) FROM label") == 1
    for other in (Measurement(5.3, "ada", replicate=2), Measurement(5.2, "grace")):
        assert not add_label(workspace, "SrYF5", "band_gap", other, measured_on=DAY).was_there
    assert not add_label(workspace, "SrYF5", "band_gap", GAP, measured_on=DAY + timedelta(1)).was_there
    assert scalar(workspace, "SELECT count(*) FROM label") == 4


@pytest.mark.parametrize(
    ("formula", "name", "measurement", "day", "message"),
    [
        ("SrQ5", "band_gap", GAP, DAY, "SrQ5"),
        ("SrYF5", "band_gap", Measurement(5.2, "ada", unit="eV/atom"), DAY, "kept in eV, not in eV/atom"),
        ("SrYF5", "bandgap", GAP, DAY, "no property 'bandgap': did you mean 'band_gap'"),
        ("SrYF5", "band_gap", Measurement(-0.1, "ada"), DAY, "finite number of 0 eV or more"),
        ("SrYF5", "band_gap", Measurement(1.0, "ada", uncertainty=-1.0), DAY, "-1 is no uncertainty"),
        ("SrYF5", "band_gap", Measurement(1e308, "ada"), DAY, r"1e\+308 eV lies outside -10 to 100"),
        ("SrYF5", "band_gap", Measurement(999.0, "ada"), DAY, "999 eV lies outside -10 to 100"),
        (
            "SrYF5",
            "band_gap",
            Measurement(1.0, "ada", uncertainty=1e9),
            DAY,
            r"1e\+09 is no uncertainty.*from 0 to 110",
        ),
        ("SrYF5", "band_gap", Measurement(1.0, " "), DAY, "say who measured it"),
        ("SrYF5", "band_gap", Measurement(1.0, "ada", replicate=0), DAY, "replicates count from 1"),
        ("SrYF5", "band_gap", GAP, date(9999, 1, 1), "9999-01-01 has not come yet"),
    ],
)
def test_what_cannot_be_recorded(
    workspace: Workspace, formula: str, name: str, measurement: Measurement, day: date, message: str
) -> None:
    with pytest.raises((InputError, FormulaError), match=message):
        add_label(workspace, formula, name, measurement, measured_on=day)
    assert scalar(workspace, "SELECT count(*) FROM label") == 0


def test_a_retracted_label_stays_with_its_reason(workspace: Workspace) -> None:
    label_id = add_label(workspace, "SrYF5", "band_gap", GAP, measured_on=DAY).label_id
    with pytest.raises(InputError, match="say why"):
        retract_label(workspace, label_id, "  ")
    with pytest.raises(NotFoundError, match="no label 999"):
        retract_label(workspace, 999, "wrong")
    assert retract_label(workspace, label_id, "wrong sample").reduced_formula == "SrYF5"
    with pytest.raises(InputError, match="retracted before"):
        retract_label(workspace, label_id, "wrong sample")
    (label,) = why(workspace, "SrYF5").labels
    assert (label.is_retracted, label.retraction_reason, label.value) == (True, "wrong sample", 5.2)
    with pytest.raises(InputError, match=r"was retracted \(wrong sample\): a new measurement is --replicate 2"):
        add_label(workspace, "SrYF5", "band_gap", GAP, measured_on=DAY)


def test_a_retraction_spoils_no_campaign_that_is_done_and_counts_no_more(
    starter: Workspace, make_spec: MakeSpec
) -> None:
    campaign = open_campaign(starter, make_spec(target="band_gap > 1 eV"))
    LocalEngine().run(starter, campaign)
    with starter.database.read() as tx:
        before = progress.campaigns(tx, "small")[0]
        best = progress.top_finds(tx, campaign.id, 1)[0]
        rows_before = hashes.of_campaign(tx, "small")
    retract_label(starter, best.label_id, "a broken oracle")
    with starter.database.read() as tx:
        after = progress.campaigns(tx, "small")[0]
        top = progress.top_finds(tx, campaign.id, 1)[0]
        assert hashes.of_campaign(tx, "small") == rows_before  # of the search, which is over
    assert (after["n_charged"], after["n_finds"]) == (before["n_charged"], before["n_finds"] - 1)
    assert top.label_id != best.label_id
    assert after["best"] == top.value


def test_a_new_campaign_takes_no_retracted_label(starter: Workspace, make_spec: MakeSpec) -> None:
    wrong = scalar(starter, "SELECT label_id FROM v_label WHERE reduced_formula = 'NaCl'")
    retract_label(starter, int(str(wrong)), "measured on wet salt")
    campaign = open_campaign(starter, make_spec())
    members = (
        "SELECT count(*) FROM training_set_member t JOIN campaign_set q USING (training_set_id)"
        " JOIN composition c ON c.id = t.composition_id"
        f" WHERE reduced_formula = 'NaCl' AND q.campaign_id = {campaign.id}"
    )
    assert scalar(starter, f"{members} AND q.role IN ('initial', 'oracle')") == 0
    assert scalar(starter, f"{members} AND q.role = 'autoencoder'") == 1


def test_what_the_sampler_knows_loses_the_retracted_value(starter: Workspace, make_spec: MakeSpec) -> None:
    campaign = open_campaign(starter, make_spec())
    LocalEngine().run(starter, campaign, before={"suggest"})
    for kind in ("suggest", "decode", "label", "record"):
        perform(starter, campaign, Step(kind, 1))
    label_id = scalar(starter, "SELECT label_id FROM suggestion WHERE outcome = 'new' ORDER BY rank LIMIT 1")
    initial_id = scalar(
        starter,
        "SELECT t.label_id FROM training_set_member t JOIN campaign_set q USING (training_set_id)"
        " JOIN composition c ON c.id = t.composition_id WHERE q.role = 'initial' ORDER BY reduced_formula LIMIT 1",
    )

    def unknown() -> list[bool]:
        with starter.database.read() as tx:
            past = searching._read_past(tx, CampaignStep(campaign, Step("suggest", 2)))
        return np.isnan(searching._history(past, campaign.spec, lambda _: []).objectives).tolist()

    before = sum(unknown())
    for wrong in (label_id, initial_id):
        retract_label(starter, int(str(wrong)), "wrong")
    assert sum(unknown()) == before + 2


@pytest.fixture
def agd(starter: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The verbs, as typed."""
    monkeypatch.setenv("AGD_HOME", str(starter.artifacts.parent))
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url)
    return lambda *words, **how: CliRunner().invoke(app, words, **how)


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who can be asked."""
    monkeypatch.setattr("agd.cli.labels._is_somebody_there", lambda: True)


def test_what_rests_on_a_label_is_shown_before_it_is_retracted(
    starter: Workspace, make_spec: MakeSpec, agd: Callable[..., Result], tmp_path: Path
) -> None:
    campaign = open_campaign(starter, make_spec(target="band_gap > 1 eV", more=MORE))
    LocalEngine().run(starter, campaign)
    with starter.database.read() as tx:
        found = progress.top_finds(tx, campaign.id, 1)[0]
    initial = scalar(
        starter,
        "SELECT min(t.label_id) FROM training_set_member t JOIN campaign_set q USING (training_set_id)"
        " WHERE q.role = 'initial' AND t.label_id NOT IN"
        " (SELECT label_id FROM training_set_member WHERE label_id IS NOT NULL AND is_held_out)",
    )
    (tmp_path / "pool.csv").write_text("formula\nNaF\nLiF\n")
    choice = ScreenerChoice(options=("n_trees=5",), held_out=0.0)
    pool, target = str(tmp_path / "pool.csv"), "band_gap > 0 eV"
    screen(starter, ScreeningPlan("small", pool, choice=choice, target=target, is_novel=False, is_valid=False))
    screeners = "SELECT array_agg(id ORDER BY id) FROM model_version WHERE kind = 'screener'"
    baseline, al = scalar(starter, screeners)  # type: ignore[misc]
    evaluate(starter, baseline, "starter")

    resting = what_rests_on(starter, found.label_id)
    (row,) = resting.campaigns
    assert (row.campaign, row.first_iteration, row.is_charged, row.is_find) == ("small", found.iteration, True, True)
    (model,) = resting.models
    assert (model.model_version_id, model.is_held_out) == (al, False)
    assert (model.n_screenings, model.n_hits, list(model.evaluated_on)) == (1, 2, [])
    assert resting.evaluations == []

    resting = what_rests_on(starter, int(str(initial)))
    assert [(row.campaign, row.is_initial) for row in resting.campaigns] == [("small", True)]
    oracle, *learned = resting.models
    assert (oracle.kind, list(oracle.campaigns)) == ("oracle", ["small"])
    assert oracle.n_answers == scalar(starter, "SELECT count(*) FROM label WHERE model_version_id IS NOT NULL")
    assert [row.model_version_id for row in learned] == [baseline, al]
    assert list(learned[0].evaluated_on) == ["starter"]
    assert [(row.model_version_id, row.dataset) for row in resting.evaluations] == [(baseline, "starter")]

    shown = agd("label", "retract", str(initial), "--why", "wrong", "--dry-run")
    assert shown.exit_code == 0, shown.exception
    for words in (
        f"label {initial}: band_gap of ",
        "from dataset starter, line ",
        "campaign small started from it",
        f"oracle random_forest, model version {oracle.model_version_id} (",
        f"used by small; it gave {oracle.n_answers} answers",
        "learned from it; it gave 1 screening, 2 hits, an evaluation on starter",
        f"screener random_forest, model version {baseline}, was judged on dataset starter with it",
    ):
        assert words in shown.stdout
    shown = agd("label", "retract", str(found.label_id), "--why", "wrong", "--dry-run")
    assert f"campaign small was charged for it in iteration {found.iteration}" in shown.stdout
    assert ", a find\n" in shown.stdout
    told = json.loads(agd("label", "retract", str(initial), "--why", "wrong", "--dry-run", "--json").stdout)
    assert (told["is_retracted"], told["dry_run"], len(told["models"])) == (False, True, 3)
    assert scalar(starter, "SELECT count(*) FROM retraction") == 0


def test_nobody_retracts_by_a_pasted_example(starter: Workspace, agd: Callable[..., Result]) -> None:
    label_id, formula = 7, scalar(starter, "SELECT reduced_formula FROM v_label WHERE label_id = 7")
    words = ["label", "retract", str(label_id), "--why", "another phase"]
    for given in (None, "y\n"):
        ran = agd(*words, input=given)
        assert isinstance(ran.exception, InputError)
        assert f"label 7 of {formula} was not retracted: nobody is here to be asked; --yes" in str(ran.exception)
        assert "nothing in the record rests on it" in ran.stdout
    other = agd(*words, "--formula", "Sr Y F5", "--yes")
    assert f"label 7 is of {formula}, not of Sr Y F5" in str(other.exception)
    assert isinstance(agd(*words[:3], "--why", " ", "--yes").exception, InputError)
    assert scalar(starter, "SELECT count(*) FROM retraction") == 0
    done = agd(*words, "--formula", str(formula), "--yes", "--json")
    assert json.loads(done.stdout)["is_retracted"]
    assert scalar(starter, "SELECT reason FROM retraction WHERE label_id = 7") == "another phase"
    assert "was retracted before" in str(agd(*words, "--dry-run").exception)


@pytest.mark.usefixtures("at_terminal")
def test_a_person_is_asked(starter: Workspace, agd: Callable[..., Result]) -> None:
    words = ["label", "retract", "7", "--why", "another phase"]
    for answer in ("n\n", "\n"):
        declined = agd(*words, input=answer)
        assert declined.exit_code == 1
        assert "retract label 7 of" in declined.stderr
        assert "nothing was retracted" in declined.stderr
    assert scalar(starter, "SELECT count(*) FROM retraction") == 0
    done = agd(*words, "--json", input="y\n")
    assert json.loads(done.stdout[done.stdout.index("{") :])["is_retracted"]  # after the answer
    assert "label 7: band_gap of" in done.stderr
    assert scalar(starter, "SELECT count(*) FROM retraction") == 1
