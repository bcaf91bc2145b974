"""Ask and tell: a loop of somebody's own, with labels from outside, that may be killed anywhere."""

import doctest
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

import agd.api
from agd import Campaign
from agd.db.reading import progress
from agd.db.record import suggestions
from agd.errors import InputError, NotFoundError, SpecError, StepError
from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps.campaign.opening import open_campaign
from agd.steps.campaign.stepping import AWAIT, next_step, perform
from agd.steps.data.labelling import retract_label
from agd.work.workspace import Workspace

MakeSpec = Callable[..., ResolvedSpec]

EXTERNAL = """\
[oracle]
kind = "external"

[sampler]
kind = "random"
"""

DAY = "2026-01-15"

SPEC = {
    "name": "lab",
    "target": "band_gap > 6 eV",
    "seed": 3,
    "data": {"dataset": "starter"},
    "initial": {"n": 30, "at_most": 5.0},
    "budget": {"oracle_calls": 8, "suggestions_per_iteration": 4},
    "autoencoder": {"epochs": 3, "n_latent": 12, "hidden": 48, "min_rows": 2000, "certainty": 9.0},
    "oracle": {"kind": "external"},
    "sampler": {"kind": "ucb", "n_warmup": 200},
    "filter": {"is_neutral_in_common_states": False},
}


@pytest.fixture
def lab(starter: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Campaign]]:
    """Open the campaign as a program would."""
    monkeypatch.setenv("AGD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url)
    opened: list[Campaign] = []

    def make(**changes: object) -> Campaign:
        opened.append(Campaign.open({**SPEC, **changes}))
        return opened[-1]

    yield make
    for campaign in opened:
        campaign.close()


def value_of(formula: str) -> float:
    """A label that only the formula decides."""
    return round(sum(map(ord, formula)) % 97 / 10, 3)


def drive(campaign: Campaign) -> list[str]:
    told = []
    while waiting := campaign.ask():
        for suggestion in waiting:
            campaign.tell(suggestion.formula, value_of(suggestion.formula), operator="ada", measured_on=DAY)
            told.append(suggestion.formula)
    return told


def scalar(workspace: Workspace, query: str) -> object:
    with workspace.database.read() as tx:
        return tx.scalar(text(query))


@pytest.mark.parametrize(
    ("value", "more"),
    [
        (True, {}),
        ("3.4", {}),
        (b"3", {}),
        (None, {}),
        ([3.4], {}),
        (np.array([3.4, 3.5]), {}),
        (10**5000, {}),
        (3.4, {"uncertainty": True}),
        (3.4, {"operator": 5}),
        (3.4, {"operator": "\ud800"}),
        (3.4, {"note": 5}),
        (3.4, {"replicate": True}),
        (3.4, {"replicate": 1.5}),
        (3.4, {"measured_on": 5}),
    ],
    ids=lambda given: type(given).__name__,
)
def test_what_is_of_another_type_is_refused_in_a_sentence(
    lab: Callable[..., Campaign], value: Any, more: dict[str, Any]
) -> None:
    campaign = lab()
    with pytest.raises(InputError, match=r"is no (number|whole number|text|day)"):
        campaign.tell("NaCl", value, **more)
    with pytest.raises(InputError, match="is no text"):
        campaign.tell(None, 3.4)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="has not asked for NaCl"):
        campaign.tell("NaCl", np.float32(3.4))  # type: ignore[arg-type]


def test_the_docstring_tells_the_truth(lab: Callable[..., Campaign]) -> None:
    lab().close()
    found = doctest.DocTestFinder().find(Campaign, "Campaign", globs={"Campaign": Campaign, "spec": SPEC})
    runner = doctest.DocTestRunner()
    for example in found:
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0
    assert runner.tries > 1
    assert Campaign is agd.api.Campaign


def test_a_loop_of_ones_own_spends_the_budget_on_distinct_compositions(
    starter: Workspace, lab: Callable[..., Campaign]
) -> None:
    campaign = lab()
    told = drive(campaign)
    assert len(told) == len(set(told)) == 8
    assert campaign.is_ended
    assert campaign.ask() == []
    assert campaign.status["state"] == "ended: budget spent"
    frame = campaign.to_pandas()
    new = frame[frame.outcome == "new"]
    assert dict(zip(new.reduced_formula, new.value, strict=True)) == {formula: value_of(formula) for formula in told}
    assert campaign.top(1)[0]["value"] == max(map(value_of, told))
    assert scalar(starter, "SELECT count(*) FROM label WHERE measurement_id IS NOT NULL") == 8
    assert scalar(starter, "SELECT count(*) FROM campaign_model WHERE role = 'oracle'") == 0
    label = next(row for row in campaign.why(told[0])["labels"] if row["source_kind"] == "measurement")
    assert (label["source"], str(label["measured_on"])) == ("ada", DAY)


