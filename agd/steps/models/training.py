"""Training: one recipe gives one model version, trained once and shared by everybody who asks for it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from agd import plugin_faults, registry
from agd.db.connection import AnyRow, Transaction
from agd.db.record import activities, datasets, jobs, models
from agd.db.record.models import FromDataset, Member, Part
from agd.errors import ModelError, NotFoundError
from agd.nets.threads import limited_threads
from agd.progress import Progress, silent
from agd.protocols import Options
from agd.steps.data.compositions import counts_of
from agd.steps.models.plugin_options import completed
from agd.types import TrainingTable
from agd.views import TrainedModel
from agd.work.leases import performed, recorded
from agd.work.shelf import ModelRef, Shelf, group_of, model_ref
from agd.work.workspace import Workspace


@dataclass(frozen=True, slots=True)
class TellingModel:
    """The model version whose answers another one takes."""

    id: int
    ref: ModelRef


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a model is made by, its training set aside; `property` is what an oracle or a screener answers.

    `told_by` is the model whose answers it takes beside the composition, if it does.
    """

    kind: str
    plugin: str
    property: str | None
    options: Options
    seed: int
    threads: int = 1
    told_by: TellingModel | None = None

    def load_plugin(self) -> Any:
        """The plug-in class."""
        return registry.load(group_of(self.kind), self.plugin)

    def sha256(self, architecture_version: int, table_sha256: str) -> str:
        """The hash of the whole; the threads are part of it, for they decide the order of sums."""
        parts: list[object] = [self.kind, self.plugin, self.property, architecture_version]
        parts += [self.options.model_dump(mode="json"), self.seed, self.threads, table_sha256]
        if self.told_by is not None:
            parts.append(self.told_by.ref.files())
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Trained:
    """A model version, or with `model_version_id` None one that is still to be trained.

    `n_initial` and `n_learned` are the members drawn from datasets and from a campaign's iterations up to
    `last_iteration`.
    """

    recipe: Recipe
    recipe_sha256: str
    n_initial: int
    n_learned: int
    last_iteration: int | None
    n_held_out: int
    was_there: bool
    model_version_id: int | None = None
    tensors_sha256: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    def view(self) -> TrainedModel:
        """What is shown of it."""
        recipe = self.recipe
        return TrainedModel(
            kind=recipe.kind,
            plugin=recipe.plugin,
            property=recipe.property,
            options=recipe.options.model_dump(mode="json"),
            seed=recipe.seed,
            threads=recipe.threads,
            recipe_sha256=self.recipe_sha256,
            n_initial=self.n_initial,
            n_learned=self.n_learned,
            last_iteration=self.last_iteration,
            n_held_out=self.n_held_out,
            was_there=self.was_there,
            model_version_id=self.model_version_id,
            tensors_sha256=self.tensors_sha256,
            metrics=self.metrics,
        )


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model's file and what was measured of it; no file where it was there before."""

    tensors_sha256: str | None
    n_bytes: int
    metrics: dict[str, float]


def training_of(kind: str) -> str:
    """What the training of a kind of model is called in the record, and in the queue."""
    return f"train {kind}"


def fit(
    folder: Path, recipe: Recipe, table: TrainingTable, progress: Progress, also: TrainingTable | None = None
) -> Fitted:
    """Fit a model and put its file into the folder; `also` are rows it is measured on besides (`initial_mae`)."""
    from agd.nets.checkpoint import save_tensors

    group, options = group_of(recipe.kind), recipe.options
    with limited_threads(recipe.threads):
        fitted = plugin_faults.fit(group, recipe.plugin, table, options, seed=recipe.seed, progress=progress)
        metrics = dict(fitted.metrics)
        if also is not None:
            errors = recipe.load_plugin().load(fitted.tensors, options).label(also.counts).values - also.values
            metrics["initial_mae"] = float(np.abs(errors).mean())
    n_bytes = sum(tensor.nbytes for tensor in fitted.tensors.values())
    return Fitted(save_tensors(folder, fitted.tensors), n_bytes, metrics)


