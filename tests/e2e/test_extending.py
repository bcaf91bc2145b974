"""Campaigns that are extended: the change is a row, the search goes on as if it had been meant so from the start."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from agd import spec
from agd.cli.app import app
from agd.db.record import hashes
from agd.db.upkeep import checks
from agd.errors import AgdError, InputError, SpecChangedError
from agd.loop import LocalEngine
from agd.report.page import report_page
from agd.spec import ResolvedSpec
from agd.steps.campaign.campaigns import Step, get_campaign
from agd.steps.campaign.extending import Calls, extend
from agd.steps.campaign.opening import open_campaign, open_controls, plan, reopen_campaign
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.steps.reading import overviews
from agd.work.workspace import Workspace

SPEC = """\
name = "{name}"
target = "band_gap > 6 eV"
seed = 3

[data]
dataset = "starter"

[initial]
n = 30
at_most = 5.0

[budget]
oracle_calls = {budget}
suggestions_per_iteration = 4

[oracle]
n_trees = 5

[sampler]
{sampler}
"""
ANALOGUE = "n_children = 100"

MakeSpec = Callable[..., ResolvedSpec]


class _LeftError(Exception):
    """Somebody pulls the plug."""


@pytest.fixture
def formulas(tmp_path: Path) -> MakeSpec:
    """Write and read a specification of a search among formulas, four suggestions at a time."""

    def make(name: str = "small", budget: int = 8, sampler: str = ANALOGUE) -> ResolvedSpec:
        path = tmp_path / f"{name}.toml"
        path.write_text(SPEC.format(name=name, budget=budget, sampler=sampler))
        return spec.read(path)

    return make


@pytest.fixture
def installed(starter: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The record as `agd` finds it by its environment."""
    monkeypatch.setenv("AGD_HOME", str(starter.artifacts.parent))
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url)
    return starter


def run(workspace: Workspace, name: str = "small", *, kill_at: Step | None = None) -> None:
    def leave(step: Step) -> None:
        if step == kill_at:
            raise _LeftError

    campaign = reopen_campaign(workspace, name)
    if kill_at is not None:
        with pytest.raises(_LeftError):
            LocalEngine().run(workspace, campaign, on_step=leave)
        workspace._loaded.clear()
    assert LocalEngine().run(workspace, campaign).is_ended


def suggestions(workspace: Workspace, name: str = "small") -> Sequence[tuple[object, ...]]:
    found = (
        "SELECT iteration, rank, outcome, reason, reduced_formula, value, posterior_mean, posterior_sd, acquisition"
        " FROM v_suggestion WHERE campaign = :name ORDER BY iteration, rank"
    )
    with workspace.database.read() as tx:
        return [tuple(row) for row in tx.execute(text(found), {"name": name})]


def content_hash(workspace: Workspace, name: str = "small", *, with_later: bool = False) -> str:
    with workspace.database.read() as tx:
        found = hashes.of_campaign(tx, name, with_later=with_later)
    assert found is not None
    return found.sha256


def row(workspace: Workspace, query: str) -> tuple[object, ...]:
    with workspace.database.read() as tx:
        return tuple(tx.execute(text(query)).one())


def contradictions(workspace: Workspace) -> list[str]:
    with workspace.database.read() as tx:
        changed = [
            f"{kept.name} {kept.n_steps}"
            for kept in hashes.searches(tx)
            if hashes.search_now(tx, kept.name, kept.n_steps) != kept.sha256
        ]
        return [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)] + changed