def test_labels_belong_to_everyone_and_the_sampler_learns_from_them(lab: Callable[..., Campaign]) -> None:
    first = lab()
    for suggestion in first.ask():
        assert suggestion.iteration == 1
        first.tell(suggestion.formula, value_of(suggestion.formula), operator="ada", measured_on=DAY)
    other = lab(name="other")  # the same seed asks for the same compounds, and they have been measured
    waiting = other.ask()
    assert {row.iteration for row in waiting} == {2}
    assert other.status["n_charged"] == 4
    assert [row.formula for row in waiting] == [row.formula for row in first.ask()]
    assert all(row.posterior_mean is not None for row in waiting)


def test_told_again_or_in_another_order_nothing_changes(lab: Callable[..., Campaign]) -> None:
    campaign = lab()
    waiting = campaign.ask()
    assert campaign.ask() == waiting
    assert campaign.ask(2) == waiting[:2]
    added = campaign.tell(waiting[2].formula, 1.5, uncertainty=0.1, operator="ada", measured_on=DAY)
    assert not added.was_there
    assert [row.formula for row in campaign.ask()] == [row.formula for row in waiting if row != waiting[2]]
    again = campaign.tell(waiting[2].formula, 1.5, uncertainty=0.1, operator="ada", measured_on=DAY)
    assert (again.label_id, again.was_there) == (added.label_id, True)
    with pytest.raises(InputError, match=r"is 1\.5: `agd label retract"):
        campaign.tell(waiting[2].formula, 1.6, operator="ada", measured_on=DAY)


@pytest.mark.parametrize(
    ("formula", "value", "message"),
    [
        ("U3Pu7", 1.0, "has not asked for Pu7U3: it waits for nothing"),
        (None, -1.0, "-1 is no value of band_gap: give a finite number of 0 eV or more"),
        (None, float("nan"), "nan is no value"),
    ],
)
def test_what_cannot_be_told(lab: Callable[..., Campaign], formula: str | None, value: float, message: str) -> None:
    campaign = lab()
    with pytest.raises(InputError, match=message):
        campaign.tell(formula or campaign.ask()[0].formula, value)


def test_what_cannot_be_asked(lab: Callable[..., Campaign]) -> None:
    with pytest.raises(InputError, match="1 composition or more"):
        lab().ask(0)
    with pytest.raises(NotFoundError, match=r"did you mean 'lab'\?.*a path that ends in .toml"):
        Campaign.open("lap")
    with pytest.raises(SpecError, match=r"specification: budget.oracle_call: unknown key: did you mean"):
        lab(budget={"oracle_call": 8})
    with pytest.raises(InputError, match="database_url cannot be used: it must read postgresql://"):
        Campaign.open("lab", database_url="mysql://here")


@pytest.mark.slow
def test_an_answer_that_will_not_come_costs_no_call(lab: Callable[..., Campaign], starter: Workspace) -> None:
    campaign = lab()
    lost = campaign.ask()[0].formula
    with pytest.raises(InputError, match="say why"):
        campaign.give_up(lost, reason=" ")
    campaign.give_up(lost, reason="it melts")
    with pytest.raises(InputError, match="has an answer for"):
        campaign.give_up(lost, reason="it melts")
    told = drive(campaign)
    assert len(told) == 8
    assert lost not in told
    assert scalar(starter, f"SELECT reason FROM v_suggestion WHERE reduced_formula = '{lost}' LIMIT 1") == "it melts"


def test_what_was_told_is_not_given_up_until_it_is_retracted(starter: Workspace, lab: Callable[..., Campaign]) -> None:
    campaign = lab()
    waiting = campaign.ask()
    told = campaign.tell(waiting[0].formula, 1.5, operator="ada", measured_on=DAY)
    with pytest.raises(InputError, match="has an answer for"):
        campaign.give_up(told.reduced_formula, reason="it melts")
    retract_label(starter, told.label_id, "wrong sample")
    campaign.give_up(told.reduced_formula, reason="it melts")
    assert [row.formula for row in campaign.ask()] == [row.formula for row in waiting[1:]]


@pytest.mark.slow
def test_an_oracle_of_its_own_is_not_told(lab: Callable[..., Campaign]) -> None:
    campaign = lab(name="forest", oracle={"kind": "random_forest", "n_trees": 5})
    waiting = campaign.ask()
    assert waiting
    with pytest.raises(InputError, match="asks its oracle 'random_forest'"):
        campaign.tell(waiting[0].formula, 1.0)
    assert campaign.run().is_ended
    assert campaign.status["n_charged"] == 8


def test_the_engine_stops_where_labels_are_awaited(starter: Workspace, make_spec: MakeSpec) -> None:
    campaign = open_campaign(starter, make_spec("lab", more=EXTERNAL))
    outcome = LocalEngine().run(starter, campaign)
    assert (outcome.is_ended, outcome.is_waiting) == (False, True)
    step = next_step(starter, campaign)
    assert step is not None
    assert step.kind == AWAIT
    with pytest.raises(StepError, match="waits for labels"):
        perform(starter, campaign, step)
    with starter.database.read() as tx:
        assert progress.campaigns(tx, "lab")[0]["state"] == "waiting for labels"


