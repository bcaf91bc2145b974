"""Training sets, artifacts and model versions: what a model was made from, and where its parameters lie."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import AnyRow, Transaction
from agd.db.plausible_labels import teaches
from agd.db.record.datasets import copy_in
from agd.db.tables import (
    activity,
    artifact,
    composition,
    label,
    model_version,
    training_set,
    training_set_campaign,
    training_set_member,
    training_set_source,
)

_INITIAL_LABELS = text(f"""
SELECT t.composition_id, c.reduced_formula, t.label_id, l.value, l.dataset_id, d.recipe_sha256
FROM campaign_set q
JOIN training_set_member t ON t.training_set_id = q.training_set_id
JOIN composition c ON c.id = t.composition_id
JOIN label l ON l.id = t.label_id
JOIN dataset d ON d.id = l.dataset_id
WHERE q.campaign_id = :campaign AND q.role = 'initial' AND {teaches("l")}
ORDER BY d.recipe_sha256, c.reduced_formula COLLATE "C"
""")

_LEARNED_LABELS = text(f"""
SELECT s.composition_id, c.reduced_formula, s.label_id, l.value, i.number AS iteration,
       coalesce('dataset ' || d.recipe_sha256, 'model ' || m.tensors_sha256,
                concat_ws('|', 'measured', e.operator, to_char(e.measured_on, 'YYYY-MM-DD'), e.replicate)) AS label_key
