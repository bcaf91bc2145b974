"""Experimental band gaps: what trees gain from the answers of a model of computed ones, on five folds by formula.

The model of computed gaps answers what it has seen out of fold, so that no fold knows a compound by it.
"""

import csv
import gzip
import sys
import time

import numpy as np
from support import DATA  # type: ignore[import-not-found]  # beside this file

from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.nets.threads import limited_threads
from agd.plugins.oracles.forests import ExtraTrees, ExtraTreesOptions
from agd.plugins.oracles.informed import InformedTrees, InformedTreesOptions
from agd.types import Counts, Floats, TrainingTable

N_FOLDS = 5
TAIL_EV = 5.0


def read(name: str, formula: str, value: str) -> tuple[Counts, Floats, list[str]]:
    """Counts `[n, 103]`, gaps `[n]` in eV and reduced formulas of a table."""
    path = DATA / name
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        rows = list(csv.DictReader(file))
    counts, problems = parse_formulas([row[formula] for row in rows])
    bad = {problem.index for problem in problems}
    good = [i for i in range(len(rows)) if i not in bad]
    named = identify(counts[good])
    return named.counts, np.array([float(rows[i][value]) for i in good]), named.reduced_formula


def asked(oracle: ExtraTrees | InformedTrees, counts: Counts, answers: Floats | None = None) -> tuple[Floats, Floats]:
    """Values and uncertainties `[n]`."""
    if answers is not None and isinstance(oracle, InformedTrees):
        said = oracle.label_told(counts, answers)
    else:
        said = oracle.label(counts)
    return said.values, said.uncertainties


def main() -> None:
    """Print MAE and tail, with and without."""
    n_trees = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    counts, values, _ = read("paper/Exp1_42k.csv", "composition", "Eg")
    started = time.monotonic()
    options = ExtraTreesOptions(n_trees=100, answer="median")
    below = ExtraTrees.load(
        ExtraTrees.fit(TrainingTable(counts, values, np.zeros(len(values), np.bool_)), options, seed=0).tensors, options
    )
    print(f"model of {len(values):,} computed gaps: {time.monotonic() - started:.0f} s")
    counts, values, formulas = read("experiment/expt_gap.csv.gz", "formula", "band_gap_eV")
    answers, _ = asked(below, counts)
    distinct, groups = np.unique(formulas, return_inverse=True)
    fold_of = np.random.default_rng(0).permutation(len(distinct)) % N_FOLDS
    folds = fold_of[groups]
    is_tail = values >= TAIL_EV
    error = np.abs(answers - values)
    print(f"{len(values):,} measured gaps of {len(distinct):,} formulas, {is_tail.sum()} of at least {TAIL_EV:g} eV")
    print(f"computed gaps as they are: MAE {error.mean():.3f} eV, tail {error[is_tail].mean():.3f}")
    for name, told in (("without", None), ("with", answers)):
        for answer in ("mean", "median"):
            said = np.empty(len(values))
            for fold in range(N_FOLDS):
                is_out = folds == fold
                chosen = InformedTreesOptions(n_trees=n_trees, answer=answer, minimum=0.0)
                table = TrainingTable(
                    counts[~is_out],
                    values[~is_out],
                    np.zeros((~is_out).sum(), np.bool_),
                    None,
                    None if told is None else told[~is_out],
                )
                fitted = InformedTrees.load(InformedTrees.fit(table, chosen, seed=fold).tensors, chosen)
                said[is_out], _ = asked(fitted, counts[is_out], None if told is None else told[is_out])
            error = np.abs(said - values)
            recall = np.mean(said[is_tail] >= TAIL_EV)
            print(
                f"{name:>8} computed answers, {answer:>6}: MAE {error.mean():.3f} eV, "
                f"tail {error[is_tail].mean():.3f}, recall there {recall:.2f}"
            )


if __name__ == "__main__":
    with limited_threads(1):
        main()
