"""Train the autoencoder on the Materials Project's formulas and print what it is worth.

python tests/bench/bench_autoencoder.py --data FOLDER [--threads 1] [--seed 0] [--set epochs=5 ...]
"""

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from agd.chem.formula import parse_formulas
from agd.plugins.generators import SetAutoencoder, SetAutoencoderOptions, measure
from agd.types import Counts, TrainingTable

DATA = Path(__file__).parents[3] / "shared" / "data"

HELD_OUT = 0.2


def read_formulas(path: Path, column: str) -> Counts:
    with path.open(encoding="utf-8", newline="") as file:
        formulas = sorted({row[column] for row in csv.DictReader(file)})
    return parse_formulas(formulas)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds paper/mpid_formula_sp.csv")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE", help="hyper-parameters to change")
    arguments = parser.parse_args()
    options = SetAutoencoderOptions.model_validate(dict(pair.split("=", 1) for pair in arguments.set))
    torch.set_num_threads(arguments.threads)

    counts = read_formulas(arguments.data / "paper" / "mpid_formula_sp.csv", "pretty_formula")
    counts = counts[counts.any(axis=1) & (counts.max(axis=1) <= options.max_count)]
    is_held_out = np.random.default_rng(arguments.seed).random(len(counts)) < HELD_OUT
    table = TrainingTable(counts, None, is_held_out)
    print(f"{len(counts)} formulas, {is_held_out.sum()} held out, {arguments.threads} threads, seed {arguments.seed}")

    with threadpool_limits(arguments.threads):
        cpu, wall = time.process_time(), time.perf_counter()
        fitted = SetAutoencoder.fit(table, options, seed=arguments.seed)
        print(f"fit: {time.process_time() - cpu:.1f} CPU s, {time.perf_counter() - wall:.1f} s")
        print(json.dumps(dict(fitted.metrics), indent=2))

        model = SetAutoencoder.load(fitted.tensors, options)
        initial = read_formulas(arguments.data / "paper" / "Exp3_BS_0.3k.csv", "composition")
        initial = initial[model.is_encodable(initial)]
        box = measure(model, TrainingTable(initial, None, np.ones(len(initial), np.bool_)), seed=arguments.seed)
        print(f"on the {len(initial)} encodable rows of Exp3_BS_0.3k.csv and in their box:")
        print(json.dumps(box, indent=2))

        rows = counts[is_held_out]
        cpu = time.process_time()
        latents = model.encode(rows)
        encode_s = time.process_time() - cpu
        model.decode(latents)
        decode_s = time.process_time() - cpu - encode_s
        print(f"encode {len(rows) / encode_s:,.0f} rows/s, decode {len(rows) / decode_s:,.0f} rows/s")


if __name__ == "__main__":
    main()
