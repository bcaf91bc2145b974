"""Suggestions: the points that a sampler is told of, what became of them, and their labels."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Boolean, case, column, func, insert, literal, literal_column, select, table, text
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import AnyRow, Transaction
from agd.db.plausible_labels import stands, teaches
from agd.db.record import latents
from agd.db.tables import (
    campaign_model,
    campaign_set,
    composition,
    decode_failure,
    given_up,
    iteration,
    label,
    latent,
    retraction,
    suggestion,
    suggestion_parent,
    training_set_member,
)

# The suggestions as they stand; the table holds them as they were decoded and first labelled.
suggested = table(
    "v_suggestion_state",
    *map(column, ("suggestion_id", "campaign_id", "iteration_id", "rank", "proposed", "latent_id", "posterior_mean")),
    *map(column, ("posterior_sd", "acquisition", "outcome", "reason", "composition_id", "label_id")),
)

_WAITING = text("""
SELECT s.suggestion_id AS id, i.number AS iteration, s.rank, c.reduced_formula, s.posterior_mean, s.posterior_sd,
       s.acquisition, s.composition_id, q.mean AS expected, q.sd AS expected_sd
FROM v_suggestion_judged s
JOIN iteration i ON i.id = s.iteration_id
JOIN composition c ON c.id = s.composition_id
LEFT JOIN v_expectation q ON q.suggestion_id = s.suggestion_id AND q.position = 1
WHERE s.campaign_id = :campaign AND s.is_awaited ORDER BY i.number, s.rank
""")

OVER_BUDGET = "the budget was spent"
"""Why a composition was rejected that a later iteration may ask for, should a call come free."""


def store_latents(
    tx: Transaction, model_version_id: int, activity_id: int, rows: Sequence[tuple[int | None, list[float]]]
) -> list[int]:
    """Insert (composition id or None, vector); ids in order. An encoded composition has one row per model version."""
    if not rows:
        return []
    composition_ids, vectors = zip(*rows, strict=True)
    return latents.store(tx, model_version_id, activity_id, composition_ids, np.array(vectors, np.float32))


def store_suggestions(tx: Transaction, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert the suggestions of one iteration."""
    tx.execute(insert(suggestion), [dict(row) for row in rows])


def store_parents(tx: Transaction, activity_id: int, iteration_id: int, rows: Sequence[tuple[int, int, str]]) -> None:
    """Insert (rank, parent's composition id, operator) of the suggestions of one iteration."""
    if rows:
        ids = dict(
            tx.execute(
                select(suggestion.c.rank, suggestion.c.id).where(suggestion.c.iteration_id == iteration_id)
            ).all()
        )
        tx.execute(
            insert(suggestion_parent),
            [
                {"suggestion_id": ids[rank], "composition_id": parent, "operator": operator, "activity_id": activity_id}
                for rank, parent, operator in rows
            ],
        )


def _standing_value() -> Any:
    """The label's value, NULL where it was retracted or cannot be one."""
    return case((literal_column(teaches("label"), Boolean), label.c.value)).label("value")


def initial_points(tx: Transaction, campaign_id: int) -> Sequence[AnyRow]:
    """(vector, value, reduced_formula) of the initial rows, by formula; a retracted value is NULL.

    Those that were encoded, where the campaign has an autoencoder; else all, and their vectors are NULL.
    """
    statement = (
        select(latent.c.vector, _standing_value(), composition.c.reduced_formula)
        .select_from(campaign_set)
        .join(training_set_member, training_set_member.c.training_set_id == campaign_set.c.training_set_id)
        .join(composition, composition.c.id == training_set_member.c.composition_id)
        .outerjoin(
            campaign_model,
            (campaign_model.c.campaign_id == campaign_set.c.campaign_id) & (campaign_model.c.role == "autoencoder"),
        )
        .outerjoin(
            latent,
            (latent.c.composition_id == composition.c.id)
            & (latent.c.model_version_id == campaign_model.c.model_version_id),
        )
        .join(label, label.c.id == training_set_member.c.label_id)
        .where(
            campaign_set.c.campaign_id == campaign_id,
            campaign_set.c.role == "initial",
            latent.c.id.is_not(None) | campaign_model.c.model_version_id.is_(None),
        )
        .order_by(composition.c.reduced_formula.collate("C"))
    )
    return tx.execute(statement).all()


def suggested_points(tx: Transaction, campaign_id: int, before: int) -> Sequence[AnyRow]:
    """(vector, value, reduced_formula) of the suggestions before an iteration, by (iteration, rank).

    The value is NULL where there is no label, or a retracted one; the formula where there is no composition.
    """
    statement = (
        select(latent.c.vector, _standing_value(), composition.c.reduced_formula)
        .select_from(suggested)
        .join(iteration, iteration.c.id == suggested.c.iteration_id)
        .outerjoin(latent, latent.c.id == suggested.c.latent_id)
        .outerjoin(composition, composition.c.id == suggested.c.composition_id)
        .outerjoin(label, label.c.id == suggested.c.label_id)
        .where(suggested.c.campaign_id == campaign_id, iteration.c.number < before)
        .order_by(iteration.c.number, suggested.c.rank)
    )
    return tx.execute(statement).all()


