"""Mongo's filters and sorts as conditions that SQL can test: never fewer documents than Mongo finds, often no more."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import bson

from agd.db.queue.conditions import ANYTHING, All, AnyOf, Condition, Exists, Holds, Ids, SortKey, paths
from agd_workflows.mongo.documents import id_key, scalar_json


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition, and whether all of the Mongo filter is in it."""

    condition: Condition
    is_whole: bool

    @property
    def is_exact(self) -> bool:
        """Whether it finds exactly what the filter finds, even in documents with lists on the way to a field."""
        return self.is_whole and all(len(path) == 1 for path in paths(self.condition))


_UNKNOWN = Filter(ANYTHING, is_whole=False)


def translate(mongo: Mapping[str, Any]) -> Filter:
    """What SQL can test of a filter."""
    return _all(_field(key, wanted) for key, wanted in mongo.items())


def translate_sort(sort: Iterable[tuple[str, int]] | Mapping[str, int] | None) -> tuple[SortKey, ...] | None:
    """The order in SQL, None where it cannot be expressed."""
    pairs = sort.items() if isinstance(sort, Mapping) else sort or ()
    keys = []
    for name, direction in pairs:
        path = _path(name)
        if path is None or (path[0] == "_id" and len(path) > 1):
            return None
        keys.append(SortKey(path, direction < 0))
    return tuple(keys)


def _all(filters: Iterable[Filter]) -> Filter:
    each = list(filters)
    if len(each) == 1:
        return each[0]
    parts = tuple(one.condition for one in each if one.condition != ANYTHING)
    return Filter(All(parts), all(one.is_whole for one in each))


def _field(key: str, wanted: Any) -> Filter:
    if key in {"$and", "$or"} and isinstance(wanted, list) and all(isinstance(one, Mapping) for one in wanted):
        each = [translate(one) for one in wanted]
        if key == "$and":
            return _all(each)
        if any(one.condition == ANYTHING for one in each):
            return _UNKNOWN
        return Filter(AnyOf(tuple(one.condition for one in each)), all(one.is_whole for one in each))
    path = _path(key)
    if path is None:
        return _UNKNOWN
    if isinstance(wanted, Mapping) and wanted and all(str(name).startswith("$") for name in wanted):
        return _all(_operator(path, name, operand) for name, operand in wanted.items())
    return _equal(path, [wanted])


def _operator(path: tuple[str, ...], name: str, operand: Any) -> Filter:
    match name:
        case "$eq":
            return _equal(path, [operand])
        case "$in" if isinstance(operand, (list, tuple)):
            return _equal(path, operand)
        case "$exists" if path != ("_id",):
            return Filter(Exists(path, bool(operand)), is_whole=True)
        case _:
            return _UNKNOWN


def _equal(path: tuple[str, ...], wanted: Iterable[Any]) -> Filter:
    if path[0] == "_id":
        return _identical(wanted) if len(path) == 1 else _UNKNOWN
    values: list[str] = []
    for one in wanted:
        alternatives = scalar_json(one)
        if alternatives is None:
            return _UNKNOWN
        values += alternatives
    return Filter(Holds(path, tuple(values)), is_whole=True)


def _identical(wanted: Iterable[Any]) -> Filter:
    keys: list[str] = []
    for one in wanted:
        if isinstance(one, (bson.ObjectId, str)):
            keys.append(id_key(one))
        elif isinstance(one, (int, float)):
            keys += [id_key(one), id_key(bool(one))] if one in {0, 1} else [id_key(one)]
        else:
            return _UNKNOWN
    return Filter(Ids(tuple(keys)), is_whole=True)


def _path(key: Any) -> tuple[str, ...] | None:
    """The parts of a dotted name; None where a part may also be a place in a list, or is an operator."""
    if not isinstance(key, str) or not key or key.startswith("$") or "\0" in key or "\ufffd" in key:
        return None
    parts = tuple(key.split("."))
    return None if any(not part or part.lstrip("+-").strip().isdecimal() for part in parts) else parts
