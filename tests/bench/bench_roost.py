"""Roost on 42,669 real gaps against the same network written out: `python tests/bench/bench_roost.py --data FOLDER`."""

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from plain_roost import PlainBatch, PlainRoost
from support import DATA, alternate, cpu_seconds, wall_seconds
from torch import nn

from agd.chem.formula import parse_formulas
from agd.nets.element_vectors import matscholar
from agd.nets.roost import Architecture, Network, predict
from agd.nets.stoichiometry_graph import Compositions

SIZES = Architecture(200, 64, 256, 3, 3, (1024, 512, 256, 128, 64), is_robust=False)
BATCH = 128
N_EPOCH = 25_601


def main() -> None:
    """Train both on the same batches, one after the other in each round; then label.

    Nodes and pairs are found anew for each batch; the plain network is also timed with pairs made beforehand.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds paper/Exp1_42k.csv")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="steps of a round, 128 rows each")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--wall", action="store_true", help="wall seconds instead of CPU seconds")
    parser.add_argument("--pool", type=int, default=8_000, help="rows to label")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    seconds = wall_seconds if arguments.wall else cpu_seconds

    with (arguments.data / "paper" / "Exp1_42k.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    counts, _ = parse_formulas([row["composition"] for row in table])
    gaps = np.array([float(row["Eg"]) for row in table])
    targets = torch.from_numpy((gaps - gaps.mean()) / gaps.std()).float()
    order = np.random.default_rng(0).permutation(len(counts))[: BATCH * arguments.steps]
    batches = torch.from_numpy(order).split(BATCH)

    ours = Network(SIZES)
    ours.draw(matscholar(), 0.0, 1.0, 0)
    plain = PlainRoost.like(ours)
    compositions = Compositions(counts, SIZES.n_heads, "cpu")
    ready = [PlainBatch(counts[rows.numpy()]) for rows in batches]

    def trainer(network: nn.Module, forward: Callable[[int], torch.Tensor]) -> Callable[[], float]:
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4, weight_decay=1e-6, fused=True)

        def steps() -> None:
            for i, rows in enumerate(batches):
                optimizer.zero_grad()
                (forward(i)[:, 0] - targets[rows]).abs().mean().backward()
                optimizer.step()

        steps()
        return lambda: seconds(steps)

    medians = alternate(
        arguments.rounds,
        {
            "ours": trainer(ours, lambda i: ours(compositions.graph(batches[i]))),
            "per-edge scatter": trainer(plain, lambda i: plain(PlainBatch(counts[batches[i].numpy()]))),
            "same, pairs ready": trainer(plain, lambda i: plain(ready[i])),
        },
    )
    unit = "wall" if arguments.wall else "CPU"
    print(f"training, {arguments.threads} threads, {unit} seconds, medians of {arguments.rounds} rounds")
    for name, median in medians.items():
        epoch_s = median * N_EPOCH / len(order)
        print(f"{name:18}{epoch_s:8.1f} s per epoch of {N_EPOCH:,} rows{1 / epoch_s:9.4f} epochs/s")
    for name in ("per-edge scatter", "same, pairs ready"):
        print(f"ratio to {name}: {medians[name] / medians['ours']:.2f}")
    pool = counts[np.random.default_rng(1).permutation(len(counts))[: arguments.pool]]
    start = time.process_time()
    label_s = seconds(lambda: predict([ours], pool, "cpu"))
    print(f"labelling {len(pool) / label_s:,.0f} rows/s ({time.process_time() - start:.1f} CPU seconds)")


if __name__ == "__main__":
    main()
