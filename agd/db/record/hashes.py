"""Hashes of searches and datasets: computed by the database, kept as rows, compared by `agd doctor`.

A hash of a search says how many steps it covers. What a step wrote is written once, so the hash can be computed anew
when the search has gone on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from agd.db.connection import AnyRow, Transaction

SEARCH = "agd_content_hash_v3"
WITH_LATER = "agd_content_hash_v3_with_later"
DATASET = "agd_dataset_hash_v1"

COVERS = {
    "agd_content_hash_v2": "the specification with the campaign's name, the search, and what came after it",
    SEARCH: "the search alone, under any name: specification, first rows, models, suggestions and their first answers",
    WITH_LATER: "the search, and what came after it: retractions, labels told anew, reasons, screenings",
}
"""What goes into the hash of a campaign, by function."""


@dataclass(frozen=True, slots=True)
class ContentHash:
    """The hash of a campaign, the function that gave it, and what that covers."""

    function: str
    sha256: str

    @property
    def covers(self) -> str:
        """What goes into it, in words."""
        return COVERS[self.function]


_KEEP_SEARCH = """
INSERT INTO campaign_hash (campaign_id, function, n_steps, sha256, activity_id)
SELECT k.id, :function, now.n_steps, agd_content_hash_v3(k.name, now.n_steps), last.activity_id
FROM campaign k
CROSS JOIN LATERAL (SELECT agd_search_progress(k.id) AS n_steps) now
CROSS JOIN LATERAL (SELECT coalesce(
    (SELECT max(a.id) FROM activity a WHERE a.campaign_id = k.id AND a.outcome = 'done'
     AND a.lease_expires_at IS NOT NULL),
    (SELECT max(q.activity_id) FROM campaign_set q WHERE q.campaign_id = k.id)) AS activity_id) last
WHERE {which} AND NOT EXISTS (SELECT FROM campaign_hash h
                              WHERE h.campaign_id = k.id AND h.function = :function AND h.n_steps = now.n_steps)
ON CONFLICT DO NOTHING
"""

_KEEP_DATASET = text("""
INSERT INTO dataset_hash (dataset_id, function, sha256, activity_id)
SELECT id, :function, agd_dataset_hash_v1(id), activity_id FROM dataset WHERE id = :dataset
""")

_SEARCHES = text("""
SELECT k.name, h.n_steps, h.made_at, h.sha256
FROM campaign_hash h JOIN campaign k ON k.id = h.campaign_id WHERE h.function = :function ORDER BY k.id, h.n_steps
""")

_DATASETS = text("""
SELECT d.id, d.name, h.made_at, h.sha256
FROM dataset d LEFT JOIN dataset_hash h ON h.dataset_id = d.id AND h.function = :function ORDER BY d.id
""")

_WITHOUT = text("""
SELECT k.name FROM campaign k WHERE k.end_reason IS NOT NULL AND NOT EXISTS (
    SELECT FROM campaign_hash h WHERE h.campaign_id = k.id AND h.n_steps = agd_search_progress(k.id)) ORDER BY k.id
""")


def of_campaign(tx: Transaction, name: str, *, with_later: bool = False) -> ContentHash | None:
    """The hash of a campaign by the function that it was begun with; None where there is no such campaign.

    That of version 2 covers what came later in any case.
    """
    version = tx.scalar(text("SELECT hash_version FROM campaign WHERE name = :name"), {"name": name})
    if version is None:
        return None
    function = f"agd_content_hash_v{version}" if version == 2 or not with_later else WITH_LATER  # noqa: PLR2004
    return ContentHash(function, str(tx.scalar(text(f"SELECT {function}(:name)"), {"name": name})))


def keep_search(tx: Transaction, campaign_id: int) -> None:
    """Keep the hash of a search as far as it has come, unless it is kept already."""
    tx.execute(text(_KEEP_SEARCH.format(which="k.id = :campaign")), {"function": SEARCH, "campaign": campaign_id})


def keep_ended(tx: Transaction, campaign_id: int) -> None:
    """Keep the hash of a search that has ended, unless it is kept already."""
    which = "k.id = :campaign AND k.ended_at IS NOT NULL"
    tx.execute(text(_KEEP_SEARCH.format(which=which)), {"function": SEARCH, "campaign": campaign_id})


def keep_dataset(tx: Transaction, dataset_id: int) -> None:
    """Keep the hash of a dataset; its rows, labels and rejects are there."""
    tx.execute(_KEEP_DATASET, {"function": DATASET, "dataset": dataset_id})


def searches(tx: Transaction) -> Sequence[AnyRow]:
    """The hashes that were kept of searches (name, n_steps, made_at, sha256), by campaign and steps."""
    return tx.execute(_SEARCHES, {"function": SEARCH}).all()


def datasets(tx: Transaction) -> Sequence[AnyRow]:
    """Every dataset (id, name) with the hash that was kept of it (made_at, sha256), NULL where none is."""
    return tx.execute(_DATASETS, {"function": DATASET}).all()


def ended_without(tx: Transaction) -> list[str]:
    """Names of the campaigns that have ended and have no hash of their end."""
    return list(tx.execute(_WITHOUT).scalars())


def search_now(tx: Transaction, name: str, n_steps: int) -> str:
    """The hash of a search up to so many steps, as the rows are now."""
    return str(tx.scalar(text(f"SELECT {SEARCH}(:name, :n_steps)"), {"name": name, "n_steps": n_steps}))


def dataset_now(tx: Transaction, dataset_id: int) -> str:
    """The hash of a dataset as its rows are now."""
    return str(tx.scalar(text(f"SELECT {DATASET}(:dataset)"), {"dataset": dataset_id}))


def told_steps(n_steps: int) -> str:
    """How far a search had come, in words."""
    if n_steps < 2:  # noqa: PLR2004  no iteration has begun
        return ("opened", "given its first latents")[n_steps]
    iteration, step = divmod(n_steps - 2, 4)
    return f"{('suggested', 'decoded', 'labelled', 'recorded')[step]} up to iteration {iteration + 1}"
