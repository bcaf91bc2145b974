"""What a campaign takes for known, and what it lets through."""

from collections.abc import Mapping

from agd.chem.analogues import Analogues
from agd.db.connection import Transaction
from agd.db.record import known_datasets
from agd.filters import Filter, Trims
from agd.spec import FilterSpec
from agd.steps.campaign.campaigns import Campaign
from agd.steps.data.compositions import counts_of
from agd.types import Counts

# Datasets never change, so the last ones are read once in a process: by their recipes, and by the table itself.
_MOST_READ = 2
_read: dict[tuple[str, ...], Counts] = {}
_indexed: dict[int, tuple[Counts, Analogues]] = {}


def reference(tx: Transaction, campaign: Campaign) -> Counts | None:
    """The compositions `[r, 103]` that the campaign takes for known, by formula; None where nobody asks.

    Asked are they by a sampler that makes compositions, and by a filter.
    """
    spec = campaign.spec
    if spec.sampler.space() != "formula" and not spec.filter.is_known_or_analogue:
        return None
    recipes = known_datasets.of(tx, campaign.id)
    return compositions_of(tx, recipes) if recipes else None


def compositions_of(tx: Transaction, recipes: Mapping[int, str]) -> Counts:
    """The compositions `[r, 103]` of datasets, each once, by formula; the datasets by id, with their recipes."""
    key = tuple(recipes.values())
    if key not in _read:
        while len(_read) >= _MOST_READ:
            del _read[next(iter(_read))]
        _read[key] = counts_of(known_datasets.formulas_of(tx, list(recipes)))
        _read[key].flags.writeable = False
    return _read[key]


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
        analogues=None if known is None or not rule.is_known_or_analogue else _analogues(known),
    )


def _analogues(known: Counts) -> Analogues:
    if id(known) not in _indexed:
        _indexed.clear()
        _indexed[id(known)] = (known, Analogues.of(known))  # held, so that no other table gets its id
    return _indexed[id(known)][1]
