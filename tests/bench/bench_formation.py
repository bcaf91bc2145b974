"""Formation energies by a potential against those of DFT, compounds of a written seed: halides, oxides, sulfides.

The labels follow the correction scheme of 2018, a potential follows the one that its training data had; both are shown,
as they come and with the potential's own corrections taken off and those of the labels put on. The potentials may have
seen these compounds: this says how well energies are passed on, not what they are worth for a new compound.
"""

import argparse
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from bench_templates import Pool
from numpy.typing import NDArray
from support import DATA

from agd import registry
from agd.chem.elements import SYMBOLS
from agd.chem.hull import formation_energy_ev_per_atom
from agd.chem.identity import identify
from agd.nets.threads import limited_threads
from agd.steps.structures.phases import competing
from agd.types import Floats, Relaxed, Structure

if TYPE_CHECKING:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

KINDS: Mapping[str, tuple[str, ...]] = {"halides": ("F", "Cl", "Br", "I"), "oxides": ("O",), "sulfides": ("S",)}
ANIONS = tuple(symbol for symbols in KINDS.values() for symbol in symbols)
MOST_ATOMS = 20
SCHEMES = {"sevennet": "none", "chgnet": "mp2020"}
"""What the training data of a potential had on it."""


def drawn(pool: Pool, n: int, seed: int) -> dict[str, NDArray[np.intp]]:
    """Rows of compounds with one kind of anion: lowest of their formula, made, matched by id, of at most 20 atoms."""
    columns = {symbol: SYMBOLS.index(symbol) for symbol in ANIONS}
    _, formulas = np.unique(pool.lowest_terms, axis=0, return_inverse=True)
    lowest = np.full(formulas.max() + 1, np.inf)
    np.fmin.at(lowest, formulas, pool.e_form)
    n_elements = np.count_nonzero(pool.counts, axis=1)
    n_atoms = np.array([len(one.species) for one in pool.structures])
    may = pool.was_made & (pool.e_form == lowest[formulas]) & (n_atoms <= MOST_ATOMS) & (n_elements <= 4)
    may &= (n_elements > 1) & np.array([source == "id" for source in pool.label_sources])
    generator = np.random.default_rng(seed)
    chosen = {}
    for position, (kind, symbols) in enumerate(KINDS.items()):
        has = {symbol: pool.counts[:, column] > 0 for symbol, column in columns.items()}
        own = np.logical_or.reduce([has[symbol] for symbol in symbols])
        other = np.logical_or.reduce([has[symbol] for symbol in ANIONS if symbol not in symbols])
        size = n // 3 + (position < n % 3)
        chosen[kind] = generator.choice(np.flatnonzero(may & own & ~other), size, replace=False)
    return chosen


def relaxed_elements(pool: Pool, potential: Any, elements: Sequence[str]) -> dict[str, Relaxed]:
    """Of each element the lowest of what `competing` chooses for a hull: relaxed."""
    lowest = {}
    n_elements = np.count_nonzero(pool.counts, axis=1)
    for element in elements:
        own = np.flatnonzero((pool.counts[:, SYMBOLS.index(element)] > 0) & (n_elements == 1))
        chosen = competing([_row(pool, row, element) for row in own.tolist()], [element])
        ends = [potential.relax(pool.structures[row]) for row in chosen]
        sound = [one for one in ends if one.reason is None]
        if sound:
            lowest[element] = min(sound, key=lambda one: one.energy_ev_per_atom)
        else:
            print(f"  no structure of {element} relaxed: {ends[0].reason if ends else 'none there'}")
    return lowest


def _row(pool: Pool, row: int, element: str) -> Any:
    """A structure of an element as the record would give it."""
    e_form = float(pool.e_form[row])
    return SimpleNamespace(
        structure_id=row,
        reduced_formula=element,
        chemical_system=element,
        n_sites=len(pool.structures[row].species),
        e_form_ev_per_atom=None if np.isnan(e_form) else e_form,
        cell_sha256=pool.ids[row],
    )


