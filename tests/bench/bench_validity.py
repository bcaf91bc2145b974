"""Both validity rules beside SMACT's `smact_validity`: how fast in CPU seconds, and where the answers differ.

python tests/bench/bench_validity.py [--data FOLDER] [--rounds 5]
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from support import DATA, PEERS, Peer, alternate, cpu_seconds, read_column

from agd.chem import smact_validity, validity
from agd.chem.formula import parse_formulas
from agd.chem.identity import reduce_counts
from agd.chem.validity import Verdicts

N_EXAMPLES = 8


def ours(formulas: list[str]) -> Verdicts:
    return smact_validity.assess(parse_formulas(formulas)[0])


def ours_of_the_paper(formulas: list[str]) -> Verdicts:
    return validity.assess(reduce_counts(parse_formulas(formulas)[0]))


def print_differences(what: str, formulas: list[str], found: NDArray[np.bool_], expected: list[bool]) -> None:
    """Count both ways of differing, with a few examples."""
    theirs = np.array(expected)
    print(f"{what}: {np.count_nonzero(found != theirs):,} of {len(formulas):,} differ", flush=True)
    for is_one_way, says in ((found & ~theirs, "passes here only"), (~found & theirs, "passes there only")):
        rows = np.nonzero(is_one_way)[0]
        if len(rows):
            examples = ", ".join(formulas[row] for row in rows[:: max(1, len(rows) // N_EXAMPLES)][:N_EXAMPLES])
            print(f"  {len(rows):,} {says}: {examples}")


def main() -> None:
    """Compare every verdict once, then take turns on some of the formulas."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds paper/Exp1_42k.csv")
    parser.add_argument("--peers", type=Path, default=PEERS, help="python of the environment of peers.txt")
    parser.add_argument("--formulas", type=int, default=5000, help="how many of them are timed")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    table = read_column(arguments.data / "paper" / "Exp1_42k.csv", "composition")
    timed = [table[i] for i in np.random.default_rng(0).permutation(len(table))[: arguments.formulas]]
    with Peer(arguments.peers) as peer:
        print(f"beside {peer.ask('versions')[0][-1]}; {len(table):,} formulas", flush=True)
        valid, _ = peer.ask("smact_validity", table)
        neutral, _ = peer.ask("smact_neutrality", table)
        print(f"valid by smact_validity: {np.mean(valid):.4f}")
        mine = ours(table)
        name = smact_validity.RULE
        print_differences(f"{name}, verdict", table, mine.is_electronegativity_balanced, valid)
        print_differences(f"{name}, neutrality (use_pauling_test=False)", table, mine.is_charge_neutral, neutral)
        other = ours_of_the_paper(table).is_electronegativity_balanced
        print_differences(f"{validity.RULE} (other states, alloys refused), verdict", table, other, valid)
        seconds = alternate(
            arguments.rounds,
            {
                smact_validity.RULE: lambda: cpu_seconds(lambda: ours(timed)),
                validity.RULE: lambda: cpu_seconds(lambda: ours_of_the_paper(timed)),
                "smact_validity": lambda: peer.ask("smact_validity", timed)[1],
            },
        )
    theirs = seconds.pop("smact_validity")
    print(f"{'smact_validity':24} {len(timed) / theirs:12,.0f} formulas/s, parsing included")
    for name, value in seconds.items():
        print(f"{name:24} {len(timed) / value:12,.0f} formulas/s, ratio of medians {theirs / value:.0f}")


if __name__ == "__main__":
    main()
