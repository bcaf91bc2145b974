"""Structures proposed for compositions, what potentials make of them, phases, and distances from their hull."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import AnyRow, Transaction
from agd.db.record.datasets import copy_in
from agd.db.tables import (
    decomposition,
    hull_distance,
    phase_set,
    phase_set_member,
    potential,
    relaxation,
    structure_candidate,
    template_search,
)

_CANDIDATES = text("""
SELECT * FROM v_structure_candidate
WHERE search_id = :search AND (CAST(:potential AS bigint) IS NULL OR potential_id = :potential)
ORDER BY rank, relaxation_id
""")

_LABELLED = text("""
SELECT l.label_id, l.composition_id, l.reduced_formula, l.value, l.method,
       coalesce(l.correction_scheme, 'none') AS correction_scheme, l.source, l.source_sha256
FROM v_label l JOIN composition c ON c.id = l.composition_id
WHERE c.chemical_system = ANY (:systems) AND l.property = 'formation_energy' AND NOT l.is_retracted
  AND l.method_kind NOT IN ('model', 'potential')
ORDER BY l.reduced_formula COLLATE "C", l.value, l.source COLLATE "C", l.label_id
""")

_DISTANCES = text("""
SELECT * FROM v_hull_distance WHERE reduced_formula = :formula AND is_newest
ORDER BY method_kind, method, correction_scheme, e_above_hull_ev_per_atom, hull_distance_id
""")

# Labels of several methods or schemes are on several scales: those count that most structures have.
_LIBRARY = text("""
WITH energy AS (
    SELECT l.structure_id, l.method, l.correction_scheme, min(l.value) AS value
    FROM v_label l
    WHERE l.structure_id IS NOT NULL AND l.property = 'formation_energy' AND l.method_kind = 'dft'
      AND NOT l.is_retracted
    GROUP BY l.structure_id, l.method, l.correction_scheme
), scale AS (
    SELECT method, correction_scheme FROM energy GROUP BY method, correction_scheme
    ORDER BY count(*) DESC, method, correction_scheme LIMIT 1
)
SELECT s.id, c.reduced_formula, e.value AS e_form_ev_per_atom
FROM structure s JOIN composition c ON c.id = s.composition_id
LEFT JOIN (energy e JOIN scale ON scale.method = e.method
           AND scale.correction_scheme IS NOT DISTINCT FROM e.correction_scheme) ON e.structure_id = s.id
WHERE EXISTS (SELECT FROM structure_row r WHERE r.structure_id = s.id)
ORDER BY c.reduced_formula COLLATE "C", s.cell_sha256 COLLATE "C"
""")

_SOURCES = text("""
SELECT d.id, d.recipe_sha256 FROM dataset d
WHERE EXISTS (SELECT FROM structure_row r WHERE r.dataset_id = d.id) ORDER BY d.id
""")

_LEFT_OUT = text("""
SELECT c.reduced_formula, min(r.reason COLLATE "C") AS reason
FROM relaxation r JOIN structure s ON s.id = r.from_id JOIN composition c ON c.id = s.composition_id
WHERE r.potential_id = :potential AND r.outcome = 'refused' AND c.chemical_system = ANY (:systems)
  AND EXISTS (SELECT FROM structure_row w WHERE w.structure_id = s.id)
  AND NOT EXISTS (SELECT FROM relaxation q JOIN structure t ON t.id = q.from_id
                  WHERE q.potential_id = r.potential_id AND q.outcome = 'relaxed' AND t.composition_id = c.id
                  AND EXISTS (SELECT FROM structure_row w WHERE w.structure_id = t.id))
GROUP BY c.reduced_formula ORDER BY c.reduced_formula COLLATE "C"
""")

# Of those within 1 meV/atom the one that was relaxed with these settings; where none was relaxed, the lowest known one.
_LOWEST = text("""
SELECT coalesce((
    SELECT r.structure_id FROM relaxation r JOIN structure s ON s.id = r.structure_id
    WHERE s.composition_id = c.id AND r.potential_id = :potential
    ORDER BY r.energy_ev_per_atom > 0.001 + (
                 SELECT min(o.energy_ev_per_atom) FROM relaxation o JOIN structure t ON t.id = o.structure_id
                 WHERE t.composition_id = c.id AND o.potential_id = :potential),
             r.settings_sha256 <> :settings, r.energy_ev_per_atom, r.structure_id LIMIT 1
), (
    SELECT structure_id FROM v_structure v WHERE v.composition_id = c.id
    ORDER BY v.formation_energy, v.structure_row_id LIMIT 1))