def entry(structure: Structure, energy_ev_per_atom: float) -> "ComputedStructureEntry":
    """As pymatgen's schemes of corrections take it: settings of the Materials Project."""
    from pymatgen.core import Lattice
    from pymatgen.core import Structure as Crystal
    from pymatgen.entries.computed_entries import ComputedStructureEntry
    from pymatgen.io.vasp.sets import MPRelaxSet

    crystal = Crystal(Lattice(structure.lattice), structure.species, structure.frac)
    settings = MPRelaxSet.CONFIG
    symbols = sorted(set(structure.species))
    with_u = {"O", "F"} & set(symbols)
    anion = "O" if "O" in with_u else "F"
    values = settings["INCAR"]["LDAUU"][anion] if with_u else {}
    hubbards = {symbol: float(values.get(symbol, 0.0)) for symbol in symbols} if set(symbols) & set(values) else {}
    parameters = {
        "run_type": "GGA+U" if hubbards else "GGA",
        "is_hubbard": bool(hubbards),
        "hubbards": hubbards,
        "potcar_symbols": [f"PBE {settings['POTCAR'][symbol]}" for symbol in symbols],
    }
    return ComputedStructureEntry(crystal, energy_ev_per_atom * len(crystal), parameters=parameters)


def corrected(scheme: str, structure: Structure, energy_ev_per_atom: float, sign: int = 1) -> float:
    """An energy with the corrections of a scheme put on (`sign` 1) or taken off (-1)."""
    if scheme == "none":
        return energy_ev_per_atom
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility, MaterialsProjectCompatibility

    of = (
        MaterialsProjectCompatibility() if scheme == "mp2018" else MaterialsProject2020Compatibility(check_potcar=False)
    )
    adjustments = of.get_adjustments(entry(structure, energy_ev_per_atom))
    return float(energy_ev_per_atom + sign * sum(one.value for one in adjustments) / len(structure.species))


def aligned(scheme: str, found: Relaxed) -> float:
    """A relaxed energy on the scale of the labels."""
    bare = corrected(scheme, found.structure, found.energy_ev_per_atom, -1)
    return corrected("mp2018", found.structure, bare)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--potential", default="sevennet", choices=sorted(SCHEMES))
    arguments = parser.parse_args()
    scheme = SCHEMES[arguments.potential]
    pool = Pool(DATA / "structures")
    rows = drawn(pool, arguments.n, arguments.seed)
    kind = registry.load("agd.potentials", arguments.potential)
    potential = kind(kind.options_type())
    every = np.concatenate(list(rows.values()))
    elements = [SYMBOLS[column] for column in np.flatnonzero(pool.counts[every].any(axis=0))]
    errors: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    with limited_threads(1):
        lowest = relaxed_elements(pool, potential, elements)
        raw = {element: one.energy_ev_per_atom for element, one in lowest.items()}
        shifted = {element: aligned(scheme, one) for element, one in lowest.items()}
        for name, of in rows.items():
            for row in of:
                formula = identify(pool.counts[row : row + 1]).reduced_formula[0]
                found = potential.relax(pool.structures[row])
                if found.reason is not None or not set(found.structure.species) <= set(raw):
                    print(f"  {formula:16s} left out: {found.reason or 'an element is missing'}", flush=True)
                    continue
                as_is = formation_energy_ev_per_atom(formula, found.energy_ev_per_atom, raw)
                on_scale = formation_energy_ev_per_atom(formula, aligned(scheme, found), shifted)
                known = pool.e_form[row]
                errors[name].append((1e3 * (as_is - known), 1e3 * (on_scale - known)))
                print(f"  {formula:16s} {known:8.3f} {errors[name][-1][0]:8.1f} {errors[name][-1][1]:8.1f}", flush=True)
    print(f"{potential.version}, seed {arguments.seed}: errors in meV/atom, as it comes and in the labels' scheme")
    for name, some in [*errors.items(), ("all", [one for of in errors.values() for one in of])]:
        both: Floats = np.abs(np.array(some))
        mean, median = both.mean(axis=0), np.median(both, axis=0)
        print(
            f"  {name:10s} {len(some):3d}: MAE {mean[0]:6.1f} {mean[1]:6.1f}   median {median[0]:6.1f} {median[1]:6.1f}"
        )


if __name__ == "__main__":
    main()
