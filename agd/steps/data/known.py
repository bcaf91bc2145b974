"""Compositions that count as known, and the filter of whoever takes them for known."""

from collections.abc import Mapping

from agd.chem.analogues import Analogues
from agd.db.connection import Transaction
from agd.db.record import known_datasets
from agd.errors import InputError
from agd.filters import Filter, FilterOptions
from agd.steps.data.compositions import counts_of
from agd.types import Counts

# Datasets never change, so the last ones are read once in a process: by their recipes, and by the table itself.
_MOST_READ = 2
_read: dict[tuple[str, ...], Counts] = {}
_indexed: dict[int, tuple[Counts, Analogues]] = {}


def compositions_of(tx: Transaction, recipes: Mapping[int, str]) -> Counts:
    """The compositions `[r, 103]` of datasets, each once, by formula; the datasets by id, with their recipes."""
    key = tuple(recipes.values())
    if key not in _read:
        while len(_read) >= _MOST_READ:
            del _read[next(iter(_read))]
        _read[key] = counts_of(known_datasets.formulas_of(tx, list(recipes)))
        _read[key].flags.writeable = False
    return _read[key]


def filter_of(options: FilterOptions, known: Counts | None) -> Filter:
    """The filter of these options for whoever takes these compositions `[r, 103]` for known."""
    return Filter(options, _analogues(known) if known is not None and options.asks_what_is_known else None)


def filter_among(tx: Transaction, options: FilterOptions, recipes: Mapping[int, str], whose: str) -> Filter:
    """The filter that somebody asks for where the compositions of these datasets are known, by id with their recipes.

    Raises:
        InputError: it asks for what is known, and there is no dataset.
    """
    if not options.asks_what_is_known:
        return Filter(options)
    if not recipes:
        name = "is_known_or_analogue" if options.is_known_or_analogue else "max_radius_ratio"
        raise InputError(f"--filter {name}: {whose} takes no dataset for known: ask without it")
    return filter_of(options, compositions_of(tx, recipes))


def _analogues(known: Counts) -> Analogues:
    if id(known) not in _indexed:
        _indexed.clear()
        _indexed[id(known)] = (known, Analogues.of(known))  # held, so that no other table gets its id
    return _indexed[id(known)][1]
