"""GATGNN on formation energies of real crystals: held-out error by how many it learned, beside trees on the formula.

Rows whose energy is of the crystal itself (`label_src` id or cell_2019), of at most 20 atoms in the primitive cell; a
tenth of the formulas is held out, a twenty-fifth tells when to stop. Times are CPU seconds of one thread.
"""

import argparse
import json
import lzma
import time
from collections.abc import Iterator
from itertools import chain
from multiprocessing import Pool

import numpy as np
import torch
from support import DATA  # type: ignore[import-not-found]  # beside this file

from agd.chem.descriptors import magpie_and_fractions
from agd.chem.neighbours import Neighbours, nearest
from agd.chem.structures import canonical, counts_of, lattice_from_parameters, numbers_of
from agd.errors import InputError
from agd.nets import gatgnn
from agd.nets.training import Schedule
from agd.types import Structure

MAX_ATOMS = 20
MAX_READ = 40
HELD_OUT = 0.1
VALIDATION = 0.04

Row = tuple[str, float, Structure, Neighbours]


def crystal(line: str) -> Row | None:
    """Formula, formation energy in eV/atom, primitive cell and its neighbours; None where it is not wanted."""
    row = json.loads(line)
    if row.get("label_src") not in {"id", "cell_2019"} or row["nsites"] > MAX_READ:
        return None
    species = tuple(chain.from_iterable([symbol] * n for symbol, n in row["species"]))
    lattice = lattice_from_parameters(row["lattice"][:3], row["lattice"][3:])
    try:
        cell = canonical(Structure(lattice, species, np.array(row["frac"]).reshape(-1, 3))).structure
    except InputError:
        return None
    return None if len(cell.species) > MAX_ATOMS else (row["formula"], row["e_form"], cell, nearest(cell))


def lines() -> Iterator[str]:
    for path in sorted((DATA / "structures").glob("mp_labeled.*.jsonl.xz")):
        with lzma.open(path, "rt") as file:
            yield from file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[2500, 10_000, 0], help="crystals learned; 0: all")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with Pool(2) as pool:
        rows = [row for row in pool.imap(crystal, lines(), chunksize=200) if row is not None]
    formulas, values, cells, neighbours = (list(column) for column in zip(*rows, strict=True))
    energies = np.array(values)
    crystals = gatgnn.Crystals.of([numbers_of(cell) for cell in cells], neighbours)
    shares = gatgnn.element_shares(crystals)
    draw = np.random.default_rng(arguments.seed)
    names, row_of = np.unique(formulas, return_inverse=True)
    part = draw.random(len(names))[row_of]
    held_out = np.flatnonzero(part < HELD_OUT)
    validation = np.flatnonzero((part >= HELD_OUT) & (part < HELD_OUT + VALIDATION))
    rest = draw.permutation(np.flatnonzero(part >= HELD_OUT + VALIDATION))
    print(f"{len(rows):,} crystals of {len(names):,} formulas, {len(held_out):,} held out; MAE in eV/atom")
    print(f"{'learned':>10} {'elements':>9} {'trees':>7} {'GATGNN':>7} {'ratio':>6} {'CPU s':>7}")
    for size in arguments.sizes:
        training = rest[: size or len(rest)]
        by_element = shares @ gatgnn.element_values(shares[training], energies[training])
        trees = forest(counts_of(cells), energies, training, held_out, arguments.seed)
        began = time.process_time()
        residual = energies - by_element
        middle, spread = residual[training].mean(), residual[training].std()
        torch.manual_seed(arguments.seed)
        network = gatgnn.Network(gatgnn.Architecture())
        recipe = gatgnn.Recipe(Schedule(arguments.epochs, 4e-3, 1e-2, arguments.epochs))
        gatgnn.fit(
            network,
            crystals,
            (residual - middle) / spread,
            training=training,
            validation=validation,
            recipe=recipe,
            seed=arguments.seed,
        )
        seconds = time.process_time() - began
        said = by_element[held_out] + middle + spread * gatgnn.predict(network, crystals, held_out)
        error = np.abs(said - energies[held_out]).mean()
        alone = np.abs(by_element - energies)[held_out].mean()
        print(f"{len(training):>10,} {alone:>9.3f} {trees:>7.3f} {error:>7.4f} {trees / error:>6.2f} {seconds:>7.0f}")


def forest(counts: np.ndarray, energies: np.ndarray, training: np.ndarray, held_out: np.ndarray, seed: int) -> float:
    """Mean error of extra trees that know the formula alone, in eV/atom."""
    from sklearn.ensemble import ExtraTreesRegressor

    features = magpie_and_fractions(counts)
    trees = ExtraTreesRegressor(100, max_features=1 / 3, random_state=seed)  # type: ignore[no-untyped-call]  # untyped
    trees.fit(features[training], energies[training])
    return float(np.abs(trees.predict(features[held_out]) - energies[held_out]).mean())


if __name__ == "__main__":
    main()