@pytest.mark.slow
def test_the_same_rows_after_a_kill(lab: Callable[..., Campaign], starter: Workspace, tmp_path: Path) -> None:
    program = tmp_path / "loop.py"
    program.write_text(
        textwrap.dedent(f"""
        import os, signal, sys
        from agd import Campaign
        SPEC = {SPEC!r}
        n_left = int(sys.argv[2])
        with Campaign.open({{**SPEC, "name": sys.argv[1]}}) as campaign:
            while waiting := campaign.ask():
                for suggestion in waiting:
                    if n_left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    n_left -= 1
                    value = round(sum(map(ord, suggestion.formula)) % 97 / 10, 3)
                    campaign.tell(suggestion.formula, value, operator="ada", measured_on="{DAY}")
        """)
    )
    environment = {**os.environ}
    for kills in (2, 3, 1, 99):
        code = subprocess.run([sys.executable, program, "lab", str(kills)], env=environment, check=False).returncode
        assert code == (0 if kills == 99 else -signal.SIGKILL)
    with starter.database.read() as tx:
        killed = tx.execute(text(_ROWS), {"name": "lab"}).all()
    undisturbed = lab(name="undisturbed")
    drive(undisturbed)
    with starter.database.read() as tx:
        assert tx.execute(text(_ROWS), {"name": "undisturbed"}).all() == killed
    assert scalar(starter, "SELECT count(*) FROM label WHERE measurement_id IS NOT NULL") == 8


@pytest.mark.slow
def test_a_new_measurement_takes_the_place_of_a_retracted_one(starter: Workspace, lab: Callable[..., Campaign]) -> None:
    campaign = lab()
    first = campaign.ask()
    for suggestion in first:
        told = campaign.tell(suggestion.formula, 1.0, operator="ada", measured_on=DAY)
    campaign.ask()
    retract_label(starter, told.label_id, "wrong sample")
    again = campaign.tell(told.reduced_formula, 7.5, operator=" ada ", measured_on=DAY, replicate=2)
    assert campaign.status["n_finds"] == 1
    assert campaign.top(1)[0]["label_id"] == again.label_id
    assert scalar(starter, "SELECT count(*) FROM measurement WHERE operator <> 'ada'") == 0


@pytest.mark.slow
def test_a_label_retracted_under_the_step_leaves_it_undone(starter: Workspace, lab: Callable[..., Campaign]) -> None:
    campaign = lab()
    for suggestion in campaign.ask():
        told = campaign.tell(suggestion.formula, 1.0, operator="ada", measured_on=DAY)
    step = next_step(starter, campaign._stored)
    assert step is not None
    retract_label(starter, told.label_id, "wrong sample")
    with pytest.raises(StepError, match="retracted meanwhile"):
        perform(starter, campaign._stored, step)
    assert [row.formula for row in campaign.ask()] == [told.reduced_formula]
    campaign.tell(told.reduced_formula, 5.0, operator="ada", measured_on=DAY, replicate=2)
    assert campaign.ask()[0].iteration == 2
    assert campaign.status["n_charged"] == 4


def test_a_stop_reaches_the_loop(starter: Workspace, lab: Callable[..., Campaign]) -> None:
    campaign = lab()
    seen = []

    def stop(done: int, _total: int, _note: str = "") -> None:
        if not seen:
            os.kill(os.getpid(), signal.SIGINT)
        seen.append(done)

    with pytest.raises(KeyboardInterrupt, match="ask again to go on"):
        campaign.ask(progress=stop)
    assert scalar(starter, "SELECT count(*) FROM suggestion") == 0
    assert len(campaign.ask()) == 4


@pytest.mark.slow
def test_what_was_over_budget_may_be_asked_for_when_a_call_comes_free(
    starter: Workspace, lab: Callable[..., Campaign]
) -> None:
    campaign = lab(budget={"oracle_calls": 6, "suggestions_per_iteration": 4})
    for suggestion in campaign.ask():
        campaign.tell(suggestion.formula, 1.0, operator="ada", measured_on=DAY)
    second = campaign.ask()
    assert len(second) == 2
    over = scalar(starter, "SELECT min(reduced_formula) FROM v_suggestion WHERE reason = 'the budget was spent'")
    with starter.database.read() as tx:
        assert over not in suggestions.seen_formulas(tx, campaign._stored.id, 3)
        assert second[0].formula in suggestions.seen_formulas(tx, campaign._stored.id, 3)
    campaign.give_up(second[0].formula, reason="it melts")
    assert len(drive(campaign)) == 2
    assert campaign.status["n_charged"] == 6


_ROWS = """
SELECT iteration, rank, outcome, reduced_formula, value, label_id, posterior_mean, acquisition
FROM v_suggestion WHERE campaign = :name ORDER BY iteration, rank
"""
