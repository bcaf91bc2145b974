"""Answers from the record: everything that led to a composition."""

import time
from collections.abc import Sequence
from typing import Any

from agd.chem.formula import parse_formula
from agd.chem.identity import identify
from agd.db import lineage
from agd.db.connection import AnyRow, Transaction
from agd.errors import NotFoundError
from agd.work.workspace import Workspace


def why(workspace: Workspace, formula: str) -> dict[str, Any]:
    """Everything that led to a composition, whatever way its formula is spelled.

    `query_ms` is the time spent in the database. Keys hold rows as the views give them.

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
        answer: dict[str, Any] = {
            "formula": key,
            "composition": found._asdict(),
            "verdicts": _dicts(lineage.verdicts(tx, found.id)),
            "initial_in": lineage.initial_in(tx, found.id),
            "datasets": _dicts(lineage.datasets(tx, ids.get("dataset", []), found.id)),
            "generations": _dicts(lineage.generations(tx, found.id)),
            "labels": _dicts(lineage.labels(tx, ids.get("label", []))),
            "screenings": _with_training(tx, lineage.screenings(tx, found.id)),
            "suggestions": _with_knowledge(tx, lineage.suggestions(tx, ids.get("suggestion", []))),
            "model_versions": _dicts(lineage.model_versions(tx, ids.get("model_version", []), found.id)),
        }
        answer["query_ms"] = round(1000 * (time.perf_counter() - started), 1)
    return answer


def _with_knowledge(tx: Transaction, rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    """Suggestions, each with the labels by iteration (0: initial) that its sampler had learned from."""
    learned = {campaign: lineage.labels_by_iteration(tx, campaign) for campaign in {row.campaign_id for row in rows}}
    return [
        {
            **row._asdict(),
            "learned_from": {i: n for i, n in learned[row.campaign_id].items() if i < row.iteration},
        }
        for row in rows
    ]


def _with_training(tx: Transaction, rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    """Hits, each with the labels that its screener was trained on, and how many of them were retracted since."""
    trained = {version: lineage.trained_on(tx, version) for version in {row.model_version_id for row in rows}}
    return [
        {
            **row._asdict(),
            "trained_on": {
                "initial": sum(part.n_labels for part in trained[row.model_version_id] if part.iteration is None),
                "by_iteration": {
                    part.iteration: part.n_labels
                    for part in trained[row.model_version_id]
                    if part.iteration is not None
                },
                "retracted_since": sum(part.n_retracted for part in trained[row.model_version_id]),
            },
        }
        for row in rows
    ]


def _unheard_of(tx: Transaction, formula: str, key: str) -> str:
    refused = lineage.rejects(tx, formula)
    if refused:
        row = refused[0]
        return f"{key} is not in the record: line {row.line} of dataset {row.dataset!r} was refused ({row.message})"
    return f"{key} is not in the record: no dataset lists it, no campaign has suggested it, no screening has picked it"


def _dicts(rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    return [row._asdict() for row in rows]
