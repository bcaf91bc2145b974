"""Reading formulas and naming compositions."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition

from agd.chem.elements import AUTOENCODER_COLUMNS, AUTOENCODER_ELEMENTS, N_ELEMENTS, SYMBOLS
from agd.chem.formula import FormulaProblem, identify, parse_formula, parse_formulas
from agd.errors import FormulaError, InputError


def column(path: Path, name: str) -> list[str]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return [row[name] for row in csv.DictReader(file)]


def counts_of(**amounts: int) -> np.ndarray:
    counts = np.zeros((1, N_ELEMENTS), np.int32)
    for symbol, amount in amounts.items():
        counts[0, SYMBOLS.index(symbol)] = amount
    return counts


def test_elements_are_in_order() -> None:
    assert len(SYMBOLS) == N_ELEMENTS == len(set(SYMBOLS)) == 103
    assert [SYMBOLS.index(symbol) + 1 for symbol in ("H", "O", "Fe", "La", "Lu", "U", "Lr")] == [
        1,
        8,
        26,
        57,
        71,
        92,
        103,
    ]
    assert len(AUTOENCODER_ELEMENTS) == 87
    assert [SYMBOLS[position] for position in AUTOENCODER_COLUMNS] == list(AUTOENCODER_ELEMENTS)


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
@pytest.mark.slow
def test_names_are_those_of_pymatgen_on_real_formulas(real_data: Path) -> None:
    pool = column(real_data / "pool" / "oqmd_formulas.csv.gz", "formula")
    formulas = sorted(
        {
            *column(real_data / "paper" / "Exp1_42k.csv", "composition"),
            *column(real_data / "paper" / "Exp2_AL_1741.csv", "composition"),
            *np.random.default_rng(0).choice(pool, 20_000, replace=False).tolist(),
        },
    )
    counts, problems = parse_formulas(formulas)
    assert problems == []
    names = identify(counts)
    n_different = 0
    for row, formula in enumerate(formulas):
        composition = Composition(formula)
        reduced_formula, factor = composition.get_reduced_formula_and_factor()
        n_different += (
            names.reduced_formula[row],
            names.chemical_system[row],
            names.anonymous_formula[row],
            names.n_elements[row],
            names.n_atoms[row],
        ) != (
            reduced_formula,
            composition.chemical_system,
            composition.anonymized_formula,
            len(composition),
            composition.num_atoms / factor,
        )
    assert n_different == 0


def test_reduced_formulas_are_those_of_the_materials_project(real_data: Path) -> None:
    formulas = sorted(set(column(real_data / "paper" / "mpid_formula_sp.csv", "pretty_formula")))
    assert "NaN" in formulas
    counts, problems = parse_formulas(formulas)
    assert problems == []
    reduced = identify(counts).reduced_formula
    # Written by an older pymatgen, which did not put elements without an electronegativity last.
    assert {pair for pair in zip(formulas, reduced, strict=True) if len(set(pair)) > 1} == {("HeSiO2", "SiO2He")}


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 40), min_size=1, max_size=9), st.integers(1, 9))
def test_names_are_those_of_pymatgen_on_any_composition(amounts: dict[str, int], factor: int) -> None:
    counts = factor * counts_of(**amounts)
    names = identify(counts)
    composition = Composition(amounts)
    assert names.reduced_formula == [composition.reduced_formula]
    assert names.anonymous_formula == [composition.anonymized_formula]
    again = identify(parse_formula(names.reduced_formula[0]))
    assert (again.counts == names.counts).all()


@pytest.mark.parametrize(
    ("formula", "reduced", "system", "anonymous", "n_atoms"),
    [
        ("O", "O2", "O", "A", 2),
        ("H4O4", "H2O2", "H-O", "AB", 4),
        ("K3O3", "K2O2", "K-O", "AB", 4),
        ("NaN", "NaN", "N-Na", "AB", 2),
        ("Ne3", "Ne", "Ne", "A", 1),
        ("Sr2Y2F10", "SrYF5", "F-Sr-Y", "ABC5", 7),
        ("Al4(SO4)6", "Al2(SO4)3", "Al-O-S", "A2B3C12", 17),
    ],
)
def test_a_reduced_formula_is_pymatgens(formula: str, reduced: str, system: str, anonymous: str, n_atoms: int) -> None:
    names = identify(parse_formula(formula))
    assert names.reduced_formula == [reduced]
    assert names.chemical_system == [system]
    assert names.anonymous_formula == [anonymous]
    assert names.n_atoms.tolist() == [n_atoms] == names.counts.sum(axis=1).tolist()


def test_a_row_without_atoms_has_no_name() -> None:
    with pytest.raises(InputError, match="row 1 of the counts is empty"):
        identify(np.concatenate((counts_of(H=2), counts_of())))
    assert identify(np.zeros((0, N_ELEMENTS), np.int32)).reduced_formula == []


@pytest.mark.parametrize(
    ("formula", "amounts"),
    [
        ("NaN", {"Na": 1, "N": 1}),
        ("CH3CH2OH", {"C": 2, "H": 6, "O": 1}),
        ("(Na)(Cl)2", {"Na": 1, "Cl": 2}),
        ("Fe2.0O3.", {"Fe": 2, "O": 3}),
        (" Li Fe P O4\n", {"Li": 1, "Fe": 1, "P": 1, "O": 4}),
        ("K4[Fe(CN)6]", {"K": 4, "Fe": 1, "C": 6, "N": 6}),
        ("((H2O)2Na)3", {"H": 12, "O": 6, "Na": 3}),
        ("(Na0.57Li0.43)100Cl100", {"Na": 57, "Li": 43, "Cl": 100}),
        ("CuSO4·5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("Al₂O₃", {"Al": 2, "O": 3}),
        ("C10000", {"C": 10000}),
    ],
)
def test_a_spelling_is_read(formula: str, amounts: dict[str, int]) -> None:
    assert (parse_formula(formula) == counts_of(**amounts)).all()


@pytest.mark.parametrize(
    ("formula", "kind", "reason"),
    [
        ("", "empty", "no formula"),
        ("  ", "empty", "no formula"),
        ("Li0.5O", "non-integer amount", "0.5 atoms of Li \\(character 1\\); multiply to whole numbers$"),
        ("D2O", "unknown element", "D \\(character 1\\) is an isotope; write H"),
        ("Og2", "unknown element", "Og \\(character 1\\) is not one of"),
        ("NaXx", "unknown element", "Xx \\(character 3\\) is not one of"),
        ("NaCl0", "unparsable", "amount '0' \\(character 5\\)"),
        ("C10001", "unparsable", "more than 10000 atoms of C"),
        ("C9999C9999", "unparsable", "more than 10000 atoms of C"),
        ("(C9999)9999", "unparsable", "more than 10000 atoms of C"),
        ("C" + "9" * 40, "unparsable", "more than 10000 atoms of C"),
    ],
)
def test_a_problem_is_named(formula: str, kind: str, reason: str) -> None:
    counts, problems = parse_formulas(["NaCl", formula, "Ca(OH)2"])
    assert [(problem.index, problem.kind) for problem in problems] == [(1, kind)]
    assert problems[0].message.startswith(repr(formula))
    assert not counts[1].any()
    assert (counts[[0, 2]] == np.concatenate((counts_of(Na=1, Cl=1), counts_of(Ca=1, O=2, H=2)))).all()
    with pytest.raises(FormulaError, match=reason):
        parse_formula(formula)


def test_a_table_longer_than_a_block_keeps_its_order() -> None:
    formulas = [f"C{1 + row % 97}O" for row in range(70_000)]
    formulas[40_000] = "?"
    counts, problems = parse_formulas(formulas)
    assert [problem.index for problem in problems] == [40_000]
    expected = 1 + np.arange(70_000) % 97
    expected[40_000] = 0
    assert (counts[:, SYMBOLS.index("C")] == expected).all()


atoms = st.tuples(st.sampled_from(SYMBOLS), st.integers(1, 30))
groups = st.tuples(st.lists(atoms, min_size=1, max_size=3), st.integers(1, 9), st.booleans())


@settings(deadline=None)
@given(st.lists(st.lists(groups, min_size=1, max_size=4), min_size=1, max_size=5))
def test_the_plain_grammar_adds_up(table: list[list[tuple[list[tuple[str, int]], int, bool]]]) -> None:
    formulas = []
    expected = np.zeros((len(table), N_ELEMENTS), np.int32)
    for row, parts in enumerate(table):
        text = ""
        for members, factor, is_grouped in parts:
            inner = "".join(f"{symbol}{amount if amount > 1 else ''}" for symbol, amount in members)
            text += f"({inner}){factor}" if is_grouped else inner
            for symbol, amount in members:
                expected[row, SYMBOLS.index(symbol)] += amount * (factor if is_grouped else 1)
        formulas.append(text)
    counts, problems = parse_formulas(formulas)
    assert problems == []
    assert (counts == expected).all()


@settings(deadline=None)
@given(st.lists(st.text("HONaCaDXxe0129.()[]{} ₂·½+-é?\n", max_size=12), max_size=4))
def test_any_text_is_counts_or_a_problem(formulas: list[str]) -> None:
    counts, problems = parse_formulas(formulas)
    is_problem = np.zeros(len(formulas), np.bool_)
    is_problem[[problem.index for problem in problems]] = True
    assert (counts.any(axis=1) == ~is_problem).all()
    assert all(isinstance(problem, FormulaProblem) for problem in problems)
