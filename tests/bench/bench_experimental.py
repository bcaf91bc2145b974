"""Experimental band gaps: what trees gain from computed ones, on five folds by formula.

The model of computed gaps learns the lowest entry of each formula, metals with their zeros. It answers `known`: what it
has seen as it has seen it (`out_of_fold` off, leaves of one row), for a computed gap is an input here and no target;
or `blind`: what it has seen by trees that have not, as it answers what nobody has computed. Fractional formulas
(solid solutions) are multiplied to whole numbers.
"""

import csv
import gzip
import sys
import time

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition
from support import DATA  # type: ignore[import-not-found]  # beside this file

from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.nets.threads import limited_threads
from agd.plugins.oracles.forests import ExtraTrees, ExtraTreesOptions
from agd.plugins.oracles.informed import InformedTrees, InformedTreesOptions
from agd.reproduction.oracles import lowest
from agd.types import Counts, Floats, TrainingTable

N_FOLDS = 5
TAIL_EV = 5.0


def whole(formula: str) -> str:
    """The formula with whole amounts, to a thousandth."""
    if "." not in formula:
        return formula
    return str(Composition(formula).get_integer_formula_and_factor(max_denominator=1000)[0])


def read() -> tuple[Counts, Floats, list[str]]:
    """Counts `[n, 103]`, measured gaps `[n]` in eV and reduced formulas."""
    with gzip.open(DATA / "experiment" / "expt_gap.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    counts, problems = parse_formulas([whole(row["formula"]) for row in rows])
    bad = {problem.index for problem in problems}
    good = [i for i in range(len(rows)) if i not in bad]
    named = identify(counts[good])
    return named.counts, np.array([float(rows[i]["band_gap_eV"]) for i in good]), named.reduced_formula


def told(formulas: list[str], counts: Counts, n_trees: int) -> tuple[NDArray[np.bool_], dict[str, Floats | None]]:
    """Which of the formulas have a computed gap, and what is told of all of them."""
    computed = lowest(DATA / "structures" / "mp_index.csv.gz")
    learned, _ = parse_formulas(list(computed))
    table = TrainingTable(learned, np.array(list(computed.values())), np.zeros(len(learned), np.bool_))
    blind = ExtraTreesOptions(n_trees=n_trees, min_samples_leaf=1, answer="median", minimum=0.0)
    tensors = ExtraTrees.fit(table, blind, seed=0).tensors
    known = blind.model_copy(update={"out_of_fold": False})
    answers = {
        name: ExtraTrees.load(tensors, options).label(counts).values
        for name, options in (("known", known), ("blind", blind))
    }
    names = set(identify(learned).reduced_formula)
    return np.array([formula in names for formula in formulas]), {"none": None, **answers}


def cross_validated(
    counts: Counts, values: Floats, folds: NDArray[np.intp], answers: Floats | None, options: InformedTreesOptions
) -> Floats:
    """What trees say `[n]` that have not seen the fold of a row."""
    said = np.empty(len(values))
    for fold in range(N_FOLDS):
        is_out = folds == fold
        seen = None if answers is None else answers[~is_out]
        table = TrainingTable(counts[~is_out], values[~is_out], np.zeros((~is_out).sum(), np.bool_), None, seen)
        fitted = InformedTrees.load(InformedTrees.fit(table, options, seed=fold).tensors, options)
        asked = counts[is_out]
        found = fitted.label(asked) if answers is None else fitted.label_told(asked, answers[is_out])
        said[is_out] = found.values
    return said


def main() -> None:
    """Print MAE and tail, with and without."""
    n_trees = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    counts, values, formulas = read()
    distinct, groups = np.unique(formulas, return_inverse=True)
    folds = (np.random.default_rng(0).permutation(len(distinct)) % N_FOLDS)[groups]
    started = time.monotonic()
    is_known, answers = told(formulas, counts, n_trees)
    print(f"model of computed gaps: {time.monotonic() - started:.0f} s")
    is_tail = values >= TAIL_EV
    print(f"{len(values):,} measured gaps of {len(distinct):,} formulas, {is_tail.sum()} of at least {TAIL_EV:g} eV")
    print(f"computed ones of {is_known.mean():.0%} of them are known\n")
    print(f"{'told':>6} {'answer':>7}  MAE, eV  known  others   tail  recall there")
    for name, told_answers in answers.items():
        if told_answers is not None:
            show(name, "as is", told_answers, values, is_known)
        for answer in ("mean", "median"):
            options = InformedTreesOptions(n_trees=n_trees, answer=answer, minimum=0.0)
            show(name, answer, cross_validated(counts, values, folds, told_answers, options), values, is_known)


def show(name: str, answer: str, said: Floats, values: Floats, is_known: NDArray[np.bool_]) -> None:
    """One line."""
    error, is_tail = np.abs(said - values), values >= TAIL_EV
    figures = [error.mean(), error[is_known].mean(), error[~is_known].mean(), error[is_tail].mean()]
    recall = np.mean(said[is_tail] >= TAIL_EV)
    print(f"{name:>6} {answer:>7} " + "".join(f"{figure:8.3f}" for figure in figures) + f"{recall:10.2f}", flush=True)


if __name__ == "__main__":
    with limited_threads(1):
        main()