def agd(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_the_same_rows_as_with_the_larger_budget_from_the_start(starter: Workspace, formulas: MakeSpec) -> None:
    for name in ("small", "again"):
        open_campaign(starter, formulas(name))
    open_campaign(starter, formulas("longer", budget=16))
    run(starter)
    before, ended = suggestions(starter), content_hash(starter)
    found = extend(starter, "small", Calls.of("+8"))
    assert (found.budget_calls_before, found.budget_calls, found.oracle_calls_left) == (8, 16, 8)
    assert (found.end_reason, found.state, found.n_iterations_expected) == ("budget spent", "paused", 2)
    assert content_hash(starter) == ended, "no step has followed"
    later = content_hash(starter, with_later=True)
    run(starter)
    assert suggestions(starter)[:8] == before
    run(starter, "longer")
    assert suggestions(starter) == suggestions(starter, "longer")
    assert content_hash(starter) not in {ended, content_hash(starter, "longer")}

    run(starter, "again", kill_at=Step("label", 2))
    assert content_hash(starter, "again") == ended
    extend(starter, "again", Calls.of("16"))
    assert content_hash(starter, "again", with_later=True) == later
    run(starter, "again", kill_at=Step("decode", 4))
    assert content_hash(starter, "again") == content_hash(starter)
    assert contradictions(starter) == []

    kept = (
        "SELECT k.spec #>> '{budget,oracle_calls}', k.budget_calls, b.calls FROM campaign k"
        " JOIN v_campaign_budget b ON b.campaign_id = k.id WHERE k.name = 'small'"
    )
    assert row(starter, kept) == ("8", 8, 16)
    assert get_campaign(starter, "small").spec.budget.oracle_calls == 16
    said = plan(starter, formulas(budget=16))
    assert (said.is_unchanged, said.oracle_calls_left) == (True, 0)
    assert plan(starter, formulas()).is_unchanged
    with pytest.raises(SpecChangedError, match=r"oracle_calls: 8 -> 20.*`agd extend small`"):
        open_campaign(starter, formulas(budget=20))


def test_a_campaign_at_work_goes_on_to_the_new_budget(starter: Workspace, formulas: MakeSpec) -> None:
    """Whoever runs it has read its specification before."""
    campaign = open_campaign(starter, formulas(budget=6))

    def extending(step: Step) -> None:
        if step == Step("decode", 2):
            extend(starter, "small", Calls.of("+2"))
        if step == Step("record", 2):
            extend(starter, "small", Calls.of("+4"))

    assert LocalEngine().run(starter, campaign, on_step=extending).is_ended
    assert [made[2] for made in suggestions(starter)] == ["new"] * 12
    with starter.database.read() as tx:
        amendments = overviews.amendments(tx, "small")
    assert [(one.old_value, one.new_value, one.after, one.end_reason) for one in amendments] == [
        (6, 8, "suggested up to iteration 2", None),
        (8, 12, "labelled up to iteration 2", None),
    ]
    assert contradictions(starter) == []


def test_controls_spend_what_their_campaign_does(starter: Workspace, formulas: MakeSpec) -> None:
    campaign = open_campaign(starter, formulas(budget=4))
    first = open_controls(starter, campaign)
    name = first[0].name
    run(starter, name)
    extend(starter, "small", Calls.of("+4"))
    with pytest.raises(InputError, match=rf"{name}' is a control of 'small'.*`agd resume small --twin`"):
        extend(starter, name, Calls.of("+4"))
    for _ in range(2):
        opened = open_controls(starter, reopen_campaign(starter, "small"))
        assert [one.spec.budget.oracle_calls for one in opened] == [8] * len(first)
    assert row(starter, "SELECT count(*), count(ended_at) FROM campaign_amendment") == (1 + len(first), 1)
    run(starter, name)
    assert row(starter, f"SELECT n_charged FROM v_campaign_progress WHERE campaign = '{name}'") == (8,)
    assert contradictions(starter) == []


def test_a_sampler_that_had_nothing_left_may_have_nothing_again(
    installed: Workspace, formulas: MakeSpec, tmp_path: Path
) -> None:
    pool = tmp_path / "pool.csv"
    pool.write_text("formula\nLiF\nNaF\nKF\nRbF\nCsF\nMgF2\n")
    import_dataset(installed, pool, "few", ImportRules("formula"))
    open_campaign(installed, formulas(budget=20, sampler='kind = "retrieval"\npool = "few"'))
    run(installed)
    last = row(installed, "SELECT max(number) AS last, max(number) + 1 AS next FROM iteration")
    said = agd("extend", "small", "--oracle-calls", "+5", "--resume", "--quiet", "--json")
    assert said.exit_code == 0, said.output
    assert "had stalled: its sampler found nothing new" in said.stderr
    assert json.loads(said.stdout)["state"] == "ended: stalled"
    assert row(installed, "SELECT max(number) FROM iteration") == last[1:]
    assert contradictions(installed) == []


def test_the_verb(installed: Workspace, formulas: MakeSpec) -> None:
    open_campaign(installed, formulas(budget=4))
    run(installed)
    for words, code, said in (
        (("small", "--oracle-calls", "+x"), 2, "--oracle-calls '+x': give how many more"),
        (("small", "--oracle-calls", "-5"), 2, "--oracle-calls '-5': give how many more"),
        (("small", "--oracle-calls", "4"), 2, "may spend 4 calls already, and has spent 4: give a total above 4"),
        (("small", "--oracle-calls", f"+{2**31 - 1}"), 2, "more than 2,147,483,647"),
        (("smal", "--oracle-calls", "+4"), 3, "no campaign 'smal': did you mean 'small'?"),
        (("small", "--oracle-calls", "+4", "--dry-run", "--resume"), 2, "give one of them"),
    ):
        refused = agd("extend", *words).exception
        assert isinstance(refused, AgdError)
        assert refused.exit_code == code
        assert said in str(refused)
        assert "\n" not in str(refused)
    dry = agd("extend", "small", "--oracle-calls", "+8", "--dry-run")
    assert dry.stdout.splitlines() == [
        "small: 12 oracle calls instead of 4: 4 spent, 8 left, in about 2 iterations",
        "nothing was changed",
    ]
    assert row(installed, "SELECT count(*) FROM activity WHERE kind = 'extend'") == (0,)
    assert "go on with `agd resume small`" in agd("extend", "small", "--oracle-calls", "+2").stdout
    told = json.loads(agd("extend", "small", "--oracle-calls", "8", "--json").stdout)
    assert (told["budget_calls_before"], told["budget_calls"], told["end_reason"]) == (6, 8, None)
    assert agd("resume", "small", "--quiet").exit_code == 0
    shown = agd("status", "small").stdout
    assert "ended: budget spent" in shown
    assert "small: extended to 8 calls (4 at first; +2 on 20" in shown
    status = json.loads(agd("status", "small", "--json").stdout)
    assert (status["campaigns"][0]["budget_calls"], status["campaigns"][0]["budget_calls_at_first"]) == (8, 4)
    assert [one["new_value"] for one in status["amendments"]] == [6, 8]
    assert "8 calls (4 at first; +2" in report_page(installed, "small")
