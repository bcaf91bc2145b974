"""Candidates: the rows of a pool that a sampler may choose from."""

from collections.abc import Set as AbstractSet

from agd.db.connection import Transaction
from agd.db.record import campaigns
from agd.steps.campaign.campaigns import Campaign
from agd.steps.data.compositions import counts_of
from agd.types import Counts

_GROWTH = 4


def draw(tx: Transaction, campaign: Campaign, seed: int, seen: AbstractSet[str]) -> Counts | None:
    """Random rows `[k, 103]` of the campaign's pool that are not seen and can be encoded, in the order of the seed.

    A batch of them, or all that are left; None where the campaign draws from no pool.
    """
    dataset_id = campaigns.pool_of(tx, campaign.id)
    if dataset_id is None:
        return None
    n = campaign.spec.budget.suggestions_per_iteration
    n_drawn = 2 * n + len(seen)
    while True:
        drawn = campaigns.drawn(tx, dataset_id, seed, n_drawn)
        counts = counts_of([formula for formula in drawn if formula not in seen])
        candidates = counts[campaign.spec.autoencoder.is_representable(counts)]
        if len(candidates) >= n or len(drawn) < n_drawn:
            return candidates[:n]
        n_drawn *= _GROWTH
