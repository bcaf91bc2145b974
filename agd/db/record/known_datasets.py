"""What campaigns and models take for known: datasets, and the compositions that they list."""

from collections.abc import Sequence

from sqlalchemy import func, insert, select

from agd.db.connection import Transaction
from agd.db.tables import campaign_known, composition, dataset, dataset_row, training_set_source


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
