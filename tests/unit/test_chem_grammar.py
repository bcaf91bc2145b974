"""Formulas as people and tables spell them: read as they are meant, or refused with the sign that is wrong."""

import csv
import gzip
from fractions import Fraction
from itertools import combinations, permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition

from agd.chem.elements import N_ELEMENTS, SYMBOLS
from agd.chem.formula import parse_formula, parse_formulas
from agd.chem.grammar import UnreadableError, read_formula
from agd.chem.identity import identify
from agd.errors import FormulaError


def atoms(formula: str) -> dict[str, int]:
    return {SYMBOLS[column]: n for column, n in read_formula(formula).items()}


def counts_of(**amounts: int) -> np.ndarray:
    counts = np.zeros((1, N_ELEMENTS), np.int32)
    for symbol, amount in amounts.items():
        counts[0, SYMBOLS.index(symbol)] = amount
    return counts


@pytest.mark.parametrize(
    ("formula", "amounts"),
    [
        *((f"CuSO4{dot}5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}) for dot in "·•∙⋅‧･・*∗×\u0387"),  # noqa: RUF001
        *(
            (spelling, {"Cu": 1, "S": 1, "O": 9, "H": 10})
            for spelling in ("CuSO4 · 5 H2O", "CuSO4 . 5H2O", "CuSO4. 5 H2O", "CuSO4·5(H2O)", "CuSO₄·5H₂O")
        ),
        ("(CuSO4·5H2O)2", {"Cu": 2, "S": 2, "O": 18, "H": 20}),
        ("[CoCl2·6H2O]3", {"Co": 3, "Cl": 6, "H": 36, "O": 18}),
        ("(NH4)2[CuCl4·2H2O]", {"N": 2, "H": 12, "Cu": 1, "Cl": 4, "O": 2}),
        ("2CaSO4·H2O", {"Ca": 2, "S": 2, "O": 9, "H": 2}),
        ("(CaSO4·½H2O)2", {"Ca": 2, "S": 2, "O": 9, "H": 2}),
        ("(CaSO4·1/2H2O)2", {"Ca": 2, "S": 2, "O": 9, "H": 2}),
        ("(CaSO4·1½H2O)2", {"Ca": 2, "S": 2, "O": 11, "H": 6}),
        ("KCl·MgCl2·6H2O", {"K": 1, "Cl": 3, "Mg": 1, "H": 12, "O": 6}),
        ("2NaCl·3KCl·LiF", {"Na": 2, "Cl": 5, "K": 3, "Li": 1, "F": 1}),
        ("LiOH.H2O", {"Li": 1, "O": 2, "H": 3}),
        ("BF3.NH3", {"B": 1, "F": 3, "N": 1, "H": 3}),
        ("(Pb(Mg1/3Nb2/3)O3)3", {"Pb": 3, "Mg": 1, "Nb": 2, "O": 9}),
        ("(Na1.05Li0.95)100", {"Na": 105, "Li": 95}),
        ("((Li2O)0.5(Na2O)0.5)2", {"Li": 2, "Na": 2, "O": 2}),
        ("Fe 2 O 3", {"Fe": 2, "O": 3}),
        ("Ｆｅ２（ＳＯ４）３", {"Fe": 2, "S": 3, "O": 12}),  # noqa: RUF001
        ("\ufeffNa\u200bCl\u00a0", {"Na": 1, "Cl": 1}),
        ("Fe(I2O)3", {"Fe": 1, "I": 6, "O": 3}),
        ("Fe(IO3)3", {"Fe": 1, "I": 3, "O": 9}),
        ("V(VI3)2", {"V": 3, "I": 6}),
        ("Cs(VI)2", {"Cs": 1, "V": 2, "I": 2}),
        ("IIn", {"I": 1, "In": 1}),
        ("Ca[Co{Cl2}2]3", {"Ca": 1, "Co": 3, "Cl": 12}),
        ("(" * 50 + "Na" + ")" * 50, {"Na": 1}),
    ],
)
def test_a_spelling_is_read(formula: str, amounts: dict[str, int]) -> None:
    assert (parse_formula(formula) == counts_of(**amounts)).all()


REFUSED = [
    # a full stop that joins a hydrate or marks a decimal
    ("CuSO4.5H2O", "'.' (character 6) joins a hydrate or marks a decimal: write · for a hydrate, CuSO4·5H2O"),
    ("Y2(C2O4)3.5H2O", "'.' (character 10) joins a hydrate or marks a decimal: write · for a hydrate, Y2(C2O4)3·5H2O"),
    ("(CuSO4.5H2O)2", "'.' (character 7) joins a hydrate"),
    ("Na2CO3.10H2O", "write · for a hydrate, Na2CO3·10H2O"),
    ("MgCl2.6(H2O)", "write · for a hydrate, MgCl2·6(H2O)"),
    ("NaCl.5H2O", "'.' (character 5) joins a hydrate"),
    ("CaCl2.0H2O", "'.' (character 6) joins a hydrate or marks a decimal: write · for a hydrate"),
    ("CuSO4.5H2O.2NaCl", "'.' (character 6) joins a hydrate"),
    ("CaSO4.0.5H2O", "'.' (character 6) joins two formulas or marks a decimal: write · for a hydrate"),
    ("CaSO4.1/2H2O", "'.' (character 6) joins two formulas"),
    ("(CaCl2.5NH3)2", "2.5 atoms of Cl (character 4): a decimal, or two formulas joined by the full stop?"),
    ("CaCl2.6NH3", "2.6 atoms of Cl (character 3); multiply to whole numbers, or write · where the full stop joins"),
    # a space that joins, or does not
    ("CuSO4 5H2O", "'5' (character 7) after a space: write · before a hydrate"),
    ("MgO 2H2O", "'2' (character 5) after a space: write · before a hydrate"),
    ("NaCl½½", "'½' (character 6) follows another number"),
    ("Na1 0", "'0' (character 5) after a space"),
    # amounts
    ("Li0.5O0.5", "0.5 atoms of Li (character 1); multiply to whole numbers"),
    ("(Li2O)0.5(Na2O)0.5", "0.5 times (Li2O) (character 1); multiply to whole numbers"),
    ("Y2(C2O4)3.5", "3.5 times (C2O4) (character 3); multiply to whole numbers"),
    ("CaSO4·0.5H2O", "0.5 times H2O (character 7); multiply every part to whole numbers, as in 2CaSO4·H2O"),
    ("CaSO4·½H2O", "½ times H2O (character 7); multiply every part"),
    ("CaSO4.½H2O", "½ times H2O (character 7); multiply every part"),
    ("Na1/2Bi1/2TiO3", "1/2 atoms of Na (character 1); multiply to whole numbers"),
    ("CuSO4·xH2O", "'x' (character 7) is an unknown amount: write a number"),
    ("CuSO4·nH2O", "'n' (character 7) is an unknown amount"),
    ("CuSO4x5H2O", "'x' (character 6) joins no formulas: write · for a hydrate"),
    ("LaxSr1-xO3", "'x' (character 3) is an unknown amount of La"),
    ("NaClx", "'x' (character 5) is an unknown amount of Cl"),
    ("(C2H4)n", "'n' (character 7) is an unknown amount"),
    ("FeOₓ", "'ₓ' (LATIN SUBSCRIPT SMALL LETTER X) (character 4) is an unknown amount"),
    ("YBa2Cu3O7-δ", "'-' (character 10) stands before an unknown amount"),
    ("Fe02", "amount '02' (character 3) begins with a zero: is the letter O meant?"),
    ("Na(Cl)0", "amount '0' (character 7)"),
    ("NaCl1/0", "amount '1/0' (character 5)"),
    ("Li0,5O", "',' (character 4) separates formulas"),
    ("Ca1e1", "'e' (character 4) does not belong to an element symbol"),
    ("(C0.1" + "1" * 50 + ")2", "is more than 10000 atoms"),
    # brackets
    ("Na[Cl)2", "')' (character 6) does not close '[' (character 3)"),
    ("(Na[Cl)2]", "')' (character 7) does not close '[' (character 4)"),
    ("Na{Cl]", "']' (character 6) does not close '{' (character 3)"),
    ("Ca(OH", "'(' (character 3) is never closed"),
    ("CaOH)2", "')' (character 5) closes no bracket"),
    ("Na)2(Cl", "')' (character 3) closes no bracket"),
    ("Ca()", "'(' (character 3) and ')' (character 4) hold nothing"),
    ("(" * 10_000 + "Na" + ")" * 10_000, "brackets stand more than 50 deep (character 51)"),
    # oxidation states and charges
    ("Fe(III)2O3", "'(III)' (character 3) is an oxidation state: leave it out"),
    ("Cr(VI)O3", "'(VI)' (character 3) is an oxidation state"),
    ("K2Cr(VI)2O7", "'(VI)' (character 5) is an oxidation state"),
    ("Sn(IV)O2", "'(IV)' (character 3) is an oxidation state"),
    ("Fe(II,III)3O4", "'(II,III)' (character 3) is an oxidation state"),
    ("Fe(+3)2O3", "'(+3)' (character 3) is an oxidation state or a charge"),
    ("Ni(0)", "'(0)' (character 3) is an oxidation state or a charge"),
    ("Fe(Ⅲ)2O3", "'Ⅲ' (ROMAN NUMERAL THREE) (character 4) is an oxidation state"),
    ("FeIII2O3", "'II' (character 3) is an oxidation state"),
    ("Cu(I)2O", "'(I)' (character 3): iodine or an oxidation state?"),
    ("V(V)2O5", "'(V)' (character 2): vanadium or an oxidation state?"),
    ("Fe3+", "'+' (character 4) is a charge: leave charges out"),
    ("(Fe+3)2", "'+' (character 4) is a charge"),
    ("SO4-2", "'-' (character 4) is a charge"),
    ("[Fe(CN)6]3−", "'−' (MINUS SIGN) (character 11) is a charge"),  # noqa: RUF001
    ("SO4^2-", "'^' (character 4) raises a charge or an isotope"),
    ("Fe²⁺", "'²' (SUPERSCRIPT TWO) (character 3) is raised, a charge or an isotope"),
    # isotopes
    ("13CO2", "'13' (character 1) stands before the formula: leave out numbers of isotopes"),
    ("[13C]O2", "'13' (character 2) stands before the formula"),
    ("2H2O", "'2' (character 1) stands before the formula: leave out numbers of isotopes and of formula units"),
    # names, notes and markup
    ("NaCl(aq)", "'(aq)' (character 5) is a state of matter: leave it out"),
    ("TiO2-rutile", "'-' (character 5) joins names or formulas"),
    ("TiO2 rutile", "'rutile' (character 6) does not belong to an element symbol: leave names and states out"),
    ("α-Al2O3", "'α' (GREEK SMALL LETTER ALPHA) (character 1) names a phase"),  # noqa: RUF001
    ("Al2O3:Cr", "':' (character 6) names a dopant"),
    ("Pt/C", "'/' (character 3) joins two materials"),
    ("NaCl, KCl", "',' (character 5) separates formulas"),
    ("H<sub>2</sub>O", "'<' (character 2) is markup"),
    ("H$_2$O", "'$' (character 2) is markup"),
    ("'NaCl'", '"\'" (character 1) is a quotation mark'),
    ("СО2", "'С' (CYRILLIC CAPITAL LETTER ES) (character 1) is no Latin letter"),  # noqa: RUF001
    ("Na\u0663", "(ARABIC-INDIC DIGIT THREE) (character 3) is none of the digits 0 to 9"),
    ("Na\u202eCl", "(RIGHT-TO-LEFT OVERRIDE) (character 3) has no meaning in a formula"),
    ("CuSO4·", "'·' (MIDDLE DOT) (character 6) joins nothing"),
    ("·5H2O", "'·' (MIDDLE DOT) (character 1) joins nothing"),
    ("Na.", "'.' (character 3) joins nothing"),
    ("-", "'-' (character 1) is no formula"),
    ("5", "no element symbol"),
    ("nacl", "no element symbol: 'nacl' (character 1) is written small"),
    ("NACL", "A (character 2) is not one of the 103 elements H to Lr; is Na meant?"),
]


@pytest.mark.parametrize(("formula", "reason"), REFUSED, ids=[formula[:20] for formula, _ in REFUSED])
def test_a_refusal_names_the_sign_and_the_cure(formula: str, reason: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse_formula(formula)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 300


amounts = st.integers(1, 12)
written = st.builds(lambda symbol, n: f"{symbol}{n if n > 1 else ''}", st.sampled_from(SYMBOLS), amounts)
groups = st.recursive(
    written,
    lambda inner: st.builds(
        lambda parts, ends, n: f"{ends[0]}{''.join(parts)}{ends[1]}{n if n > 1 else ''}",
        st.lists(inner, min_size=2, max_size=4),
        st.sampled_from(["()", "[]", "{}"]),
        st.integers(1, 4),
    ),
    max_leaves=12,
)
formulas = st.lists(groups, min_size=1, max_size=4).map("".join).filter(lambda text: "II" not in text)


@settings(deadline=None)
@given(formulas)
def test_brackets_are_read_as_pymatgen_reads_them(formula: str) -> None:
    expected = Composition(formula).get_el_amt_dict()
    try:
        read = atoms(formula)
    except UnreadableError as error:
        assert "oxidation state" in str(error) or "10000" in str(error)  # noqa: PT017
        return
    assert read == expected


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 12), formulas), min_size=2, max_size=4),
    st.sampled_from(["·", "*", " • ", " . "]),
    st.integers(1, 5),
)
def test_a_hydrate_is_the_sum_of_its_parts(parts: list[tuple[int, str]], joint: str, factor: int) -> None:
    text = joint.join(f"{n if n > 1 else ''}{formula}" for n, formula in parts)
    expected: dict[str, int] = {}
    try:
        for n, formula in parts:
            for symbol, amount in atoms(formula).items():
                expected[symbol] = expected.get(symbol, 0) + factor * n * amount
        read = atoms(f"({text}){factor}")
    except UnreadableError as error:
        assert "oxidation state" in str(error) or "10000" in str(error)  # noqa: PT017
        return
    assert read == expected


