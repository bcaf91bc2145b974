"""Labels by hand: measured, told apart, withdrawn; never removed."""

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pytest
from sqlalchemy import text

from agd.db import progress
from agd.errors import FormulaError, InputError, NotFoundError
from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps import perform, searching
from agd.steps.explaining import why
from agd.steps.labelling import Measurement, add_label, retract_label
from agd.steps.opening import open_campaign
from agd.steps.workspace import Step, Workspace

MakeSpec = Callable[..., ResolvedSpec]

DAY = date(2026, 1, 15)
GAP = Measurement(5.2, "ada", uncertainty=0.1, note="ellipsometry")


def scalar(workspace: Workspace, query: str) -> object:
    with workspace.database.read() as tx:
        return tx.scalar(text(query))


def test_a_measurement_is_a_label_with_its_operator_and_day(workspace: Workspace) -> None:
    added = add_label(workspace, "F5 Y Sr", "band_gap", GAP, measured_on=DAY)
    assert (added.reduced_formula, added.was_there) == ("SrYF5", False)
    (label,) = why(workspace, "SrYF5")["labels"]
    assert (label["value"], label["uncertainty"], label["unit"]) == (5.2, 0.1, "eV")
    assert (label["source_kind"], label["source"], label["measured_on"]) == ("measurement", "ada", DAY)
    assert label["note"] == "ellipsometry"
    again = add_label(workspace, "SrYF5", "band_gap", GAP, measured_on=DAY)
    assert (again.label_id, again.was_there) == (added.label_id, True)
    assert scalar(workspace, "SELECT count(*) FROM label") == 1
    for other in (Measurement(5.3, "ada", replicate=2), Measurement(5.2, "grace")):
        assert not add_label(workspace, "SrYF5", "band_gap", other, measured_on=DAY).was_there
    assert not add_label(workspace, "SrYF5", "band_gap", GAP, measured_on=DAY + timedelta(1)).was_there
    assert scalar(workspace, "SELECT count(*) FROM label") == 4


@pytest.mark.parametrize(
    ("formula", "name", "measurement", "day", "message"),
    [
        ("SrQ5", "band_gap", GAP, DAY, "SrQ5"),
        ("SrYF5", "bandgap", GAP, DAY, "no property 'bandgap': did you mean 'band_gap'"),
        ("SrYF5", "band_gap", Measurement(-0.1, "ada"), DAY, "finite number of 0 eV or more"),
        ("SrYF5", "band_gap", Measurement(1.0, "ada", uncertainty=-1.0), DAY, "-1 is no uncertainty"),
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
    (label,) = why(workspace, "SrYF5")["labels"]
    assert (label["is_retracted"], label["retraction_reason"], label["value"]) == (True, "wrong sample", 5.2)
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
        rows_before = progress.content_hash(tx, "small")
    retract_label(starter, best.label_id, "a broken oracle")
    with starter.database.read() as tx:
        after = progress.campaigns(tx, "small")[0]
        top = progress.top_finds(tx, campaign.id, 1)[0]
        assert progress.content_hash(tx, "small") == rows_before  # of the search, which is over
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
            past = searching._read_past(tx, campaign, Step("suggest", 2))
        return np.isnan(searching._history(past, campaign.spec, lambda _: []).objectives).tolist()

    before = sum(unknown())
    for wrong in (label_id, initial_id):
        retract_label(starter, int(str(wrong)), "wrong")
    assert sum(unknown()) == before + 2
