"""What a screener learns from a campaign: its initial labels, and those that its suggestions brought."""

from collections.abc import Iterable
from itertools import groupby
from typing import Literal, TypeAlias

from agd.db.connection import AnyRow, Transaction
from agd.db.record import campaigns, models
from agd.db.record.models import FromCampaign, FromDataset, Part
from agd.errors import InputError
from agd.seeds import derive_seed
from agd.steps.campaign.campaigns import Campaign
from agd.steps.models.training_sets import members_of

Labels: TypeAlias = Literal["initial", "al"]
"""What a screener learns from: the campaign's initial labels, or those and every label its suggestions brought."""


def of_campaign(tx: Transaction, campaign: Campaign, labels: Labels, *, share: float, seed: int) -> list[Part]:
    """What a screener of the campaign learns from, up to its last recorded iteration.

    Held-out rows are drawn among the initial labels and among the campaign's own one by one, so that two screeners of
    one seed hold the same initial rows out.

    Raises:
        InputError: every label was retracted.
    """
    initial = models.initial_labels(tx, campaign.id)
    parts = [
        Part(
            FromDataset(rows[0].dataset_id, rows[0].recipe_sha256),
            members_of(rows, share, derive_seed(seed, "initial")),
        )
        for rows in _by_dataset(initial)
    ]
    if labels == "al":
        last = models.last_recorded(tx, campaign.id)
        known = {row.composition_id for row in initial}
        rows = [row for row in models.learned_labels(tx, campaign.id, last) if row.composition_id not in known]
        row = campaigns.find(tx, campaign.name)
        assert row is not None  # noqa: S101  it was found by this name
        source = FromCampaign(campaign.id, row.spec_sha256, last)
        parts.append(Part(source, members_of(rows, share, derive_seed(seed, "al"))))
    if not any(part.members for part in parts):
        raise InputError(f"campaign {campaign.name!r} has no label left to learn from: all of them were retracted")
    return parts


def _by_dataset(rows: Iterable[AnyRow]) -> Iterable[list[AnyRow]]:
    return (list(group) for _, group in groupby(rows, key=lambda row: row.dataset_id))
