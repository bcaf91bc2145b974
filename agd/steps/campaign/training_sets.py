"""What a screener learns from a campaign: its initial labels, and those that its suggestions brought."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Literal, TypeAlias

from agd.db.connection import AnyRow, Transaction
from agd.db.record import campaigns, models
from agd.db.record.models import FromCampaign, FromDataset, Part
from agd.errors import InputError, NotFoundError
from agd.seeds import derive_seed
from agd.steps.campaign.campaigns import Campaign
from agd.steps.models.training_sets import members_of

Labels: TypeAlias = Literal["initial", "al"]
"""What a screener learns from: the campaign's initial labels, or those and every label its suggestions brought."""


def of_campaign(
    tx: Transaction, campaign: Campaign, labels: Labels, *, share: float, seed: int, also: Sequence[str] = ()
) -> list[Part]:
    """What a screener of the campaign learns from, up to its last recorded iteration.

    Held-out rows are drawn among the initial labels and among the campaign's own one by one, so that two screeners of
    one seed hold the same initial rows out. `also` names campaigns whose own labels come with the campaign's: of random
    compositions, for instance, beside those of a search. A composition that several labelled is there once.

    Raises:
        NotFoundError: there is no such campaign.
        InputError: every label was retracted; or another campaign is of another property.
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
        known = {row.composition_id for row in initial}
        for name in dict.fromkeys((campaign.name, *also)):
            row = _searched(tx, name, campaign.spec.target.property)
            last = models.last_recorded(tx, row.id)
            rows = [one for one in models.learned_labels(tx, row.id, last) if one.composition_id not in known]
            known |= {one.composition_id for one in rows}
            word = "al" if name == campaign.name else f"al {row.spec_sha256}"
            source = FromCampaign(row.id, row.spec_sha256, last)
            parts.append(Part(source, members_of(rows, share, derive_seed(seed, word))))
    if not any(part.members for part in parts):
        raise InputError(f"campaign {campaign.name!r} has no label left to learn from: all of them were retracted")
    return parts


def _searched(tx: Transaction, name: str, property_name: str) -> AnyRow:
    """The campaign of that name, whose labels are of the property."""
    row = campaigns.find(tx, name)
    if row is None:
        raise NotFoundError(f"--also-labels-of: no campaign {name!r}: see `agd list`")
    if row.property != property_name:
        raise InputError(f"--also-labels-of {name}: its labels are of {row.property}, not of {property_name}")
    return row


def _by_dataset(rows: Iterable[AnyRow]) -> Iterable[list[AnyRow]]:
    return (list(group) for _, group in groupby(rows, key=lambda row: row.dataset_id))
