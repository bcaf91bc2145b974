"""The random forest on 41,869 real gaps: `python tests/bench/bench_oracle.py --data FOLDER`. CPU seconds."""

import argparse
import csv
import io
import time
from pathlib import Path

import numpy as np

from agd.chem.formula import parse_formulas
from agd.plugins.oracles import RandomForest, RandomForestOptions
from agd.types import TrainingTable

DATA = Path(__file__).parents[3] / "shared" / "data"

N_HELD_OUT = 800
N_POOL = 100_000


def main() -> None:
    """Print the metrics, the size of the model and the seconds of fitting, loading and labelling."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds paper/Exp1_42k.csv")
    parser.add_argument("--min-samples-leaf", type=int, default=RandomForestOptions().min_samples_leaf)
    arguments = parser.parse_args()
    with (arguments.data / "paper" / "Exp1_42k.csv").open() as file:
        rows = list(csv.DictReader(file))
    counts, _ = parse_formulas([row["composition"] for row in rows])
    is_held_out = np.zeros(len(rows), dtype=np.bool_)
    is_held_out[np.random.default_rng(0).permutation(len(rows))[:N_HELD_OUT]] = True
    options = RandomForestOptions(min_samples_leaf=arguments.min_samples_leaf)
    table = TrainingTable(counts, np.array([float(row["Eg"]) for row in rows]), is_held_out)

    start = time.process_time()
    fitted = RandomForest.fit(table, options, seed=0)
    print(f"fit {time.process_time() - start:.1f} s", flush=True)
    print("  ".join(f"{name} {value:.4g}" for name, value in sorted(fitted.metrics.items())))
    packed = io.BytesIO()
    np.savez_compressed(packed, **fitted.tensors)
    size = sum(array.nbytes for array in fitted.tensors.values())
    print(f"arrays {size / 1e6:.1f} MB, compressed {len(packed.getvalue()) / 1e6:.1f} MB")
    start = time.process_time()
    oracle = RandomForest.load(fitted.tensors, options)
    print(f"load {time.process_time() - start:.2f} s")
    for n in (20, N_POOL):
        pool = np.resize(counts, (n, counts.shape[1]))
        oracle.label(pool[:20])
        start = time.process_time()
        oracle.label(pool)
        seconds = time.process_time() - start
        print(f"label {n:,} rows {1e3 * seconds:.1f} ms, {n / seconds:,.0f} rows/s")


if __name__ == "__main__":
    main()
