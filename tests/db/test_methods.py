"""Which label is shown, how sure and how new a suggestion is: Python and the views agree on whatever rows there are."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from agd.chem.analogues import Analogues
from agd.chem.distinct import Seen
from agd.chem.elements import N_ELEMENTS, SYMBOLS
from agd.chem.identity import identify
from agd.db.connection import Database, Transaction
from agd.db.record import methods
from agd.methods import FIDELITIES, UNSTATED, best_by_property
from agd.types import Counts
from agd.views import Label, of_rows

SETUP = """
INSERT INTO activity (kind, agd_version, host, cpu, threads, pid) VALUES ('test', '0', 'h', 'c', 1, 1);
INSERT INTO training_set (sha256, n_members, activity_id) VALUES ('t', 1, 1);
INSERT INTO artifact (sha256, format, n_bytes, activity_id) VALUES ('a', 'npz', 1, 1);
INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, activity_id)
    VALUES ('Xx', 'Xx', 'A', 1, 1, 1);
INSERT INTO campaign (name, spec_sha256, spec, spec_text, seed, property, target_low, budget_calls, agd_version)
    VALUES ('c', 's', '{}', '', 0, 'band_gap', 6, 10, '0');
INSERT INTO iteration (campaign_id, number) VALUES (1, 1)
"""


@pytest.fixture(scope="module")
def tx(fresh_database: Callable[[], AbstractContextManager[str]]) -> Iterator[Transaction]:
    with fresh_database() as url, Database(url) as database, database.transaction() as opened:
        for statement in SETUP.split(";\n"):
            opened.execute(text(statement))
        yield opened


@dataclass(frozen=True)
class Said:
    property: str
    value: float
    source: str
    is_retracted: bool


SOURCES = ("measured", "model", "unstated", "dft-pbe", "dft-hse06", "potential", "gw")
labels = st.builds(
    Said,
    st.sampled_from(("band_gap", "density")),
    st.sampled_from((0.0, -0.0, 3.0, 6.5, 1e200)),
    st.sampled_from(SOURCES),
    st.booleans(),
)


def write(tx: Transaction, number: int, said: Said) -> None:
    values = {"p": said.property, "v": said.value, "n": f"{number}", "m": said.source}
    if said.source == "measured":
        new = "measurement (composition_id, property, operator, measured_on, replicate, activity_id)"
        source, row = "measurement_id", f"INSERT INTO {new} VALUES (1, :p, :n, '2026-01-02', 1, 1)"
    elif said.source == "model":
        new = "model_version (kind, plugin, property, architecture_version, options, seed, training_set_id,"
        new += " recipe_sha256, tensors_sha256, metrics, activity_id)"
        source, row = (
            "model_version_id",
            f"INSERT INTO {new} VALUES ('oracle', 'f', :p, 1, '{{}}', 0, 1, :n, 'a', '{{}}', 1)",
        )
    else:
        new = "dataset (name, source, source_sha256, recipe_sha256, property, options, n_read, n_rejected, method,"
        new += " activity_id)"
        source, row = "dataset_id", f"INSERT INTO {new} VALUES (:n, 'd', 's', :n, :p, '{{}}', 1, 0, :m, 1)"
    made = tx.scalar(text(f"{row} RETURNING id"), values)
    label = f"label (composition_id, property, value, {source}, activity_id)"
    label_id = tx.scalar(
        text(f"INSERT INTO {label} VALUES (1, :p, :v, :made, 1) RETURNING id"), values | {"made": made}
    )
    if said.is_retracted:
        tx.execute(text("INSERT INTO retraction VALUES (:id, 'wrong sample', 1)"), {"id": label_id})


@settings(max_examples=40, deadline=None)
@given(st.lists(labels, max_size=8))
def test_a_cheap_label_never_hides_a_dear_one(tx: Transaction, listed: list[Said]) -> None:
    with tx.begin_nested() as savepoint:
        assert methods.store(tx, {"name": "gw", "kind": "dft", "fidelity": 350, "description": ""}, 1)
        for number, said in enumerate(listed):
            write(tx, number, said)
        every = of_rows(Label, tx.execute(text("SELECT * FROM v_label")).all())
        shown = {row.property: row.label_id for row in tx.execute(text("SELECT * FROM v_label_best"))}
        assert [label.method for label in sorted(every, key=lambda one: one.label_id)] == [one.source for one in listed]
        best = best_by_property(every)
        assert shown == {name: label.label_id for name, label in best.items()}
        for label in best.values():
            standing = [one for one in every if one.property == label.property and not one.is_retracted]
            assert label.fidelity == max(one.fidelity for one in standing if one.value < 1e9)
        savepoint.rollback()


def test_the_schema_knows_the_same_fidelities(tx: Transaction) -> None:
    rows = methods.overview(tx)
    assert {row.kind for row in rows} == set(FIDELITIES)
    assert {row.kind: row.fidelity for row in rows if row.name in {row.kind, "dft-pbe"}} == dict(FIDELITIES)
    assert next(row for row in rows if row.kind == UNSTATED).name == UNSTATED


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO method VALUES ('gw', 'guess', 1, '')",
        "INSERT INTO method VALUES ('gw', 'dft', 0, '')",
        "INSERT INTO dataset (name, source, source_sha256, recipe_sha256, options, n_read, n_rejected, activity_id,"
        " method) VALUES ('f', 'f', 's', 'f', '{}', 1, 0, 1, 'dft-pbe')",
        "INSERT INTO dataset (name, source, source_sha256, recipe_sha256, property, options, n_read, n_rejected,"
        " activity_id, method) VALUES ('f', 'f', 's', 'f', 'band_gap', '{}', 1, 0, 1, 'dft-pbw')",
    ],
)
def test_a_method_is_one_of_the_record(tx: Transaction, statement: str) -> None:
    with pytest.raises(IntegrityError), tx.begin_nested():
        tx.execute(text(statement))


COLUMNS = [SYMBOLS.index(symbol) for symbol in ("Na", "K", "Ca", "C", "Cl", "S", "O", "N", "H")]


@st.composite
def tables(draw: st.DrawFn, least: int) -> Counts:
    """Few elements and small counts, so that many are alike."""
    rows = draw(
        st.lists(
            st.dictionaries(st.sampled_from(COLUMNS), st.sampled_from((1, 2, 3, 4, 6)), min_size=1, max_size=4),
            min_size=least,
            max_size=25,
        )
    )
    counts = np.zeros((len(rows), N_ELEMENTS), np.int32)
    for row, amounts in zip(counts, rows, strict=True):
        row[list(amounts)] = list(amounts.values())
    return identify(counts).counts


def store(tx: Transaction, counts: Counts) -> list[int]:
    named = identify(counts)
    new = (
        "INSERT INTO composition"
        " (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, activity_id)"
        " VALUES (:f, :c, :a, :e, :n, 1) ON CONFLICT (reduced_formula) DO UPDATE SET n_atoms = excluded.n_atoms"
        " RETURNING id"
    )
    columns = (named.reduced_formula, named.chemical_system, named.anonymous_formula)
    rows = zip(*columns, named.n_elements.tolist(), named.n_atoms.tolist(), strict=True)
    return [tx.scalar(text(new), dict(zip("fcaen", row, strict=True))) or 0 for row in rows]


@settings(max_examples=40, deadline=None)
@given(tables(1), tables(1))
def test_the_class_of_novelty_is_that_of_the_filter(tx: Transaction, known: Counts, suggested: Counts) -> None:
    with tx.begin_nested() as savepoint:
        new = "dataset (name, source, source_sha256, recipe_sha256, options, n_read, n_rejected, activity_id)"
        dataset_id = tx.scalar(text(f"INSERT INTO {new} VALUES ('mp', 'd', 's', 'r', '{{}}', 1, 0, 1) RETURNING id"))
        tx.execute(text("INSERT INTO campaign_known VALUES (1, :d, 1)"), {"d": dataset_id})
        listed = "INSERT INTO dataset_row VALUES (:d, :c, 1, 'as it is', 1) ON CONFLICT DO NOTHING"
        for composition_id in store(tx, known):
            tx.execute(text(listed), {"d": dataset_id, "c": composition_id})
        row = (
            "INSERT INTO suggestion (campaign_id, iteration_id, rank, proposed, activity_id, outcome, composition_id,"
            " decode_activity_id) VALUES (1, 1, :rank, 'composition', 1, 'known', :id, 1)"
        )
        for rank, composition_id in enumerate(store(tx, suggested), start=1):
            tx.execute(text(row), {"rank": rank, "id": composition_id})
        told = tx.execute(
            text("SELECT n.* FROM v_sureness n JOIN suggestion s ON s.id = n.suggestion_id ORDER BY s.rank")
        ).all()
        seen = Seen()
        seen.add(known)
        analogues = Analogues.of(known)
        for one, is_known, is_held in zip(told, seen.holds(suggested), analogues.holds(suggested), strict=True):
            expected = "known formula" if is_known else "one substitution" if is_held else "new family"
            assert one.novelty == expected
            assert (one.analogue is None) is (expected != "one substitution")
            assert one.reference.startswith("mp of 20")
            assert (one.mean, one.lower_bound) == (None, None)
        savepoint.rollback()


def test_amounts_are_those_of_the_formula(tx: Transaction) -> None:
    formulas = {
        "Al2(SO4)3": ["Al2", "S3", "O12"],
        "H2": ["H2"],
        "NaCl": ["Na", "Cl"],
        "CsCo(CN)3": ["Cs", "Co", "C3", "N3"],
    }
    found = {formula: tx.scalar(text("SELECT agd_amounts(:f)"), {"f": formula}) for formula in formulas}
    assert json.dumps(found) == json.dumps(formulas)


def test_the_schema_knows_every_element(tx: Transaction) -> None:
    said = str(tx.scalar(text("SELECT prosrc FROM pg_proc WHERE proname = 'agd_analogue'")))
    listed = said[said.index("string_to_array(") : said.index("', ' ')")]
    assert listed.split("(", 1)[1].replace("'", "").split() == list(SYMBOLS)
