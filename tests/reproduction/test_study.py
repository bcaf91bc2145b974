"""Models and campaigns of a study: made once, found again, and told line by line."""

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from agd.chem.distinct import Seen
from agd.chem.formula import parse_formulas
from agd.errors import InputError
from agd.report.drawing import as_svg
from agd.reproduction import kappa, matgan, paper, proposals, retrieval, searches, stability, table1
from agd.reproduction.experiments import finds_lines, screener_lines
from agd.reproduction.kappa import fig5
from agd.reproduction.outcome import Compared, Figure
from agd.reproduction.searches import EXP3, EXP4, GENERATED, RANDOM, REAL, hidden_formulas, honest_test, search
from agd.reproduction.study import HIGH, Protocol, Study, Wish
from agd.steps.generation.tallying import Gathering, Keeping

MakeStudy = Callable[..., Study]

SMALL = """\
name = "{name}"
{head}
target = "{target}"
seed = {seed}

[data]
dataset = "{dataset}"

[initial]
file = "{initial}"

[budget]
oracle_calls = {calls}

[autoencoder]
corpus = "{corpus}"
epochs = 1
n_latent = 12
hidden = 48

[oracle]
{oracle}
n_trees = 4

[sampler]
{sampler}

{filter}
"""


def n_rows(study: Study, table: str) -> int:
    with study.workspace.database.read() as tx:
        return int(tx.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def test_a_row_of_table_1_is_trained_once_and_judged_once(make_study: MakeStudy) -> None:
    study = make_study(Protocol(repeats=2, epochs=3))
    first = table1.roost_lines(study, "Exp3 BS")
    assert [line.quantity for line in first] == [paper.HOLD_OUT_R2, paper.EXTERNAL_R2, paper.MAE, paper.RMSE]
    assert all(line.ours is not None and line.ours.n == 2 and line.ours.sd is not None for line in first)
    assert first[0].paper is not None
    assert first[0].paper.value == -0.243
    assert n_rows(study, "model_version") == 2
    evaluated = n_rows(study, "evaluation")
    assert evaluated == 2 * 3
    again = table1.roost_lines(study, "Exp3 BS")
    assert [line.ours for line in again] == [line.ours for line in first]
    assert (n_rows(study, "model_version"), n_rows(study, "evaluation")) == (2, evaluated)
    with study.workspace.database.read() as tx:
        uses = tx.execute(
            text(
                "SELECT count(*), count(*) FILTER (WHERE is_held_out), count(*) FILTER (WHERE is_validation)"
                " FROM training_set_member"
            )
        ).one()
    assert tuple(uses) == (300, 60, 60)


def test_a_model_is_judged_on_what_reaches_the_target(make_study: MakeStudy) -> None:
    study = make_study(Protocol())
    model = study.train("forest", study.members_of_row("Exp3 BS"), kind="random_forest", given={"n_trees": 20})
    plain = study.judge(model, study.test_500())
    assert set(plain) == {"r2", "mae", "rmse"}
    aimed = study.judge(model, study.test_500(), HIGH)
    assert {name: aimed[name] for name in plain} == plain
    assert 0 <= aimed["recall"] <= 1
    assert study.judge(model, study.test_500(), HIGH) == aimed
    with study.workspace.database.read() as tx:
        (row,) = tx.execute(
            text("SELECT value, n_rows, dataset FROM v_evaluation WHERE metric = 'average_precision of ' || :target"),
            {"target": HIGH.text},
        ).all()
    assert (row.value, row.n_rows, row.dataset) == (aimed["average_precision"], 500, "agd-test-500")


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_a_search_and_its_controls_are_campaigns(make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "SPECIFICATION", SMALL)
    monkeypatch.setattr(Study, "corpus", lambda study: study.dataset("Exp3 BS"))  # the whole one takes a minute
    study = make_study(Protocol(calls=20, al_seeds=1))
    found = {RANDOM: [search(study, EXP3, RANDOM, 0)]}
    assert found[RANDOM][0].gathered.figures["n_calls"] == 20
    lines = finds_lines(study, found)
    assert {line.quantity for line in lines} >= {">= 6 eV, distinct", "one sigma above", "chemical systems"}
    judged = screener_lines(study, found)
    assert {line.row for line in judged} == {"starting labels alone", "random latents"}
    monkeypatch.setattr(kappa, "KAPPAS", (0, 10))
    monkeypatch.setattr(kappa, "_MODES", {"default": "default mode"})
    ours = [part for part in fig5(study, Wish()).parts if isinstance(part, Compared)][-1]
    counts = {(line.row, line.quantity): line.ours.value for line in ours.lines if line.ours is not None}
    assert [counts[f"kappa {k}", quantity] for k in (0, 10) for quantity in ("records", "distinct")] == [20] * 4
    assert n_rows(study, "campaign") == 3
    n_campaigns = n_rows(study, "campaign")
    search(study, EXP3, RANDOM, 0)
    assert n_rows(study, "campaign") == n_campaigns
    with study.workspace.database.read() as tx:
        members = {
            row.reduced_formula
            for row in tx.execute(
                text(
                    "SELECT c.reduced_formula FROM campaign_set q JOIN training_set_member t USING (training_set_id)"
                    " JOIN composition c ON c.id = t.composition_id WHERE q.role = 'oracle'"
                )
            )
        }
    assert len(members) > 41_000
    assert not members & hidden_formulas(study)


def test_the_honest_test_holds_the_500_and_the_hidden(make_study: MakeStudy) -> None:
    study = make_study(Protocol())
    honest_test(study)
    assert n_rows(study, "dataset_row") == 500 + len(hidden_formulas(study))


def test_what_was_generated_names_the_search_that_draws_from_it(
    make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches, "generated", lambda study: f"agd-matgan-ab-{study.protocol.n_generated}-valid")
    monkeypatch.setattr(Study, "dataset", lambda _, row: row)
    monkeypatch.setattr(Study, "corpus", lambda _: "corpus")
    studies = [make_study(protocol) for protocol in (Protocol(), Protocol.quick(None, 0))]
    names = [tomllib.loads(searches._specification(study, EXP3, GENERATED, 0))["name"] for study in studies]
    assert names == ["exp3-matgan-ab-1000000-valid-s0", "exp3-matgan-ab-200000-valid-s0"]


def test_a_generator_that_makes_no_formula_is_a_row_of_dashes(make_study: MakeStudy) -> None:
    study = make_study(Protocol())
    model = study.train("forest", study.members_of_row("Exp3 BS"), kind="random_forest", given={"n_trees": 2})
    metrics = Gathering(Keeping(), Seen(), n_sampled=5).metrics()
    lines = {line.quantity: line.ours for line in matgan._lines("paper", "g", metrics, model, is_last=True)}
    assert lines["valid distinct, %"] is None
    assert lines["valid samples, %"] == Figure(0.0)
    nothing = np.zeros((0, 103), np.int32)
    salt, _ = parse_formulas(["NaCl", "MgO"])
    drawing = matgan._elements_drawn({"default": salt, "the paper's networks": nothing, "training set": salt})
    assert "<svg" in as_svg(drawing.name, drawing.says, drawing.draw, drawing.size)


@pytest.mark.slow
def test_quick_table_names_its_protocol(make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "ROWS", ("Exp3 BS", "Exp3 AL"))
    monkeypatch.setattr(table1, "TREES", ())
    study = make_study(Protocol(repeats=1, oracle_repeats=1, epochs=2, oracle_epochs=60))
    outcome = table1.table1(study, Wish(is_authors_data=True))
    tables = [part for part in outcome.parts if isinstance(part, Compared)]
    assert len({line.row for line in tables[0].lines}) == 2
    said = str(outcome.told())
    assert "1 training of 60 epochs for Exp1, 1 of 2 for each other set; the paper has 10 of 200" in said
    assert "Nearer to the printed hold-out MAE, eV: the last epoch in" in said
    assert REAL.is_answered_by_table
    assert EXP4.at_most_ev == 3.0


def test_retrieval_counts_what_the_true_labels_say(make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(Protocol(calls=20, al_seeds=1))
    goals = retrieval.goals(study)
    assert [retrieval._n_there(study, goal) for goal in goals] == [533, 13_286, 1_236]
    monkeypatch.setattr(retrieval, "goals", lambda _: goals[:1])
    outcome = retrieval.retrieval(study, Wish())
    tables = [part for part in outcome.parts if isinstance(part, Compared)]
    assert tables[0].words[0].split()[0] == "533"
    found = {line.row: line.ours for line in tables[0].lines}
    assert {line.quantity for line in tables[0].lines} == {"after 20 calls"}
    assert found["retrieval"] is not None
    assert found["retrieval"].value > 2
    assert n_rows(study, "campaign") == 2
    assert n_rows(study, "model_version") == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_own_proposals_are_judged_by_labels_that_no_search_was_told(
    make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_trees = proposals.SPECIFICATION.replace('"ensemble"', '"random_forest"\nn_trees = 4')
    monkeypatch.setattr(proposals, "SPECIFICATION", few_trees.replace("[sampler]", "[sampler]\nn_children = 400"))
    monkeypatch.setattr(Study, "corpus", lambda study: study.dataset("Exp3 BS"))  # the whole one takes a minute
    monkeypatch.setattr(proposals, "HUNTS", proposals.HUNTS[:2])
    asked: dict[str, list[str]] = {}

    def judge(_study: Study, lists: dict[str, list[str]]) -> dict[str, list[float]]:
        asked.update(lists)
        return {**{name: [0.05] * len(formulas) for name, formulas in lists.items()}, "random": [0.05, 0.2]}

    monkeypatch.setattr(proposals, "above_hull", judge)
    study = make_study(Protocol(calls=40, al_seeds=1))
    outcome = proposals.search(study, Wish())
    tables = [part for part in outcome.parts if isinstance(part, Compared)]
    assert len(tables) == 3
    lines = {(line.row, line.quantity): line.ours for line in tables[0].lines}
    assert lines["analogue", "strict of labelled, %"] == Figure(100.0)
    assert lines["analogue", "charged twice"] == lines["analogue", "undecodable, %"] == Figure(0.0)
    stable = {line.row: line.ours for line in tables[2].lines}
    assert stable["known formulas at random"] == Figure(1.0)
    assert all(len(formulas) == 30 for formulas in asked.values())
    hidden = proposals.hidden_half(study)
    assert not hidden & set(study.files.formulas("Exp3_BS_0.3k.csv"))
    with study.workspace.database.read() as tx:
        known = set(
            tx.scalars(
                text(
                    "SELECT c.reduced_formula FROM campaign_known k JOIN campaign q ON q.id = k.campaign_id"
                    " JOIN dataset_row r ON r.dataset_id = k.dataset_id JOIN composition c ON c.id = r.composition_id"
                    " WHERE q.name = 'search-hidden-analogue-s0-40'"
                )
            )
        )
        learned = tx.scalars(
            text(
                "SELECT c.reduced_formula FROM campaign_set q JOIN campaign k ON k.id = q.campaign_id"
                " JOIN training_set_member t USING (training_set_id) JOIN composition c ON c.id = t.composition_id"
                " WHERE q.role = 'oracle' AND k.name = 'search-hidden-analogue-s0-40'"
            )
        ).all()
    assert len(known) > 20_000
    assert not hidden & known
    assert hidden & set(learned)


INDEX = """\
formula,e_hull_eV_atom,label_src,icsd
NaCl,0.0,id,1
Na2Cl2,0.3,id,1
KBr,,id,0
KBr,0.02,cell_2019,0
LiI,0.9,cell,0
"""


def test_the_judge_of_stability_learns_the_lowest_energy_of_each_formula(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    path.write_text(INDEX)
    assert stability._lowest(path) == {"NaCl": 0.0, "KBr": 0.02}
    path.write_text(INDEX.replace("0.02", "little"))
    with pytest.raises(InputError, match=r"index.csv:5: not a row of formula, label_src, e_hull_eV_atom .*little"):
        stability._lowest(path)


def test_the_judge_of_stability_has_seen_no_system_that_it_is_asked_about(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    metals = ("Na", "K", "Rb", "Cs", "Li", "Mg", "Ca", "Sr", "Ba", "Zn", "Al", "Ga")
    rows = [
        f"{metal}{n}{other},0.{n},id,1" for metal in metals for other in ("F", "Cl", "Br", "I", "O") for n in (1, 2)
    ]
    path = tmp_path / "index.csv"
    path.write_text("\n".join(["formula,e_hull_eV_atom,label_src,icsd", *rows]) + "\n")
    study = replace(make_study(Protocol()), generator_corpus=path)
    found = stability.above_hull(study, {"asked": ["NaCl", "Na3Cl"]})
    assert len(found["asked"]) == 2
    assert len(found["random"]) == 30
    with study.workspace.database.read() as tx:
        systems = set(
            tx.scalars(
                text(
                    "SELECT c.chemical_system FROM training_set_member t JOIN composition c ON c.id = t.composition_id"
                )
            )
        )
    assert "Cl-Na" not in systems
