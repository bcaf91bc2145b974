"""Calculations: opened once, attempted until one succeeds; parts, steps and answers stay whoever computed them.

The way of whoever computes: `keep_recipe`, `open_calculation`; `start_attempt` with the activity that was taken;
`keep_parts`, then `parts_left`, `keep_step` and `keep_answer` as they come, each in a transaction of its own, so that
nothing computed is lost; `store_*` of what comes of it, and `end_attempt`, in the transaction that ends the activity.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.chem.elements import SYMBOLS
from agd.chem.structures import numbers_of
from agd.db.connection import AnyRow, Transaction
from agd.db.record.datasets import copy_in
from agd.db.tables import (
    calculation,
    calculation_attempt,
    calculation_elasticity,
    calculation_energy,
    calculation_gap,
    calculation_part,
    calculation_phonons,
    calculation_recipe,
    calculation_relaxed,
    calculation_step,
)
from agd.types import Floats, Structure

WHOLE: Final = 0
"""The part of a calculation that is all of it."""

_PARTS_LEFT = text("""
SELECT p.part FROM calculation_part p
WHERE p.calculation_id = :calculation AND p.part > 0
  AND NOT EXISTS (SELECT FROM calculation_energy e WHERE e.calculation_id = p.calculation_id AND e.part = p.part)
ORDER BY p.part
""")

_ANSWERS = text("""
SELECT p.part, p.role, p.displaced_site, p.displacement_angstrom, p.strain, e.energy_ev, e.forces_ev_per_angstrom,
       e.stress_gpa, e.activity_id
