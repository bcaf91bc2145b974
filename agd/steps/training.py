"""Training: one recipe gives one model version, trained once and shared by every campaign that asks for it."""

import hashlib
import json

import numpy as np

from agd import registry
from agd.db import activities, campaigns, models
from agd.errors import ModelError, NotFoundError
from agd.protocols import Options, Progress, silent
from agd.steps.workspace import Campaign, Workspace, counts_of, limited_threads, recorded
from agd.types import TrainingTable


def train(workspace: Workspace, campaign: Campaign, role: str, progress: Progress = silent) -> None:
    """Give the campaign its model of a role: the version of this recipe that is there, or a new one."""
    from agd.nets.checkpoint import save_tensors

    chosen = campaign.spec.autoencoder if role == "autoencoder" else campaign.spec.oracle
    plugin = registry.load(chosen.group, chosen.kind)
    options = chosen.options()
    with recorded(workspace, f"train {role}", campaign=campaign, seed=chosen.seed) as activity_id:
        with workspace.database.read() as tx:
            training_set_id = campaigns.sets_of(tx, campaign.id)[role]
            table = models.training_set_sha256(tx, training_set_id)
            recipe = _recipe(campaign, role, plugin.architecture_version, options, table)
            there = models.find_model(tx, recipe_sha256=recipe)
        if there is None:
            fitted = plugin.fit(_table(workspace, training_set_id), options, seed=chosen.seed, progress=progress)
            sha256 = save_tensors(workspace.artifacts, fitted.tensors)
        with workspace.database.transaction() as tx:
            if there is None:
                version_id = models.store_model(
                    tx,
                    {
                        "kind": role,
                        "plugin": chosen.kind,
                        "property": campaign.spec.target.property if role == "oracle" else None,
                        "architecture_version": plugin.architecture_version,
                        "options": options.model_dump(mode="json"),
                        "seed": chosen.seed,
                        "training_set_id": training_set_id,
                        "recipe_sha256": recipe,
                        "metrics": dict(fitted.metrics),
                    },
                    tensors_sha256=sha256,
                    n_bytes=sum(tensor.nbytes for tensor in fitted.tensors.values()),
                    activity_id=activity_id,
                )
            else:
                version_id = there.id
            campaigns.store_model(tx, campaign.id, role, version_id, activity_id)
            activities.finish(tx, activity_id)


def retrain(workspace: Workspace, sha256: str, progress: Progress = silent) -> str:
    """Make a lost or damaged model file again from its recorded recipe; returns its full hash.

    `sha256` is the beginning of the file's hash. Nothing in the record changes.

    Raises:
        NotFoundError: no model version, or more than one, has such a hash.
        ModelError: the training gave other tensors, as it may on another CPU type or with other library versions.
    """
    from agd.nets.checkpoint import save_tensors

    with workspace.database.read() as tx:
        found = [row for row in models.models(tx) if row.tensors_sha256.startswith(sha256)]
        if len({row.tensors_sha256 for row in found}) != 1:
            raise NotFoundError(
                f"{len(found)} model versions have a hash that begins with {sha256!r}: see `agd models`"
            )
        row = found[0]
    plugin = registry.load("agd.generators" if row.kind == "autoencoder" else "agd.oracles", row.plugin)
    options = plugin.options_type.model_validate_json(json.dumps(row.options))
    with recorded(workspace, f"retrain {row.kind}", seed=row.seed) as activity_id:
        table = _table(workspace, row.training_set_id)
        with limited_threads(row.threads):
            fitted = plugin.fit(table, options, seed=row.seed, progress=progress)
        made = save_tensors(workspace.artifacts, fitted.tensors)
        if made != row.tensors_sha256:
            raise ModelError(
                f"retraining gave tensors {made[:12]}, not {row.tensors_sha256[:12]}: it needs the CPU type and the "
                "library versions of the first training; else restore the file from a backup"
            )
        with workspace.database.transaction() as tx:
            activities.finish(tx, activity_id)
    return made


def _table(workspace: Workspace, training_set_id: int) -> TrainingTable:
    with workspace.database.read() as tx:
        rows = models.members_of(tx, training_set_id)
    has_labels = all(row.label_id is not None for row in rows)
    return TrainingTable(
        counts=counts_of([row.reduced_formula for row in rows]),
        values=np.array([row.value for row in rows], dtype=np.float64) if has_labels else None,
        is_held_out=np.array([row.is_held_out for row in rows], dtype=np.bool_),
    )


def _recipe(campaign: Campaign, role: str, architecture_version: int, options: Options, table_sha256: str) -> str:
    """What a model is made by; the threads are part of it, for they decide the order of sums."""
    chosen = campaign.spec.autoencoder if role == "autoencoder" else campaign.spec.oracle
    answered = campaign.spec.target.property if role == "oracle" else None
    parts = [role, chosen.kind, answered, architecture_version, options.model_dump(mode="json"), chosen.seed]
    parts += [campaign.spec.threads, table_sha256]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
