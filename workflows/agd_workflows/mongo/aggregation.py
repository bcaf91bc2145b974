"""Aggregation by mongomock's stages, but for the join: one question for all documents instead of one for each."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from mongomock import aggregate
from mongomock.helpers import get_value_by_dot

_AT_ONCE = 5000


def process(documents: list[dict[str, Any]], database: Any, stages: Sequence[Mapping[str, Any]], session: Any) -> Any:
    """Send documents through the stages; returns mongomock's cursor."""
    for stage in stages:
        if set(stage) == {"$lookup"} and _join(documents, database, stage["$lookup"]):
            continue
        documents = list(aggregate.process_pipeline(documents, database, [stage], session))
    return aggregate.process_pipeline(documents, database, [], session)


def _join(documents: list[dict[str, Any]], database: Any, options: Any) -> bool:
    """Look up all documents' partners at once; False where only mongomock's one by one will do."""
    if not isinstance(options, Mapping) or set(options) != {"from", "localField", "foreignField", "as"}:
        return False
    source, local, foreign, name = (options[key] for key in ("from", "localField", "foreignField", "as"))
    if not all(isinstance(one, str) and not one.startswith("$") for one in (source, local, foreign, name)):
        return False
    if "." in name or "." in foreign:
        return False
    values = [_value(document, local) for document in documents]
    if not all(isinstance(value, (int, str)) for value in values):
        return False
    wanted = list(dict.fromkeys(values))
    partners: dict[Any, list[dict[str, Any]]] = {value: [] for value in wanted}
    for start in range(0, len(wanted), _AT_ONCE):
        for found in database[source].find({foreign: {"$in": wanted[start : start + _AT_ONCE]}}):
            if isinstance(found[foreign], list):
                return False
            partners[found[foreign]].append(found)
    for document, value in zip(documents, values, strict=True):
        document[name] = copy.deepcopy(partners[value])
    return True


def _value(document: dict[str, Any], name: str) -> Any:
    try:
        return get_value_by_dot(document, name)
    except KeyError:
        return None
