"""The page of oracles: what is held out, what is learned from, and what is told."""

import csv
import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from agd import registry
from agd.chem.enumeration import charge_balanced
from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.errors import InputError
from agd.reproduction import oracles
from agd.reproduction.authors import ORACLE_ROWS, AuthorsFiles
from agd.reproduction.oracles import AUC, COVERAGE, MAE, R2, RECALL, TAIL_COVERAGE, Arm
from agd.reproduction.outcome import Compared
from agd.reproduction.study import Protocol, Study, Wish
from agd.types import Prediction, TrainingTable

MakeStudy = Callable[..., Study]

COLUMNS = ("formula", "label_src", "e_form_eV_atom", "band_gap_eV")
TREES = {"n_trees": 10}
PAIR = ("extra_trees", "random_forest")
HURDLE = Arm("hurdle", "hurdle", {"gate": PAIR, "members": PAIR})


def write_index(path: Path, rows: list[tuple[str, str, str, str]]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


@pytest.fixture
def study(make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A record of 300 gaps, and of formulas of which those without oxygen are metals."""
    counts = charge_balanced(300, seed=0)
    rows = [
        (formula, "id", "-1.0", "3.0" if oxygen else "0.0")
        for formula, oxygen in zip(identify(counts).reduced_formula, counts[:, 7], strict=True)
    ]
    of_exp3 = Study.dataset
    monkeypatch.setattr(Study, "dataset", lambda study, _row: of_exp3(study, "Exp3 BS"))
    corpus = write_index(tmp_path / "index.csv.gz", rows)
    return replace(make_study(Protocol(oracle_repeats=1)), generator_corpus=corpus)


def test_the_page_tells_each_oracle_and_each_way_to_tell_metals(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    best = replace(oracles.BEST, kind="extra_trees", given={"answer": "median", **TREES})
    left_out = Arm("left out", "random_forest", is_for_full=True)
    monkeypatch.setattr(oracles, "ARMS", (Arm("forest", "random_forest", TREES), left_out, best))
    monkeypatch.setattr(oracles, "METALS", (Arm("all gaps", "extra_trees", TREES), HURDLE))
    outcome = oracles.oracles(study, Wish())
    gaps, metals = (part for part in outcome.parts if isinstance(part, Compared))
    assert {line.row for line in gaps.lines} == {"forest", best.title}
    assert [line.quantity for line in gaps.lines[:5]] == [R2, MAE, RECALL, COVERAGE, TAIL_COVERAGE]
    assert best.title.capitalize() in outcome.lead
    assert {line.quantity for line in metals.lines} == {AUC, MAE}
    aucs = {line.row: line.ours.value for line in metals.lines if line.quantity == AUC and line.ours is not None}
    assert min(aucs.values()) > 0.95
    with study.workspace.database.read() as tx:
        counted = tx.execute(
            text(
                "SELECT count(*) FILTER (WHERE is_held_out), count(*) FROM training_set_member GROUP BY training_set_id"
            )
        ).all()
    assert (30, 300) in [tuple(row) for row in counted]
    assert oracles.oracles(study, Wish()).told() == outcome.told()


def test_chemical_systems_are_held_out_whole() -> None:
    formulas = ["NaCl", "Na2Cl", "MgO", "MgO2", "CaS", "CaS2", "LiF", "Li2F", "KBr", "K2Br"]
    drawn = [oracles._drawn_systems(seed, formulas) for seed in range(4)]
    for is_held_out in drawn:
        assert is_held_out.sum() == 2
        np.testing.assert_array_equal(is_held_out[::2], is_held_out[1::2])
    assert len({tuple(is_held_out) for is_held_out in drawn}) > 1


def test_a_formula_has_the_gap_of_its_lowest_entry(tmp_path: Path) -> None:
    rows = [
        ("MgO", "id", "-2.9", "4.0"),
        ("MgO", "id", "-3.0", "4.5"),
        ("MgO", "cell", "-9.0", "9.0"),
        ("CaO", "id", "-3.1", ""),
        ("NaN", "id", "1.0", "0.0"),
    ]
    assert oracles.lowest(write_index(tmp_path / "some.csv.gz", rows)) == {"MgO": 4.5, "NaN": 0.0}
    broken = write_index(tmp_path / "broken.csv.gz", [*rows, ("SrO", "id", "-3.1", "wide")])
    with pytest.raises(InputError, match=r"broken\.csv\.gz:7: not a row of formula"):
        oracles.lowest(broken)


def test_a_share_of_nothing_is_left_out() -> None:
    prediction = Prediction(np.array([1.0, 6.0]), np.array([0.5, 0.5]))
    said = oracles._judged(np.array([False, True]), np.array([1.2, 5.2]), prediction)
    assert said == {COVERAGE: 0.5, TAIL_COVERAGE: 0.0}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_networks_find_wide_gaps_without_fluorine_that_trees_miss(authors: AuthorsFiles) -> None:
    rows = authors.rows(ORACLE_ROWS)
    drawn = np.random.default_rng(0).permutation(len(rows))[:9000].tolist()
    counts, _ = parse_formulas([rows[i].formula for i in drawn])
    values = np.array([rows[i].band_gap_ev for i in drawn])
    table = TrainingTable(counts, values, np.arange(9000) >= 6000)
    is_missed = table.is_held_out & (values >= oracles.WIDE_EV) & (counts[:, oracles._FLUORINE] == 0)
    assert is_missed.sum() > 60
    recalls, scores = [], []
    for kind, given in (("extra_trees", {"n_trees": 40}), ("networks", {"n_folds": 3, "epochs": 16, "n_steps": 400})):
        plugin = registry.load("agd.oracles", kind)
        options = plugin.options_type(minimum=0.0, **given)
        fitted = plugin.fit(table, options, seed=0)
        recalls.append(np.mean(plugin.load(fitted.tensors, options).label(counts[is_missed]).values >= oracles.WIDE_EV))
        scores.append(fitted.metrics["r2"])
    assert scores[1] > scores[0] > 0.5
    assert recalls[1] > 0.3
    assert recalls[1] > 2.0 * recalls[0]