FROM v_suggestion_state s
JOIN iteration i ON i.id = s.iteration_id
JOIN composition c ON c.id = s.composition_id
JOIN label l ON l.id = s.label_id
LEFT JOIN dataset d ON d.id = l.dataset_id
LEFT JOIN model_version m ON m.id = l.model_version_id
LEFT JOIN measurement e ON e.id = l.measurement_id
WHERE s.campaign_id = :campaign AND s.outcome = 'new' AND i.number <= :last AND {teaches("l")}
ORDER BY c.reduced_formula COLLATE "C"
""")

_LAST_RECORDED = text("""
SELECT coalesce(max(i.number), 0) FROM iteration i JOIN activity a ON a.iteration_id = i.id
WHERE i.campaign_id = :campaign AND a.kind = 'record' AND a.outcome = 'done'
""")


@dataclass(frozen=True, slots=True)
class Member:
    """One row of a training set; `label_id` and `value` are None in a set of compositions alone.

    `label_key` names where the label comes from, by natural keys; None where the part of the set says it already.
    `is_validation` is a row that the training is stopped by.
    """

    composition_id: int
    reduced_formula: str
    label_id: int | None
    value: float | None
    is_held_out: bool
    label_key: str | None = None
    is_validation: bool = False


@dataclass(frozen=True, slots=True)
class FromDataset:
    """Rows of a dataset."""

    id: int
    recipe_sha256: str

    @property
    def key(self) -> str:
        """What the hash of a set knows it by."""
        return f"dataset {self.recipe_sha256}"


@dataclass(frozen=True, slots=True)
class FromCampaign:
    """What a campaign has labelled in its iterations up to `last_iteration`."""

    id: int
    spec_sha256: str
    last_iteration: int

    @property
    def key(self) -> str:
        """What the hash of a set knows it by."""
        return f"campaign {self.spec_sha256} to {self.last_iteration}"


@dataclass(frozen=True, slots=True)
class Part:
    """The members of a training set that come from one place."""

    source: FromDataset | FromCampaign
    members: Sequence[Member]


def set_sha256(parts: Sequence[Part]) -> str:
    """The content hash of the training set that these parts make, by natural keys."""
    digest = hashlib.sha256("".join(f"{part.source.key}\n" for part in parts).encode())
    for member in sorted((m for part in parts for m in part.members), key=lambda m: m.reduced_formula):
        value = "-" if member.value is None else member.value.hex()
        key = "" if member.label_key is None else f" {member.label_key}"
        use = "v" if member.is_validation else int(member.is_held_out)
        digest.update(f"{member.reduced_formula} {use} {value}{key}\n".encode())
    return digest.hexdigest()


def store_parts(tx: Transaction, parts: Sequence[Part], activity_id: int) -> int:
    """Insert a training set drawn from several places, or find the equal one; return its id."""
    sha256 = set_sha256(parts)
    n_members = sum(len(part.members) for part in parts)
    new = upsert(training_set).values(sha256=sha256, n_members=n_members, activity_id=activity_id)
    made = tx.execute(new.on_conflict_do_nothing().returning(training_set.c.id)).scalar_one_or_none()
    if made is None:
        return int(tx.execute(select(training_set.c.id).where(training_set.c.sha256 == sha256)).scalar_one())
    copy_in(
        tx,
        "training_set_member",
        ("training_set_id", "composition_id", "label_id", "is_held_out", "is_validation"),
        ((made, m.composition_id, m.label_id, m.is_held_out, m.is_validation) for part in parts for m in part.members),
    )
    for part in parts:
        values = {"training_set_id": made, "n_members": len(part.members)}
        match part.source:
            case FromDataset():
                tx.execute(insert(training_set_source).values(**values, dataset_id=part.source.id))
            case FromCampaign():
                values |= {"campaign_id": part.source.id, "last_iteration": part.source.last_iteration}
                tx.execute(insert(training_set_campaign).values(**values))
    return int(made)


def initial_labels(tx: Transaction, campaign_id: int) -> Sequence[AnyRow]:
    """What a campaign knew from the start, by dataset and formula; retracted labels are left out.

    (composition_id, reduced_formula, label_id, value, dataset_id, recipe_sha256 of the dataset).
    """
    return tx.execute(_INITIAL_LABELS, {"campaign": campaign_id}).all()


def learned_labels(tx: Transaction, campaign_id: int, last: int) -> Sequence[AnyRow]:
    """The results of a campaign in its iterations up to `last`, by formula: what a model may learn from.

    (composition_id, reduced_formula, label_id, value, iteration, label_key: the natural key of the label's source).
    """
    return tx.execute(_LEARNED_LABELS, {"campaign": campaign_id, "last": last}).all()


def last_recorded(tx: Transaction, campaign_id: int) -> int:
    """The number of the last iteration that was closed, 0 where none was."""
    return int(tx.execute(_LAST_RECORDED, {"campaign": campaign_id}).scalar_one())


def members_of(tx: Transaction, training_set_id: int) -> Sequence[AnyRow]:
    """(composition_id, reduced_formula, label_id, value, is_held_out, is_validation), ordered by formula."""
    statement = (
        select(
            training_set_member.c.composition_id,
            composition.c.reduced_formula,
            training_set_member.c.label_id,
            label.c.value,
            training_set_member.c.is_held_out,
            training_set_member.c.is_validation,
        )
        .join(composition, composition.c.id == training_set_member.c.composition_id)
        .outerjoin(label, label.c.id == training_set_member.c.label_id)
        .where(training_set_member.c.training_set_id == training_set_id)
        .order_by(composition.c.reduced_formula.collate("C"))
    )
    return tx.execute(statement).all()


def drawn_from(tx: Transaction, training_set_id: int) -> AnyRow:
    """(n_initial, n_learned, last_iteration): members from datasets, from campaigns, and up to which iteration.

    The last two are 0 and None where none was drawn from a campaign.
    """
    of_datasets = select(func.coalesce(func.sum(training_set_source.c.n_members), 0)).where(
        training_set_source.c.training_set_id == training_set_id
    )
    of_campaigns = select(
        of_datasets.scalar_subquery().label("n_initial"),
        func.coalesce(func.sum(training_set_campaign.c.n_members), 0).label("n_learned"),
        func.max(training_set_campaign.c.last_iteration).label("last_iteration"),
    ).where(training_set_campaign.c.training_set_id == training_set_id)
    return tx.execute(of_campaigns).one()


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
            model_version.c.input_model_version_id,
            training_set.c.n_members,
            artifact.c.n_bytes,
        )
        .join(training_set, training_set.c.id == model_version.c.training_set_id)
        .join(artifact, artifact.c.sha256 == model_version.c.tensors_sha256)
        .join(activity, activity.c.id == model_version.c.activity_id)
        .order_by(model_version.c.id)
    )
    return tx.execute(statement).all()