FROM calculation_part p JOIN calculation_energy e ON e.calculation_id = p.calculation_id AND e.part = p.part
WHERE p.calculation_id = :calculation AND p.part > 0 ORDER BY p.part
""")


_PHONONS = text("SELECT * FROM v_phonons WHERE calculation_id = :calculation")
_ELASTICITY = text("SELECT * FROM v_elasticity WHERE calculation_id = :calculation")


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that an answer depends on but the structure; the method is named, or the potential by its natural key.

    `kind` is relax, static, gap, phonons or elastic.
    """

    engine: str
    kind: str
    inputs: Mapping[str, Any]
    method: str | None = None
    potential: tuple[str, str, str] | None = None

    @property
    def sha256(self) -> str:
        """What it is known by in any record."""
        parts = [self.engine, self.kind, dict(self.inputs), self.method, self.potential]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A cell that a calculation is made of: `role` is undisplaced, displaced or strained, with what was done to it.

    The site is counted from 0, its displacement `[3]` in Å; a strain `[6]` has shear strains twice their component.
    """

    role: str
    structure: Structure
    displaced_site: int | None = None
    displacement_angstrom: Floats | None = None
    strain: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What an engine says of a cell: energy in eV, forces `[n, 3]` in eV/Å, stress `[6]` in GPa, tension positive.

    `ended` is where cell and sites ended, where they moved.
    """

    energy_ev: float
    forces_ev_per_angstrom: Floats
    stress_gpa: Floats | None = None
    ended: Structure | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What an attempt took; `memory_bytes` is the most that it held, corrections are what was changed on the way."""

    core_seconds: float
    wall_seconds: float
    memory_bytes: int | None = None
    corrections: Sequence[Any] = ()


def keep_recipe(tx: Transaction, recipe: Recipe, potential_id: int | None, activity_id: int) -> int:
    """The id of a recipe by its hash, inserted where it is new."""
    values = {
        "engine": recipe.engine,
        "method": recipe.method,
        "potential_id": potential_id,
        "kind": recipe.kind,
        "inputs": dict(recipe.inputs),
        "sha256": recipe.sha256,
        "activity_id": activity_id,
    }
    tx.execute(upsert(calculation_recipe).values(**values).on_conflict_do_nothing())
    found = select(calculation_recipe.c.id).where(calculation_recipe.c.sha256 == recipe.sha256)
    return int(tx.execute(found).scalar_one())


def find_recipe(tx: Transaction, sha256: str) -> int | None:
    """The id of the recipe of that hash."""
    return tx.execute(select(calculation_recipe.c.id).where(calculation_recipe.c.sha256 == sha256)).scalar_one_or_none()


def open_calculation(
    tx: Transaction,
    structure_id: int,
    recipe_id: int,
    activity_id: int,
    *,
    job_id: int | None = None,
    campaign_id: int | None = None,
    screening_id: int | None = None,
) -> int:
    """The id of the calculation of a structure by a recipe, made with its part 0 where nobody asked for it before.

    Who asked first stays in it.
    """
    values = {
        "structure_id": structure_id,
        "recipe_id": recipe_id,
        "job_id": job_id,
        "campaign_id": campaign_id,
        "screening_id": screening_id,
        "activity_id": activity_id,
    }
    new = upsert(calculation).values(**values).on_conflict_do_nothing().returning(calculation.c.id)
    made: int | None = tx.scalar(new)
    if made is None:
        found = find(tx, structure_id, recipe_id)
        assert found is not None  # noqa: S101  somebody else has opened it
        return found
    whole = {"calculation_id": made, "part": WHOLE, "role": "whole", "activity_id": activity_id}
    tx.execute(insert(calculation_part).values(**whole))
    return int(made)


def find(tx: Transaction, structure_id: int, recipe_id: int) -> int | None:
    """The id of the calculation of a structure by a recipe."""
    found = select(calculation.c.id).where(
        calculation.c.structure_id == structure_id, calculation.c.recipe_id == recipe_id
    )
    return tx.execute(found).scalar_one_or_none()


def told(tx: Transaction, calculation_id: int) -> AnyRow:
    """The row of v_calculation."""
    found = text("SELECT * FROM v_calculation WHERE calculation_id = :calculation")
    return tx.execute(found, {"calculation": calculation_id}).one()


def start_attempt(
    tx: Transaction,
    activity_id: int,
    calculation_id: int,
    code_version: str,
    *,
    part: int = WHOLE,
    n_cores: int = 1,
    memory_asked_bytes: int | None = None,
    hours_asked: float | None = None,
    folder: str | None = None,
) -> None:
    """Say that a running activity is an attempt at a part of a calculation, and what was asked for it."""
    values = {
        "activity_id": activity_id,
        "calculation_id": calculation_id,
        "part": part,
        "code_version": code_version,
        "n_cores": n_cores,
        "memory_asked_bytes": memory_asked_bytes,
        "hours_asked": hours_asked,
        "folder": folder,
    }
    tx.execute(insert(calculation_attempt).values(**values))


def end_attempt(
    tx: Transaction, activity_id: int, outcome_class: str, spent: Spent, *, files_sha256: str | None = None
) -> None:
    """Say how an attempt ended, in a word, and what it took; the activity is ended apart."""
    values = {
        "outcome_class": outcome_class,
        "core_seconds": spent.core_seconds,
        "wall_seconds": spent.wall_seconds,
        "memory_bytes": spent.memory_bytes,
        "corrections": list(spent.corrections),
        "files_sha256": files_sha256,
    }
    tx.execute(update(calculation_attempt).where(calculation_attempt.c.activity_id == activity_id).values(**values))


def keep_parts(tx: Transaction, calculation_id: int, parts: Sequence[Part], activity_id: int) -> None:
    """Insert the cells that a calculation is made of, as parts 1, 2, ..; those that are there stay as they are."""
    there = select(calculation_part.c.part).where(calculation_part.c.calculation_id == calculation_id)
    known = set(tx.execute(there).scalars())
    columns = (
        *("calculation_id", "part", "role", "lattice", "atomic_numbers", "frac"),
        *("displaced_site", "displacement_angstrom", "strain", "activity_id"),
    )
    rows = (
        (
            calculation_id,
            number,
            one.role,
            _flat(one.structure.lattice),
            numbers_of(one.structure).tolist(),
            _flat(one.structure.frac),
            one.displaced_site,
            _flat(one.displacement_angstrom),
            _flat(one.strain),
            activity_id,
        )
        for number, one in enumerate(parts, start=1)
        if number not in known
    )
    copy_in(tx, calculation_part.name, columns, rows)


def part_cell(tx: Transaction, calculation_id: int, part: int) -> Structure:
    """The cell of a part that is not the whole, to the last digit."""
    row = tx.execute(
        select(calculation_part).where(
            calculation_part.c.calculation_id == calculation_id, calculation_part.c.part == part
        )
    ).one()
    species = tuple(SYMBOLS[number - 1] for number in row.atomic_numbers)
    return Structure(np.array(row.lattice).reshape(3, 3), species, np.array(row.frac).reshape(-1, 3))


def parts_left(tx: Transaction, calculation_id: int) -> list[int]:
    """The parts that no engine has answered for yet, but for the whole."""
    return list(tx.execute(_PARTS_LEFT, {"calculation": calculation_id}).scalars())


def n_parts(tx: Transaction, calculation_id: int) -> int:
    """How many parts it is made of, but for the whole; 0 where it was not divided yet."""
    found = select(func.count()).where(
        calculation_part.c.calculation_id == calculation_id, calculation_part.c.part != WHOLE
    )
    return int(tx.execute(found).scalar_one())


def keep_step(
    tx: Transaction, calculation_id: int, number: int, at: Structure, answer: Answer, activity_id: int, *, part: int = 0
) -> None:
    """Insert a step of the ions, by its number in all attempts; one that is there stays as it is."""
    values = {
        "calculation_id": calculation_id,
        "part": part,
        "number": number,
        "energy_ev": answer.energy_ev,
        "lattice": _flat(at.lattice),
        "frac": _flat(at.frac),
        "forces_ev_per_angstrom": _flat(answer.forces_ev_per_angstrom),
        "stress_gpa": _flat(answer.stress_gpa),
        "activity_id": activity_id,
    }
    tx.execute(upsert(calculation_step).values(**values).on_conflict_do_nothing())


def last_step(tx: Transaction, calculation_id: int, part: int = WHOLE) -> AnyRow | None:
    """The last step of the ions that an attempt at a part has kept: from there it goes on."""
    found = select(calculation_step).where(
        calculation_step.c.calculation_id == calculation_id, calculation_step.c.part == part
    )
    return tx.execute(found.order_by(calculation_step.c.number.desc()).limit(1)).one_or_none()


def keep_answer(tx: Transaction, calculation_id: int, part: int, answer: Answer, activity_id: int) -> None:
    """Insert what an engine says of a part, the whole included; what is there stays as it is."""
    ended = answer.ended
    values = {
        "calculation_id": calculation_id,
        "part": part,
        "energy_ev": answer.energy_ev,
        "lattice": None if ended is None else _flat(ended.lattice),
        "frac": None if ended is None else _flat(ended.frac),
        "forces_ev_per_angstrom": _flat(answer.forces_ev_per_angstrom),
        "stress_gpa": _flat(answer.stress_gpa),
        "activity_id": activity_id,
    }
    tx.execute(upsert(calculation_energy).values(**values).on_conflict_do_nothing())


def answers(tx: Transaction, calculation_id: int) -> Sequence[AnyRow]:
    """What engines said of the parts but the whole, in order, each with what was done to the cell."""
    return tx.execute(_ANSWERS, {"calculation": calculation_id}).all()


def phonons_of(tx: Transaction, calculation_id: int) -> AnyRow | None:
    """The row of v_phonons of a calculation."""
    return tx.execute(_PHONONS, {"calculation": calculation_id}).one_or_none()


def elasticity_of(tx: Transaction, calculation_id: int) -> AnyRow | None:
    """The row of v_elasticity of a calculation."""
    return tx.execute(_ELASTICITY, {"calculation": calculation_id}).one_or_none()


def gap_of(tx: Transaction, calculation_id: int) -> AnyRow | None:
    """The gap of a calculation: the row of calculation_gap."""
    found = select(calculation_gap).where(calculation_gap.c.calculation_id == calculation_id)
    return tx.execute(found).one_or_none()


def relaxed_of(tx: Transaction, calculation_id: int) -> AnyRow | None:
    """What a structure became: the row of calculation_relaxed."""
    found = select(calculation_relaxed).where(calculation_relaxed.c.calculation_id == calculation_id)
    return tx.execute(found).one_or_none()


def spectrum_of(tx: Transaction, calculation_id: int) -> AnyRow | None:
    """The frequencies of a calculation of phonons: the row of calculation_phonons."""
    found = select(calculation_phonons).where(calculation_phonons.c.calculation_id == calculation_id)
    return tx.execute(found).one_or_none()


def store_relaxed(
    tx: Transaction, calculation_id: int, structure_id: int, volume_ratio: float, n_steps: int, activity_id: int
) -> None:
    """Insert what a structure became; its energy is the answer for the whole."""
    values = {"structure_id": structure_id, "volume_ratio": volume_ratio, "n_steps": n_steps}
    _store(tx, calculation_relaxed, calculation_id, values, activity_id)


def store_gap(tx: Transaction, calculation_id: int, values: Mapping[str, object], activity_id: int) -> None:
    """Insert a gap, by the columns of calculation_gap."""
    _store(tx, calculation_gap, calculation_id, values, activity_id)


def store_elasticity(tx: Transaction, calculation_id: int, values: Mapping[str, object], activity_id: int) -> None:
    """Insert elastic constants, by the columns of calculation_elasticity."""
    _store(tx, calculation_elasticity, calculation_id, values, activity_id)


def store_phonons(tx: Transaction, calculation_id: int, values: Mapping[str, object], activity_id: int) -> None:
    """Insert phonons, by the columns of calculation_phonons."""
    _store(tx, calculation_phonons, calculation_id, values, activity_id)


def _store(tx: Transaction, table: Any, calculation_id: int, values: Mapping[str, object], activity_id: int) -> None:
    plain = {name: _flat(value) if isinstance(value, np.ndarray) else value for name, value in values.items()}
    tx.execute(insert(table).values(calculation_id=calculation_id, activity_id=activity_id, **plain))


def _flat(array: NDArray[Any] | None) -> list[Any] | None:
    return None if array is None else array.ravel().tolist()
