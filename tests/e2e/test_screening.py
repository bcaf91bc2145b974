"""Screening a pool by screeners trained on a campaign's labels, training by hand, and what `agd why` says of a hit."""

import bz2
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from sqlalchemy import NullPool, create_engine, make_url, text
from typer.testing import CliRunner

from agd import spec
from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.cli.app import app
from agd.db.connection import Database
from agd.db.upkeep import checks
from agd.errors import InputError, NotFoundError
from agd.loop import LocalEngine
from agd.steps.campaign.campaigns import Campaign, get_campaign
from agd.steps.campaign.opening import open_campaign
from agd.steps.data import pools
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.compositions import counts_of
from agd.steps.data.importing import import_dataset
from agd.steps.models.training import retrain
from agd.steps.reading.explaining import why
from agd.steps.screening import screening
from agd.steps.screening.funnel import Funnel
from agd.steps.screening.screening import ScreenerChoice, ScreeningPlan, screen, train_screener
from agd.work.workspace import Workspace

SMALL = ScreenerChoice(options=("n_trees=12",))


def plan(pool: str, **asked: Any) -> ScreeningPlan:
    """A screening by the small campaign."""
    return ScreeningPlan("small", pool, choice=SMALL, **asked)


POOL = """\
id,formula,note
1,Na1F1,first of three spellings
2,Na2F2,
3,F1Na1,
4,Xq2O,not a formula
5,not a formula,
6,NaF
7,K1F1,
8,Na7Cl5,no charges balance
9,Mg8O8F8,reduced first
10,Li8F8O1,an element eight times
11,LiNaKRbCsF5,six elements
12,Ca(BO2)2,
13,Al11O17F5,too many atoms
14,Ba1Cl2,
15,H2O,
"""


SPEC = """\
name = "small"
target = "band_gap > 6 eV"
seed = 3

[data]
dataset = "starter"

[initial]
n = 30
at_most = 5.0

[filter]
is_neutral_in_common_states = false

[budget]
oracle_calls = 12
suggestions_per_iteration = 5

[autoencoder]
epochs = 1
n_latent = 12
hidden = 48
min_rows = 500

[oracle]
n_trees = 5

[sampler]
kind = "random"
"""


