"""Models of structures: the labels they learn from, what they are worth, and what they answer."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import AnyRow, Transaction
from agd.db.plausible_labels import teaches
from agd.db.record.datasets import copy_in
from agd.db.tables import label, structure_evaluation, training_set, training_set_source

_LABELLED = text(f"""
SELECT DISTINCT ON (s.cell_sha256 COLLATE "C") l.id AS label_id, l.structure_id, c.reduced_formula, s.cell_sha256,
       l.value, r.dataset_id
FROM structure_row r
JOIN label l ON l.structure_row_id = r.id AND l.property = :property
JOIN structure s ON s.id = r.structure_id
JOIN composition c ON c.id = s.composition_id
WHERE r.dataset_id = ANY (:datasets) AND s.n_sites <= :max_atoms AND {teaches("l")}
ORDER BY s.cell_sha256 COLLATE "C", array_position(:datasets, r.dataset_id), r.line, l.id
""")

_NEWEST = text("""
SELECT * FROM model_version WHERE kind = 'structure_oracle' AND property = :property ORDER BY id DESC LIMIT 1
""")

_ANSWERS = text("""
SELECT l.structure_id, l.value FROM label l
WHERE l.structure_id = ANY (:structures) AND l.property = :property AND l.model_version_id = :model
  AND NOT EXISTS (SELECT FROM retraction x WHERE x.label_id = l.id)
""")

_RELAXED = text("""
SELECT DISTINCT ON (c.reduced_formula COLLATE "C", r.from_id, p.plugin) c.reduced_formula,
       r.from_id AS structure_id, r.structure_id AS relaxed_id, r.energy_ev_per_atom, p.plugin AS potential,
       k.rank, k.template
FROM relaxation r
JOIN potential p ON p.id = r.potential_id
JOIN structure s ON s.id = r.from_id
JOIN composition c ON c.id = s.composition_id
LEFT JOIN LATERAL (SELECT q.rank, e.reduced_formula AS template FROM structure_candidate q
                   JOIN structure t ON t.id = q.template_id JOIN composition e ON e.id = t.composition_id
                   WHERE q.structure_id = r.from_id ORDER BY q.search_id DESC, q.rank LIMIT 1) k ON true
WHERE r.outcome = 'relaxed'
  AND (CAST(:formulas AS text[]) IS NULL OR c.reduced_formula = ANY (CAST(:formulas AS text[])))
ORDER BY c.reduced_formula COLLATE "C", r.from_id, p.plugin, r.potential_id DESC, r.id DESC
""")

_MEMBERS = text("""
SELECT q.label_id, q.structure_id, c.reduced_formula, s.cell_sha256, l.value, r.dataset_id, q.is_held_out,
       q.is_validation
FROM training_structure q
JOIN structure s ON s.id = q.structure_id
JOIN composition c ON c.id = s.composition_id
JOIN label l ON l.id = q.label_id
LEFT JOIN structure_row r ON r.id = l.structure_row_id
WHERE q.training_set_id = :training_set ORDER BY s.cell_sha256 COLLATE "C"
""")


@dataclass(frozen=True, slots=True)
class StructureMember:
    """A structure of a training set with its label, which is from a data set; it is learned, or serves to judge."""

    label_id: int
    structure_id: int
    reduced_formula: str
    cell_sha256: str
    value: float
    dataset_id: int
    is_held_out: bool = False
    is_validation: bool = False


@dataclass(frozen=True, slots=True)
class StructureSet:
    """A training set of structures: data sets by id, each with its recipe's hash, and members by their cells."""

    sources: Mapping[int, str]
    members: Sequence[StructureMember]

    @property
    def sha256(self) -> str:
        """Its content hash, by natural keys."""
        digest = hashlib.sha256("".join(f"structures of {recipe}\n" for recipe in self.sources.values()).encode())
        position = {dataset_id: i for i, dataset_id in enumerate(self.sources)}
        for one in self.members:
            use = "v" if one.is_validation else int(one.is_held_out)
            digest.update(f"{one.cell_sha256} {use} {one.value.hex()} {position[one.dataset_id]}\n".encode())
        return digest.hexdigest()


