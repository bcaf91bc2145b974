"""Templates for known compounds, every entry of their formula left out: how often is the true type among the first?

Beside each other in one run: the votes of `substitution`, the order of the distances alone, the published rule; and the
closed form of the distance against ElMD. Needs the structures of the real data.
"""

import argparse
import json
import lzma
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from support import DATA, PEERS, Peer, cpu_seconds

from agd.chem import templates
from agd.chem.formula import parse_formulas
from agd.chem.formula_distance import FormulaDistances
from agd.chem.symmetry import StructureType, type_of
from agd.nets.threads import limited_threads
from agd.plugins.templates.published import Published, PublishedOptions
from agd.plugins.templates.substitution import Substitution, SubstitutionOptions
from agd.types import Counts, Floats, Relaxed, Structure, TemplateProposal

RANKS = (1, 3, 5, 10, 30)
MOST_ATOMS = 20
N_PAIRS = 1000


class Pool:
    """The structures, and by row the formula, whether it was made, and whether it is the lowest of its formula."""

    def __init__(self, folder: Path) -> None:
        rows = list(_rows(folder))
        self.structures = [_structure(row) for row in rows]
        self.counts = parse_formulas([row["formula"] for row in rows])[0]
        self.lowest_terms = templates.in_lowest_terms(self.counts)
        self.e_form = np.array([row.get("e_form", np.nan) for row in rows], dtype=np.float64)
        self.was_made = np.array([row.get("icsd", False) for row in rows], dtype=np.bool_)
        self.ids = [row["id"] for row in rows]
        self.label_sources = [row.get("label_src") for row in rows]
        self.library = templates.Library(self.counts, self.e_form, self.structures)

    def drawn(self, draw: str, n: int, seed: int) -> NDArray[np.intp]:
        """Rows of compounds of 2 to 4 elements and at most 20 atoms."""
        n_elements = np.count_nonzero(self.counts, axis=1)
        n_atoms = np.array([len(one.species) for one in self.structures])
        may = (n_elements >= 2) & (n_elements <= 4) & (n_atoms <= MOST_ATOMS)
        if draw == "made":
            may &= self.was_made
        elif draw == "lowest":
            _, formulas = np.unique(self.lowest_terms, axis=0, return_inverse=True)
            lowest = np.full(formulas.max() + 1, np.inf)
            np.fmin.at(lowest, formulas, self.e_form)
            may &= self.e_form == lowest[formulas]
        return np.random.default_rng(seed).choice(np.flatnonzero(may), n, replace=False)


