"""Campaigns that search among formulas: no autoencoder, no latents; parents, filters, and labels that are known."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from pymatgen.core import Composition
from sqlalchemy import text
from typer.testing import CliRunner

from agd import spec
from agd.cli.app import app
from agd.db.connection import Database
from agd.db.record import activities, hashes
from agd.db.removals import open_removal
from agd.db.upkeep import checks
from agd.errors import NotFoundError
from agd.loop import LocalEngine
from agd.nets.threads import limited_threads
from agd.report.comparison import compare
from agd.report.page import report_page
from agd.spec import ResolvedSpec
from agd.steps.campaign.campaigns import Campaign
from agd.steps.campaign.offline import compute, ingest, prepare
from agd.steps.campaign.opening import open_campaign, open_controls, plan
from agd.steps.campaign.stepping import next_step, perform
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.steps.reading import overviews
from agd.steps.reading.explaining import why
from agd.steps.screening.screening import ScreenerChoice, ScreeningPlan, screen
from agd.work.workspace import Workspace

STARTER = Path(str(files("agd") / "data" / "starter.csv"))
LABELLED = ImportRules("formula", "band_gap_ev", "band_gap", "eV")

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
suggestions_per_iteration = 8

[oracle]
n_trees = 10
{more}
"""
ANALOGUE = "[sampler]\nn_children = 300\n"
RETRIEVAL = '[sampler]\nkind = "retrieval"\npool = "starter"\n'

MakeSpec = Callable[..., ResolvedSpec]


@pytest.fixture
def formulas(tmp_path: Path) -> MakeSpec:
    """Write and read a specification of a search among formulas."""

    def make(name: str = "small", budget: int = 20, more: str = ANALOGUE) -> ResolvedSpec:
        path = tmp_path / f"{name}.toml"
        path.write_text(SPEC.format(name=name, budget=budget, more=more))
        return spec.read(path)

    return make


@pytest.fixture
def other_record(fresh_database: Callable[[], AbstractContextManager[str]], tmp_path: Path) -> Iterator[Workspace]:
    """A second record with the starter set, in which its compositions have ids of another order."""
    with fresh_database() as url, Database(url) as database:
        workspace = Workspace(database, tmp_path / "other")
        with STARTER.open() as file:
            formulas = [row["formula"] for row in csv.DictReader(file)]
        path = tmp_path / "backwards.csv"
        path.write_text("\n".join(["formula", *formulas[::-1]]) + "\n")
        import_dataset(workspace, path, "backwards", ImportRules("formula"))
        import_dataset(workspace, STARTER, "starter", LABELLED)
        yield workspace


def run(workspace: Workspace, resolved: ResolvedSpec) -> Campaign:
    campaign = open_campaign(workspace, resolved)
    assert LocalEngine().run(workspace, campaign).is_ended
    return campaign


def scalar(workspace: Workspace, query: str) -> object:
    with workspace.database.read() as tx:
        return tx.scalar(text(query))


def content_hash(workspace: Workspace, name: str = "small") -> str | None:
    with workspace.database.read() as tx:
        found = hashes.of_campaign(tx, name)
        return found and found.sha256


def test_no_autoencoder_is_trained_and_parents_are_rows(starter: Workspace, formulas: MakeSpec) -> None:
    resolved = formulas(budget=24)
    assert (resolved.spec.sampler.kind, resolved.spec.autoencoder) == ("analogue", None)
    assert "autoencoder" not in resolved.content
    assert plan(starter, resolved).autoencoder is None
    campaign = run(starter, resolved)
    assert scalar(starter, "SELECT count(*) FROM model_version WHERE kind = 'autoencoder'") == 0
    assert scalar(starter, "SELECT count(*) FROM latent") == scalar(starter, "SELECT count(*) FROM decode_failure") == 0
    n = scalar(starter, "SELECT count(*) FROM suggestion WHERE latent_id IS NULL AND outcome = 'new'")
    assert n == scalar(starter, "SELECT count(*) FROM suggestion") == 24
    made = "SELECT count(*) FROM v_suggestion v JOIN suggestion_parent p USING (suggestion_id) WHERE NOT v.is_known"
    assert scalar(starter, made) == scalar(starter, "SELECT count(*) FROM v_suggestion WHERE NOT is_known")
    with starter.database.read() as tx:
        assert [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)] == []
        assert [law.what for law in checks.ORPHANS if checks.n_against(tx, law)] == []
        best = overviews.top_finds(tx, campaign.id, 24)
    new = next(row for row in best if not row.is_known)
    told = why(starter, str(new.reduced_formula)).suggestions[0]
    assert told.made_from[0].depth == 1
    assert " by " in told.made_from[0].operator
    assert {one.campaign for one in why(starter, told.made_from[0].reduced_formula).suggestions} <= {"small"}
    assert "latent vectors in their principal plane" not in report_page(starter, "small")


