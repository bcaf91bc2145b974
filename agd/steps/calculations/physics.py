"""What phonons and elastic constants are made of and what comes of them, by whatever answers for a cell.

`inputs` are those of the recipe, plain values of JSON.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np

from agd.chem import elasticity, phonons
from agd.chem.settling import Evaluate, settled
from agd.db.connection import AnyRow, Transaction
from agd.db.record import calculations
from agd.db.record.calculations import Answer, Part
from agd.errors import InputError
from agd.recipes import IonicStep
from agd.types import Structure

MadeOf: TypeAlias = Literal["phonons", "elastic"]
"""Kinds of calculation that are made of others."""

MADE_OF: Final[tuple[MadeOf, ...]] = get_args(MadeOf)

Inputs: TypeAlias = Mapping[str, Any]

PHONON_INPUTS: Final[Inputs] = {
    "displacement_angstrom": 0.01,
    "supercell_angstrom": 10.0,
    "most_sites": 256,
    "mesh_angstrom": 40.0,
    "imaginary_below_thz": -0.1,
}
"""A supercell at least so long each way, of so many sites at most; noise at the centre of the zone is 0.01 THz."""

ELASTIC_INPUTS: Final[Inputs] = {
    "strains": [-0.01, -0.005, 0.005, 0.01],
    "max_force_ev_per_angstrom": 0.005,
    "max_steps": 200,
}
"""Each of six strains by so much; sites are let go until no force is larger."""


@dataclass(frozen=True, slots=True)
class _Physics:
    """How a kind is divided, how a part is answered for, and what is stored in the end."""

    inputs: Inputs
    parts: Callable[[Structure, Inputs], list[Part]]
    answer: Callable[[Evaluate, Structure, Inputs], IonicStep]
    results: Callable[[Structure, Inputs, Structure, Sequence[AnyRow]], dict[str, object]]
    store: Callable[[Transaction, int, Mapping[str, object], int], None]


def answer_of(step: IonicStep, start: Structure) -> Answer:
    """What the record keeps of a step; where the sites ended, if they moved."""
    return Answer(
        step.energy_ev_per_atom * len(start.species),
        step.forces_ev_per_angstrom,
        step.stress_gpa,
        None if (step.structure.frac == start.frac).all() else step.structure,
    )


def _phonon_parts(structure: Structure, inputs: Inputs) -> list[Part]:
    supercell = phonons.supercell_of(structure, inputs["supercell_angstrom"], inputs["most_sites"])
    whole, displaced = phonons.displaced_cells(structure, supercell, inputs["displacement_angstrom"])
    return [
        Part("undisplaced", whole),
        *(Part("displaced", one.structure, one.site, one.displacement_angstrom) for one in displaced),
    ]


def _phonon_results(
    structure: Structure, inputs: Inputs, undisplaced: Structure, answers: Sequence[AnyRow]
) -> dict[str, object]:
    supercell = phonons.supercell_of(structure, inputs["supercell_angstrom"], inputs["most_sites"])
    at_rest, *displaced = (np.array(row.forces_ev_per_angstrom).reshape(-1, 3) for row in answers)
    moved = [(row.displaced_site, np.array(row.displacement_angstrom)) for row in answers[1:]]
    forces = [force - at_rest for force in displaced]
    found = phonons.spectrum(structure, supercell, undisplaced, moved, forces, inputs["mesh_angstrom"])
    return {
        "supercell": supercell,
        "displacement_angstrom": inputs["displacement_angstrom"],
        "mesh": list(found.mesh),
        "mesh_weights": found.mesh_weights,
        "mesh_frequencies_thz": found.mesh_frequencies_thz,
        "path_points": found.path_points,
        "path_distances": found.path_distances,
        "path_labels": list(found.path_labels),
        "path_frequencies_thz": found.path_frequencies_thz,
        "min_frequency_thz": found.min_frequency_thz,
        "imaginary_below_thz": inputs["imaginary_below_thz"],
        "n_imaginary": found.n_below(inputs["imaginary_below_thz"]),
    }


def _elastic_parts(structure: Structure, inputs: Inputs) -> list[Part]:
    strains = elasticity.strains_of(inputs["strains"])
    return [Part("strained", elasticity.strained(structure, one), strain=one) for one in strains]


def _elastic_results(
    structure: Structure,
    inputs: Inputs,  # noqa: ARG001  as the other has it
    first: Structure,  # noqa: ARG001
    answers: Sequence[AnyRow],
) -> dict[str, object]:
    strains = np.array([row.strain for row in answers])
    found = elasticity.fitted(structure, strains, np.array([row.stress_gpa for row in answers]))
    compliance = found.compliance_per_gpa
    return {
        "stiffness_gpa": found.stiffness_gpa[elasticity.CORNER],
        "compliance_per_gpa": None if compliance is None else compliance[elasticity.CORNER],
        "min_eigenvalue_gpa": found.min_eigenvalue_gpa,
        "is_born_stable": found.is_born_stable,
        "n_strained": len(answers),
        "residual_gpa": found.residual_gpa,
    }


def _at_rest(evaluate: Evaluate, cell: Structure, inputs: Inputs) -> IonicStep:
    def with_stress(one: Structure) -> IonicStep:
        step = evaluate(one)
        if step.stress_gpa is None:
            raise InputError("this engine tells no stress of a cell that is held: elastic constants need it")
        return step

    return settled(with_stress, cell, inputs["max_force_ev_per_angstrom"], inputs["max_steps"])


PHYSICS: Final[Mapping[str, _Physics]] = {
    "phonons": _Physics(
        PHONON_INPUTS,
        _phonon_parts,
        lambda evaluate, cell, _: evaluate(cell),
        _phonon_results,
        calculations.store_phonons,
    ),
    "elastic": _Physics(ELASTIC_INPUTS, _elastic_parts, _at_rest, _elastic_results, calculations.store_elasticity),
}
