"""The oracles on 42,669 real gaps, 10 % held out: `python tests/bench/bench_oracle.py --data FOLDER`. CPU seconds."""

import argparse
import csv
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from agd import registry
from agd.chem.formula import parse_formulas
from agd.errors import InputError
from agd.nets.checkpoint import load_tensors, save_tensors
from agd.types import Prediction, TrainingTable

DATA = Path(__file__).parents[3] / "shared" / "data"

KINDS = ("random_forest", "extra_trees", "hist_gradient_boosting", "lightgbm", "networks", "ensemble")
COLUMNS = {
    "r2": "R2",
    "mae": "MAE",
    "coverage_1_sigma": "1 sigma",
    "coverage_1_sigma_upper_tail": "its tail",
    "coverage_2_sigma": "2 sigma",
    "interval_90": "90 % at",
    "coverage_interval_90": "holds",
    "spearman_uncertainty_error": "Spearman",
    "out_of_fold_r2": "own R2",
    "fit_s": "fit s",
    "file_mb": "file MB",
    "load_s": "load s",
    "label_20_ms": "20 rows ms",
    "label_per_s": "rows/s",
}
N_POOL = 20_000


def read(path: Path, share: float, n_rows: int | None) -> TrainingTable:
    """Gaps in eV; a random `share` of the rows is held out."""
    with path.open() as file:
        rows = list(csv.DictReader(file))[:n_rows]
    counts, _ = parse_formulas([row["composition"] for row in rows])
    is_held_out = np.zeros(len(rows), dtype=np.bool_)
    is_held_out[np.random.default_rng(0).permutation(len(rows))[: round(share * len(rows))]] = True
    return TrainingTable(counts, np.array([float(row["Eg"]) for row in rows]), is_held_out)


def seconds_of(call: Any) -> tuple[Any, float]:
    """What a call returns, and the CPU seconds it takes."""
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def measure(kind: str, table: TrainingTable) -> dict[str, float]:
    """Fit with default options, store, load, label."""
    plugin = registry.load("agd.oracles", kind)
    options = plugin.options_type()
    fitted, fit_s = seconds_of(lambda: plugin.fit(table, options, seed=0))
    with tempfile.TemporaryDirectory() as folder:
        sha256 = save_tensors(Path(folder), fitted.tensors)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.npz"))
        oracle, load_s = seconds_of(lambda: plugin.load(load_tensors(Path(folder), sha256), options))
    pool = np.resize(table.counts[table.is_held_out], (N_POOL, table.counts.shape[1]))
    few, few_s = seconds_of(lambda: oracle.label(pool[:20]))
    many, many_s = seconds_of(lambda: oracle.label(pool))
    _same(few, many)
    times = {"fit_s": fit_s, "load_s": load_s, "label_20_ms": 1e3 * few_s, "label_per_s": N_POOL / many_s}
    return {**fitted.metrics, **times, "file_mb": size / 1e6}


def _same(few: Prediction, many: Prediction) -> None:
    np.testing.assert_array_equal(few.values, many.values[:20])
    np.testing.assert_array_equal(few.uncertainties, many.uncertainties[:20])


def main() -> None:
    """Print one line for each kind: held-out figures, then seconds and sizes.

    "own R2" is of the out-of-fold answers about the training rows themselves; "90 % at" is in sigmas.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds paper/Exp1_42k.csv")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--held-out", type=float, default=0.1, help="share of the rows")
    parser.add_argument("--rows", type=int, help="use only the first rows of the file")
    arguments = parser.parse_args()
    table = read(arguments.data / "paper" / "Exp1_42k.csv", arguments.held_out, arguments.rows)
    print(f"{'':24}" + "".join(f"{title:>11}" for title in COLUMNS.values()))
    for kind in arguments.kinds:
        try:
            figures = measure(kind, table)
        except InputError as error:
            print(f"{kind:24}{error}")
            continue
        cells = (f"{figures.get(name, np.nan):.4g}" for name in COLUMNS)
        print(f"{kind:24}" + "".join(f"{cell:>11}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
