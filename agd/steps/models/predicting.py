"""Predicting by hand: what any trained model answers for formulas, and how far from its training they lie."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from agd import registry
from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.db.connection import AnyRow, Transaction
from agd.db.record import datasets, models
from agd.errors import FormulaError, InputError, NotFoundError
from agd.nets.threads import limited_threads
from agd.steps.data.compositions import counts_of
from agd.steps.models.training import TellingModel, telling
from agd.types import Counts, Floats
from agd.views import Predicted
from agd.work.workspace import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

_N_COMPARED = 1000
"""Training rows whose own distances to the nearest other one a distance is compared with."""

_ROUNDING = 1e-6
"""Distances of a composition to itself."""


def predict(workspace: Workspace, model: str, formulas: Sequence[str], *, threads: int = 1) -> list[Predicted]:
    """The answers of an oracle or screener, by its id or the beginning of its file's hash, in the order given.

    What it learned from, it answers by models that had not seen it, where it keeps such answers. The distance is to the
    nearest composition that it learned from, in standard deviations of Magpie descriptors.

    Raises:
        NotFoundError: there is no such model, or more than one.
        InputError: it answers no property.
        FormulaError: a formula does not parse.
    """
    with workspace.database.read() as tx:
        version = answering(tx, model)
        members = models.members_of(tx, version.training_set_id)
        known = datasets.property_of(tx, version.property)
    counts, problems = parse_formulas(formulas)
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise FormulaError(f"{problems[0].message}{more}")
    named = identify(counts)
    with limited_threads(threads):
        answers = workspace.oracle(version.id).label(named.counts)
    learned = {member.reduced_formula for member in members if not member.is_held_out}
    distances, shares = _distances(counts_of(sorted(learned)), named.counts)
    columns = zip(named.reduced_formula, answers.values, answers.uncertainties, distances, shares, strict=True)
    return [
        Predicted(
            formula=formula,
            property=version.property,
            value=float(value),
            uncertainty=float(uncertainty),
            unit="" if known is None else known.unit,
            is_learned_from=formula in learned,
            distance=round(float(distance), 3),
            share_nearer=round(float(share), 3),
            model_version_id=version.id,
        )
        for formula, value, uncertainty, distance, share in columns
    ]


def answering(tx: Transaction, model: str, flag: str = "--model") -> AnyRow:
    """The version of an oracle or screener, by its id or the beginning of its file's hash; the flag begins an error.

    Raises:
        NotFoundError: there is no such model, or more than one.
        InputError: it answers no property.
    """
    every = models.models(tx)
    found = [row for row in every if str(row.id) == model] or [
        row for row in every if row.tensors_sha256.startswith(model)
    ]
    if len(found) != 1:
        raise NotFoundError(
            f"{flag} {model}: {len(found)} models have that id, or a hash that begins so: see `agd models`"
        )
    version = models.find_model(tx, model_version_id=found[0].id)
    assert version is not None  # noqa: S101  it is among them
    if version.kind == "structure_oracle":
        raise InputError(
            f"{flag} {model}: a model of structures answers no formula: `agd structure FORMULA` has what it says"
        )
    if version.property is None:
        raise InputError(
            f"{flag} {model}: a model of kind {version.kind} answers no property: take an oracle or a screener"
        )
    return version


def teller(tx: Transaction, model: str, kind: str, flag: str = "--with-answers-of") -> TellingModel:
    """The model by its id or the beginning of its file's hash, whose answers an oracle of a kind shall take.

    Raises:
        NotFoundError: there is no such model, or more than one.
        InputError: it answers no property, or oracles of the kind take no answers.
    """
    version = answering(tx, model, flag)
    if not getattr(registry.load("agd.oracles", kind), "takes_answers", False):
        raise InputError(
            f"{flag} {model}: an oracle of kind {kind} takes no answers of others, one of kind informed_trees does"
        )
    return telling(tx, version.id)


def _distances(learned: Counts, asked: Counts) -> tuple[Floats, Floats]:
    """To the nearest other composition learned from, and the share of those nearer to their own, both `[n]`."""
    from sklearn.neighbors import NearestNeighbors

    from agd.chem.descriptors import magpie

    known, wanted = magpie(learned), magpie(asked)
    scale = known.std(axis=0)
    centre, scale = known.mean(axis=0), np.where(scale > 0.0, scale, 1.0)
    known, wanted = (known - centre) / scale, (wanted - centre) / scale
    n_near = min(2, len(known))
    nearest = NearestNeighbors(n_neighbors=n_near).fit(known)  # type: ignore[no-untyped-call]  # scikit-learn ships no types

    def to_another(rows: "NDArray[np.floating]") -> Floats:
        found, _ = nearest.kneighbors(rows)
        return np.asarray(np.where(found[:, 0] < _ROUNDING, found[:, -1], found[:, 0]))

    own = to_another(known[:: max(1, len(known) // _N_COMPARED)])
    distances = to_another(wanted)
    return distances, (own[:, None] <= distances[None, :]).mean(axis=0)
