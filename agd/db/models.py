"""Training sets, artifacts and model versions: what a model was made from, and where its parameters lie."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import AnyRow, Transaction
from agd.db.datasets import copy_in
from agd.db.tables import (
    activity,
    artifact,
    composition,
    label,
    model_version,
    training_set,
    training_set_member,
    training_set_source,
)


@dataclass(frozen=True, slots=True)
class Member:
    """One row of a training set; `label_id` and `value` are None in a set of compositions alone."""

    composition_id: int
    reduced_formula: str
    label_id: int | None
    value: float | None
    is_held_out: bool


def store_training_set(tx: Transaction, members: Sequence[Member], source: AnyRow, activity_id: int) -> int:
    """Insert a training set drawn from the dataset `source`, or find the equal one; return its id."""
    digest = hashlib.sha256(f"dataset {source.recipe_sha256}\n".encode())
    for member in sorted(members, key=lambda m: m.reduced_formula):
        value = "-" if member.value is None else member.value.hex()
        digest.update(f"{member.reduced_formula} {int(member.is_held_out)} {value}\n".encode())
    new = upsert(training_set).values(sha256=digest.hexdigest(), n_members=len(members), activity_id=activity_id)
    made = tx.execute(new.on_conflict_do_nothing().returning(training_set.c.id)).scalar_one_or_none()
    if made is None:
        return int(
            tx.execute(select(training_set.c.id).where(training_set.c.sha256 == digest.hexdigest())).scalar_one()
        )
    copy_in(
        tx,
        "training_set_member",
        ("training_set_id", "composition_id", "label_id", "is_held_out"),
        ((made, m.composition_id, m.label_id, m.is_held_out) for m in members),
    )
    tx.execute(insert(training_set_source).values(training_set_id=made, dataset_id=source.id, n_members=len(members)))
    return int(made)


def members_of(tx: Transaction, training_set_id: int) -> Sequence[AnyRow]:
    """(composition_id, reduced_formula, label_id, value, is_held_out), ordered by formula."""
    statement = (
        select(
            training_set_member.c.composition_id,
            composition.c.reduced_formula,
            training_set_member.c.label_id,
            label.c.value,
            training_set_member.c.is_held_out,
        )
        .join(composition, composition.c.id == training_set_member.c.composition_id)
        .outerjoin(label, label.c.id == training_set_member.c.label_id)
        .where(training_set_member.c.training_set_id == training_set_id)
        .order_by(composition.c.reduced_formula.collate("C"))
    )
    return tx.execute(statement).all()


def training_set_sha256(tx: Transaction, training_set_id: int) -> str:
    """The content hash of a training set."""
    found: str = tx.execute(select(training_set.c.sha256).where(training_set.c.id == training_set_id)).scalar_one()
    return found


def find_model(
    tx: Transaction, *, recipe_sha256: str | None = None, model_version_id: int | None = None
) -> AnyRow | None:
    """A model version by its recipe or by its id."""
    key = (
        model_version.c.recipe_sha256 == recipe_sha256
        if recipe_sha256 is not None
        else model_version.c.id == model_version_id
    )
    return tx.execute(select(model_version).where(key)).one_or_none()


def store_model(
    tx: Transaction, values: Mapping[str, object], *, tensors_sha256: str, n_bytes: int, activity_id: int
) -> int:
    """Insert a model version and its artifact; one recipe has one version, whoever finished first."""
    tx.execute(
        upsert(artifact)
        .values(sha256=tensors_sha256, format="npz", n_bytes=n_bytes, activity_id=activity_id)
        .on_conflict_do_nothing()
    )
    tx.execute(
        upsert(model_version)
        .values(**values, tensors_sha256=tensors_sha256, activity_id=activity_id)
        .on_conflict_do_nothing(index_elements=["recipe_sha256"])
    )
    found = find_model(tx, recipe_sha256=str(values["recipe_sha256"]))
    assert found is not None  # noqa: S101  inserted above, by us or by somebody else
    return int(found.id)


def models(tx: Transaction) -> Sequence[AnyRow]:
    """Every model version with the size of its training set, oldest first."""
    statement = (
        select(
            model_version.c.id,
            model_version.c.kind,
            model_version.c.plugin,
            model_version.c.architecture_version,
            model_version.c.options,
            model_version.c.seed,
            model_version.c.metrics,
            model_version.c.tensors_sha256,
            model_version.c.training_set_id,
            activity.c.threads,
            training_set.c.n_members,
            artifact.c.n_bytes,
        )
        .join(training_set, training_set.c.id == model_version.c.training_set_id)
        .join(artifact, artifact.c.sha256 == model_version.c.tensors_sha256)
        .join(activity, activity.c.id == model_version.c.activity_id)
        .order_by(model_version.c.id)
    )
    return tx.execute(statement).all()
