"""What a campaign takes for known, and what it knows of its further properties."""

from collections.abc import Sequence

import numpy as np

from agd.db.connection import Transaction
from agd.db.record import known_datasets, properties
from agd.steps.campaign.campaigns import Campaign
from agd.steps.data.known import compositions_of
from agd.types import Counts, Floats


def reference(tx: Transaction, campaign: Campaign) -> Counts | None:
    """The compositions `[r, 103]` that the campaign takes for known, by formula; None where nobody asks.

    Asked are they by a sampler that makes compositions, and by a filter.
    """
    spec = campaign.spec
    if spec.sampler.space() != "formula" and not spec.filter.asks_what_is_known:
        return None
    recipes = known_datasets.of(tx, campaign.id)
    return compositions_of(tx, recipes) if recipes else None


def further_values(tx: Transaction, campaign: Campaign, before: int, formulas: Sequence[str | None]) -> Floats | None:
    """Values `[p, n]` of the properties besides the first that are known of compositions before an iteration.

    NaN where none is; None where the campaign seeks no other property.
    """
    further = campaign.spec.goals[1:]
    if not further:
        return None
    known = [properties.values(tx, campaign.id, goal.position, goal.initial_role, before) for goal in further]
    return np.array([[of.get(formula or "", np.nan) for formula in formulas] for of in known], dtype=np.float64)