def test_what_the_filter_leaves_is_counted_by_stage(starter: Workspace, formulas: MakeSpec) -> None:
    run(starter, formulas(budget=8, more=ANALOGUE + '[filter]\nelements_denied = ["F"]\nmax_elements = 3\n'))
    with starter.database.read() as tx:
        rows = tx.execute(
            text(
                "SELECT t.name, t.n_in, t.n_left FROM stage t JOIN activity a ON a.id = t.activity_id"
                " WHERE a.kind = 'suggest' ORDER BY a.id, t.position"
            )
        ).all()
    names = [row.name for row in rows]
    assert names[:2] == ["judged", "without: holds F"]
    assert "without: not neutral in common oxidation states" in names
    assert "without: neither known nor an analogue of a known composition" in names
    assert all(row.n_left <= row.n_in for row in rows)
    with starter.database.read() as tx:
        refused = tx.execute(text("SELECT * FROM v_rejection ORDER BY iteration, reason, reduced_formula")).all()
        assert [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)] == []
    assert {(row.campaign, row.activity) for row in refused} == {("small", "suggest")}
    assert max(Counter((row.iteration, row.reason) for row in refused).values()) == 20
    assert {f"without: {row.reason}" for row in refused} <= set(names)
    assert all("F" in Composition(row.reduced_formula) for row in refused if row.reason == "holds F")
    assert all(row.n_refused > 0 for row in refused)
    unknown = next(row for row in refused if not scalar(
        starter, f"SELECT count(*) FROM composition WHERE reduced_formula = '{row.reduced_formula}'"
    ))  # fmt: skip
    with pytest.raises(NotFoundError, match=f"refused in iteration {unknown.iteration} of small: {unknown.reason}"):
        why(starter, unknown.reduced_formula)
    assert scalar(starter, "SELECT count(*) FROM composition c JOIN suggestion s ON s.composition_id = c.id"
                  " WHERE c.n_elements > 3 OR c.chemical_system ~ '(^|-)F(-|$)'") == 0  # fmt: skip


def refused_in(workspace: Workspace) -> list[tuple[object, ...]]:
    with workspace.database.read() as tx:
        found = tx.execute(
            text("SELECT iteration, reason, reduced_formula, n_refused FROM v_rejection ORDER BY 1, 2, 3")
        )
        return [tuple(row) for row in found]