@settings(deadline=None)
@given(st.fractions(min_value=Fraction(1, 30), max_value=30, max_denominator=30), st.integers(1, 60))
def test_what_is_written_stands_a_whole_number_of_times(part: Fraction, factor: int) -> None:
    text = f"(Na{part.numerator}/{part.denominator}Cl){factor}"
    if (part * factor).denominator == 1:
        assert atoms(text) == {"Na": part * factor, "Cl": factor}
    else:
        with pytest.raises(UnreadableError, match="multiply to whole numbers"):
            read_formula(text)


def test_every_reduced_formula_of_three_elements_is_read() -> None:
    """The record reads its own names: vanadium and iodine make `Cs(VI)2`, which no oxidation state ends in."""
    triples = [
        (first, second, third)
        for first, second, third in combinations(range(N_ELEMENTS), 3)
        if {SYMBOLS[first], SYMBOLS[second], SYMBOLS[third]} & {"V", "I"}
    ]
    counts = np.zeros((6 * len(triples), N_ELEMENTS), np.int32)
    for row, (triple, amounts) in enumerate(product(triples, permutations((1, 2, 4)))):
        counts[row, triple] = amounts
    named = identify(counts)
    read, problems = parse_formulas(named.reduced_formula)
    assert problems == []
    assert (read == named.counts).all()


