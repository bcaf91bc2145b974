"""Magpie composition descriptors (10.1038/npjcompumats.2016.28), equal to matminer's preset, for whole tables."""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from agd.chem.arity import Group, by_arity
from agd.chem.elements import MAGPIE_PROPERTIES, magpie_properties
from agd.errors import InputError
from agd.types import Counts, Floats

MAGPIE_STATISTICS: Final = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")

MAGPIE_FEATURES: Final[tuple[str, ...]] = tuple(
    f"MagpieData {statistic} {name}" for name in MAGPIE_PROPERTIES for statistic in MAGPIE_STATISTICS
)
"""The 132 features in matminer's order: property by property, six statistics each."""


def magpie(counts: Counts, dtype: DTypeLike = np.float64) -> NDArray[np.floating]:
    """Describe compositions `[n, 103]` by `[n, 132]` features, each row independent of the others.

    A value that an element lacks (melting point of He and Fr; electronegativity of He, Ne, Ar, Rn, Lr; covalent radius
    of Bk to Lr; space group of At, Rn, Fr, Es to Lr) is the mean over the elements that have one, as in matminer with
    `impute_nan=True`: features are always finite. Raises InputError for a row without atoms.
    """
    is_empty = ~counts.any(axis=1)
    if is_empty.any():
        raise InputError(f"row {int(np.argmax(is_empty))} of the counts has no atoms: it has no descriptors")
    features = np.empty((len(counts), len(MAGPIE_PROPERTIES), len(MAGPIE_STATISTICS)), dtype)
    for group in by_arity(counts, block=4096):
        features[group.rows] = _statistics(group)
    return features.reshape(len(counts), len(MAGPIE_FEATURES))


def magpie_and_fractions(counts: Counts) -> NDArray[np.float32]:
    """Magpie descriptors and the fraction of each element `[n, 235]` of compositions `[n, 103]`.

    Raises InputError for a row without atoms.
    """
    descriptors = magpie(counts, np.float32)
    fractions = (counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.concatenate([descriptors, fractions], axis=1, dtype=np.float32)


@cache
def _imputed() -> Floats:
    table = magpie_properties()
    return np.where(np.isnan(table), np.nanmean(table, axis=0), table)


def _statistics(group: Group) -> Floats:
    """Return `[m, 22, 6]`; the mode is the property of the most abundant element, the least of several."""
    values = _imputed()[group.columns]
    fractions = (group.amounts / group.amounts.sum(axis=0))[:, :, None]
    is_most_abundant = (group.amounts == group.amounts.max(axis=0))[:, :, None]
    minimum, maximum, mean = values.min(axis=0), values.max(axis=0), (values * fractions).sum(axis=0)
    deviation = (np.abs(values - mean) * fractions).sum(axis=0)
    mode = np.where(is_most_abundant, values, np.inf).min(axis=0)
    return np.stack((minimum, maximum, maximum - minimum, mean, deviation, mode), axis=-1)