def bounded(tx: Transaction, recipe: Recipe) -> Recipe:
    """The recipe with the property's physical lower bound as the least answer, where none was chosen."""
    if recipe.property is None:
        return recipe
    found = datasets.property_of(tx, recipe.property)
    bound = None if found is None else found.lower_bound
    return replace(recipe, options=completed(recipe.options, {"minimum": bound}))


def look_up(workspace: Workspace, recipe: Recipe, parts: Sequence[Part]) -> Trained:
    """The model version of a recipe and a training set, where it is there; nothing is stored."""
    version, table_sha256 = recipe.load_plugin().architecture_version, models.set_sha256(parts)
    with workspace.database.read() as tx:
        recipe = bounded(tx, recipe)
        sha256 = recipe.sha256(version, table_sha256)
        there = models.find_model(tx, recipe_sha256=sha256)
    drawn = [part for part in parts if isinstance(part.source, FromDataset)]
    last = max((part.source.last_iteration for part in parts if not isinstance(part.source, FromDataset)), default=None)
    n_initial = sum(len(part.members) for part in drawn)
    made: dict[str, Any] = {}
    if there is not None:
        made = {"model_version_id": there.id, "tensors_sha256": there.tensors_sha256, "metrics": there.metrics}
    return Trained(
        recipe=recipe,
        recipe_sha256=sha256,
        n_initial=n_initial,
        n_learned=sum(len(part.members) for part in parts) - n_initial,
        last_iteration=last,
        n_held_out=sum(member.is_held_out for part in parts for member in part.members),
        was_there=there is not None,
        **made,
    )


def of_record(tx: Transaction, version: AnyRow) -> Trained:
    """A model version that is there, as `look_up` would find it."""
    made = activities.find(tx, version.activity_id)
    members = models.members_of(tx, version.training_set_id)
    drawn = models.drawn_from(tx, version.training_set_id)
    options = registry.load(group_of(version.kind), version.plugin).options_type.model_validate(version.options)
    threads = 1 if made is None else made.threads
    return Trained(
        recipe=Recipe(version.kind, version.plugin, version.property, options, version.seed, threads),
        recipe_sha256=version.recipe_sha256,
        n_initial=drawn.n_initial,
        n_learned=drawn.n_learned,
        last_iteration=drawn.last_iteration,
        n_held_out=sum(member.is_held_out for member in members),
        was_there=True,
        model_version_id=version.id,
        tensors_sha256=version.tensors_sha256,
        metrics=version.metrics,
    )


def train_by_hand(workspace: Workspace, recipe: Recipe, parts: Sequence[Part], progress: Progress = silent) -> Trained:
    """Train outside a campaign, or find the version that is there; the training set is stored with the model.

    A screener that learned from a campaign is also measured on the held-out initial rows alone (`initial_mae`), the
    very rows on which the screener of the initial labels is measured: the others are answers of the campaign's oracle.
    """
    found = look_up(workspace, recipe, parts)
    if found.was_there:
        return found
    recipe = found.recipe
    title = f"{training_of(recipe.kind)} {recipe.plugin} {found.recipe_sha256[:12]}"
    new = jobs.NewJob(training_of(recipe.kind), title, jobs.key_of("train", found.recipe_sha256))
    with performed(workspace, new, seed=recipe.seed, threads=recipe.threads) as activity_id:
        if activity_id is None:
            return look_up(workspace, recipe, parts)
        table = _table_of(workspace.shelf, recipe, [member for part in parts for member in part.members])
        also = None if found.last_iteration is None else _held_out_initial(parts)
        made = fit(workspace.artifacts, recipe, table, progress, also)
        with workspace.database.transaction() as tx:
            set_id = models.store_parts(tx, parts, activity_id)
            store(tx, recipe, found.recipe_sha256, set_id, made, activity_id)
            activities.finish(tx, activity_id)
    return replace(look_up(workspace, recipe, parts), was_there=False)


