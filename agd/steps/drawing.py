"""Drawing training sets: which rows a model is fitted on, and which of them it must not see."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agd import registry
from agd.db import campaigns, datasets, models
from agd.db.connection import AnyRow, Transaction
from agd.db.models import FromCampaign, FromDataset, Member, Part
from agd.errors import InputError, NotFoundError
from agd.protocols import Options
from agd.steps.workspace import Campaign, counts_of, derive_seed
from agd.types import Counts

Labels: TypeAlias = Literal["initial", "al"]
"""What a screener learns from: the campaign's initial labels, or those and every label its suggestions brought."""


def held_out(n: int, share: float, seed: int) -> list[bool]:
    """Which of `n` rows are held out: an exact share, drawn without replacement."""
    flags = np.zeros(n, dtype=bool)
    flags[np.random.default_rng(seed).choice(n, size=round(n * share), replace=False)] = True
    return [bool(flag) for flag in flags]


def find_dataset(tx: Transaction, name: str) -> AnyRow:
    """The dataset of that name; raises NotFoundError naming the near miss."""
    found = datasets.find(tx, name=name)
    if found is None:
        hint = registry.suggestion(name, datasets.names(tx))
        raise NotFoundError(f"no dataset {name!r}{hint} (see `agd data list` and `agd data import`)")
    return found


def corpus(tx: Transaction, dataset: AnyRow, kind: str, options: Options, *, share: float, seed: int) -> list[Part]:
    """The formulas of a dataset that an autoencoder of this kind and these options can encode."""
    fits = partial(registry.load("agd.generators", kind).is_representable, options=options)
    return formulas_for(tx, "autoencoder", dataset, fits, share=share, seed=seed)


def representable(tx: Transaction, dataset: AnyRow, kind: str, *, share: float, seed: int) -> list[Part]:
    """The formulas of a dataset that a formula generator of this kind can make."""
    fits = registry.load("agd.formula_generators", kind).is_representable
    return formulas_for(tx, "generator", dataset, fits, share=share, seed=seed)


def formulas_for(
    tx: Transaction,
    role: str,
    dataset: AnyRow,
    fits: Callable[[Counts], NDArray[np.bool_]],
    *,
    share: float,
    seed: int,
) -> list[Part]:
    """The formulas of a dataset that fit the vocabulary of a model of compositions alone."""
    rows = datasets.rows_of(tx, dataset.id)
    is_inside = fits(counts_of([row.reduced_formula for row in rows])).tolist()
    inside = [row for row, is_kept in zip(rows, is_inside, strict=True) if is_kept]
    if not inside:
        raise InputError(f"no formula of dataset {dataset.name!r} is within the {role}'s vocabulary")
    flags = held_out(len(inside), share, derive_seed(seed, role))
    members = [
        Member(row.composition_id, row.reduced_formula, None, None, is_held_out=out)
        for row, out in zip(inside, flags, strict=True)
    ]
    return [Part(FromDataset(dataset.id, dataset.recipe_sha256), members)]


def labelled(tx: Transaction, dataset: AnyRow, *, share: float, seed: int) -> list[Part]:
    """The rows of a dataset that have a label which was not retracted."""
    rows = [row for row in datasets.rows_of(tx, dataset.id) if row.label_id is not None]
    if not rows:
        raise InputError(f"dataset {dataset.name!r} holds formulas alone: an oracle learns from values")
    source = FromDataset(dataset.id, dataset.recipe_sha256)
    return [Part(source, _members(rows, share, derive_seed(seed, "oracle")))]


def of_campaign(tx: Transaction, campaign: Campaign, labels: Labels, *, share: float, seed: int) -> list[Part]:
    """What a screener of the campaign learns from, up to its last recorded iteration.

    Held-out rows are drawn among the initial labels and among the campaign's own one by one, so that two screeners of
    one seed hold the same initial rows out.

    Raises:
        InputError: every label was retracted.
    """
    initial = models.initial_labels(tx, campaign.id)
    parts = [
        Part(
            FromDataset(rows[0].dataset_id, rows[0].recipe_sha256), _members(rows, share, derive_seed(seed, "initial"))
        )
        for rows in _by_dataset(initial)
    ]
    if labels == "al":
        last = models.last_recorded(tx, campaign.id)
        known = {row.composition_id for row in initial}
        rows = [row for row in models.learned_labels(tx, campaign.id, last) if row.composition_id not in known]
        row = campaigns.find(tx, campaign.name)
        assert row is not None  # noqa: S101  it was found by this name
        source = FromCampaign(campaign.id, row.spec_sha256, last)
        parts.append(Part(source, _members(rows, share, derive_seed(seed, "al"))))
    if not any(part.members for part in parts):
        raise InputError(f"campaign {campaign.name!r} has no label left to learn from: all of them were retracted")
    return parts


def _by_dataset(rows: Iterable[AnyRow]) -> Iterable[list[AnyRow]]:
    return (list(group) for _, group in groupby(rows, key=lambda row: row.dataset_id))


def _members(rows: Sequence[AnyRow], share: float, seed: int) -> list[Member]:
    return [
        Member(
            row.composition_id,
            row.reduced_formula,
            row.label_id,
            row.value,
            is_held_out=out,
            label_key=getattr(row, "label_key", None),
        )
        for row, out in zip(rows, held_out(len(rows), share, seed), strict=True)
    ]
