"""What a generator of formulas learns of the ICSD: validity, novelty, uniqueness and recovery at growing samples.

It is trained on the entries of the Materials Project that carry an ICSD number, a tenth of them held out. Valid is
charge-neutral and electronegativity-balanced once reduced, or as generated, a share of all samples; unique is the share
of samples that are distinct once reduced; novel is the share of distinct formulas, and of samples, that are not in the
training table; recovered are the shares of the rows trained on, and of the rows held out, that were found again.

python tests/bench/matgan_validity.py [--kind matgan-paper] [--option iterations=0 ...] [--model FILE.npz]
"""

import argparse
import csv
import gzip
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from support import DATA

from agd import registry
from agd.chem.elements import N_ELEMENTS, SYMBOLS
from agd.chem.formula import parse_formulas
from agd.chem.identity import reduce_counts
from agd.chem.validity import assess
from agd.plugins.formula_generators.vocabulary import learnable
from agd.protocols import FormulaGenerator
from agd.steps.models.plugin_options import parse
from agd.types import Counts, TrainingTable

CHUNK = 32_768
REPORT_S = 15
PUBLISHED = "published: 84.5 % valid, trained on valid ICSD formulas; 92.53 % novel at 2 M samples"


def icsd(path: Path) -> Counts:
    """Distinct reduced compositions of the entries with an ICSD number."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        formulas = [row["formula"] for row in csv.DictReader(file) if row["icsd"] == "1"]
    return np.unique(reduce_counts(parse_formulas(formulas)[0]), axis=0)


def keys_of(counts: Counts) -> NDArray[Any]:
    """One comparable number `[n, 2]` for each composition, as a structure `[n]`."""
    weights = np.random.default_rng(0).integers(0, 2**63, (N_ELEMENTS, 2), np.uint64)
    return np.ascontiguousarray(counts.astype(np.uint64) @ weights).view("u8,u8").ravel()


def share(part: NDArray[np.bool_]) -> float:
    return float(part.mean()) if len(part) else 0.0


def fitted(arguments: argparse.Namespace, table: TrainingTable) -> FormulaGenerator:
    """The model in the file, or a newly trained one, which is put there."""
    group = "agd.formula_generators"
    plugin = registry.load(group, arguments.kind)
    options = parse(group, arguments.kind, arguments.option)
    if arguments.model is not None and arguments.model.is_file():
        with np.load(arguments.model, allow_pickle=False) as archive:
            return plugin.load(dict(archive), options)
    told = time.monotonic()
    started, cpu = told, time.process_time()

    def progress(done: int, total: int, note: str = "") -> None:
        nonlocal told
        if time.monotonic() - told > REPORT_S:
            told = time.monotonic()
            print(f"  {told - started:5.0f} s  {done:,} of {total:,}: {note}", flush=True)

    model = plugin.fit(table, options, seed=arguments.seed, progress=progress)
    print(f"trained in {time.monotonic() - started:.0f} s, {time.process_time() - cpu:.0f} s of CPU")
    print(", ".join(f"{name} {value:.4g}" for name, value in model.metrics.items()))
    if arguments.model is not None:
        np.savez(arguments.model, **model.tensors)
    return plugin.load(model.tensors, options)


def print_comparison(made: Counts, learnt: Counts) -> None:
    """How often each number of elements, and each element, is generated, beside the rows trained on."""
    sizes, as_sized = (
        np.bincount(np.count_nonzero(rows, axis=1), minlength=9)[2:] / len(rows) for rows in (made, learnt)
    )
    print("elements   " + "".join(f"{n:9}" for n in range(2, 9)))
    print("generated  " + "".join(f"{value:9.2%}" for value in sizes))
    print("trained on " + "".join(f"{value:9.2%}" for value in as_sized))
    by_size = np.count_nonzero(made, axis=1)
    print("valid      " + "".join(f"{share(assess(made[by_size == n]).is_valid):9.2%}" for n in range(2, 9)))
    often, as_often = ((rows > 0).mean(axis=0) for rows in (made, learnt))
    distance = np.abs(often - as_often).sum() / as_often.sum()
    worst = np.argsort(-np.abs(often - as_often))[:6]
    listed = ", ".join(f"{SYMBOLS[column]} {often[column]:.1%} for {as_often[column]:.1%}" for column in worst)
    print(f"shares of elements differ by {distance:.1%} in all, most for {listed}")


def main() -> None:
    """Train, sample, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds structures/mp_index.csv.gz")
    parser.add_argument("--kind", default="matgan")
    parser.add_argument("--option", "-o", action="append", default=[], help="name=value of a hyper-parameter")
    parser.add_argument("--model", type=Path, help="file of tensors: used where it is there, else written")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    every = icsd(arguments.data / "structures" / "mp_index.csv.gz")
    counts = every[registry.load("agd.formula_generators", arguments.kind).is_representable(every)]
    is_held_out = np.random.default_rng(arguments.seed).random(len(counts)) < 0.1
    table = TrainingTable(counts, None, is_held_out)
    only_valid = any(option.replace(" ", "") == "only_valid=false" for option in arguments.option)
    learnt = counts[learnable(table, only_valid=not only_valid)]
    print(f"{len(counts):,} of {len(every):,} fit, {is_held_out.sum():,} held out, {len(learnt):,} trained on")
    print(f"{arguments.kind} {' '.join(arguments.option)}; {PUBLISHED}", flush=True)
    model = fitted(arguments, table)
    known, trained, held_out = (keys_of(rows) for rows in (counts[~is_held_out], learnt, counts[is_held_out]))
    held_out_valid = keys_of(counts[is_held_out & assess(counts).is_valid])
    names = (
        "decoded",
        "valid",
        "as generated",
        "unique",
        "novel",
        "novel/all",
        "distinct+valid",
        "recovered",
        "held out",
        "held out valid",
    )
    print(f"{'samples':>9}" + "".join(f"{name:>15}" for name in names))
    found, valid, as_made, n_made = [], [], [], 0
    for n in sorted(arguments.samples):
        while n_made < n:
            made = model.sample(n_made, min(CHUNK, n - n_made), seed=arguments.seed + 1)
            n_made += len(made)
            made = made[made.any(axis=1)]
            as_made.append(assess(made).is_valid)
            made = reduce_counts(made)
            valid.append(assess(made).is_valid)
            found.append(keys_of(made))
        samples, passes = np.concatenate(found), np.concatenate(valid)
        distinct = np.unique(samples)
        columns = [
            len(samples) / n,
            share(passes),
            share(np.concatenate(as_made)),
            len(distinct) / max(len(samples), 1),
            share(~np.isin(distinct, known)),
            share(~np.isin(samples, known)),
            len(np.unique(samples[passes])) / n,
            share(np.isin(trained, distinct)),
            share(np.isin(held_out, distinct)),
            share(np.isin(held_out_valid, distinct)),
        ]
        print(f"{n:9,}" + "".join(f"{value:15.2%}" for value in columns), flush=True)
    made = model.sample(0, min(100_000, max(arguments.samples)), seed=arguments.seed + 1)
    if made.any():
        print_comparison(made[made.any(axis=1)], learnt)


if __name__ == "__main__":
    main()
