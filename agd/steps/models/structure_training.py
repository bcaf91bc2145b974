"""Training on structures: labels of one method and one correction scheme make one model, as those of compositions do.

A training that was stopped goes on from its last steps: on one kind of processor the rows are those of any other.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from agd import plugin_faults
from agd.db.connection import AnyRow, Transaction
from agd.db.record import activities, jobs, models, structure_models, structures
from agd.db.record.structure_models import StructureMember, StructureSet
from agd.errors import AgdError, InputError
from agd.nets.error_measures import measure_errors
from agd.nets.threads import limited_threads
from agd.progress import Progress, silent
from agd.seeds import derive_seed
from agd.steps.models.training import Recipe, training_of
from agd.steps.models.training_sets import find_dataset, held_out
from agd.types import StructureTable
from agd.views import TrainedStructureModel
from agd.work.leases import performed
from agd.work.workspace import Workspace

KIND = "structure_oracle"
VALIDATION = 0.04
"""Share of the formulas that the training is stopped by, beside those held out."""


@dataclass(frozen=True, slots=True)
class StructureChoice:
    """Which labelled structures are learned from: of which data sets, how large a cell, and how many of them at most.

    A share of the formulas is held out, with all their structures.

    Raises:
        InputError: no data set is named, or one twice.
    """

    datasets: tuple[str, ...]
    property: str = "formation_energy"
    max_atoms: int = 20
    limit: int | None = None
    held_out: float = 0.1

    def __post_init__(self) -> None:
        if not self.datasets or len(set(self.datasets)) < len(self.datasets):
            raise InputError("--dataset: name each data set of structures once")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A training set of structures, not stored yet, and by which method and correction scheme its labels are."""

    of: StructureSet
    method: str
    correction_scheme: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """A training as it is asked for."""

    recipe: Recipe
    choice: StructureChoice
    drawn: Drawn
    recipe_sha256: str
    made: Mapping[str, Any] = field(default_factory=dict)

    def view(self, *, was_there: bool, stopped_at: str | None = None) -> TrainedStructureModel:
        members, recipe = self.drawn.of.members, self.recipe
        return TrainedStructureModel(
            kind=recipe.kind,
            plugin=recipe.plugin,
            property=self.choice.property,
            options=recipe.options.model_dump(mode="json"),
            seed=recipe.seed,
            threads=recipe.threads,
            recipe_sha256=self.recipe_sha256,
            datasets=list(self.choice.datasets),
            learned_method=self.drawn.method,
            correction_scheme=self.drawn.correction_scheme,
            max_atoms=self.choice.max_atoms,
            n_structures=len(members),
            n_formulas=len({one.reduced_formula for one in members}),
            n_held_out=sum(one.is_held_out for one in members),
            n_validation=sum(one.is_validation for one in members),
            was_there=was_there,
            stopped_at=stopped_at,
            **{"model_version_id": None, "tensors_sha256": None, "metrics": {}, **self.made},
        )


def draw(tx: Transaction, choice: StructureChoice, seed: int) -> Drawn:
    """The labelled structures that are asked for, formulas held out and for validation drawn by the seed.

    Raises:
        NotFoundError: there is no such data set.
        InputError: the labels are by several methods or correction schemes, or there are none.
    """
    for name in choice.datasets:
        find_dataset(tx, name)
    sources = structure_models.sources_of(tx, choice.datasets)
    ways = {(row.method, row.correction_scheme): row.name for row in sources}
    if len(ways) > 1:
        told = ", ".join(f"{name} ({method}, {scheme})" for (method, scheme), name in ways.items())
        raise InputError(f"--dataset: labels of one method and one correction scheme make a model, not {told}")
    members = structure_models.labelled(tx, [row.id for row in sources], choice.property, choice.max_atoms)
    if not members:
        raise InputError(
            f"--dataset {' '.join(choice.datasets)}: no structure of at most {choice.max_atoms} atoms has a label of "
            f"{choice.property} there (see `agd data import-structures`)"
        )
    if choice.limit is not None and choice.limit < len(members):
        chance = np.random.default_rng(derive_seed(seed, "structures"))
        members = [members[i] for i in np.sort(chance.choice(len(members), choice.limit, replace=False))]
    ((method, scheme),) = ways
    of = StructureSet({row.id: row.recipe_sha256 for row in sources}, _split(members, choice.held_out, seed))
    return Drawn(of, method, scheme)


