"""Relaxing: what a potential makes of a structure, once; what was begun goes on where it stopped."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agd import plugin_faults, registry
from agd.chem.structures import Crystal, canonical
from agd.db.connection import AnyRow
from agd.db.record import activities, jobs, stability, structures
from agd.db.record.jobs import NewJob
from agd.errors import InputError
from agd.nets.threads import limited_threads
from agd.progress import Progress, silent
from agd.steps.structures.crystals import store_crystals
from agd.types import Relaxed
from agd.work.leases import performed, recorded
from agd.work.workspace import Workspace

GROUP = "agd.potentials"


@dataclass(frozen=True, slots=True)
class Potential:
    """A potential that is loaded, and its row in the record; `settings` say where a relaxation stops."""

    id: int
    name: str
    version: str
    weights_sha256: str
    settings: Mapping[str, Any]
    plugin: Any

    @property
    def settings_sha256(self) -> str:
        """What a relaxation is known by besides its structure and the potential."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()

    @property
    def key(self) -> list[object]:
        """What tells it from every other, in any record."""
        return [self.name, self.version, self.weights_sha256, self.settings_sha256]


def potential_named(workspace: Workspace, name: str) -> Potential:
    """The installed potential of that name, loaded, with its row in the record.

    Raises:
        NotFoundError: none of that name is installed.
    """
    kind = registry.load(GROUP, name)
    options = kind.options_type()
    with plugin_faults.blamed(GROUP, name, "load"):
        plugin = kind(options)
        version, weights_sha256 = plugin.version, plugin.weights_sha256
    row = {"plugin": name, "version": version, "weights_sha256": weights_sha256}
    with workspace.database.read() as tx:
        potential_id = stability.find_potential(tx, row)
    if potential_id is None:
        with recorded(workspace, "potential") as activity_id, workspace.database.transaction() as tx:
            potential_id = stability.keep_potential(tx, {**row, "activity_id": activity_id})
            activities.finish(tx, activity_id)
    settings = options.model_dump(mode="json")
    return Potential(potential_id, name, version, weights_sha256, settings, plugin)


def relaxed(workspace: Workspace, potential: Potential, structure_id: int, progress: Progress = silent) -> AnyRow:
    """What a potential made of a structure, a row of `relaxation`: computed where it is not there yet.

    An attempt that was killed leaves its steps in a file, from which the next one on this machine goes on.
    """
    with workspace.database.read() as tx:
        there = stability.find_relaxation(tx, structure_id, potential.id, potential.settings_sha256)
        start = structures.some(tx, [structure_id])[structure_id]
    if there is not None:
        return there
    key = jobs.key_of("relax", start.cell_sha256, *potential.key)
    new = NewJob("relax", f"relax {start.reduced_formula} by {potential.name}", key)
    with performed(workspace, new) as activity_id:
        if activity_id is not None:
            checkpoint = checkpoint_of(workspace, key)
            with limited_threads(1), plugin_faults.blamed(GROUP, potential.name, "relax"):
                found = potential.plugin.relax(start.structure, checkpoint=checkpoint, progress=progress)
            outcome, crystal = _outcome(found)
            values = {
                "from_id": structure_id,
                "potential_id": potential.id,
                "settings": dict(potential.settings),
                "settings_sha256": potential.settings_sha256,
                "n_steps": found.n_steps,
                "activity_id": activity_id,
            }
            with workspace.database.transaction() as tx:
                ids = store_crystals(tx, [] if crystal is None else [crystal], start.composition_id, activity_id)
                values["structure_id"] = ids[0] if ids else None
                stability.store_relaxation(tx, {**values, **outcome})
                activities.finish(tx, activity_id)
            checkpoint.unlink(missing_ok=True)
    with workspace.database.read() as tx:
        there = stability.find_relaxation(tx, structure_id, potential.id, potential.settings_sha256)
    assert there is not None  # noqa: S101  its job is done
    return there


def checkpoint_of(workspace: Workspace, key: str) -> Path:
    """Where the steps of a relaxation are kept until it is done."""
    folder = workspace.artifacts.parent / "relaxing"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{key}.npz"


def _outcome(found: Relaxed) -> tuple[dict[str, object], Crystal | None]:
    """What became of it: a cell and its energy, or the reason why that is refused."""
    reason, crystal = found.reason, None
    if reason is None:
        try:
            crystal = canonical(found.structure)
        except InputError as error:
            reason = str(error)
    if reason is not None:
        ratio = found.volume_ratio if math.isfinite(found.volume_ratio) else None
        return {"outcome": "refused", "reason": reason, "volume_ratio": ratio}, None
    return {
        "outcome": "relaxed",
        "energy_ev_per_atom": found.energy_ev_per_atom,
        "max_force_ev_per_angstrom": found.max_force_ev_per_angstrom,
        "volume_ratio": found.volume_ratio,
    }, crystal
