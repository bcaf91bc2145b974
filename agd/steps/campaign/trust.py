"""Trust: how much labels weigh for what a sampler learns, by their method or by the dataset that they come from."""

from collections.abc import Sequence

import numpy as np

from agd import registry
from agd.db.connection import Transaction
from agd.db.record import datasets, methods
from agd.errors import SpecError
from agd.nets.surrogates import WEIGHING
from agd.spec import ResolvedSpec
from agd.steps.campaign.campaigns import Campaign
from agd.types import Floats


def check_trust(tx: Transaction, resolved: ResolvedSpec) -> None:
    """Raise SpecError where trust names neither a method nor a dataset, or nothing that learns can weigh labels."""
    spec = resolved.spec
    if not spec.trust:
        return
    if getattr(spec.sampler.options(), "surrogate", None) not in WEIGHING:
        raise SpecError(
            f"{resolved.place('trust')}: the sampler {spec.sampler.kind!r} weighs no labels: take one with surrogate "
            f"{' or '.join(WEIGHING)}, or leave [trust] out"
        )
    known = [row.name for row in methods.overview(tx)] + datasets.names(tx)
    for name in spec.trust:
        if name not in known:
            hint = registry.suggestion(name, known)
            raise SpecError(f"{resolved.place('trust', name)}: {name!r} is neither a method nor a dataset{hint}")


def weights_of(tx: Transaction, campaign: Campaign, number: int, formulas: Sequence[str | None]) -> Floats | None:
    """How much the labels of points weigh `[n]` that a campaign has before an iteration; None where all weigh the same.

    The formulas are what the points stand for. A dataset that is named goes before its method.
    """
    trust = campaign.spec.trust
    if not trust:
        return None
    found = {
        row.reduced_formula: trust.get(row.dataset or "", trust.get(row.method, 1.0))
        for row in methods.of_labels(tx, campaign.id, number)
    }
    return np.array([found.get(formula or "", 1.0) for formula in formulas], dtype=np.float64)