def train_on_structures(
    workspace: Workspace,
    recipe: Recipe,
    choice: StructureChoice,
    progress: Progress = silent,
    *,
    minutes: float | None = None,
    dry_run: bool = False,
) -> TrainedStructureModel:
    """Train an oracle of structures, or find the version that is there; its training set is stored with it.

    After so many `minutes` it stops where it is, and the next one goes on from there.

    Raises:
        NotFoundError: there is no such data set.
        InputError: labels of several methods or schemes, or none.
    """
    with workspace.database.read() as tx:
        asked = _looked_up(tx, recipe, choice, draw(tx, choice, recipe.seed))
        if asked.made or dry_run:
            return asked.view(was_there=bool(asked.made))
        table = table_of(tx, asked.drawn.of.members)
    title = f"{training_of(KIND)} {recipe.plugin} {asked.recipe_sha256[:12]}"
    new = jobs.NewJob(training_of(KIND), title, jobs.key_of("train", asked.recipe_sha256))
    try:
        with performed(workspace, new, seed=recipe.seed, threads=recipe.threads) as activity_id:
            if activity_id is not None:
                _train(workspace, asked, table, activity_id, _Timed(progress, minutes))
    except _TimeIsOverError as error:
        return asked.view(was_there=False, stopped_at=error.note)
    with workspace.database.read() as tx:
        return _looked_up(tx, recipe, choice, asked.drawn).view(was_there=activity_id is None)


def refit(workspace: Workspace, row: AnyRow, recipe: Recipe, progress: Progress) -> str:
    """Make the file of a model version again from its recorded training set; return its hash."""
    with workspace.database.read() as tx:
        table = table_of(tx, structure_models.members_of(tx, row.training_set_id))
    with limited_threads(recipe.threads):
        checkpoint = checkpoint_of(workspace, f"{row.id}")
        fitted = plugin_faults.fit_structures(
            recipe.plugin, table, recipe.options, seed=recipe.seed, checkpoint=checkpoint, progress=progress
        )
    checkpoint.unlink(missing_ok=True)
    return _saved(workspace, fitted.tensors)


def table_of(tx: Transaction, members: Sequence[StructureMember]) -> StructureTable:
    """The structures of a training set, in the one order in which every model sees them."""
    there = structures.some(tx, [one.structure_id for one in members])
    return StructureTable(
        [there[one.structure_id].structure for one in members],
        np.array([one.value for one in members], dtype=np.float64),
        np.array([one.is_held_out for one in members], dtype=np.bool_),
        np.array([one.is_validation for one in members], dtype=np.bool_),
    )


def checkpoint_of(workspace: Workspace, recipe_sha256: str) -> Path:
    """Where the steps of a training are kept until it is done."""
    folder = workspace.artifacts.parent / "training"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{recipe_sha256}.npz"


def _split(members: Sequence[StructureMember], share: float, seed: int) -> list[StructureMember]:
    """Hold out a share of the formulas, and take some of the others for validation."""
    formulas = sorted({one.reduced_formula for one in members})
    out = held_out(len(formulas), share, derive_seed(seed, "held out"))
    kept = [formula for formula, is_out in zip(formulas, out, strict=True) if not is_out]
    judging = held_out(len(kept), VALIDATION, derive_seed(seed, "validation"))
    is_out = dict(zip(formulas, out, strict=True))
    is_judging = dict(zip(kept, judging, strict=True))
    return [
        replace(
            one,
            is_held_out=is_out[one.reduced_formula],
            is_validation=is_judging.get(one.reduced_formula, False),
        )
        for one in members
    ]


def _looked_up(tx: Transaction, recipe: Recipe, choice: StructureChoice, drawn: Drawn) -> _Asked:
    sha256 = recipe.sha256(recipe.load_plugin().architecture_version, drawn.of.sha256)
    there = models.find_model(tx, recipe_sha256=sha256)
    made = {}
    if there is not None:
        made = {"model_version_id": there.id, "tensors_sha256": there.tensors_sha256, "metrics": there.metrics}
    return _Asked(recipe, choice, drawn, sha256, made)


