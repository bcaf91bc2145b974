"""Rows per second of the chemistry core: `python tests/bench/bench_chem.py --data FOLDER`."""

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from agd.chem import smact_validity
from agd.chem.descriptors import magpie
from agd.chem.enumeration import charge_balanced
from agd.chem.formula import identify, parse_formulas
from agd.chem.onehot import one_hot
from agd.chem.validity import assess

DATA = Path(__file__).parents[3] / "shared" / "data"

N_REPEATS = 5


def measure(name: str, n_rows: int, compute: Callable[[], object]) -> None:
    """Print the median of a few runs, after one that is not counted."""
    compute()
    seconds = []
    for _ in range(N_REPEATS):
        start = time.process_time()
        compute()
        seconds.append(time.process_time() - start)
    print(f"{name:28} {n_rows / statistics.median(seconds):12,.0f} rows/s")


def main() -> None:
    """Measure on the 42,669 formulas of Exp1_42k.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds paper/Exp1_42k.csv")
    with (parser.parse_args().data / "paper" / "Exp1_42k.csv").open() as file:
        formulas = [row["composition"] for row in csv.DictReader(file)]
    counts, _ = parse_formulas(formulas)
    n = len(formulas)
    print(f"{n:,} formulas, CPU time, median of {N_REPEATS}")
    measure("parse", n, lambda: parse_formulas(formulas))
    measure("identify", n, lambda: identify(counts))
    measure("magpie float64", n, lambda: magpie(counts))
    measure("magpie float32", n, lambda: magpie(counts, np.float32))
    measure("parse + magpie float64", n, lambda: magpie(parse_formulas(formulas)[0]))
    measure("validity", n, lambda: assess(counts))
    measure("validity, SMACT's rule", n, lambda: smact_validity.assess(counts))
    measure("parse + validity", n, lambda: assess(parse_formulas(formulas)[0]))
    encodable = counts[(counts[:, [9, 17]] == 0).all(axis=1)]
    measure("one-hot 87 x 20", len(encodable), lambda: one_hot(encodable))
    measure("enumeration", 20_000, lambda: charge_balanced(20_000, seed=0))


if __name__ == "__main__":
    main()