SIGNS = st.text("HONaCIVDXxe0129./()[]{} ₂·*½+-^:,δ³Сé?\n\u200b", max_size=16)


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(max_size=20), SIGNS), max_size=4))
def test_any_text_is_counts_or_a_problem(texts: list[str]) -> None:
    counts, problems = parse_formulas(texts)
    is_problem = np.zeros(len(texts), np.bool_)
    is_problem[[problem.index for problem in problems]] = True
    assert (counts.any(axis=1) == ~is_problem).all()
    assert counts.min(initial=0) >= 0


@settings(deadline=None)
@given(st.lists(SIGNS, min_size=1, max_size=4))
def test_a_table_is_read_as_its_rows_are(texts: list[str]) -> None:
    counts, _ = parse_formulas(texts)
    for row, text in zip(counts, texts, strict=True):
        try:
            expected = atoms(text)
        except UnreadableError:
            expected = {}
        assert {SYMBOLS[column]: int(row[column]) for column in np.flatnonzero(row)} == expected


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
def test_real_formulas_are_read_alike_by_table_by_grammar_and_by_pymatgen(real_data: Path) -> None:
    tables = {
        "paper/mpid_formula_sp.csv": "pretty_formula",
        "pool/oqmd_formulas.csv.gz": "formula",
        "hull/matbench_mp_e_form.csv.gz": "formula",
        "experiment/expt_gap.csv.gz": "formula",
        "structures/mp_index.csv.gz": "formula",
    }
    rng = np.random.default_rng(0)
    n_fractional = 0
    for name, column in tables.items():
        path = real_data / name
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            every = [row[column] for row in csv.DictReader(file)]
        sample = rng.choice(every, min(2_000, len(every)), replace=False).tolist()
        counts, problems = parse_formulas(sample)
        refused = {problem.index: problem for problem in problems}
        for row, formula in enumerate(sample):
            expected = Composition(formula).get_el_amt_dict()
            if row in refused:
                n_fractional += 1
                assert refused[row].kind == "non-integer amount"
                assert any(amount % 1 for amount in expected.values())
            else:
                assert atoms(formula) == expected
                assert {SYMBOLS[at]: int(counts[row, at]) for at in np.flatnonzero(counts[row])} == expected
    assert n_fractional > 100
