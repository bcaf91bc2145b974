"""Phases: what competes with a composition, as potentials have it or as labels do, and where energies stand."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from agd.chem.hull import Hull, HullDistance, Phase
from agd.db.connection import AnyRow, Transaction
from agd.db.record import stability
from agd.errors import NotFoundError

COMPETES_EV_PER_ATOM = 0.1
"""What labels place higher above their own hull is not relaxed by a potential: it would not come down to it."""

MAX_SITES = 100
"""Larger cells take minutes on one core; elements are taken whatever their size where nothing smaller is there."""

N_UNLABELLED = 2
"""Structures of a compound that are relaxed though no label says how low they are: those of the fewest sites."""

N_ELEMENTAL = 5
"""Structures of an element that are relaxed where no label says which is the lowest: those of the fewest sites."""

GROUND_EV_PER_ATOM = 0.001
"""The lowest structure of an element has a formation energy of zero: where the lowest label is higher, it has none."""


def systems_within(elements: Iterable[str]) -> list[str]:
    """Every chemical system of some of these elements, as the record spells it."""
    symbols = sorted(elements)
    return ["-".join(some) for n in range(1, len(symbols) + 1) for some in combinations(symbols, n)]


def competing(rows: Sequence[AnyRow], elements: Iterable[str]) -> list[int]:
    """Which structures of a chemical system a potential has to relax, of rows as `structures_of` gives them.

    Of each composition the one of the lowest formation energy, where that is on the hull of the labels or near it, and
    those that no label speaks of, for one of them may be the lowest; of each element one more at least.

    Raises:
        NotFoundError: the record has no structure of an element.
    """
    by_formula: dict[str, list[AnyRow]] = {}
    for row in rows:
        by_formula.setdefault(row.reduced_formula, []).append(row)
    labelled = {
        formula: min((row for row in some if row.e_form_ev_per_atom is not None), key=_by_label)
        for formula, some in by_formula.items()
        if any(row.e_form_ev_per_atom is not None for row in some)
    }
    chosen: set[int] = set()
    if labelled:
        phases = {formula: Phase(formula, row.e_form_ev_per_atom, "label") for formula, row in labelled.items()}
        hull = Hull.of_formation_energies(phases.values())
        for formula, row in labelled.items():
            distance_ev_per_atom = hull.distance(phases[formula]).e_above_hull_ev_per_atom
            if row.n_sites <= MAX_SITES and distance_ev_per_atom <= COMPETES_EV_PER_ATOM:
                chosen.add(row.structure_id)
    for some in by_formula.values():
        unlabelled = [row for row in some if row.e_form_ev_per_atom is None and row.n_sites <= MAX_SITES]
        if "-" in some[0].chemical_system:
            chosen |= {row.structure_id for row in sorted(unlabelled, key=_by_size)[:N_UNLABELLED]}
    for element in sorted(elements):
        own = [row for row in rows if row.chemical_system == element]
        if not own:
            raise NotFoundError(
                f"the record has no structure of {element}, and without one there is no formation energy by a "
                "potential: import some (`agd data import-structures`)"
            )
        lowest = labelled.get(own[0].reduced_formula)
        if lowest is None or lowest.e_form_ev_per_atom > GROUND_EV_PER_ATOM or lowest.structure_id not in chosen:
            chosen |= {row.structure_id for row in sorted(own, key=_by_size)[:N_ELEMENTAL]}
    return [row.structure_id for row in rows if row.structure_id in chosen]


@dataclass(frozen=True, slots=True)
class Member:
    """A phase with its composition, and what tells it from others in any record."""

    phase: Phase
    composition_id: int
    relaxation_id: int | None
    label_id: int | None
    natural_key: str


def sha256_of(hull: Hull, natural_keys: Iterable[str]) -> str:
    """What a phase set is known by."""
    return hashlib.sha256(json.dumps([hull.method, hull.scheme, *sorted(natural_keys)]).encode()).hexdigest()


def keep_set(tx: Transaction, hull: Hull, members: Sequence[Member], values: Mapping[str, object]) -> int:
    """The id of the phase set of these members, in their order; `values` are its system, method and activity."""
    sha256 = sha256_of(hull, [member.natural_key for member in members])
    rows = [
        (
            member.composition_id,
            hull.distance(member.phase).e_form_ev_per_atom,
            member.relaxation_id,
            member.label_id,
        )
        for member in members
    ]
    return stability.keep_phase_set(tx, {**values, "sha256": sha256}, rows)


def keep_distance(
    tx: Transaction, found: HullDistance, members: Sequence[Member], values: Mapping[str, object]
) -> int | None:
    """Store where an energy stands, with what it would decompose into."""
    positions = {member.phase: position for position, member in enumerate(members, start=1)}
    products = [(positions[product.phase], product.atomic_fraction) for product in found.products]
    numbers = {"e_form_ev_per_atom": found.e_form_ev_per_atom, "hull_ev_per_atom": found.hull_ev_per_atom}
    return stability.store_distance(tx, {**values, **numbers}, products)


def _by_label(row: AnyRow) -> tuple[float, str]:
    return row.e_form_ev_per_atom, row.cell_sha256


def _by_size(row: AnyRow) -> tuple[int, str]:
    return row.n_sites, row.cell_sha256
