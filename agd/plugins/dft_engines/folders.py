"""The files of a folder: what was asked, each ionic step, and how it ended; whole or not there."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from agd.recipes import BandEdges, Calculated, IonicStep, Recipe
from agd.types import Structure
from agd.writing import whole_file

INPUT, STEPS, RESULT = "input.json", "steps.jsonl", "result.json"


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Replace a file at once."""
    with whole_file(path, replaces=True) as file:
        file.write(json.dumps(values, indent=1, allow_nan=False).encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """What a file holds, None where it is not there."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def write_input(folder: Path, structure: Structure, recipe: Recipe, plan: Mapping[str, Any]) -> None:
    """Keep what is asked for; `plan` is what the recipe comes to for this structure, and what mending changes."""
    values = {"recipe": recipe.as_values(), "structure": structure_values(structure), "plan": plan, "corrections": []}
    write_json(folder / INPUT, values)


def structure_values(structure: Structure) -> dict[str, Any]:
    """A structure in plain values of JSON."""
    return {
        "lattice": structure.lattice.tolist(),
        "species": list(structure.species),
        "frac": structure.frac.tolist(),
    }


def structure_of(values: Mapping[str, Any]) -> Structure:
    """The structure that such values stand for."""
    return Structure(np.array(values["lattice"]), tuple(values["species"]), np.array(values["frac"]).reshape(-1, 3))


def append_step(folder: Path, number: int, step: IonicStep) -> None:
    """Add a step to those that are kept, and have it on disk."""
    values = {
        "number": number,
        "structure": structure_values(step.structure),
        "energy_ev_per_atom": step.energy_ev_per_atom,
        "forces_ev_per_angstrom": step.forces_ev_per_angstrom.tolist(),
        "stress_gpa": None if step.stress_gpa is None else step.stress_gpa.tolist(),
    }
    line = json.dumps(values, allow_nan=False) + "\n"
    with (folder / STEPS).open("a+b") as file:  # what a killed one left of a line stays a line of its own
        if file.tell() and not _ends_line(folder / STEPS):
            line = "\n" + line
        file.write(line.encode())
        file.flush()


def read_steps(folder: Path) -> list[IonicStep]:
    """The steps that are kept, in order; one that was computed again counts as it was the last time."""
    found: dict[int, IonicStep] = {}
    try:
        lines = (folder / STEPS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            values = json.loads(line)
        except ValueError:  # cut off within
            continue
        stress = values["stress_gpa"]
        found[values["number"]] = IonicStep(
            structure_of(values["structure"]),
            values["energy_ev_per_atom"],
            np.array(values["forces_ev_per_angstrom"]).reshape(-1, 3),
            None if stress is None else np.array(stress),
        )
    return [found[number] for number in sorted(found)]


def write_result(folder: Path, **values: Any) -> None:
    """Say how it ended: state, code_version, and bands, failure, reason, settings where there are any."""
    bands = values.pop("bands", None)
    write_json(folder / RESULT, {**values, "bands": None if bands is None else asdict(bands)})


def read_folder(folder: Path, code_version: str) -> Calculated:
    """What there is; `code_version` is that of a program which has not said any."""
    asked, result, steps = read_json(folder / INPUT) or {}, read_json(folder / RESULT), read_steps(folder)
    corrections = [one["words"] for one in asked.get("corrections", [])] + (result or {}).get("corrections", [])
    if result is None:
        return Calculated("unfinished", code_version, steps, corrections=corrections, settings=asked.get("plan", {}))
    bands = result.get("bands")
    return Calculated(
        result["state"],
        result["code_version"],
        steps,
        None if bands is None else _edges(bands),
        result.get("failure"),
        result.get("reason"),
        corrections,
        result.get("settings", asked.get("plan", {})),
    )


def _edges(values: Mapping[str, Any]) -> BandEdges:
    plain: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in values.items()}
    return BandEdges(**plain)


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