def suggestions_of(tx: Transaction, campaign_id: int, number: int) -> Sequence[AnyRow]:
    """The suggestions of an iteration, by its number, with vector and reduced formula, in order of rank."""
    statement = (
        select(
            suggested.c.suggestion_id.label("id"),
            suggested.c.rank,
            suggested.c.proposed,
            suggested.c.outcome,
            suggested.c.composition_id,
            composition.c.reduced_formula,
            latent.c.vector,
        )
        .join(iteration, iteration.c.id == suggested.c.iteration_id)
        .outerjoin(latent, latent.c.id == suggested.c.latent_id)
        .outerjoin(composition, composition.c.id == suggested.c.composition_id)
        .where(suggested.c.campaign_id == campaign_id, iteration.c.number == number)
        .order_by(suggested.c.rank)
    )
    return tx.execute(statement).all()


def initial_labels(tx: Transaction, campaign_id: int) -> dict[int, int]:
    """Label id by composition id of the initial set."""
    found = (
        select(training_set_member.c.composition_id, training_set_member.c.label_id)
        .join(campaign_set, campaign_set.c.training_set_id == training_set_member.c.training_set_id)
        .where(campaign_set.c.campaign_id == campaign_id, campaign_set.c.role == "initial")
    )
    return dict(tx.execute(found).all())


def decoded_before(tx: Transaction, campaign_id: int, number: int) -> dict[int, int | None]:
    """Label id (None where there is none) by composition id of everything decoded before iteration `number`."""
    found = (
        select(suggested.c.composition_id, func.max(suggested.c.label_id))
        .join(iteration, iteration.c.id == suggested.c.iteration_id)
        .where(
            suggested.c.campaign_id == campaign_id,
            iteration.c.number < number,
            suggested.c.composition_id.is_not(None),
            suggested.c.reason.is_distinct_from(OVER_BUDGET),
        )
        .group_by(suggested.c.composition_id)
    )
    return dict(tx.execute(found).all())


def seen_formulas(tx: Transaction, campaign_id: int, before: int) -> set[str]:
    """Reduced formulas of the initial set and of everything decoded before iteration `before`."""
    initial = (
        select(composition.c.reduced_formula)
        .join(training_set_member, training_set_member.c.composition_id == composition.c.id)
        .join(campaign_set, campaign_set.c.training_set_id == training_set_member.c.training_set_id)
        .where(campaign_set.c.campaign_id == campaign_id, campaign_set.c.role == "initial")
    )
    decoded = (
        select(composition.c.reduced_formula)
        .join(suggested, suggested.c.composition_id == composition.c.id)
        .join(iteration, iteration.c.id == suggested.c.iteration_id)
        .where(
            suggested.c.campaign_id == campaign_id,
            iteration.c.number < before,
            suggested.c.reason.is_distinct_from(OVER_BUDGET),
        )
    )
    return set(tx.execute(initial.union(decoded)).scalars())


def store_outcomes(
    tx: Transaction, activity_id: int, rows: Sequence[Mapping[str, object]], failures: Sequence[tuple[int, str]]
) -> None:
    """Write what decoding made of each suggestion, and the decode failures."""
    if rows:
        tx.execute(
            text(
                "UPDATE suggestion SET outcome = :outcome, composition_id = :composition_id, reason = :reason,"
                " decode_activity_id = :activity WHERE id = :id AND outcome IS NULL"
            ),
            [{**row, "activity": activity_id} for row in rows],
        )
    if failures:
        tx.execute(
            insert(decode_failure),
            [{"suggestion_id": row, "reason": reason, "activity_id": activity_id} for row, reason in failures],
        )


def labels_by(
    tx: Transaction, model_version_id: int, property_name: str, composition_ids: Iterable[int]
) -> dict[int, int]:
    """Label id by composition id, of what this model version has answered."""
    found = select(label.c.composition_id, label.c.id).where(
        label.c.model_version_id == model_version_id,
        label.c.property == property_name,
        label.c.composition_id.in_(list(composition_ids)),
    )
    return dict(tx.execute(found).all())


def measured(tx: Transaction, property_name: str, composition_ids: Iterable[int]) -> dict[int, int]:
    """Label id by composition id, of the first measurement of each that stands."""
    found = (
        select(label.c.composition_id, func.min(label.c.id))
        .where(
            label.c.measurement_id.is_not(None),
            label.c.property == property_name,
            label.c.composition_id.in_(list(composition_ids)),
            literal_column(stands("label"), Boolean),
        )
        .group_by(label.c.composition_id)
    )
    return dict(tx.execute(found).all())


