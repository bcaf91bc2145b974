"""What a campaign takes for known, and what it lets through."""

from agd.chem.analogues import Analogues
from agd.db import campaigns
from agd.db.connection import Transaction
from agd.filters import Filter, Trims
from agd.spec import FilterSpec
from agd.steps.campaign.campaigns import Campaign
from agd.steps.data.compositions import counts_of
from agd.types import Counts


def reference(tx: Transaction, campaign: Campaign) -> Counts | None:
    """The compositions `[r, 103]` that the campaign takes for known, by formula; None where nobody asks.

    Asked are they by a sampler that makes compositions, and by a filter.
    """
    spec = campaign.spec
    if spec.sampler.space() != "formula" and not spec.filter.is_known_or_analogue:
        return None
    dataset_ids = campaigns.known_of(tx, campaign.id)
    return counts_of(campaigns.formulas_of(tx, dataset_ids)) if dataset_ids else None


def filter_of(rule: FilterSpec, known: Counts | None) -> Filter:
    """The filter of a campaign that takes these compositions `[r, 103]` for known."""
    return Filter(
        is_charge_neutral=rule.is_charge_neutral,
        is_electronegativity_balanced=rule.is_electronegativity_balanced,
        is_smact_valid=rule.is_smact_valid,
        trims=Trims(rule.max_elements, rule.max_atoms, rule.max_count),
        elements_allowed=rule.elements_allowed,
        elements_denied=rule.elements_denied,
        must_contain=rule.must_contain,
        has_metal=rule.has_metal,
        is_neutral_in_common_states=rule.is_neutral_in_common_states,
        analogues=Analogues.of(known) if rule.is_known_or_analogue and known is not None else None,
    )