def _rows(folder: Path) -> Iterator[dict]:  # type: ignore[type-arg]  # as JSON has them
    for path in sorted(folder.glob("mp_*labeled.*.jsonl.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as file:
            yield from map(json.loads, file)


def _structure(row: Mapping[str, list]) -> Structure:  # type: ignore[type-arg]  # same
    a, b, c = row["lattice"][:3]
    alpha, beta, gamma = np.cos(np.radians(row["lattice"][3:]))
    sine = np.sqrt(1 - gamma**2)
    along = c * beta, c * (alpha - beta * gamma) / sine
    lattice = np.array([[a, 0, 0], [b * gamma, b * sine, 0], [*along, np.sqrt(c**2 - along[0] ** 2 - along[1] ** 2)]])
    species = tuple(symbol for symbol, n in row["species"] for _ in range(n))
    return Structure(lattice, species, np.array(row["frac"], dtype=np.float64).reshape(-1, 3))


class Remembering(Substitution):
    """The same, but a template's type is found once for every candidate."""

    known: dict[int, StructureType] = {}  # noqa: RUF012  # one for all

    def types_of(self, structures: Sequence[Structure]) -> list[StructureType]:
        for one in structures:
            if id(one) not in self.known:
                self.known[id(one)] = type_of(one)
        return [self.known[id(one)] for one in structures]


def by_distance(plugin: Remembering, counts: Counts, library: templates.Library) -> list[StructureType]:
    """Distinct types in the order of the distances, and of rows where they are equal."""
    unknown = np.full(len(library.counts), np.nan)
    found = templates.analogues(counts, library.counts, unknown, n=plugin.options.n_nearest)
    types = plugin.types_of(library.structures(found.rows.tolist()))
    mappings = [templates.mapping_of(library.counts[row], counts) for row in found.rows]
    named = [one.named(mapping) for one, mapping in zip(types, mappings, strict=True)]
    return list(dict.fromkeys(named))


def rank_of(truth: StructureType, types: Sequence[StructureType]) -> float:
    return types.index(truth) + 1 if truth in types else np.inf


def recalls(ranks: Sequence[float]) -> str:
    return "  ".join(f"{100 * np.mean(np.array(ranks) <= at):5.1f}" for at in RANKS)


def measure_recall(pool: Pool, rows: NDArray[np.intp]) -> list[Sequence[TemplateProposal]]:
    plugin, published = Remembering(SubstitutionOptions()), Published(PublishedOptions())
    ranks: dict[str, list[float]] = {"substitution": [], "distance alone": [], "paper": []}
    proposals, n_without, seconds = [], 0, 0.0
    for row in rows:
        counts, truth = pool.counts[row], type_of(pool.structures[row])
        is_own = (pool.lowest_terms == pool.lowest_terms[row]).all(axis=1)
        start = time.process_time()
        proposals.append(plugin.propose(counts, pool.library, max(RANKS)))
        seconds += time.process_time() - start
        n_without += not proposals[-1]
        ranks["substitution"].append(rank_of(truth, [type_of(one.structure) for one in proposals[-1]]))
        ranks["distance alone"].append(rank_of(truth, by_distance(plugin, counts, pool.library)))
        left = templates.Library(_without(pool.counts, is_own), pool.e_form, pool.structures)
        ranks["paper"].append(rank_of(truth, [type_of(one.structure) for one in published.propose(counts, left, 1)]))
    print(f"true type among the first, %:      {'  '.join(f'{at:5d}' for at in RANKS)}")
    for name, found in ranks.items():
        print(f"  {name:32s} {recalls(found)}")
    print(f"  no other formula of the same amounts: {n_without} of {len(rows)}; {seconds / len(rows):.2f} CPU s each")
    return proposals


def _without(counts: Counts, is_own: NDArray[np.bool_]) -> Counts:
    """What stands where the compound itself stood: helium, which is no compound's template."""
    left = counts.copy()
    left[is_own] = np.eye(1, counts.shape[1], 1, dtype=np.int32)
    return left


def measure_distances(pool: Pool, rows: NDArray[np.intp], python: Path) -> None:
    prepared = FormulaDistances.of(pool.counts)
    prepared.to(pool.counts[rows[0]])
    of_all = min(cpu_seconds(partial(prepared.to, pool.counts[row])) for row in rows[:20])
    print(f"one formula against {len(pool.counts)}: {1e3 * of_all:.1f} ms")
    with Peer(python) as peer:
        names, _ = peer.ask("versions")
        formulas = [
            _formula(pool.counts[row]) for row in rows[:1].tolist() + list(range(0, len(pool.counts), 139))[:N_PAIRS]
        ]
        theirs, seconds = peer.ask("elmd", formulas)
    ours = FormulaDistances.of(parse_formulas(formulas)[0]).to(parse_formulas(formulas[:1])[0][0])
    of_pair, of_one = seconds / len(formulas), of_all / len(pool.counts)
    print(f"{names[0]}: {1e3 * of_pair:.2f} ms a pair, {of_pair / of_one:.0f} times as long")
    print(f"  largest difference of {len(formulas)} distances: {np.abs(ours - theirs).max():.1e}")


def _formula(counts: Counts) -> str:
    from agd.chem.identity import identify

    return identify(counts[None, :]).reduced_formula[0]


def measure_regret(
    pool: Pool,
    rows: NDArray[np.intp],
    proposals: Sequence[Sequence[TemplateProposal]],
    name: str,
    out: Path | None = None,
) -> None:
    """Relax the known cell and ten types of each compound; `out` keeps every relaxed cell with its energy as a line."""
    from agd import registry

    kind = registry.load("agd.potentials", name)
    potential = kind(kind.options_type())
    regrets: list[float] = []
    refused, n_relaxed, start = 0, 0, time.process_time()
    for row, of in zip(rows, proposals, strict=True):
        truth: Relaxed = potential.relax(pool.structures[row])
        ends = [potential.relax(one.structure) for one in of[:10]]
        n_relaxed, refused = n_relaxed + len(ends), refused + sum(one.reason is not None for one in ends)
        if out is not None:
            with out.open("a", encoding="utf-8") as file:
                file.writelines(_line(pool.ids[row], rank, one) for rank, one in enumerate([truth, *ends]))
        sound = [one.energy_ev_per_atom for one in ends if one.reason is None]
        if truth.reason is None and sound:
            regrets.append(1e3 * (min(sound) - truth.energy_ev_per_atom))
            print(f"  {pool.ids[row]:14s} {_formula(pool.counts[row]):16s} {regrets[-1]:8.1f} meV/atom", flush=True)
    above: Floats = np.maximum(regrets, 0.0)
    of_each = (time.process_time() - start) / max(n_relaxed, 1)
    print(f"{potential.version}: regret after 10 types on {len(regrets)}: mean {above.mean():.1f} meV/atom")
    print(
        f"  {100 * np.mean(above <= 25):.0f} % within 25, {100 * np.mean(np.array(regrets) < -1):.0f} % below the known"
    )
    print(f"  {refused} of {n_relaxed} refused; {of_each:.1f} CPU s each")


def _line(known_id: str, rank: int, found: Relaxed) -> str:
    """One relaxed cell as JSON; rank 0 is the known one."""
    cell = found.structure
    values = {
        "id": known_id,
        "rank": rank,
        "reason": found.reason,
        "energy_ev_per_atom": found.energy_ev_per_atom,
        "lattice": cell.lattice.tolist(),
        "species": cell.species,
        "frac": cell.frac.tolist(),
    }
    return json.dumps(values) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--structures", type=Path, default=DATA / "structures")
    parser.add_argument("--peers", type=Path, default=PEERS)
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument(
        "--draw", choices=("any", "made", "lowest"), default="any", help="made: with an entry of the ICSD"
    )
    parser.add_argument("--relax", type=int, default=0, metavar="K", help="relax ten types of the first K compounds")
    parser.add_argument("--potential", default="sevennet")
    parser.add_argument("--out", type=Path, help="append the relaxed cells to this file of JSON lines")
    arguments = parser.parse_args()
    pool = Pool(arguments.structures)
    rows = pool.drawn(arguments.draw, arguments.n, arguments.seed)
    print(f"{len(rows)} compounds, seed {arguments.seed}, draw {arguments.draw!r}, of {len(pool.counts)} structures")
    with limited_threads(1):
        measure_distances(pool, rows, arguments.peers)
        proposals = measure_recall(pool, rows)
        if arguments.relax:
            measure_regret(
                pool, rows[: arguments.relax], proposals[: arguments.relax], arguments.potential, arguments.out
            )


if __name__ == "__main__":
    main()