def retracted(tx: Transaction, label_ids: Iterable[int]) -> set[int]:
    """Which of these labels were retracted."""
    return set(tx.execute(select(retraction.c.label_id).where(retraction.c.label_id.in_(list(label_ids)))).scalars())


def waiting(tx: Transaction, campaign_id: int) -> Sequence[AnyRow]:
    """The suggestions that wait for an answer, in order, with what the sampler expected.

    (id, iteration, rank, reduced_formula, posterior_mean, posterior_sd, acquisition, composition_id, expected,
    expected_sd): the last two in the property's unit.
    """
    return tx.execute(_WAITING, {"campaign": campaign_id}).all()


def has_asked(tx: Transaction, campaign_id: int, reduced_formula: str) -> bool:
    """Whether the campaign was charged for this composition, or has given it up."""
    found = (
        select(suggested.c.suggestion_id)
        .join(composition, composition.c.id == suggested.c.composition_id)
        .where(
            suggested.c.campaign_id == campaign_id,
            suggested.c.outcome.in_(("new", "unanswered")),
            composition.c.reduced_formula == reduced_formula,
        )
    )
    return tx.execute(found.limit(1)).first() is not None


def give_up(tx: Transaction, activity_id: int, suggestion_id: int, reason: str) -> bool:
    """Record that a suggestion that waits for a label gets none; whether it was still waiting."""
    tx.execute(select(suggestion.c.id).where(suggestion.c.id == suggestion_id).with_for_update(key_share=True))
    row = (suggested.c.suggestion_id, literal(reason), literal(activity_id))
    waits = select(*row).where(
        suggested.c.suggestion_id == suggestion_id, suggested.c.outcome == "new", suggested.c.label_id.is_(None)
    )
    new = insert(given_up).from_select(("suggestion_id", "reason", "activity_id"), waits)
    return tx.scalar(new.returning(given_up.c.suggestion_id)) is not None


def labels_in_set(tx: Transaction, training_set_id: int, composition_ids: Iterable[int]) -> dict[int, int]:
    """Label id by composition id, of the labels that a training set holds."""
    found = select(training_set_member.c.composition_id, training_set_member.c.label_id).where(
        training_set_member.c.training_set_id == training_set_id,
        training_set_member.c.composition_id.in_(list(composition_ids)),
    )
    return dict(tx.execute(found).all())


def store_oracle_labels(tx: Transaction, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert answers of an oracle; an answer that is there already stands."""
    tx.execute(upsert(label).on_conflict_do_nothing(), [dict(row) for row in rows])


def to_replace(tx: Transaction, campaign_id: int, label_id: int) -> list[int]:
    """The campaign's suggestions of the label's composition whose own label was retracted, and this one was not.

    Nobody else replaces theirs before the transaction ends.
    """
    found = text(
        "SELECT s.id FROM suggestion s JOIN label l ON l.composition_id = s.composition_id"
        " WHERE l.id = :label AND s.campaign_id = :campaign ORDER BY s.id FOR NO KEY UPDATE OF s"
    )
    ids = list(tx.execute(found, {"label": label_id, "campaign": campaign_id}).scalars())
    theirs = select(suggested.c.suggestion_id, suggested.c.label_id).where(
        suggested.c.suggestion_id.in_(ids), suggested.c.label_id.is_not(None)
    )
    label_ids = dict(tx.execute(theirs).all())
    withdrawn = retracted(tx, [label_id, *label_ids.values()])
    return [] if label_id in withdrawn else [row for row, its in label_ids.items() if its in withdrawn]


def replace_labels(tx: Transaction, activity_id: int, suggestion_ids: Iterable[int], label_id: int) -> None:
    """Give suggestions another label than their last."""
    tx.execute(
        text(
            "INSERT INTO label_replacement (suggestion_id, number, label_id, composition_id, activity_id)"
            " SELECT s.id, (SELECT count(*) + 1 FROM label_replacement r WHERE r.suggestion_id = s.id), :label,"
            " s.composition_id, :activity FROM suggestion s WHERE s.id = ANY (:ids)"
        ),
        {"ids": list(suggestion_ids), "label": label_id, "activity": activity_id},
    )


def attach_labels(tx: Transaction, activity_id: int, rows: Sequence[tuple[int, int]]) -> None:
    """Point suggestions to the labels they use: (suggestion id, label id)."""
    tx.execute(
        text("UPDATE suggestion SET label_id = :label, label_activity_id = :activity WHERE id = :id"),
        [{"id": row, "label": label_id, "activity": activity_id} for row, label_id in rows],
    )
