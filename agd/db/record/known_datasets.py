"""What campaigns and models take for known: datasets, and the compositions that they list."""

from collections.abc import Sequence

from sqlalchemy import bindparam, func, insert, select, text

from agd.db.connection import Transaction
from agd.db.plausible_labels import teaches
from agd.db.tables import campaign_known, composition, dataset, dataset_row, training_set_source

# Compared with the datasets that the oracle learned from, and with the word of a model for what these do not hold.
_DEARER = text(f"""
WITH own AS (SELECT s.dataset_id FROM campaign_set q JOIN training_set_source s USING (training_set_id)
             WHERE q.campaign_id = :campaign AND q.role = :role)
SELECT DISTINCT ON (l.composition_id) l.composition_id, l.id
FROM campaign_known k JOIN dataset d ON d.id = k.dataset_id JOIN method m ON m.name = d.method
JOIN label l ON l.dataset_id = d.id
WHERE k.campaign_id = :campaign AND d.property = :property AND l.composition_id IN :compositions AND {teaches("l")}
  AND m.kind <> 'unstated' AND d.id NOT IN (SELECT dataset_id FROM own)
  AND m.fidelity > coalesce((SELECT max(t.fidelity) FROM label w JOIN own ON own.dataset_id = w.dataset_id
                             JOIN dataset e ON e.id = w.dataset_id JOIN method t ON t.name = e.method
                             WHERE w.composition_id = l.composition_id AND w.property = l.property),
                            (SELECT t.fidelity FROM method t WHERE t.name = 'model'))
ORDER BY l.composition_id, m.fidelity DESC, l.id DESC
""").bindparams(bindparam("compositions", expanding=True))


def store(tx: Transaction, campaign_id: int, dataset_ids: Sequence[int], activity_id: int) -> None:
    """Pin the datasets whose compositions count as known."""
    rows = [{"campaign_id": campaign_id, "dataset_id": row, "activity_id": activity_id} for row in dataset_ids]
    if rows:
        tx.execute(insert(campaign_known), rows)


def of(tx: Transaction, campaign_id: int) -> dict[int, str]:
    """The recipes of the datasets whose compositions count as known, by id, in one order for every record."""
    found = (
        select(dataset.c.id, dataset.c.recipe_sha256)
        .join(campaign_known, campaign_known.c.dataset_id == dataset.c.id)
        .where(campaign_known.c.campaign_id == campaign_id)
        .order_by(dataset.c.recipe_sha256)
    )
    return dict(tx.execute(found).all())


def of_training_set(tx: Transaction, training_set_id: int) -> dict[int, str]:
    """The recipes of the datasets that a training set was drawn from, by id, in one order for every record."""
    found = (
        select(dataset.c.id, dataset.c.recipe_sha256)
        .join(training_set_source, training_set_source.c.dataset_id == dataset.c.id)
        .where(training_set_source.c.training_set_id == training_set_id)
        .order_by(dataset.c.recipe_sha256)
    )
    return dict(tx.execute(found).all())


def formulas_of(tx: Transaction, dataset_ids: Sequence[int]) -> list[str]:
    """Reduced formulas of datasets, each once, in one order for every record."""
    found = (
        select(composition.c.reduced_formula)
        .where(
            composition.c.id.in_(
                select(dataset_row.c.composition_id).where(dataset_row.c.dataset_id.in_(list(dataset_ids)))
            )
        )
        .order_by(composition.c.reduced_formula.collate("C"))
    )
    return list(tx.execute(found).scalars())


def size_of(tx: Transaction, dataset_id: int) -> tuple[str, int]:
    """The recipe of a dataset, and how many compositions it has."""
    n_rows = select(func.count()).select_from(dataset_row).where(dataset_row.c.dataset_id == dataset_id)
    found = select(dataset.c.recipe_sha256, n_rows.scalar_subquery()).where(dataset.c.id == dataset_id)
    recipe_sha256, n = tx.execute(found).one()
    return recipe_sha256, n


def dearer_labels(
    tx: Transaction, campaign_id: int, role: str, property_name: str, composition_ids: Sequence[int]
) -> dict[int, int]:
    """Label id by composition id, of datasets that the campaign takes for known and that state their method.

    `role` is that of the oracle of the property.

    Only where its fidelity is above that of what the oracle learned from, or else of the oracle's own word: the highest
    one, the newest of these.
    """
    values = {"campaign": campaign_id, "role": role, "property": property_name, "compositions": list(composition_ids)}
    return dict(tx.execute(_DEARER, values).all())
