"""What models were found to be worth on datasets."""

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import Transaction
from agd.db.tables import evaluation


def find(tx: Transaction, model_version_id: int, dataset_id: int, n_rows: int) -> dict[str, float]:
    """Metrics by name of a model on `n_rows` labels of a dataset; empty where it was not judged on as many."""
    found = tx.execute(
        text(
            "SELECT metric, value FROM evaluation"
            " WHERE model_version_id = :model AND dataset_id = :dataset AND n_rows = :n_rows"
        ),
        {"model": model_version_id, "dataset": dataset_id, "n_rows": n_rows},
    )
    return {row.metric: row.value for row in found}


def store(tx: Transaction, judged: Mapping[str, object], metrics: Mapping[str, float]) -> None:
    """Insert metrics, keeping those that are there; `judged` are the other columns, which they share."""
    rows = [{**judged, "metric": metric, "value": value} for metric, value in metrics.items()]
    tx.execute(upsert(evaluation).on_conflict_do_nothing(), rows)
