"""Training: one recipe gives one model version, trained once and shared by every campaign that asks for it."""

import hashlib
import json

import numpy as np

from agd import registry
from agd.db import activities, campaigns, models
from agd.protocols import Options, Progress, silent
from agd.spec import AutoencoderSpec, OracleSpec
from agd.steps.workspace import Campaign, Workspace, counts_of, recorded
from agd.types import TrainingTable


def train(workspace: Workspace, campaign: Campaign, role: str, progress: Progress = silent) -> None:
    """Give the campaign its model of a role: the version of this recipe that is there, or a new one."""
    from agd.nets.checkpoint import save_tensors

    chosen: AutoencoderSpec | OracleSpec = campaign.spec.autoencoder if role == "autoencoder" else campaign.spec.oracle
    plugin = registry.load(chosen.group, chosen.kind)
    options = chosen.options()
    with recorded(workspace, f"train {role}", campaign=campaign, seed=chosen.seed) as activity_id:
        with workspace.database.read() as tx:
            training_set_id = campaigns.sets_of(tx, campaign.id)[role]
            table = models.training_set_sha256(tx, training_set_id)
            recipe = _recipe(role, chosen, plugin.architecture_version, options, table)
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


def _table(workspace: Workspace, training_set_id: int) -> TrainingTable:
    with workspace.database.read() as tx:
        rows = models.members_of(tx, training_set_id)
    has_labels = all(row.label_id is not None for row in rows)
    return TrainingTable(
        counts=counts_of([row.reduced_formula for row in rows]),
        values=np.array([row.value for row in rows], dtype=np.float64) if has_labels else None,
        is_held_out=np.array([row.is_held_out for row in rows], dtype=np.bool_),
    )


def _recipe(
    role: str, chosen: AutoencoderSpec | OracleSpec, architecture_version: int, options: Options, table_sha256: str
) -> str:
    parts = [role, chosen.kind, architecture_version, options.model_dump(mode="json"), chosen.seed, table_sha256]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