FROM composition c WHERE c.reduced_formula = :formula
""")

_CLAIM = text("SELECT * FROM v_claim WHERE reduced_formula = :formula")

_SYSTEM = text("""
SELECT s.id AS structure_id, s.composition_id, c.reduced_formula, c.chemical_system, s.n_sites, s.cell_sha256,
       (SELECT min(l.value) FROM v_label l WHERE l.structure_id = s.id AND l.property = 'formation_energy'
        AND l.method_kind = 'dft' AND NOT l.is_retracted) AS e_form_ev_per_atom
FROM structure s JOIN composition c ON c.id = s.composition_id
WHERE c.chemical_system = ANY (:systems)
  AND EXISTS (SELECT FROM structure_row r WHERE r.structure_id = s.id)
ORDER BY c.reduced_formula COLLATE "C", s.cell_sha256 COLLATE "C"
""")


def find_search(tx: Transaction, recipe_sha256: str) -> AnyRow | None:
    """The search for templates of this recipe."""
    return tx.execute(select(template_search).where(template_search.c.recipe_sha256 == recipe_sha256)).one_or_none()


def store_search(
    tx: Transaction,
    values: Mapping[str, object],
    source_ids: Iterable[int],
    candidates: Iterable[tuple[int, int, str, float]],
) -> int:
    """Insert a search, the data sets it looked through, and what it proposed, best first.

    A candidate is (structure, template, mapping as JSON, distance).
    """
    search_id = int(tx.execute(insert(template_search).values(**values).returning(template_search.c.id)).scalar_one())
    copy_in(tx, "template_search_source", ("search_id", "dataset_id"), ((search_id, one) for one in source_ids))
    columns = ("search_id", "rank", "structure_id", "template_id", "mapping", "distance")
    rows = ((search_id, rank, *row) for rank, row in enumerate(candidates, start=1))
    copy_in(tx, structure_candidate.name, columns, rows)
    return search_id


def candidates(tx: Transaction, search_id: int, potential_id: int | None = None) -> Sequence[AnyRow]:
    """Rows of v_structure_candidate of a search, by rank: those that a potential relaxed, or with None every one."""
    return tx.execute(_CANDIDATES, {"search": search_id, "potential": potential_id}).all()


def keep_potential(tx: Transaction, values: Mapping[str, object]) -> int:
    """The id of a potential by plug-in, version and weights, inserted where it is new."""
    tx.execute(upsert(potential).values(**values).on_conflict_do_nothing())
    keys = ("plugin", "version", "weights_sha256")
    found = select(potential.c.id).where(*(potential.c[key] == values[key] for key in keys))
    return int(tx.execute(found).scalar_one())


def structure_sources(tx: Transaction) -> dict[int, str]:
    """The data sets that brought structures: what each is known by, by its id."""
    return {row.id: row.recipe_sha256 for row in tx.execute(_SOURCES)}


def library(tx: Transaction) -> Sequence[AnyRow]:
    """Every imported structure (id, reduced formula, formation energy or None), by formula and cell."""
    return tx.execute(_LIBRARY).all()


def claim(tx: Transaction, reduced_formula: str) -> AnyRow | None:
    """The row of v_claim of a composition."""
    return tx.execute(_CLAIM, {"formula": reduced_formula}).one_or_none()


def labelled_phases(tx: Transaction, systems: Sequence[str]) -> Sequence[AnyRow]:
    """Labels of formation energy that stand, in some chemical systems, with method and scheme; the lowest first."""
    return tx.execute(_LABELLED, {"systems": list(systems)}).all()


def distances(tx: Transaction, reduced_formula: str) -> Sequence[AnyRow]:
    """Rows of v_hull_distance of a composition, of each energy the newest, by method and then the lowest first."""
    return tx.execute(_DISTANCES, {"formula": reduced_formula}).all()


def find_potential(tx: Transaction, values: Mapping[str, object]) -> int | None:
    """The id of the potential of this plug-in, version and weights."""
    found = select(potential.c.id).where(*(potential.c[key] == value for key, value in values.items()))
    return tx.execute(found).scalar_one_or_none()


def find_relaxation(tx: Transaction, from_id: int, potential_id: int, settings_sha256: str) -> AnyRow | None:
    """What became of a structure by a potential."""
    keys = {"from_id": from_id, "potential_id": potential_id, "settings_sha256": settings_sha256}
    found = select(relaxation).where(*(relaxation.c[key] == value for key, value in keys.items()))
    return tx.execute(found).one_or_none()


def lowest(tx: Transaction, reduced_formula: str, potential_id: int, settings_sha256: str) -> int | None:
    """The structure of a composition that is the lowest by a potential, or by data sets where it relaxed none."""
    wanted = {"formula": reduced_formula, "potential": potential_id, "settings": settings_sha256}
    found: int | None = tx.scalar(_LOWEST, wanted)
    return found


def is_relaxed(tx: Transaction, structure_id: int, potential_id: int, settings_sha256: str) -> bool:
    """Whether a structure is what came of a relaxation by a potential with these settings."""
    keys = {"structure_id": structure_id, "potential_id": potential_id, "settings_sha256": settings_sha256}
    found = select(relaxation.c.id).where(*(relaxation.c[key] == value for key, value in keys.items()))
    return tx.execute(found.limit(1)).first() is not None


def store_relaxation(tx: Transaction, values: Mapping[str, object]) -> int:
    """Insert what became of a structure; its id."""
    return int(tx.execute(insert(relaxation).values(**values).returning(relaxation.c.id)).scalar_one())


def structures_of(tx: Transaction, systems: Sequence[str]) -> Sequence[AnyRow]:
    """Imported structures of chemical systems, each with its lowest formation energy by a DFT method that stands."""
    return tx.execute(_SYSTEM, {"systems": list(systems)}).all()


def left_out(tx: Transaction, potential_id: int, systems: Sequence[str]) -> dict[str, str]:
    """By formula why a potential refused what competes in some systems, where it relaxed no other cell of it."""
    values = {"potential": potential_id, "systems": list(systems)}
    return {row.reduced_formula: row.reason for row in tx.execute(_LEFT_OUT, values)}


def are_placed(tx: Transaction, sha256: str, label_ids: Sequence[int]) -> bool:
    """Whether the phase set of that hash has spoken of all those labels."""
    placed = select(func.count()).where(
        phase_set.c.sha256 == sha256,
        hull_distance.c.phase_set_id == phase_set.c.id,
        hull_distance.c.label_id.in_(list(label_ids)),
    )
    return int(tx.execute(placed).scalar_one()) == len(label_ids)


def keep_phase_set(
    tx: Transaction, values: Mapping[str, Any], phases: Sequence[tuple[int, float, int | None, int | None]]
) -> int:
    """The id of a phase set by its hash, inserted where it is new.

    A phase is (composition, formation energy in eV/atom, relaxation or None, label or None).
    """
    new = upsert(phase_set).values(**values).on_conflict_do_nothing().returning(phase_set.c.id)
    phase_set_id = tx.execute(new).scalar_one_or_none()
    if phase_set_id is None:
        found = select(phase_set.c.id).where(phase_set.c.sha256 == values["sha256"])
        return int(tx.execute(found).scalar_one())
    columns = ("phase_set_id", "position", "composition_id", "e_form_ev_per_atom", "relaxation_id", "label_id")
    copy_in(tx, phase_set_member.name, columns, ((phase_set_id, i, *row) for i, row in enumerate(phases, start=1)))
    return int(phase_set_id)


def store_distance(tx: Transaction, values: Mapping[str, Any], products: Iterable[tuple[int, float]]) -> int | None:
    """Insert where an energy stands and (position in the phase set, share of atoms) of what it would decompose into.

    None where that phase set has spoken of it before.
    """
    new = upsert(hull_distance).values(**values).on_conflict_do_nothing().returning(hull_distance.c.id)
    distance_id: int | None = tx.execute(new).scalar_one_or_none()
    if distance_id is not None:
        rows = [
            {
                "hull_distance_id": distance_id,
                "phase_set_id": values["phase_set_id"],
                "position": position,
                "atomic_fraction": share,
            }
            for position, share in products
        ]
        tx.execute(insert(decomposition), rows)
    return distance_id
