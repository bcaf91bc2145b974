"""Candidates: the rows of a pool that a sampler may choose from."""

from collections.abc import Set as AbstractSet

from agd.db.connection import Transaction
from agd.db.record import campaigns, known_datasets
from agd.protocols import CandidateOptions
from agd.steps.campaign.campaigns import Campaign
from agd.steps.data.compositions import counts_of
from agd.steps.data.known import compositions_of
from agd.types import Counts

_GROWTH = 4


def draw(tx: Transaction, campaign: Campaign, seed: int, seen: AbstractSet[str]) -> Counts | None:
    """Random rows `[k, 103]` of the campaign's pool that are not seen and can be encoded, in the order of the seed.

    A batch of them, or all that are left; None where the campaign draws from no pool. A sampler that weighs more of
    them gets what its options say, seen ones too: the whole pool in one order for all iterations, where it is no
    larger.
    """
    dataset_id = campaigns.pool_of(tx, campaign.id)
    if dataset_id is None:
        return None
    options = campaign.spec.sampler.options()
    if isinstance(options, CandidateOptions):
        return _fitting(campaign, _weighed(tx, dataset_id, seed, options.n_candidates))
    n = campaign.spec.budget.suggestions_per_iteration
    n_drawn = 2 * n + len(seen)
    while True:
        drawn = campaigns.drawn(tx, dataset_id, seed, n_drawn)
        counts = counts_of([formula for formula in drawn if formula not in seen])
        candidates = _fitting(campaign, counts)
        if len(candidates) >= n or len(drawn) < n_drawn:
            return candidates[:n]
        n_drawn *= _GROWTH


def _weighed(tx: Transaction, dataset_id: int, seed: int, n: int) -> Counts:
    recipe_sha256, n_rows = known_datasets.size_of(tx, dataset_id)
    if n_rows <= n:
        return compositions_of(tx, {dataset_id: recipe_sha256})
    return counts_of(campaigns.drawn(tx, dataset_id, seed, n))


def _fitting(campaign: Campaign, counts: Counts) -> Counts:
    return counts[campaign.spec.fits_latents(counts)]