@pytest.mark.parametrize("more", [ANALOGUE, RETRIEVAL], ids=["analogue", "retrieval"])
def test_a_broken_run_in_another_record_has_the_same_hash(
    starter: Workspace, other_record: Workspace, formulas: MakeSpec, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    resolved = formulas(budget=16, more=more)
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
    assert content_hash(other_record) == content_hash(starter)
    assert refused_in(other_record) == refused_in(starter)
    with starter.database.transaction() as tx:
        open_removal(tx, "a test")
        tx.execute(text("UPDATE suggestion_parent SET operator = 'a wish' WHERE suggestion_id ="
                        " (SELECT min(suggestion_id) FROM suggestion_parent)"))  # fmt: skip
    assert (content_hash(starter) == content_hash(other_record)) is (more == RETRIEVAL)


def test_it_travels_to_where_no_record_is(starter: Workspace, formulas: MakeSpec, tmp_path: Path) -> None:
    run(starter, formulas("near", budget=8))
    campaign = open_campaign(starter, formulas("far", budget=8))
    while (step := next_step(starter, campaign)) is not None and step.kind != "suggest":
        perform(starter, campaign, step)
    assert step is not None
    assert prepare(starter, campaign, step, tmp_path / "job", 3600.0)
    compute(tmp_path / "job")
    assert ingest(starter, tmp_path / "job").what == "recorded"
    assert LocalEngine().run(starter, campaign).is_ended
    assert content_hash(starter, "far") == content_hash(starter, "near")


def test_what_the_oracle_was_trained_on_is_known(starter: Workspace, formulas: MakeSpec) -> None:
    campaign = run(starter, formulas(more=RETRIEVAL))
    assert scalar(starter, "SELECT count(*) FROM label WHERE model_version_id IS NOT NULL") == 0
    with starter.database.read() as tx:
        (row,) = overviews.campaigns(tx, "small")
        assert (row.n_charged, row.n_known_finds) == (20, row.n_finds)
        assert all(one.is_known for one in overviews.top_finds(tx, campaign.id, 20))
    (found,) = compare(starter, ["small"])
    assert (found.figures["n_known_finds"], found.figures["n_new_finds"]) == (row.n_finds, 0)
    off = SPEC.replace("n_trees = 10", "n_trees = 10\nuses_known_labels = false")
    path = campaign.name
    asked = run(starter, spec.parse(off.format(name="asked", budget=20, more=RETRIEVAL), Path(f"{path}.toml")))
    assert not asked.spec.oracle.uses_known_labels
    assert scalar(starter, "SELECT count(*) FROM label WHERE model_version_id IS NOT NULL") == 20


def test_controls_choose_blindly_among_the_same(starter: Workspace, formulas: MakeSpec) -> None:
    for name, more in (("made", ANALOGUE), ("drawn", RETRIEVAL)):
        campaign = open_campaign(starter, formulas(name, budget=8, more=more))
        blind, substitution = open_controls(starter, campaign)
        assert blind.name == f"{name}-random"
        assert blind.spec.sampler.options().model_dump()["acquisition"] == "random"
        assert blind.spec.sampler.kind == campaign.spec.sampler.kind
        assert substitution.spec.sampler.kind == "substitution"
        for one in (blind, substitution):
            assert LocalEngine().run(starter, one).is_ended
        assert open_controls(starter, campaign) == [blind, substitution]
    assert scalar(starter, "SELECT count(*) FROM model_version WHERE kind = 'autoencoder'") == 0


def test_a_dataset_of_what_is_known(starter: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "known.csv"
    path.write_text("formula\nNa7Cl5\nCsMgF3\nSrAlF5\n")
    import_dataset(starter, path, "known", ImportRules("formula"))
    known = SPEC.replace('dataset = "starter"', 'dataset = "starter"\nknown = ["known"]')
    resolved = spec.parse(known.format(name="small", budget=8, more=ANALOGUE), tmp_path / "small.toml")
    campaign = open_campaign(starter, resolved)
    assert scalar(starter, "SELECT count(*) FROM campaign_known") == 2
    assert LocalEngine().run(starter, campaign).is_ended
    missing = known.replace('["known"]', '["knwon"]').format(name="other", budget=8, more=ANALOGUE)
    with pytest.raises(NotFoundError, match=r"other.toml:7: data.known: no dataset 'knwon'.*'known'"):
        open_campaign(starter, spec.parse(missing, tmp_path / "other.toml"))


def test_a_text_means_what_it_meant_when_it_was_opened(starter: Workspace, formulas: MakeSpec) -> None:
    """The defaults of today are written into new specifications; who runs an old one again goes on with it."""
    resolved = formulas()
    open_campaign(starter, resolved)
    with starter.database.transaction() as tx:
        open_removal(tx, "a test")
        tx.execute(
            text(
                "UPDATE campaign SET spec = jsonb_set(spec, '{filter}', '{\"max_atoms\": null}'),"
                " spec_sha256 = 'of its time'"
            )
        )
    again = open_campaign(starter, resolved)
    assert not again.spec.filter.is_neutral_in_common_states


def test_a_screening_lets_through_what_the_search_does(starter: Workspace, formulas: MakeSpec, tmp_path: Path) -> None:
    run(starter, formulas(budget=8, more=ANALOGUE + '[filter]\nelements_denied = ["F"]\n'))
    pool = tmp_path / "pool.csv"
    pool.write_text("formula\nLiF\nNaCl\nNa7Cl5\nBN\nCaO\n")
    choice = ScreenerChoice(options=("n_trees=5",))
    plan_ = ScreeningPlan("small", str(pool), ("baseline",), choice, target="band_gap > 0.1 eV", is_novel=False)
    (loose,) = screen(starter, plan_).screenings
    (strict,) = screen(starter, replace(plan_, is_filtered=True)).screenings
    assert {hit.reduced_formula for hit in loose.top} == {"LiF", "NaCl", "BN", "CaO"}
    assert {hit.reduced_formula for hit in strict.top} == {"NaCl", "CaO"}
    assert strict.stages["within the campaign's filter"] == 2
    assert ScreeningPlan.of_request(replace(plan_, is_filtered=True).as_request()).is_filtered


def test_a_screening_takes_further_rules(
    starter: Workspace, formulas: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(starter, formulas(budget=8, more=ANALOGUE))
    pool = tmp_path / "pool.csv"
    pool.write_text("formula\nLiF\nNaCl\nNa7Cl5\nBN\nCaO\nSrFeN3\n")
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url)
    monkeypatch.setenv("AGD_HOME", str(tmp_path))
    words = ["screen", "small", "--pool", str(pool), "--screener", "baseline", "-o", "n_trees=5", "--no-novel"]
    words += ["--target", "band_gap > 0.1 eV", "--json"]
    rules = ["--filter", "elements_denied=F", "--filter", "has_metal=true", "--filter", "is_known_or_analogue=true"]
    ran = CliRunner().invoke(app, [*words, *rules])
    assert ran.exit_code == 0, ran.output
    (told,) = json.loads(ran.stdout)["screenings"]
    assert list(told["stages"].items())[3:-1] == [
        ("within trims", 6),
        ("valid", 5),
        ("without: holds F", 4),
        ("without: holds no metal", 3),
        ("without: neither known nor an analogue of a known composition", 2),
    ]
    assert told["criteria"]["filter"] == {
        "elements_denied": ["F"],
        "has_metal": True,
        "is_known_or_analogue": True,
    }
    assert {hit["reduced_formula"] for hit in told["top"]} == {"NaCl", "CaO"}
    for rule, message in {
        "has_metl=true": "--filter has_metl=true: a filter has no option 'has_metl': did you mean 'has_metal'?",
        "max_atoms=40": "--filter max_atoms: has an option of its own, --max-atoms: say it there",
    }.items():
        ran = CliRunner().invoke(app, [*words, "--filter", rule])
        assert str(ran.exception) == message
