"""Judging a model on a dataset: what it predicts against the labels there, kept as rows."""

from collections.abc import Mapping, Sequence

import numpy as np

from agd.db.connection import AnyRow
from agd.db.record import activities, datasets, evaluations, jobs, models
from agd.errors import InputError, NotFoundError
from agd.nets.error_measures import measure_errors
from agd.nets.threads import limited_threads
from agd.steps.data.compositions import counts_of
from agd.steps.models.training_sets import find_dataset
from agd.target import Target
from agd.types import Floats
from agd.work.leases import performed
from agd.work.workspace import Workspace

_ERRORS = ("r2", "mae", "rmse")


def evaluate(
    workspace: Workspace, model_version_id: int, dataset: str, target: Target | None = None, *, threads: int = 1
) -> dict[str, float]:
    """The metrics of an oracle or screener on the labels of a dataset, worked out once and then read from the record.

    `r2`, `mae`, `rmse` in the property's unit; with a target also `recall`, `precision` and `average_precision` of the
    rows whose label reaches it, by the predicted value. What is not defined is left out: recall where no label reaches
    the target, precision where no prediction does. Rows that the model was trained on count as any other: keep them
    out of the dataset, or say so. Once a label of the dataset is retracted the model is judged anew.

    Raises:
        NotFoundError: there is no such model version or dataset.
        InputError: the model answers another property than the dataset holds, or no label of it is left.
    """
    with workspace.database.read() as tx:
        row = find_dataset(tx, dataset)
        version = models.find_model(tx, model_version_id=model_version_id)
        rows = [one for one in datasets.rows_of(tx, row.id) if one.label_id is not None]
        known = evaluations.find(tx, model_version_id, row.id, len(rows))
    if version is None:
        raise NotFoundError(f"no model version {model_version_id}")
    if version.kind == "structure_oracle":
        raise InputError(
            f"model version {model_version_id} answers for structures: what it is worth on its held-out part is in "
            "`v_evaluation`"
        )
    if version.property is None or version.property != row.property:
        raise InputError(
            f"model version {model_version_id} answers {version.property or 'no property'}, dataset {dataset!r} holds "
            f"{row.property or 'formulas alone'}: judge it on labels of its property"
        )
    if not rows:
        raise InputError(f"dataset {dataset!r} has no label left to judge by: all of them were retracted")
    names = {} if target is None else {name: short for short, name in _names(target).items()}
    if "mae" not in known or (target is not None and _count_of(target) not in known):
        known = _judge(workspace, version, row, rows, target, threads)
    return {names.get(name, name): value for name, value in known.items() if name in {*_ERRORS, *names}}


def _judge(
    workspace: Workspace, version: AnyRow, dataset: AnyRow, rows: Sequence[AnyRow], target: Target | None, threads: int
) -> dict[str, float]:
    """Work the metrics out on these rows and store them, or find what somebody else did meanwhile."""
    wanted = None if target is None else target.text
    key = jobs.key_of("evaluate", version.recipe_sha256, dataset.recipe_sha256, len(rows), wanted)
    title = f"evaluate model version {version.id} on {dataset.name}{f' for {wanted}' if wanted else ''}"
    with performed(workspace, jobs.NewJob("evaluate", title, key), threads=threads) as activity_id:
        if activity_id is None:
            with workspace.database.read() as tx:
                return evaluations.find(tx, version.id, dataset.id, len(rows))
        values = np.array([one.value for one in rows], dtype=np.float64)
        with limited_threads(threads):
            predicted = workspace.oracle(version.id).label(counts_of([one.reduced_formula for one in rows]))
        known = {**measure_errors(values, predicted.values), **_picks(values, predicted.values, target)}
        with workspace.database.transaction() as tx:
            judged = {
                "model_version_id": version.id,
                "dataset_id": dataset.id,
                "n_rows": len(rows),
                "property": dataset.property,
                "activity_id": activity_id,
            }
            evaluations.store(tx, judged, known)
            activities.finish(tx, activity_id)
        return known


def _names(target: Target) -> Mapping[str, str]:
    return {name: f"{name} of {target.text}" for name in ("recall", "precision", "average_precision")}


def _count_of(target: Target) -> str:
    return f"n rows of {target.text}"


def _picks(values: Floats, predicted: Floats, target: Target | None) -> dict[str, float]:
    from sklearn.metrics import average_precision_score

    if target is None:
        return {}
    is_true, is_picked = target.holds(values), target.holds(predicted)
    found = {}
    if is_picked.any():
        found["precision"] = float(is_true[is_picked].mean())
    if is_true.any():
        found["recall"] = float(is_picked[is_true].mean())
        found["average_precision"] = float(average_precision_score(is_true, target.depth(predicted)))
    names = _names(target)
    return {_count_of(target): float(is_true.sum()), **{names[name]: value for name, value in found.items()}}
