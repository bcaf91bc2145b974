"""Magpie descriptors from formulas, ours beside matminer's, in CPU seconds of one thread.

python tests/bench/bench_magpie.py [--data FOLDER] [--rounds 5]
"""

import argparse
from pathlib import Path

import numpy as np
from support import DATA, PEERS, Peer, alternate, cpu_seconds, read_column

from agd.chem.descriptors import MAGPIE_FEATURES, magpie
from agd.chem.elements import SYMBOLS, magpie_properties
from agd.chem.formula import parse_formulas
from agd.types import Floats


def ours(formulas: list[str]) -> Floats:
    counts, problems = parse_formulas(formulas)
    assert problems == []
    return np.asarray(magpie(counts), np.float64)


def print_difference(what: str, found: Floats, expected: Floats) -> None:
    difference = np.abs(found - expected)
    worst = MAGPIE_FEATURES[int(np.argmax(difference.max(axis=0)))]
    print(f"{what}: largest difference {difference.max():.1e} ({worst})", flush=True)


def main() -> None:
    """Compare on real formulas, then on every element alone, where missing element data are filled in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds paper/Exp1_42k.csv")
    parser.add_argument("--peers", type=Path, default=PEERS, help="python of the environment of peers.txt")
    parser.add_argument("--formulas", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    table = read_column(arguments.data / "paper" / "Exp1_42k.csv", "composition")
    picked = np.random.default_rng(0).permutation(len(table))[: arguments.formulas]
    formulas = [table[i] for i in picked]
    elements = list(SYMBOLS)
    with Peer(arguments.peers) as peer:
        print(f"beside {', '.join(peer.ask('versions')[0])}; {len(formulas):,} formulas", flush=True)
        print_difference("real formulas", ours(formulas), np.array(peer.ask("magpie", formulas)[0]))
        print_difference("the 103 elements alone", ours(elements), np.array(peer.ask("magpie", elements)[0]))
        gaps = np.isnan(magpie_properties()).any(axis=1)
        print(f"matminer with impute_nan=True, its default; {gaps.sum()} elements lack a property and get the mean")
        seconds = alternate(
            arguments.rounds,
            {
                "ours": lambda: cpu_seconds(lambda: ours(formulas)),
                "matminer": lambda: peer.ask("magpie", formulas)[1],
            },
        )
    for name, value in seconds.items():
        print(f"{name:10} {len(formulas) / value:12,.0f} formulas/s, parsing included")
    print(f"ratio of medians: {seconds['matminer'] / seconds['ours']:.0f} times faster than matminer")


if __name__ == "__main__":
    main()
