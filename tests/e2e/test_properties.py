"""Campaigns that seek several properties: each has its target, its model and its labels, and finds meet them all."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from agd import spec
from agd.cli.app import app
from agd.db.connection import AnyRow
from agd.db.record import hashes
from agd.db.upkeep import checks
from agd.errors import SpecError
from agd.loop import LocalEngine
from agd.report.comparison import compare
from agd.report.page import report_page
from agd.spec import ResolvedSpec
from agd.steps.campaign.campaigns import Campaign, Step
from agd.steps.campaign.offline import compute, ingest, prepare
from agd.steps.campaign.opening import open_campaign, open_controls, plan
from agd.steps.campaign.stepping import next_step
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.steps.data.labelling import retract_label
from agd.steps.reading import overviews
from agd.steps.reading.explaining import why
from agd.target import on_front
from agd.work.workspace import Workspace

SPEC = """\
name = "{name}"
target = ["band_gap > 4 eV", "formation_energy < -1.5 eV/atom"]
seed = 3

[data]
dataset = "starter"

[initial]
n = 30

[budget]
oracle_calls = {budget}
suggestions_per_iteration = 8

[oracle]
n_trees = 10

[oracles.formation_energy]
n_trees = 10
dataset = "energies"
{more}
"""
ANALOGUE = "[sampler]\nn_children = 300\n"
RETRIEVAL = '[sampler]\nkind = "retrieval"\npool = "starter"\nacquisition = "ei"\n'

MakeSpec = Callable[..., ResolvedSpec]


@pytest.fixture
def two(starter: Workspace, tmp_path: Path) -> Workspace:
    """A record that holds band gaps, and energies that a rule has made of most of the same formulas."""
    with (Path(spec.__file__).parents[1] / "data" / "starter.csv").open() as file:
        formulas = [row["formula"] for row in csv.DictReader(file)]
    path = tmp_path / "energies.csv"
    rows = [f"{formula},{-0.15 * len(formula) - 0.8 * ('O' in formula) - ('F' in formula)}" for formula in formulas]
    path.write_text("\n".join(["formula,e", *rows[:-50]]) + "\n")
    import_dataset(starter, path, "energies", ImportRules("formula", "e", "formation_energy", "eV/atom"))
    return starter


@pytest.fixture
def sought(tmp_path: Path) -> MakeSpec:
    """Write and read a specification of a search for two properties."""

    def make(name: str = "two", budget: int = 24, more: str = ANALOGUE) -> ResolvedSpec:
        path = tmp_path / f"{name}.toml"
        path.write_text(SPEC.format(name=name, budget=budget, more=more))
        return spec.read(path)

    return make


def run(workspace: Workspace, resolved: ResolvedSpec) -> Campaign:
    campaign = open_campaign(workspace, resolved)
    assert LocalEngine().run(workspace, campaign).is_ended
    return campaign


def rows(workspace: Workspace, query: str) -> list[AnyRow]:
    with workspace.database.read() as tx:
        return list(tx.execute(text(query)))


def content_hash(workspace: Workspace, name: str = "two") -> str:
    with workspace.database.read() as tx:
        found = hashes.of_campaign(tx, name)
    assert found is not None
    return found.sha256


PARETO = "SELECT * FROM v_pareto WHERE campaign = 'two' ORDER BY iteration, rank"


def test_a_find_meets_every_target_and_costs_one_call(two: Workspace, sought: MakeSpec) -> None:
    resolved = sought()
    assert plan(two, resolved).further_oracles.keys() == {"formation_energy"}
    campaign = run(two, resolved)
    with two.database.read() as tx:
        (standing,) = overviews.campaigns(tx, "two")
        best = overviews.top_finds(tx, campaign.id, 99)
        assert [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)] == []
        assert [law.what for law in checks.ORPHANS if checks.n_against(tx, law)] == []
    assert (standing.n_charged, len(best)) == (24, 24)
    assert [(one.property, one.unit) for one in standing.targets] == [
        ("band_gap", "eV"),
        ("formation_energy", "eV/atom"),
    ]
    values = np.array([[one.value for one in row.properties] for row in best], dtype=np.float64)
    is_met = (values[:, 0] > 4) & (values[:, 1] < -1.5)
    assert [row.is_find for row in best] == is_met.tolist() == sorted(is_met.tolist(), reverse=True)
    assert is_met.sum() == standing.n_finds > 0
    assert [one.n_met for one in standing.targets] == [(values[:, 0] > 4).sum(), (values[:, 1] < -1.5).sum()]
    assert [row.is_on_front for row in best] == on_front(values * [1, -1]).tolist()
    assert standing.n_on_front == sum(bool(row.is_on_front) for row in best)
    expected = [one for row in best for one in row.properties if one.expected is not None]
    assert {one.property for one in expected} == {"band_gap", "formation_energy"}
    assert all((one.expected or 0) < 0 for one in expected if one.property == "formation_energy")
    stored = rows(two, "SELECT role FROM campaign_model ORDER BY role")
    assert [row.role for row in stored] == ["oracle", "oracle 2"]


def test_a_retracted_label_of_either_property_takes_the_find_back(two: Workspace, sought: MakeSpec) -> None:
    campaign = run(two, sought())
    with two.database.read() as tx:
        first = overviews.top_finds(tx, campaign.id, 1)[0]
        (before,) = overviews.campaigns(tx, "two")
    assert first.is_find
    label_id = first.properties[1].label_id
    told = why(two, str(first.reduced_formula)).suggestions[0]
    assert told.is_find
    assert [one.is_met for one in told.properties] == [True, True]
    assert label_id is not None
    kept, later = content_hash(two), "SELECT agd_content_hash_v3_with_later('two') AS sha256"
    (was,) = rows(two, later)
    retract_label(two, label_id, "another phase")
    with two.database.read() as tx:
        (after,) = overviews.campaigns(tx, "two")
        left = overviews.top_finds(tx, campaign.id, 99)
    assert (after.n_finds, after.n_charged) == (before.n_finds - 1, before.n_charged)
    again = next(row for row in left if row.suggestion_id == first.suggestion_id)
    assert (again.is_find, again.is_on_front, again.properties[1].is_retracted) == (False, False, True)
    assert first.suggestion_id not in {row.suggestion_id for row in rows(two, PARETO)}
    assert content_hash(two) == kept
    assert rows(two, later) != [was]


class _LeftError(Exception):
    """Somebody pulls the plug."""


@pytest.mark.parametrize("more", [ANALOGUE, RETRIEVAL])
def test_killed_and_resumed_it_gives_the_same_rows(two: Workspace, sought: MakeSpec, more: str) -> None:
    run(two, sought(more=more))
    other = open_campaign(two, sought("other", more=more))

    def leave(step: Step) -> None:
        if step in stops:
            stops.remove(step)
            raise _LeftError

    stops = [Step("suggest", 2), Step("label", 2), Step("record", 3)]
    for _ in range(3):
        with pytest.raises(_LeftError):
            LocalEngine().run(two, other, on_step=leave)
    assert LocalEngine().run(two, other).is_ended
    assert content_hash(two, "other") == content_hash(two)


def test_every_step_goes_by_files_too(two: Workspace, sought: MakeSpec, tmp_path: Path) -> None:
    run(two, sought(budget=8))
    other = open_campaign(two, sought("other", budget=8))
    for n in range(99):
        step = next_step(two, other)
        if step is None:
            break
        folder = tmp_path / f"step {n}"
        assert prepare(two, other, step, folder, 60.0)
        compute(folder)
        assert ingest(two, folder).what == "recorded"
    assert content_hash(two, "other") == content_hash(two)


def test_what_is_shown_is_each_property_in_its_unit(
    two: Workspace, sought: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = run(two, sought())
    monkeypatch.setenv("AGD_HOME", str(two.artifacts.parent))
    monkeypatch.setenv("AGD_DATABASE_URL", two.database.url)

    def agd(*words: str) -> str:
        done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        return done.stdout

    top = agd("top", "two", "-n", "3")
    for words in ("band_gap (eV)", "formation_energy (eV/atom)", "front", "iteration.rank"):
        assert words in top
    assert "formation_energy < -1.5 eV/atom: " in agd("status", "two")
    shown = json.loads(agd("top", "two", "-n", "3", "--json"))
    assert [one["unit"] for one in shown[0]["properties"]] == ["eV", "eV/atom"]
    told = agd("why", shown[0]["reduced_formula"])
    assert "formation_energy = " in told
    assert "eV/atom" in told
    open_controls(two, campaign)
    assert rows(two, "SELECT count(DISTINCT campaign_id) FROM campaign_target")[0][0] == 3
    (figures,) = (one.figures for one in compare(two, ["two"]) if one.name == "two")
    assert figures["target"] == "band_gap > 4 eV and formation_energy < -1.5 eV/atom"
    assert "formation energy, eV/atom" in report_page(two, "two")
    exported = next(csv.DictReader(agd("export", "two", "--format", "csv").splitlines()))
    assert exported["further_labels"].startswith("formation_energy -")
    assert "formation_energy" in agd("export", "two", "--what", "labels")
    agd("extend", "two", "--oracle-calls", "+4")
    assert json.loads(agd("resume", "two", "--json", "--quiet"))["n_charged"] == 28


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-1.5 eV/atom", "-1.5 eV", "two.toml:2: target: formation_energy is kept in eV/atom, not in eV"),
        ("formation_energy", "formation_enery", "two.toml:2: target: no property 'formation_enery': did you mean"),
        ('"energies"', '"starter"', "two.toml:20: oracles.formation_energy.dataset: dataset 'starter' holds values of"),
        ('"energies"', '"energy"', "two.toml:20: oracles.formation_energy.dataset: no dataset 'energy'"),
    ],
)
def test_what_the_record_does_not_hold_is_named(
    two: Workspace, tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "two.toml"
    path.write_text(SPEC.format(name="two", budget=8, more="").replace(old, new))
    with pytest.raises(Exception, match=r"two\.toml") as caught:
        open_campaign(two, spec.read(path))
    assert message in str(caught.value)
    assert isinstance(caught.value, SpecError) or "no dataset" in message


@pytest.mark.parametrize("target", ["2 eV < band_gap < 4 eV", "band_gap < 1 eV"])
def test_what_is_expected_is_the_property_whatever_the_target(two: Workspace, tmp_path: Path, target: str) -> None:
    path = tmp_path / "one.toml"
    given = SPEC[: SPEC.index("[oracles.")].format(name="one", budget=8) + ANALOGUE
    path.write_text(given.replace(given.split("\n")[1], f'target = "{target}"'))
    run(two, spec.read(path))
    found = rows(two, "SELECT expected, expected_sd, posterior_mean, reduced_formula FROM v_suggestion")
    assert all(0.0 <= row.expected < 15.0 and row.expected_sd >= 0.0 for row in found)
    assert all(row.posterior_mean <= 0.0 for row in found)  # that is of the objective
    told = why(two, found[0].reduced_formula).suggestions[0]
    assert told.expected == found[0].expected
    assert (told.properties, told.is_on_front) == ([], None)
    assert "distance" not in report_page(two, "one")


def test_a_further_label_is_dearer_only_than_what_its_own_oracle_learned_from(
    two: Workspace, sought: MakeSpec, tmp_path: Path
) -> None:
    rules = ImportRules("formula", "e", "formation_energy", "eV/atom", method="dft-pbe")
    import_dataset(two, tmp_path / "energies.csv", "learned", rules)
    (tmp_path / "again.csv").write_text((tmp_path / "energies.csv").read_text().replace(",-", ",-1"))
    import_dataset(two, tmp_path / "again.csv", "again", rules)
    sought(more=RETRIEVAL)
    words = (tmp_path / "two.toml").read_text().replace('dataset = "energies"', 'dataset = "learned"')
    words = words.replace('dataset = "starter"\n', 'dataset = "starter"\nknown = ["again"]\n', 1)
    run(two, spec.parse(words, tmp_path / "two.toml"))
    query = "SELECT l.source, l.source_kind FROM suggestion_label f JOIN v_label l ON l.label_id = f.label_id"
    sources = {(row.source_kind, row.source) for row in rows(two, query)}
    assert ("dataset", "learned") in sources
    assert ("dataset", "again") not in sources


def test_a_screening_says_what_it_does_not_ask(
    two: Workspace, sought: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(two, sought())
    monkeypatch.setenv("AGD_HOME", str(two.artifacts.parent))
    monkeypatch.setenv("AGD_DATABASE_URL", two.database.url)
    words = ["screen", "two", "--pool", "starter", "-o", "n_trees=5"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert "no screener is asked about formation_energy < -1.5 eV/atom" in " ".join(told.stderr.split())
    told = CliRunner().invoke(app, [*words, "--json"])
    assert json.loads(told.stdout)["unasked"] == ["formation_energy < -1.5 eV/atom"]
