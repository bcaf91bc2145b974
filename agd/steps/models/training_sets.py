"""Drawing training sets: which rows a model is fitted on, and which of them it must not see."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from agd import registry
from agd.db.connection import AnyRow, Transaction
from agd.db.record import datasets
from agd.db.record.models import FromDataset, Member, Part
from agd.errors import InputError, NotFoundError
from agd.protocols import Options
from agd.seeds import derive_seed
from agd.steps.data.compositions import counts_of
from agd.types import Counts


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
    rows = inside(datasets.rows_of(tx, dataset.id), fits)
    if not rows:
        raise InputError(f"no formula of dataset {dataset.name!r} is within the {role}'s vocabulary")
    return [part(dataset, rows, share=share, seed=derive_seed(seed, role), has_labels=False)]


def labelled(tx: Transaction, dataset: AnyRow, *, share: float, seed: int) -> list[Part]:
    """The rows of a dataset that have a label which was not retracted."""
    rows = [row for row in datasets.rows_of(tx, dataset.id) if row.label_id is not None]
    if not rows:
        raise InputError(f"dataset {dataset.name!r} holds formulas alone: an oracle learns from values")
    return [part(dataset, rows, share=share, seed=derive_seed(seed, "oracle"))]


def inside(rows: Sequence[AnyRow], fits: Callable[[Counts], NDArray[np.bool_]]) -> list[AnyRow]:
    """The rows whose compositions fit a vocabulary."""
    is_inside = fits(counts_of([row.reduced_formula for row in rows])).tolist()
    return [row for row, is_kept in zip(rows, is_inside, strict=True) if is_kept]


def part(
    dataset: AnyRow, rows: Sequence[AnyRow], *, share: float = 0.0, seed: int = 0, has_labels: bool = True
) -> Part:
    """Rows of a dataset as members of a training set, an exact share of them held out."""
    return Part(FromDataset(dataset.id, dataset.recipe_sha256), members_of(rows, share, seed, has_labels=has_labels))


def members_of(rows: Sequence[AnyRow], share: float, seed: int, *, has_labels: bool = True) -> list[Member]:
    """Rows of (composition_id, reduced_formula, label_id, value) as members, a share of them held out."""
    return [
        Member(
            row.composition_id,
            row.reduced_formula,
            row.label_id if has_labels else None,
            row.value if has_labels else None,
            is_held_out=out,
            label_key=getattr(row, "label_key", None),
        )
        for row, out in zip(rows, held_out(len(rows), share, seed), strict=True)
    ]
