"""The models of a campaign: each of a recipe that its specification says, trained once and shared."""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agd.db.connection import Transaction
from agd.db.record import campaigns, models
from agd.errors import StepError
from agd.progress import Progress
from agd.spec import Goal
from agd.steps.campaign.campaigns import CampaignStep
from agd.steps.models.predicting import teller
from agd.steps.models.training import (
    Fitted,
    Recipe,
    TellingModel,
    as_table,
    bounded,
    fit,
    store,
    told,
    training_of,
)
from agd.types import Counts, Floats, TrainingTable
from agd.work.shelf import ModelRef, Shelf
from agd.work.work import Work


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What a campaign's model learns from, as in TrainingTable; none of it where the model version is there."""

    training_set_id: int
    recipe_sha256: str
    options: dict[str, Any]
    is_there: bool
    counts: Counts | None = None
    values: Floats | None = None
    is_held_out: NDArray[np.bool_] | None = None
    is_validation: NDArray[np.bool_] | None = None
    told_by: ModelRef | None = None


def _read(tx: Transaction, step: CampaignStep) -> Table:
    told_by = _teller(tx, step)
    recipe = bounded(tx, _recipe_of(step, told_by))
    training_set_id = campaigns.sets_of(tx, step.campaign.id)[_role_of(step)]
    table_sha256 = models.training_set_sha256(tx, training_set_id)
    sha256 = recipe.sha256(recipe.load_plugin().architecture_version, table_sha256)
    options = recipe.options.model_dump(mode="json")
    if models.find_model(tx, recipe_sha256=sha256) is not None:
        return Table(training_set_id, sha256, options, is_there=True)
    table = as_table(models.members_of(tx, training_set_id))
    own = (table.counts, table.values, table.is_held_out, table.is_validation)
    ref = None if told_by is None else told_by.ref
    return Table(training_set_id, sha256, options, False, *own, ref)  # noqa: FBT003


def _compute(shelf: Shelf, step: CampaignStep, table: Table, progress: Progress) -> Fitted:
    if table.counts is None or table.is_held_out is None:
        return Fitted(None, 0, {})
    recipe = _recipe_of(step)
    options = recipe.load_plugin().options_type.model_validate_json(json.dumps(table.options))
    learned = TrainingTable(table.counts, table.values, table.is_held_out, table.is_validation)
    if table.told_by is not None:
        learned = told(shelf, table.told_by, learned, recipe.threads)
    return fit(shelf.folder, replace(recipe, options=options), learned, progress)


def _write(tx: Transaction, step: CampaignStep, activity_id: int, table: Table, fitted: Fitted) -> None:
    """Give the campaign its model of a role: the version of this recipe that is there, or the new one."""
    recipe = bounded(tx, _recipe_of(step, _teller(tx, step)))
    there = models.find_model(tx, recipe_sha256=table.recipe_sha256)
    if there is None:
        version_id = store(tx, recipe, table.recipe_sha256, table.training_set_id, fitted, activity_id)
    else:
        version_id = there.id
    campaigns.store_model(tx, step.campaign.id, _role_of(step), version_id, activity_id)


def _teller(tx: Transaction, step: CampaignStep) -> TellingModel | None:
    """The model whose answers the oracle is told, if it is."""
    if _role_of(step) == "autoencoder":
        return None
    oracle = (goal := _goal_of(step)).oracle
    if oracle.with_answers_of is None:
        return None
    return teller(tx, oracle.with_answers_of, oracle.kind, ".".join((*goal.section, "with_answers_of")))


def _recipe_of(step: CampaignStep, told_by: TellingModel | None = None) -> Recipe:
    campaign = step.campaign
    threads = campaign.spec.threads
    if _role_of(step) == "autoencoder":
        chosen = campaign.spec.autoencoder
        if chosen is None:
            raise StepError(f"campaign {campaign.name!r} has no autoencoder to train")
        return Recipe("autoencoder", chosen.kind, None, chosen.options(), chosen.seed, threads)
    goal = _goal_of(step)
    oracle = goal.oracle
    return Recipe("oracle", oracle.kind, goal.target.property, oracle.options(), oracle.seed, threads, told_by)


def _goal_of(step: CampaignStep) -> Goal:
    """The property that the model answers."""
    goal = next((goal for goal in step.campaign.spec.goals if goal.role == _role_of(step)), None)
    if goal is None:
        raise StepError(f"campaign {step.campaign.name!r} has no property for {step.step}")
    return goal


def _role_of(step: CampaignStep) -> str:
    """What the model that is trained is to the campaign."""
    return step.step.kind.removeprefix(training_of(""))


TRAIN = Work(Table, Fitted, _read, _compute, _write, lambda step: _recipe_of(step).seed)