@pytest.fixture(scope="module")
def searched(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A database that holds the starter set and a small campaign at its end, and the folder of its model files."""
    folder = tmp_path_factory.mktemp("searched")
    with copied(server_url, template, f"agd_searched_{os.getpid()}") as url:
        with Database(url) as database:
            workspace = Workspace(database, folder / "artifacts")
            rules = ImportRules("formula", "band_gap_ev", "band_gap", "eV")
            import_dataset(workspace, Path(str(files("agd") / "data" / "starter.csv")), "starter", rules)
            (folder / "small.toml").write_text(SPEC)
            campaign = open_campaign(workspace, spec.read(folder / "small.toml"))
            assert LocalEngine().run(workspace, campaign).is_ended
        yield url, folder


@pytest.fixture
def database_url(server_url: str, searched: tuple[str, Path], tmp_path: Path) -> Iterator[str]:
    """A copy of that database for one test, and of its model files."""
    url, folder = searched
    shutil.copytree(folder / "artifacts", tmp_path / "artifacts")
    with copied(server_url, make_url(url).database or "", f"agd_screened_{os.getpid()}") as copy:
        yield copy


@contextmanager
def copied(server_url: str, source: str, name: str) -> Iterator[str]:
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{source}"'))
    yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def campaign(workspace: Workspace) -> Campaign:
    """The campaign that the record holds."""
    return get_campaign(workspace, "small")


@pytest.fixture
def pool(tmp_path: Path) -> str:
    (tmp_path / "pool.csv").write_text(POOL)
    return str(tmp_path / "pool.csv")


@pytest.fixture
def cli(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The verbs in this process, on the record of the test."""
    monkeypatch.setenv("AGD_DATABASE_URL", database_url)
    monkeypatch.setenv("AGD_HOME", str(tmp_path))  # model files lie in its folder `artifacts`, as the workspace's do
    monkeypatch.chdir(tmp_path)
    return lambda *words, **more: CliRunner().invoke(app, list(words), **more)


def scalar(workspace: Workspace, query: str) -> Any:
    with workspace.database.read() as tx:
        return tx.scalar(text(query))


def rows(workspace: Workspace, query: str) -> list[tuple[Any, ...]]:
    with workspace.database.read() as tx:
        return [tuple(row) for row in tx.execute(text(query))]


def retract(workspace: Workspace, label_id: int, reason: str = "a slip of the pen") -> None:
    with workspace.database.transaction() as tx:
        tx.execute(
            text("INSERT INTO retraction SELECT :label, :reason, min(id) FROM activity"),
            {"label": label_id, "reason": reason},
        )


def fails(ran: Result, error: type[Exception], *expected: str) -> None:
    assert isinstance(ran.exception, error), (ran.exception, ran.output)
    message = str(ran.exception)
    assert "\n" not in message
    for part in expected:
        assert part in message, message


def predicted(workspace: Workspace, role: str, formulas: list[str]) -> dict[str, float]:
    """What the screener of a role says, asked directly."""
    version = scalar(
        workspace, f"SELECT model_version_id FROM screening WHERE role = '{role}' ORDER BY id DESC LIMIT 1"
    )
    counts, problems = parse_formulas(formulas)
    assert not problems
    named = identify(counts)
    return dict(zip(named.reduced_formula, workspace.oracle(version).label(named.counts).values.tolist(), strict=True))


def test_the_funnel_of_a_file(workspace: Workspace, pool: str) -> None:
    """Every stage counts what a person counts by hand; hits are exactly what the screener predicts in the target."""
    n_before = scalar(workspace, "SELECT count(*) FROM composition")
    told = screen(workspace, plan(pool, is_novel=False, target="band_gap > 1 eV"))
    baseline, al = told.screenings
    assert [baseline.role, al.role] == ["baseline", "al"]
    for screened in (baseline, al):
        assert list(screened.stages.items())[:5] == [
            ("read", 15),
            ("parsed", 12),
            ("distinct", 10),
            ("within trims", 7),
            ("valid", 6),
        ]
        valid = ["NaF", "KF", "MgOF", "Ca(BO2)2", "BaCl2", "H2O"]
        values = predicted(workspace, screened.role, valid)
        wanted = sorted((key for key in values if values[key] > 1), key=lambda key: (-values[key], key))
        assert [hit.reduced_formula for hit in screened.top] == wanted
        assert screened.stages["predicted in target"] == screened.n_hits == len(wanted)
        hits = {hit.reduced_formula: hit for hit in screened.top}
        assert hits["NaF"].line == 2
        assert hits["NaF"].formula == "Na1F1"
        assert hits["NaF"].value == values["NaF"]
        assert all(hit.other_rank is not None for hit in screened.top if hit.reduced_formula == "NaF")
    assert told.n_shared == scalar(
        workspace, "SELECT count(*) FROM (SELECT composition_id FROM screening_hit GROUP BY 1 HAVING count(*) = 2) x"
    )
    assert scalar(workspace, "SELECT count(*) FROM composition WHERE reduced_formula IN ('Na7Cl5', 'LiNaKRbCsF5')") == 0
    assert scalar(workspace, "SELECT count(*) FROM composition") - n_before <= told.n_shared + 6
    assert scalar(workspace, "SELECT count(*) FROM verdict v JOIN screening_hit h USING (composition_id)") > 0
    assert told.n_read == 15
    refused = rows(workspace, "SELECT campaign, pool, activity, reason, reduced_formula FROM v_rejection")
    assert sorted(refused) == [
        ("small", "pool.csv", "screen", "an element more than 7 times", "Li8OF8"),
        ("small", "pool.csv", "screen", "more than 20 atoms", "Al11O17F5"),
        ("small", "pool.csv", "screen", "more than 5 elements", "CsKRbNaLiF5"),
        ("small", "pool.csv", "screen", "not charge neutral", "Na7Cl5"),
    ]
    with pytest.raises(
        NotFoundError, match=r"Na7Cl5 is not .*: refused in a screening of pool.csv for small: not charge"
    ):
        why(workspace, "Na7Cl5")


def test_a_second_run_adds_nothing(workspace: Workspace, pool: str) -> None:
    first = screen(workspace, plan(pool, roles=("al",)))
    assert first.was_there == {"al": False}
    both = screen(workspace, plan(pool))
    assert both.was_there == {"baseline": False, "al": True}
    assert both.screenings[1].screening_id == first.screenings[0].screening_id
    counted = "SELECT (SELECT count(*) FROM screening), (SELECT count(*) FROM activity), count(*) FROM model_version"
    before = rows(workspace, counted)
    again = screen(workspace, plan(pool))
    assert again.screenings == both.screenings
    assert again.n_read == 0
    same = screen(workspace, plan(pool, target="band_gap>6.0 eV"))
    assert same.was_there == {"baseline": True, "al": True}
    assert rows(workspace, counted) == before
    other = screen(workspace, plan(pool, max_count=6, roles=("al",)))
    assert other.screenings[0].screening_id not in {s.screening_id for s in both.screenings}


def test_what_the_screeners_learned_from(workspace: Workspace, campaign: Campaign) -> None:
    baseline = train_screener(workspace, campaign, "initial", SMALL)
    al = train_screener(workspace, campaign, "al", SMALL)
    assert (baseline.n_initial, baseline.n_learned, baseline.n_held_out) == (30, 0, 3)
    assert (al.n_initial, al.n_learned, al.n_held_out) == (30, 12, 4)
    by_iteration = (
        "SELECT iteration, count(*) FROM v_training_label WHERE model_version_id = {} GROUP BY 1 ORDER BY 1 NULLS FIRST"
    )
    assert rows(workspace, by_iteration.format(baseline.model_version_id)) == [(None, 30)]
    brought = rows(
        workspace, "SELECT iteration, count(*) FROM v_suggestion WHERE outcome = 'new' GROUP BY iteration ORDER BY 1"
    )
    assert rows(workspace, by_iteration.format(al.model_version_id)) == [(None, 30), *brought]
    drawn = "SELECT last_iteration, n_members FROM training_set_campaign"
    assert rows(workspace, drawn) == [(scalar(workspace, "SELECT max(number) FROM iteration"), 12)]
    held_out = (
        "SELECT reduced_formula FROM v_training_label WHERE model_version_id = {} AND is_held_out AND iteration IS NULL"
    )
    assert set(rows(workspace, held_out.format(baseline.model_version_id))) == set(
        rows(workspace, held_out.format(al.model_version_id))
    )
    assert "initial_mae" in al.metrics
    assert "initial_mae" not in baseline.metrics
    assert train_screener(workspace, campaign, "al", SMALL).was_there
    assert retrain(workspace, al.tensors_sha256 or "") == al.tensors_sha256


def test_hashes_are_those_of_before(workspace: Workspace, campaign: Campaign) -> None:
    """The hashes of sets of one dataset, and of recipes, are what they always were."""
    version = train_screener(workspace, campaign, "initial", SMALL).model_version_id
    sets = rows(
        workspace,
        "SELECT t.id, t.sha256, d.recipe_sha256 FROM training_set t JOIN training_set_source s"
        " ON s.training_set_id = t.id JOIN dataset d ON d.id = s.dataset_id",
    )
    assert len(sets) == 4
    for set_id, sha256, dataset in sets:
        lines = [f"dataset {dataset}\n"]
        members = rows(
            workspace,
            "SELECT c.reduced_formula, m.is_held_out, l.value FROM training_set_member m JOIN composition c"
            f" ON c.id = m.composition_id LEFT JOIN label l ON l.id = m.label_id WHERE m.training_set_id = {set_id}",
        )
        for formula, is_held_out, value in sorted(members):
            lines.append(f"{formula} {int(is_held_out)} {'-' if value is None else value.hex()}\n")
        assert hashlib.sha256("".join(lines).encode()).hexdigest() == sha256
    models = rows(
        workspace,
        "SELECT m.kind, plugin, property, architecture_version, options, m.seed, a.threads, t.sha256,"
        " m.recipe_sha256 FROM model_version m JOIN training_set t ON t.id = m.training_set_id"
        " JOIN activity a ON a.id = m.activity_id",
    )
    assert version is not None
    assert {model[0] for model in models} == {"autoencoder", "oracle", "screener"}
    for *parts, recipe in models:
        assert hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest() == recipe


def test_retracted_labels_are_left_out(workspace: Workspace, campaign: Campaign, pool: str) -> None:
    before = screen(workspace, plan(pool, target="band_gap > 1 eV"))
    hit = before.screenings[1].top[0].reduced_formula
    initial = (
        "SELECT min(label_id) FROM training_set_member JOIN campaign_set USING (training_set_id) WHERE role = 'initial'"
    )
    learned = "SELECT min(label_id) FROM suggestion WHERE outcome = 'new'"
    for query in (initial, learned):
        retract(workspace, scalar(workspace, query))
    assert train_screener(workspace, campaign, "initial", SMALL).n_initial == 29
    after = train_screener(workspace, campaign, "al", SMALL)
    assert (after.n_initial, after.n_learned, after.was_there) == (29, 11, False)
    told = why(workspace, hit).screenings[-1].trained_on  # the screener of before keeps what it learned from
    assert (told.initial, sum(told.by_iteration.values()), told.retracted_since) == (30, 12, 2)
    again = screen(workspace, plan(pool, target="band_gap > 1 eV"))
    assert again.was_there == {"baseline": False, "al": False}
    for label_id, *_ in rows(workspace, "SELECT id FROM label WHERE id NOT IN (SELECT label_id FROM retraction)"):
        retract(workspace, label_id)
    with pytest.raises(InputError, match="no label left to learn from"):
        train_screener(workspace, campaign, "al", SMALL)


def test_killed_in_the_middle_leaves_no_half_screening(
    workspace: Workspace, campaign: Campaign, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it dies while it reads or just before it commits, only the screeners that were ready stay."""
    for role in ("initial", "al"):
        train_screener(workspace, campaign, role, SMALL)
    counted = (
        "SELECT (SELECT count(*) FROM screening), (SELECT count(*) FROM stage),"
        " (SELECT count(*) FROM screening_hit), (SELECT count(*) FROM composition),"
        " (SELECT count(*) FROM model_version)"
    )
    before = rows(workspace, counted)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    for place, name in ((Funnel, "take"), (screening.activities, "finish")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, die)
            with pytest.raises(KeyboardInterrupt):
                screen(workspace, plan(pool, target="band_gap > 1 eV"))
        assert rows(workspace, counted) == before
    assert scalar(workspace, "SELECT count(*) FROM activity WHERE kind = 'screen' AND outcome = 'failed'") == 2
    told = screen(workspace, plan(pool, target="band_gap > 1 eV"))
    assert all(model.was_there for model in told.screeners.values())
    assert len(told.screenings) == 2


@pytest.mark.slow
def test_a_killed_process_leaves_nothing(workspace: Workspace, database_url: str, tmp_path: Path) -> None:
    """No signal handler helps against SIGKILL: the record alone must be whole, and the next one says what was lost."""
    rng = np.random.default_rng(0)
    elements = np.array(["Na", "K", "Mg", "Ca", "Al", "F", "O", "Cl", "S", "N"])
    picked = [rng.permutation(elements)[:4] for _ in range(30_000)]
    amounts = rng.integers(1, 8, size=(30_000, 4))
    lines = ["".join(f"{e}{n}" for e, n in zip(*row, strict=True)) for row in zip(picked, amounts, strict=True)]
    (tmp_path / "big.csv").write_text("formula\n" + "\n".join(lines * 20) + "\n")
    words = ["screen", "small", "--pool", "big.csv", "-o", "n_trees=60", "--no-valid", "--target", "band_gap > 1 eV"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AGD_")}
    environment = {**clean, "AGD_DATABASE_URL": database_url, "AGD_HOME": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-m", "agd", *words], env=environment, cwd=tmp_path)
    while not scalar(workspace, "SELECT count(*) FROM activity WHERE kind = 'screen' AND outcome = 'running'"):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait(timeout=60)
    kept = "SELECT (SELECT count(*) FROM screening), (SELECT count(*) FROM screening_hit), count(*) FROM stage"
    assert rows(workspace, kept) == [(0, 0, 0)]
    told = screen(workspace, plan(str(tmp_path / "big.csv"), limit=1000))
    assert [screened.stages["read"] for screened in told.screenings] == [1000, 1000]
    outcomes = "SELECT outcome FROM activity WHERE kind = 'screen' ORDER BY id"
    assert rows(workspace, outcomes) == [("lost",), ("done",)]


def test_a_dataset_is_a_pool(workspace: Workspace, tmp_path: Path) -> None:
    """The same formulas as a file and as a dataset give the same hits, in chunks of any size."""
    with gzip.open(tmp_path / "p.jsonl.gz", "wt") as file:
        for formula in ["F1Na1", "K1F1", "KF", "CaF2", "BaCl2", "NaF", "LiF", "Rb1F1"]:
            file.write(json.dumps({"pretty_formula": formula, "e": 1}) + "\n")
    import_dataset(workspace, tmp_path / "p.jsonl.gz", "p", ImportRules("pretty_formula"))
    asked = plan("p", is_novel=False, target="band_gap > 0 eV")
    of_file = screen(workspace, replace(asked, pool=str(tmp_path / "p.jsonl.gz")))
    of_dataset = screen(workspace, asked)
    assert of_file.screenings[0].stages["distinct"] == of_dataset.screenings[0].stages["read"] == 6
    keys = ("rank", "reduced_formula", "value", "line", "formula")
    for one, other in zip(of_file.screenings, of_dataset.screenings, strict=True):
        assert [[getattr(hit, key) for key in keys] for hit in one.top] == [
            [getattr(hit, key) for key in keys] for hit in other.top
        ]
        assert len(one.top) == 6
    assert {row.dataset for row in of_dataset.screenings} == {"p"}
    assert "p" in {found.name for found in why(workspace, "NaF").datasets}
    limited = screen(workspace, replace(asked, limit=3, roles=("al",)))
    assert {hit.reduced_formula for hit in limited.screenings[0].top} == {"NaF", "KF", "CaF2"}


def test_the_size_of_a_chunk_changes_nothing(
    workspace: Workspace, pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = screen(workspace, plan(pool, target="band_gap > 1 eV"))
    monkeypatch.setattr(pools, "CHUNK", 2)
    (tmp_path / "other.csv").write_text(POOL + "\n")  # other bytes, so that it is screened again
    chunked = screen(workspace, plan(str(tmp_path / "other.csv"), target="band_gap > 1 eV"))
    for one, other in zip(whole.screenings, chunked.screenings, strict=True):
        assert (one.stages, one.top) == (other.stages, other.top)


def test_novel_sigma_and_windows(workspace: Workspace, tmp_path: Path) -> None:
    """What has a label is left out; a window is reached on both sides, its middle first."""
    known = [formula for (formula,) in rows(workspace, "SELECT DISTINCT reduced_formula FROM v_label ORDER BY 1")][:120]
    (tmp_path / "p.csv").write_text("any\n" + "\n".join(known) + "\n")
    path = str(tmp_path / "p.csv")
    novel_ones = plan(
        path, target="1 eV < band_gap < 3 eV", is_valid=False, max_elements=99, max_atoms=999, max_count=99
    )
    every = screen(workspace, replace(novel_ones, is_novel=False))
    novel = screen(workspace, novel_ones)
    safe = screen(workspace, replace(novel_ones, is_novel=False, sigma=0.3), n_top=999)
    assert "valid" not in every.screenings[0].stages
    for role in (0, 1):
        trained_on = {
            formula
            for (formula,) in rows(
                workspace,
                "SELECT reduced_formula FROM v_training_label WHERE model_version_id ="
                f" {every.screenings[role].model_version_id}",
            )
        }
        assert novel.screenings[role].stages["novel"] == len(set(known) - trained_on) < len(known)
        hits = every.screenings[role].top
        depths = [min(hit.value - 1, 3 - hit.value) for hit in hits]
        assert depths == sorted(depths, reverse=True)
        assert min(depths) > 0
        top = safe.screenings[role].top
        assert all(hit.value - 0.3 * hit.uncertainty > 1 for hit in top)
        assert all(hit.value + 0.3 * hit.uncertainty < 3 for hit in top)
        stages = safe.screenings[role].stages
        assert stages["beyond 0.3 sigma"] == len(top) < stages["predicted in target"]


def test_nothing_found_is_no_error(cli: Callable[..., Result]) -> None:
    Path("p.csv").write_text("formula\nXq\nNaCl\n")
    ran = cli("screen", "small", "--pool", "p.csv", "-o", "n_trees=5", "--target", "band_gap > 90 eV")
    assert ran.exit_code == 0, ran.output
    assert "0 of baseline and 0 of al" in ran.output
    again = cli("screen", "small", "--pool", "p.csv", "-o", "n_trees=5", "--target", "band_gap > 90 eV", "--json")
    told = json.loads(again.stdout)
    assert told["was_there"] == {"baseline": True, "al": True}
    assert [s["stages"]["parsed"] for s in told["screenings"]] == [1, 1]


def test_a_dry_run_stores_nothing(workspace: Workspace, cli: Callable[..., Result], pool: str) -> None:
    n_before = scalar(workspace, "SELECT count(*) FROM activity")
    ran = cli("screen", "small", "--pool", pool, "--dry-run")
    assert ran.exit_code == 0, ran.output
    assert ran.output.count("to be trained; would screen") == 2
    assert "nothing trained" not in cli("train", "screener", "--campaign", "small", "--dry-run").output
    assert scalar(workspace, "SELECT count(*) FROM activity") == n_before


def test_wrong_words(workspace: Workspace, cli: Callable[..., Result], pool: str) -> None:
    n_before = scalar(workspace, "SELECT count(*) FROM activity")

    def screened(*words: str, of: str = pool, name: str = "small") -> Result:
        return cli("screen", name, "--pool", of, *words)

    fails(screened(name="smal"), NotFoundError, "did you mean 'small'?")
    fails(screened(of="none.csv"), InputError, "none.csv: no such file")
    fails(screened(of="startr"), NotFoundError, "did you mean 'starter'?")
    fails(screened("--kind", "randm_forest"), NotFoundError, "did you mean 'random_forest'?")
    fails(screened("-o", "n_tres=5"), InputError, "n_tres=5", "did you mean 'n_trees'?")
    fails(screened("-o", "n_trees=many"), InputError, "-o n_trees:", "'many'")
    fails(screened("-o", "n_trees=0"), InputError, "-o n_trees:", "greater than or equal to 1")
    fails(screened("-o", "n_trees"), InputError, "write key=value")
    fails(screened("-o", "n_trees=1", "-o", "n_trees=2"), InputError, "given twice")
    fails(screened("--target", "density > 1 g/cm3"), InputError, "answer band_gap in eV")
    fails(screened("--target", "band gap"), InputError, "is no target")
    fails(screened("--formula-column", "formla"), InputError, "did you mean 'formula'?")
    fails(screened("--formula-column", "formula", of="starter"), InputError, "is a dataset")
    Path("starter").write_text("formula\nNaF\n")
    fails(screened(of="starter"), InputError, "write ./starter for the file")
    Path("two.csv").write_text("a,b\nNaF,KF\n")
    fails(screened(of="two.csv"), InputError, "--formula-column with one of a, b")
    Path("bare.csv").write_text("NaF\nKF\n")
    fails(screened(of="bare.csv"), InputError, "NaF reads like a formula")
    Path("empty.csv").write_text("")
    fails(screened(of="empty.csv"), InputError, "is empty")
    Path("torn.csv.gz").write_bytes(gzip.compress(POOL.encode() * 50)[:-40])
    fails(screened("-o", "n_trees=2", of="torn.csv.gz"), InputError, "not a whole gzip file")
    assert scalar(workspace, "SELECT count(*) FROM screening") == 0
    trained = scalar(workspace, "SELECT count(*) FROM activity WHERE kind = 'train screener'")
    assert scalar(workspace, "SELECT count(*) FROM activity WHERE kind <> 'train screener'") - n_before <= 1
    assert trained <= 2
    fails(cli("train", "oracle", "--dataset", "startr"), NotFoundError, "did you mean 'starter'?")
    fails(cli("train", "autoencoder", "--dataset", "starter", "-o", "epoch=2"), InputError, "did you mean 'epochs'?")
    fails(cli("train", "screener", "--campaign", "smal"), NotFoundError, "did you mean 'small'?")
    assert cli("train", "screener", "--campaign", "small", "--labels", "all").exit_code == 2


def test_training_by_hand_shares_the_campaigns_models(workspace: Workspace, cli: Callable[..., Result]) -> None:
    """The same recipe is the same model version, whoever asks for it."""
    options = ["epochs=1", "n_latent=12", "hidden=48", "min_rows=500"]
    words = ["train", "autoencoder", "--dataset", "starter", *(word for o in options for word in ("-o", o))]
    told = json.loads(cli(*words, "--json").stdout)
    (used,) = rows(workspace, "SELECT model_version_id FROM campaign_model WHERE role = 'autoencoder'")
    assert (told["was_there"], told["model_version_id"]) == (True, used[0])
    words = ["train", "oracle", "--dataset", "starter", "-o", "n_trees=5", "--threads", "2"]
    n_rows = scalar(workspace, "SELECT count(*) FROM dataset_row")
    planned = json.loads(cli(*words, "--dry-run", "--json").stdout)
    assert (planned["was_there"], planned["n_initial"], planned["model_version_id"]) == (False, n_rows, None)
    ran = cli(*words)
    assert ran.exit_code == 0, ran.output
    assert "oracle random_forest: trained in" in ran.output
    assert " mae " in ran.output
    assert scalar(workspace, "SELECT threads FROM activity WHERE kind = 'train oracle' ORDER BY id DESC LIMIT 1") == 2
    assert "is in the record already" in cli(*words).output
    assert json.loads(cli(*words, "--json").stdout)["recipe_sha256"] == planned["recipe_sha256"]


def test_why_of_a_hit(workspace: Workspace, cli: Callable[..., Result]) -> None:
    Path("p.csv").write_text("formula\nNa2Ca2F6\nKF\n")
    ran = cli("screen", "small", "--pool", "p.csv", "-o", "n_trees=5", "--target", "band_gap > 0 eV", "--no-novel")
    assert ran.exit_code == 0, ran.output
    told = cli("why", "NaCaF3").output
    assert "picked by the baseline screener of campaign small" in told
    assert "picked by the al screener of campaign small" in told
    last = scalar(workspace, "SELECT max(number) FROM iteration")
    assert f"trained on 30 initial labels and 12 labels of iterations 1 to {last}" in told
    assert "line 2 of pool p.csv as Na2Ca2F6" in told
    hit = json.loads(cli("why", "NaCaF3", "--json").stdout)["screenings"][1]
    assert hit["rank"] <= hit["n_hits"] == 2
    assert hit["trained_on"]["initial"] == 30
    assert sum(hit["trained_on"]["by_iteration"].values()) == 12
    screened = json.loads(cli("screens", "small", "--json").stdout)
    assert [(row["role"], row["n_read"], row["n_hits"]) for row in screened] == [("baseline", 2, 2), ("al", 2, 2)]
    assert "p.csv" in cli("screens").output
    fails(cli("screens", "smal"), NotFoundError, "did you mean 'small'?")


def test_why_of_measurements_and_retractions(workspace: Workspace, cli: Callable[..., Result]) -> None:
    with workspace.database.transaction() as tx:
        tx.execute(
            text(
                "INSERT INTO measurement"
                " (composition_id, property, operator, measured_on, replicate, note, activity_id)"
                " SELECT id, 'band_gap', 'ada', :day, 2, 'ellipsometry', activity_id FROM composition"
                " WHERE reduced_formula = 'NaCl'"
            ),
            {"day": date(2026, 1, 2)},
        )
        tx.execute(
            text(
                "INSERT INTO label (composition_id, property, value, uncertainty, measurement_id, activity_id)"
                " SELECT composition_id, property, 8.5, 0.1, id, activity_id FROM measurement"
            )
        )
    retract(
        workspace,
        scalar(workspace, "SELECT label_id FROM v_label WHERE source_kind = 'dataset' AND reduced_formula = 'NaCl'"),
    )
    told = cli("why", "NaCl").output
    assert "measured by ada on 2026-01-02, replicate 2 (ellipsometry)" in told
    assert "a slip of the pen" in told
    labels = {label["source_kind"]: label for label in json.loads(cli("why", "NaCl", "--json").stdout)["labels"]}
    assert labels["measurement"]["source"] == "ada"
    assert labels["measurement"]["measured_on"] == "2026-01-02"
    assert (labels["dataset"]["is_retracted"], labels["dataset"]["retraction_reason"]) == (True, "a slip of the pen")


def test_standard_input(cli: Callable[..., Result]) -> None:
    ran = cli(
        "screen", "small", "--pool", "-", "-o", "n_trees=5", "--json", input='{"formula": "NaF"}\n{"formula": "KF"}\n'
    )
    assert json.loads(ran.stdout)["screenings"][0]["stages"]["read"] == 2


def test_a_pool_is_told_by_its_content(cli: Callable[..., Result]) -> None:
    text = "# our own list\nid;formula;note\n1;NaF;\n2;KF;" + "x" * 200_000 + "\n3\n"
    Path("p.csv").write_bytes(bz2.compress(text.encode("utf-16")))
    ran = cli("screen", "small", "--pool", "p.csv", "-o", "n_trees=5", "--json")
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["screenings"][0]["stages"]["read"] == 3
    Path("empty.csv").write_text("formula\n\n")
    fails(cli("screen", "small", "--pool", "empty.csv"), InputError, "holds no rows")
    Path("book.csv").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(90))
    fails(cli("screen", "small", "--pool", "book.csv", "-o", "n_trees=5"), InputError, "save the sheet as CSV")


def test_seen_tells_compositions_apart() -> None:
    from agd.chem.distinct import Seen

    rng = np.random.default_rng(0)
    counts = np.zeros((4000, 103), np.int32)
    for row in counts:
        row[rng.choice(12, size=2, replace=False)] = rng.integers(1, 8, size=2)
    expected, met = [], set()
    for row in counts:
        expected.append(row.tobytes() not in met)
        met.add(row.tobytes())
    seen = Seen()
    found = np.concatenate([seen.add(counts[start : start + 700]) for start in range(0, 4000, 700)])
    assert found.tolist() == expected
    assert seen.holds(counts).all()
    assert not seen.holds(counts_of(["Au3Pt"])).any()
    assert not Seen().holds(counts).any()


def test_any_model_screens_without_a_campaign(workspace: Workspace, pool: str, cli: Callable[..., Result]) -> None:
    """What its own predictions say, stored as any screening is, and asked for again as such."""
    oracle, sha256 = rows(workspace, "SELECT id, tensors_sha256 FROM model_version WHERE kind = 'oracle'")[0]
    words = ["screen", "--model", str(oracle), "--pool", pool, "--no-novel", "--json", "--filter", "elements_denied=Ba"]
    target = ["--target", "band_gap > 1 eV"]
    ran = cli(*words, *target)
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert (told["campaign"], told["was_there"], list(told["screeners"])) == (None, {"model": False}, ["model"])
    valid = identify(parse_formulas(["NaF", "KF", "MgOF", "Ca(BO2)2", "H2O"])[0])
    values = workspace.oracle(oracle).label(valid.counts).values.tolist()
    wanted = {formula: value for formula, value in zip(valid.reduced_formula, values, strict=True) if value > 1}
    (screened,) = told["screenings"]
    assert {hit["reduced_formula"]: hit["value"] for hit in screened["top"]} == wanted
    assert screened["stages"]["without: holds Ba"] == 5
    assert rows(workspace, "SELECT campaign_id, role FROM screening") == [(None, "model")]
    assert rows(workspace, "SELECT DISTINCT campaign, role FROM v_screening_hit") == [(None, "model")]
    assert json.loads(cli(*words, *target).stdout)["was_there"] == {"model": True}
    (listed,) = json.loads(cli("screens", "--json").stdout)
    assert (listed["campaign"], listed["role"], listed["n_hits"]) == (None, "model", len(wanted))
    assert "model" in cli("screens").stdout
    assert "1 eV is screened for" not in (shown := cli(*words[:-3], *target).stdout)
    assert "is screened for band_gap > 1 eV" in shown
    tree = cli("why", "NaF").stdout
    assert f"picked by model version {oracle} on" in tree
    by_campaign = json.loads(cli("screen", "small", "--model", sha256[:10], "--pool", pool, "--json").stdout)
    assert (by_campaign["campaign"], by_campaign["criteria"]["target"]) == ("small", "band_gap > 6 eV")
    assert [row["role"] for row in json.loads(cli("screens", "small", "--json").stdout)] == ["model"]
    with workspace.database.read() as tx:
        assert [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "2"], "--target: needed without a campaign, for instance --target 'band_gap > 5 eV'"),
        (["--target", "band_gap > 5 eV"], "name the campaign whose labels judge, or a model that does: --model ID"),
        (["--model", "2", "--target", "e_form < -1 eV/atom"], "model 2 answers band_gap in eV"),
        (["--model", "1", "--target", "band_gap > 5 eV"], "a model of kind autoencoder answers no property"),
        (["--model", "77", "--target", "band_gap > 5 eV"], "--model 77: 0 models have that id"),
        (["--model", "2", "--filtered"], "--filtered: there is no campaign whose filter is meant"),
        (["--model", "2", "-o", "n_trees=5"], "--model: that one is trained already"),
    ],
)
def test_what_a_screening_needs_is_said(
    workspace: Workspace, pool: str, cli: Callable[..., Result], words: list[str], message: str
) -> None:
    kinds = {str(i): kind for i, kind in rows(workspace, "SELECT id, kind FROM model_version")}
    assert (kinds["1"], kinds["2"]) == ("autoencoder", "oracle")
    before = scalar(workspace, "SELECT count(*) FROM activity")
    ran = cli("screen", *words, "--pool", pool)
    assert message in str(ran.exception), ran.output
    assert scalar(workspace, "SELECT count(*) FROM activity") == before
