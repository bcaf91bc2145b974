"""How a model of structures ranks the relaxed types of known compounds, the potential's energies being the truth.

Reads the cells that `bench_templates.py --relax K --out FILE` kept, and asks a model of structures of the record of
`AGD_HOME`, the newest by default. Beside it, of the same cells: the order in which the templates were proposed.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from agd.cli.show import workspace
from agd.nets.threads import limited_threads
from agd.steps.structures.answering import model_of_structures
from agd.steps.structures.comparing import RIGHT_MEV
from agd.types import Floats, Structure


class Cell(NamedTuple):
    """A relaxed cell of a compound; of rank 0 the known one."""

    rank: int
    energy_ev_per_atom: float
    structure: Structure


def cells_of(path: Path) -> list[list[Cell]]:
    """The sound cells of each compound that has two or more proposed ones."""
    found = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["reason"] is None:
            structure = Structure(np.array(row["lattice"]), tuple(row["species"]), np.array(row["frac"]))
            found[row["id"]].append(Cell(row["rank"], row["energy_ev_per_atom"], structure))
    return [cells for cells in found.values() if sum(one.rank > 0 for one in cells) > 1]


def tell(name: str, energies: Sequence[Floats], said: Sequence[Floats]) -> None:
    """The mean correlation of ranks, how often the first choice is right, and its regret."""
    correlations = [
        spearmanr(truth, guess).statistic
        for truth, guess in zip(energies, said, strict=True)
        if np.ptp(truth) > 0 and np.ptp(guess) > 0
    ]
    regrets = np.array(
        [1e3 * (truth[guess.argmin()] - truth.min()) for truth, guess in zip(energies, said, strict=True)]
    )
    right = 100 * np.mean(regrets <= RIGHT_MEV)
    print(
        f"  {name:28s} Spearman {np.mean(correlations):5.2f}   lowest first {right:3.0f} %"
        f"   regret {regrets.mean():5.1f}, median {np.median(regrets):4.1f} meV/atom"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=Path, required=True)
    parser.add_argument("--model", help="by its id or the beginning of its hash; the newest if not given")
    arguments = parser.parse_args()
    compounds = cells_of(arguments.cells)
    with workspace() as record, limited_threads(1):
        version = model_of_structures(record, arguments.model)
        if version is None:
            parser.error("no model of structures is in the record: `agd train structures` trains one")
        oracle = record.structure_oracle(version.id)
        answers = [oracle.label([one.structure for one in cells]).values for cells in compounds]
    print(f"{len(compounds)} compounds, {sum(map(len, compounds))} relaxed cells; {version.plugin} {version.id}")
    for title, lowest_rank in (("proposed types", 1), ("and the known cell", 0)):
        print(title)
        chosen = [np.array([one.rank >= lowest_rank for one in cells]) for cells in compounds]
        energies = [
            np.array([one.energy_ev_per_atom for one in cells])[at] for cells, at in zip(compounds, chosen, strict=True)
        ]
        tell(f"{version.plugin}, relaxed cells", energies, [all_[at] for all_, at in zip(answers, chosen, strict=True)])
        if lowest_rank:
            ranks = [
                np.array([float(one.rank) for one in cells])[at] for cells, at in zip(compounds, chosen, strict=True)
            ]
            tell("order of templates", energies, ranks)


if __name__ == "__main__":
    main()
