"""Screenings: a pool, the criteria, the screener that applied them, and what was left at each stage."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import AnyRow, Transaction
from agd.db.record import stages as counts
from agd.db.record.datasets import Ids, copy_in
from agd.db.tables import screening

_OVERVIEW = """
SELECT g.id AS screening_id, k.name AS campaign, g.role, g.source AS pool, g.source_sha256 AS pool_sha256,
       d.name AS dataset, g.criteria, g.recipe_sha256, m.property, p.unit, g.model_version_id, m.plugin AS screener,
       m.tensors_sha256 AS screener_sha256, m.metrics, t.n_members, a.started_at, a.ended_at - a.started_at AS duration,
       a.agd_version, a.host, first.n_left AS n_read, coalesce(hits.n, 0) AS n_hits
FROM screening g
LEFT JOIN campaign k ON k.id = g.campaign_id
JOIN model_version m ON m.id = g.model_version_id
JOIN training_set t ON t.id = m.training_set_id
JOIN property p ON p.name = m.property
JOIN activity a ON a.id = g.activity_id
LEFT JOIN dataset d ON d.id = g.dataset_id
LEFT JOIN stage first ON first.activity_id = g.activity_id AND first.role = g.role AND first.position = 1
LEFT JOIN LATERAL (SELECT count(*) AS n FROM screening_hit h WHERE h.screening_id = g.id) hits ON true
"""

_HITS = text("""
SELECT h.rank, c.reduced_formula, h.value, h.uncertainty, h.line, h.formula, other.rank AS other_rank
FROM screening_hit h
JOIN composition c ON c.id = h.composition_id
LEFT JOIN screening_hit other ON other.screening_id = :other AND other.composition_id = h.composition_id
WHERE h.screening_id = :screening ORDER BY h.rank LIMIT :n
""")

_SHARED = text("""
SELECT count(*) FROM screening_hit a JOIN screening_hit b ON b.composition_id = a.composition_id
WHERE a.screening_id = :one AND b.screening_id = :other
""")

_DATASET_ROWS = text("""
SELECT r.line, c.reduced_formula, r.formula FROM dataset_row r JOIN composition c ON c.id = r.composition_id
WHERE r.dataset_id = :dataset AND r.composition_id = ANY (:ids) ORDER BY r.line
""")


def find(tx: Transaction, recipe_sha256: str) -> int | None:
    """The id of the screening of this recipe."""
    return tx.execute(select(screening.c.id).where(screening.c.recipe_sha256 == recipe_sha256)).scalar_one_or_none()


def store(tx: Transaction, values: Mapping[str, object]) -> int | None:
    """Insert a screening and return its id, None where its recipe is there already."""
    new = upsert(screening).values(**values).on_conflict_do_nothing().returning(screening.c.id)
    return tx.execute(new).scalar_one_or_none()


def store_hits(tx: Transaction, screening_id: int, rows: Iterable[tuple[int, int, str, float, float]]) -> None:
    """Insert (composition id, line of the pool, formula as spelled there, value, uncertainty), the best first."""
    columns = ("screening_id", "rank", "composition_id", "line", "formula", "value", "uncertainty")
    copy_in(tx, "screening_hit", columns, ((screening_id, rank, *row) for rank, row in enumerate(rows, start=1)))


def overview(
    tx: Transaction, *, campaign: str | None = None, screening_ids: Sequence[int] | None = None
) -> Sequence[AnyRow]:
    """Screenings with their pool, screener, size and duration, oldest first: of a campaign, by id, or all."""
    where = "WHERE (CAST(:campaign AS text) IS NULL OR k.name = :campaign)"
    where += " AND (CAST(:ids AS bigint[]) IS NULL OR g.id = ANY (:ids))"
    ids = None if screening_ids is None else list(screening_ids)
    return tx.execute(text(f"{_OVERVIEW} {where} ORDER BY g.id"), {"campaign": campaign, "ids": ids}).all()


def stages(tx: Transaction, screening_id: int) -> dict[str, int]:
    """The number left by stage, in order."""
    made = tx.execute(select(screening.c.activity_id, screening.c.role).where(screening.c.id == screening_id)).one()
    return {row.name: row.n_left for row in counts.of(tx, *made)}


def top_hits(tx: Transaction, screening_id: int, n: int, other: int | None = None) -> Sequence[AnyRow]:
    """The first `n` hits, each with its rank in the screening `other`, NULL where it is none there."""
    return tx.execute(_HITS, {"screening": screening_id, "n": n, "other": other}).all()


def n_shared(tx: Transaction, one: int, other: int) -> int:
    """How many compositions are hits of both screenings."""
    return int(tx.execute(_SHARED, {"one": one, "other": other}).scalar_one())


def dataset_ids(tx: Transaction, dataset_id: int, limit: int | None) -> Ids:
    """Composition ids `[n]` of a dataset in the order of its source."""
    import numpy as np

    found = tx.execution_options(stream_results=True).execute(
        text("SELECT composition_id FROM dataset_row WHERE dataset_id = :dataset ORDER BY line LIMIT :limit"),
        {"dataset": dataset_id, "limit": limit},
    )
    return np.fromiter(found.scalars(), dtype=np.int64)


def dataset_rows(tx: Transaction, dataset_id: int, composition_ids: Ids) -> Sequence[AnyRow]:
    """(line, reduced_formula, formula as spelled) of some compositions of a dataset, in the order of its source."""
    return tx.execute(_DATASET_ROWS, {"dataset": dataset_id, "ids": composition_ids.tolist()}).all()