def _train(workspace: Workspace, asked: _Asked, table: StructureTable, activity_id: int, progress: Progress) -> None:
    recipe, members = asked.recipe, asked.drawn.of.members
    checkpoint = checkpoint_of(workspace, asked.recipe_sha256)
    with limited_threads(recipe.threads):
        fitted = plugin_faults.fit_structures(
            recipe.plugin, table, recipe.options, seed=recipe.seed, checkpoint=checkpoint, progress=progress
        )
        model = recipe.load_plugin().load(fitted.tensors, recipe.options)
        judged = {part: _judged(model, table, members, part) for part in ("held_out", "validation")}
    tensors_sha256 = _saved(workspace, fitted.tensors)
    values = {
        "kind": KIND,
        "plugin": recipe.plugin,
        "property": recipe.property,
        "architecture_version": recipe.load_plugin().architecture_version,
        "options": recipe.options.model_dump(mode="json"),
        "seed": recipe.seed,
        "recipe_sha256": asked.recipe_sha256,
        "metrics": dict(fitted.metrics),
        "learned_method": asked.drawn.method,
        "correction_scheme": asked.drawn.correction_scheme,
    }
    n_bytes = sum(tensor.nbytes for tensor in fitted.tensors.values())
    with workspace.database.transaction() as tx:
        values["training_set_id"] = structure_models.store_set(tx, asked.drawn.of, activity_id)
        version = models.store_model(
            tx, values, tensors_sha256=tensors_sha256, n_bytes=n_bytes, activity_id=activity_id
        )
        for part, by_dataset in judged.items():
            for dataset_id, (n_rows, metrics) in by_dataset.items():
                of = {"model_version_id": version, "dataset_id": dataset_id, "part": part, "n_rows": n_rows}
                structure_models.store_evaluations(tx, {**of, "activity_id": activity_id}, metrics)
        activities.finish(tx, activity_id)
    checkpoint.unlink(missing_ok=True)


def _judged(
    model: Any, table: StructureTable, members: Sequence[StructureMember], part: str
) -> dict[int, tuple[int, dict[str, float]]]:
    """What a model is worth on a part of its training set, by data set, with the rows it was judged on.

    A structure with an element that nothing was learned of has no answer, and is no row.
    """
    is_part = table.is_held_out if part == "held_out" else table.is_validation
    said: dict[int, list[tuple[float, float]]] = {}
    for row in np.flatnonzero(is_part).tolist():
        try:
            answer = model.label([table.structures[row]]).values[0]
        except InputError:
            continue
        said.setdefault(members[row].dataset_id, []).append((float(table.values[row]), float(answer)))
    return {
        dataset_id: (len(pairs), measure_errors(*np.array(pairs, dtype=np.float64).T))
        for dataset_id, pairs in said.items()
    }


def _saved(workspace: Workspace, tensors: Mapping[str, Any]) -> str:
    from agd.nets.checkpoint import save_tensors

    return save_tensors(workspace.artifacts, tensors)


class _TimeIsOverError(AgdError):
    """The minutes that a training was given are over; `note` is how far it came."""

    def __init__(self, minutes: float, note: str) -> None:
        super().__init__(f"stopped after {minutes:g} minutes, as was asked, in {note}")
        self.note = note


class _Timed:
    """Progress with the steps a second and the time that is left; it ends a training whose minutes are over."""

    def __init__(self, progress: Progress, minutes: float | None) -> None:
        self.progress, self.minutes = progress, minutes
        self.began, self.n_before = time.monotonic(), -1

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report."""
        elapsed_s = time.monotonic() - self.began
        if self.n_before < 0:
            self.began, self.n_before, elapsed_s = time.monotonic(), done, 0.0
        if self.minutes is not None and elapsed_s > 60 * self.minutes and done < total:
            raise _TimeIsOverError(self.minutes, note.partition(",")[0] or f"step {done} of {total}")
        rate = (done - self.n_before) / elapsed_s if elapsed_s else 0.0
        left = f", {rate:.1f} steps/s, about {(total - done) / rate / 60:.0f} min left" if rate else ""
        self.progress(done, total, f"{note}{left}")