def labelled(tx: Transaction, dataset_ids: Sequence[int], property_name: str, max_atoms: int) -> list[StructureMember]:
    """The structures of data sets that have a label that teaches, by cell; of one in several sets the first label."""
    values = {"datasets": list(dataset_ids), "property": property_name, "max_atoms": max_atoms}
    return [StructureMember(*row) for row in tx.execute(_LABELLED, values)]


def members_of(tx: Transaction, training_set_id: int) -> list[StructureMember]:
    """The structures of a training set, by cell."""
    return [StructureMember(*row) for row in tx.execute(_MEMBERS, {"training_set": training_set_id})]


def store_set(tx: Transaction, made_of: StructureSet, activity_id: int) -> int:
    """Insert a training set of structures, or find the equal one; return its id."""
    sha256 = made_of.sha256
    new = upsert(training_set).values(sha256=sha256, n_members=len(made_of.members), activity_id=activity_id)
    made = tx.execute(new.on_conflict_do_nothing().returning(training_set.c.id)).scalar_one_or_none()
    if made is None:
        return int(tx.execute(select(training_set.c.id).where(training_set.c.sha256 == sha256)).scalar_one())
    copy_in(
        tx,
        "training_structure",
        ("training_set_id", "structure_id", "label_id", "is_held_out", "is_validation"),
        ((made, one.structure_id, one.label_id, one.is_held_out, one.is_validation) for one in made_of.members),
    )
    for dataset_id in made_of.sources:
        n = sum(one.dataset_id == dataset_id for one in made_of.members)
        values = {"training_set_id": made, "dataset_id": dataset_id, "n_members": n}
        tx.execute(insert(training_set_source).values(**values))
    return int(made)


def store_evaluations(tx: Transaction, judged: Mapping[str, object], metrics: Mapping[str, float]) -> None:
    """Insert metrics of one part of a training set; `judged` are the other columns, which they share."""
    rows = [
        {**judged, "kind": "structure_oracle", "metric": metric, "value": value} for metric, value in metrics.items()
    ]
    tx.execute(upsert(structure_evaluation).on_conflict_do_nothing(), rows)


def sources_of(tx: Transaction, names: Iterable[str]) -> Sequence[AnyRow]:
    """(id, name, recipe_sha256, method, correction_scheme) of data sets by name, in the order of the names."""
    found = tx.execute(
        text(
            "SELECT id, name, recipe_sha256, method, correction_scheme FROM dataset WHERE name = ANY (:names)"
            " ORDER BY array_position(:names, name)"
        ),
        {"names": list(names)},
    )
    return found.all()


def newest(tx: Transaction, property_name: str) -> AnyRow | None:
    """The newest model of structures that answers a property."""
    return tx.execute(_NEWEST, {"property": property_name}).one_or_none()


def answers(tx: Transaction, model: AnyRow, structure_ids: Iterable[int]) -> dict[int, float]:
    """What a model version has answered for structures, by their ids; what was retracted is no answer."""
    values = {"structures": list(structure_ids), "property": model.property, "model": model.id}
    return {row.structure_id: row.value for row in tx.execute(_ANSWERS, values)}


def store_answers(tx: Transaction, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert labels of structures by a model version, keeping those that are there."""
    tx.execute(upsert(label).on_conflict_do_nothing(), list(rows))


def relaxed(tx: Transaction, formulas: Sequence[str] | None) -> Sequence[AnyRow]:
    """What potentials relaxed, of formulas or of all: of each potential's name the newest; with rank and template.

    Rank and template are those of the newest search that proposed the structure, if one did.
    """
    return tx.execute(_RELAXED, {"formulas": None if formulas is None else list(formulas)}).all()
