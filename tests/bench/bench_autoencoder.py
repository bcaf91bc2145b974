"""Train the autoencoders on the Materials Project's formulas and print what they are worth.

python tests/bench/bench_autoencoder.py --data FOLDER [--kinds set paper-dense paper] [--set epochs=5 ...]

Of `paper` it prints how long a training would take, unless options are set.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from agd import registry
from agd.chem.formula import parse_formulas
from agd.plugins.autoencoders.measuring import measure
from agd.protocols import Generator, Options
from agd.types import Counts, TrainingTable

DATA = Path(__file__).parents[3] / "shared" / "data"

HELD_OUT = 0.2


class Told(Exception):  # noqa: N818  # not an error: it ends a training that need not go on
    """Carries the first report of a training."""


def read_formulas(path: Path, column: str) -> Counts:
    with path.open(encoding="utf-8", newline="") as file:
        formulas = sorted({row[column] for row in csv.DictReader(file)})
    return parse_formulas(formulas)[0]


def table_of(path: Path, model: type[Generator], options: Options, seed: int) -> TrainingTable:
    counts = read_formulas(path, "pretty_formula")
    counts = counts[counts.any(axis=1) & (counts.max(axis=1) <= options.max_count)]
    is_held_out = np.random.default_rng(seed).random(len(counts)) < HELD_OUT
    print(f"{model.__name__}: {len(counts)} formulas, {is_held_out.sum()} held out")
    return TrainingTable(counts, None, is_held_out)


def print_estimate(plugin: type[Generator], table: TrainingTable, options: Options, seed: int) -> None:
    def stop(_done: int, total: int, note: str = "") -> None:
        raise Told(f"fit: {total:,} steps, {options.epochs} epochs, {note}")

    try:
        plugin.fit(table, options, seed=seed, progress=stop)
    except Told as told:
        print(told)


def print_worth(plugin: type[Generator], table: TrainingTable, options: Options, seed: int, data: Path) -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    fitted = plugin.fit(table, options, seed=seed)
    print(f"fit: {time.process_time() - cpu:.1f} CPU s, {time.perf_counter() - wall:.1f} s")
    print(json.dumps(dict(fitted.metrics), indent=2))

    model = plugin.load(fitted.tensors, options)
    initial = read_formulas(data / "paper" / "Exp3_BS_0.3k.csv", "composition")
    initial = initial[plugin.is_representable(initial, options)]
    box = measure(model, TrainingTable(initial, None, np.ones(len(initial), np.bool_)), seed=seed)
    print(f"on the {len(initial)} encodable rows of Exp3_BS_0.3k.csv and in their box:")
    print(json.dumps(box, indent=2))

    rows = table.counts[table.is_held_out]
    cpu = time.process_time()
    latents = model.encode(rows)
    encode_s = time.process_time() - cpu
    model.decode(latents)
    decode_s = time.process_time() - cpu - encode_s
    print(f"encode {len(rows) / encode_s:,.0f} rows/s, decode {len(rows) / decode_s:,.0f} rows/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds paper/mpid_formula_sp.csv")
    parser.add_argument("--kinds", nargs="+", default=["set", "paper-dense", "paper"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE", help="hyper-parameters to change")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.threads} threads, seed {arguments.seed}, options {arguments.set}")

    with threadpool_limits(arguments.threads):
        for kind in arguments.kinds:
            plugin = registry.load("agd.generators", kind)
            options = plugin.options_type.model_validate(dict(pair.split("=", 1) for pair in arguments.set))
            table = table_of(arguments.data / "paper" / "mpid_formula_sp.csv", plugin, options, arguments.seed)
            if kind == "paper" and not arguments.set:
                print_estimate(plugin, table, options, arguments.seed)
            else:
                print_worth(plugin, table, options, arguments.seed, arguments.data)


if __name__ == "__main__":
    main()