def retrain(workspace: Workspace, sha256: str, progress: Progress = silent) -> str:
    """Make a lost or damaged model file again from its recorded recipe; returns its full hash.

    `sha256` is the beginning of the file's hash. Nothing in the record changes.

    Raises:
        NotFoundError: no model version, or more than one, has such a hash.
        ModelError: the training gave other tensors, as it may on another CPU type or with other library versions.
    """
    with workspace.database.read() as tx:
        found = [row for row in models.models(tx) if row.tensors_sha256.startswith(sha256)]
        if len({row.tensors_sha256 for row in found}) != 1:
            raise NotFoundError(
                f"{len(found)} model versions have a hash that begins with {sha256!r}: see `agd models`"
            )
        row = found[0]
        members = models.members_of(tx, row.training_set_id)
        told_by = None if row.input_model_version_id is None else telling(tx, row.input_model_version_id)
    plugin = registry.load(group_of(row.kind), row.plugin)
    options = plugin.options_type.model_validate_json(json.dumps(row.options))
    recipe = Recipe(row.kind, row.plugin, None, options, row.seed, row.threads, told_by)
    with recorded(workspace, f"retrain {row.kind}", seed=row.seed) as activity_id:
        if row.kind == "structure_oracle":
            from agd.steps.models.structure_training import refit

            made: str | None = refit(workspace, row, recipe, progress)
        else:
            made = fit(
                workspace.artifacts, recipe, _table_of(workspace.shelf, recipe, members), progress
            ).tensors_sha256
        assert made is not None  # noqa: S101  it was fitted just now
        if made != row.tensors_sha256:
            raise ModelError(
                f"retraining gave tensors {made[:12]}, not {row.tensors_sha256[:12]}: it needs the CPU type and the "
                "library versions of the first training; else restore the file from a backup"
            )
        with workspace.database.transaction() as tx:
            activities.finish(tx, activity_id)
    return made


def telling(tx: Transaction, model_version_id: int) -> TellingModel:
    """The model version of that id, to tell another one."""
    return TellingModel(model_version_id, model_ref(tx, model_version_id))


def told(shelf: Shelf, ref: ModelRef, table: TrainingTable, threads: int) -> TrainingTable:
    """The table with the answers of that model, of each row by models that had not seen it."""
    with limited_threads(threads):
        return replace(table, answers=shelf.load(ref).label(table.counts).values)


def _table_of(shelf: Shelf, recipe: Recipe, rows: Sequence[AnyRow] | Sequence[Member]) -> TrainingTable:
    """What the recipe is fitted on: the members, with the answers of the model that it names, if it does."""
    table = as_table(rows)
    return table if recipe.told_by is None else told(shelf, recipe.told_by.ref, table, recipe.threads)


def _held_out_initial(parts: Sequence[Part]) -> TrainingTable | None:
    initial = [member for part in parts if isinstance(part.source, FromDataset) for member in part.members]
    out = [member for member in initial if member.is_held_out]
    return as_table(out) if out else None


def store(
    tx: Transaction, recipe: Recipe, recipe_sha256: str, training_set_id: int, fitted: Fitted, activity_id: int
) -> int:
    """Store the model version of a recipe, or find the one that somebody else stored meanwhile; its id."""
    assert fitted.tensors_sha256 is not None  # noqa: S101  a model that was not there before has been fitted
    values = {
        "kind": recipe.kind,
        "plugin": recipe.plugin,
        "property": recipe.property,
        "architecture_version": recipe.load_plugin().architecture_version,
        "options": recipe.options.model_dump(mode="json"),
        "seed": recipe.seed,
        "training_set_id": training_set_id,
        "recipe_sha256": recipe_sha256,
        "metrics": fitted.metrics,
        "input_model_version_id": None if recipe.told_by is None else recipe.told_by.id,
    }
    return models.store_model(
        tx, values, tensors_sha256=fitted.tensors_sha256, n_bytes=fitted.n_bytes, activity_id=activity_id
    )


def as_table(rows: Sequence[AnyRow] | Sequence[Member]) -> TrainingTable:
    """Members in the one order in which every model sees them, by formula."""
    ordered: list[Any] = sorted(rows, key=lambda row: row.reduced_formula)
    has_labels = all(row.label_id is not None for row in ordered)
    is_validation = np.array([row.is_validation for row in ordered], dtype=np.bool_)
    return TrainingTable(
        counts=counts_of([row.reduced_formula for row in ordered]),
        values=np.array([row.value for row in ordered], dtype=np.float64) if has_labels else None,
        is_held_out=np.array([row.is_held_out for row in ordered], dtype=np.bool_),
        is_validation=is_validation if is_validation.any() else None,
    )
