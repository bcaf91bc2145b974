"""What a campaign takes for known."""

from agd.db.connection import Transaction
from agd.db.record import known_datasets
from agd.steps.campaign.campaigns import Campaign
from agd.steps.data.known import compositions_of
from agd.types import Counts


def reference(tx: Transaction, campaign: Campaign) -> Counts | None:
    """The compositions `[r, 103]` that the campaign takes for known, by formula; None where nobody asks.

    Asked are they by a sampler that makes compositions, and by a filter.
    """
    spec = campaign.spec
    if spec.sampler.space() != "formula" and not spec.filter.asks_what_is_known:
        return None
    recipes = known_datasets.of(tx, campaign.id)
    return compositions_of(tx, recipes) if recipes else None
