"""Answers from the record: everything that led to a composition."""

import time
from collections.abc import Sequence
from dataclasses import replace

from agd.chem.formula import parse_formula
from agd.chem.identity import identify
from agd.db.connection import AnyRow, Transaction
from agd.db.reading import lineage
from agd.errors import NotFoundError
from agd.methods import best_by_property
from agd.steps.reading.overviews import of_each_property
from agd.views import (
    Calculation,
    Claim,
    Composition,
    DistanceFromHull,
    Elasticity,
    GeneratedAs,
    Label,
    Lineage,
    ListedIn,
    MadeFrom,
    ModelOnTheWay,
    Phonons,
    PickedBy,
    Refusal,
    StructureCandidate,
    SuggestedKnowing,
    TrainedOn,
    Verdict,
    of_row,
    of_rows,
)
from agd.work.workspace import Workspace


def why(workspace: Workspace, formula: str) -> Lineage:
    """Everything that led to a composition, whatever way its formula is spelled.

    Raises:
        FormulaError: the formula does not parse.
        NotFoundError: the record has never heard of the composition.
    """
    key = identify(parse_formula(formula)).reduced_formula[0]
    with workspace.database.read() as tx:
        started = time.perf_counter()
        found = lineage.composition(tx, key)
        if found is None:
            raise NotFoundError(_unheard_of(tx, formula, key))
        ids = lineage.ancestors(tx, found.id)
        labels = of_rows(Label, lineage.labels(tx, ids.get("label", [])))
        answer = Lineage(
            formula=key,
            composition=of_row(Composition, found),
            verdicts=of_rows(Verdict, lineage.verdicts(tx, found.id)),
            initial_in=lineage.initial_in(tx, found.id),
            datasets=of_rows(ListedIn, lineage.datasets(tx, ids.get("dataset", []), found.id)),
            generations=of_rows(GeneratedAs, lineage.generations(tx, found.id)),
            labels=labels,
            screenings=_with_training(tx, lineage.screenings(tx, found.id)),
            suggestions=_with_knowledge(tx, lineage.suggestions(tx, ids.get("suggestion", []))),
            refusals=of_rows(Refusal, lineage.refusals(tx, key)),
            model_versions=of_rows(ModelOnTheWay, lineage.model_versions(tx, ids.get("model_version", []), found.id)),
            query_ms=0.0,
            best_labels={name: label.label_id for name, label in best_by_property(labels).items()},
            claim=of_row(Claim, lineage.claim(tx, found.id)),
            structures=of_rows(StructureCandidate, lineage.structures(tx, found.id)),
            hull_distances=of_rows(DistanceFromHull, lineage.hull_distances(tx, found.id)),
            calculations=of_rows(Calculation, lineage.calculations(tx, found.id)),
            phonons=of_rows(Phonons, lineage.phonons(tx, found.id)),
            elasticity=of_rows(Elasticity, lineage.elasticity(tx, found.id)),
        )
        return replace(answer, query_ms=round(1000 * (time.perf_counter() - started), 1))


def _with_knowledge(tx: Transaction, rows: Sequence[AnyRow]) -> list[SuggestedKnowing]:
    descent = lineage.parents(tx, [row.suggestion_id for row in rows])
    learned = {campaign: lineage.labels_by_iteration(tx, campaign) for campaign in {row.campaign_id for row in rows}}
    return [
        of_row(
            SuggestedKnowing,
            row,
            learned_from={i: n for i, n in learned[row.campaign_id].items() if i < row.iteration},
            made_from=of_rows(MadeFrom, [one for one in descent if one.child_id == row.suggestion_id]),
            **more,
        )
        for row, more in zip(rows, of_each_property(tx, rows), strict=True)
    ]


def _with_training(tx: Transaction, rows: Sequence[AnyRow]) -> list[PickedBy]:
    trained = {version: _trained_on(tx, version) for version in {row.model_version_id for row in rows}}
    return [of_row(PickedBy, row, trained_on=trained[row.model_version_id]) for row in rows]


def _trained_on(tx: Transaction, model_version_id: int) -> TrainedOn:
    parts = lineage.trained_on(tx, model_version_id)
    return TrainedOn(
        initial=sum(part.n_labels for part in parts if part.iteration is None),
        by_iteration={part.iteration: part.n_labels for part in parts if part.iteration is not None},
        retracted_since=sum(part.n_retracted for part in parts),
    )


def _unheard_of(tx: Transaction, formula: str, key: str) -> str:
    refused = lineage.rejects(tx, formula)
    if refused:
        row = refused[0]
        return f"{key} is not in the record: line {row.line} of dataset {row.dataset!r} was refused ({row.message})"
    filtered = of_rows(Refusal, lineage.refusals(tx, key))
    if filtered:
        more = f", and {len(filtered) - 1} times more" if len(filtered) > 1 else ""
        return f"{key} is not in the record: {filtered[0].words}{more}"
    return f"{key} is not in the record: no dataset lists it, no campaign has suggested it, no screening has picked it"
