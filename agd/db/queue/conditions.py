"""Conditions on the queue's documents and their order, as SQL that leaves the planner one choice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from agd.db.tables.queue import LIST_FIELDS, SCALAR_FIELDS

NULL = "null"


@dataclass(frozen=True, slots=True)
class Ids:
    """`_id` is one of these."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Holds:
    """The field is, or is a list that holds, one of these JSON values; "null" also where the field is missing."""

    path: tuple[str, ...]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is there, or is not."""

    path: tuple[str, ...]
    is_there: bool


@dataclass(frozen=True, slots=True)
class All:
    """Every condition holds."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition holds."""

    parts: tuple["Condition", ...]


Condition: TypeAlias = Ids | Holds | Exists | All | AnyOf
ANYTHING = All(())


@dataclass(frozen=True, slots=True)
class SortKey:
    """Order by a field as Mongo compares missing, numbers, texts, object ids and dates."""

    path: tuple[str, ...]
    is_descending: bool


PRIORITY_ORDER = (SortKey(("spec", "_priority"), is_descending=True),)


def is_pinned(condition: Condition) -> bool:
    """Whether the condition names its documents, by `_id` or by another indexed field than `state`."""
    return _pin(condition) < _BY_STATE


_BY_ID, _BY_FIELD, _BY_LIST, _BY_STATE, _BY_NOTHING = range(5)
_PINS = {**dict.fromkeys(SCALAR_FIELDS, _BY_FIELD), **dict.fromkeys(LIST_FIELDS, _BY_LIST), "state": _BY_STATE}


def _pin(condition: Condition) -> int:
    """How well the condition can be served by an index."""
    match condition:
        case Ids():
            return _BY_ID
        case Holds(path=(field,), values=values) if NULL not in values:
            return _PINS.get(field, _BY_NOTHING)
        case All(parts=parts):
            return min(map(_pin, parts), default=_BY_NOTHING)
        case AnyOf(parts=parts):
            return max(map(_pin, parts), default=_BY_NOTHING)
        case _:
            return _BY_NOTHING


def paths(condition: Condition) -> set[tuple[str, ...]]:
    """The fields beside `_id` that the condition names."""
    match condition:
        case Holds(path=path) | Exists(path=path):
            return {path}
        case All(parts=parts) | AnyOf(parts=parts):
            return set().union(*map(paths, parts))
        case _:
            return set()


def is_impossible(condition: Condition) -> bool:
    """Whether no document at all can meet the condition."""
    match condition:
        case Ids(keys=()) | Holds(values=()):
            return True
        case All(parts=parts):
            return any(map(is_impossible, parts))
        case _:
            return False


@dataclass(frozen=True, slots=True)
class Bound:
    """SQL under construction with the values bound in it."""

    values: dict[str, Any]

    def bind(self, value: object) -> str:
        """A placeholder for the value."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"%({name})s"

    def where(self, condition: Condition) -> tuple[str, int]:
        """The condition, and which index shall serve it: other fields are hidden from the planner."""
        pin = _pin(condition)
        collection = "d.collection_id + 0" if pin == _BY_LIST else "d.collection_id"
        return f"{collection} = %(collection)s AND {self._condition(condition, pin)}", pin

    def _condition(self, condition: Condition, pin: int) -> str:
        match condition:
            case Ids(keys=keys):
                return f"d.id_key = ANY({self.bind(list(keys))}::text[])"
            case Holds(path=path, values=values):
                if pin < _BY_NOTHING and _pin(condition) == pin:
                    return self._indexed(path[0], values)
                return self._hidden(path, values)
            case Exists(path=path, is_there=is_there):
                field = f"d.body #> {self.bind(list(path))}::text[] IS {'NOT ' if is_there else ''}NULL"
                return f"({' OR '.join((field, *self._unfolding(path)))})"
            case All(parts=parts):
                chosen = next((part for part in parts if _pin(part) == pin < _BY_NOTHING), None)
                each = (self._condition(part, pin if part is chosen else _BY_NOTHING) for part in parts)
                return " AND ".join(each) or "true"
            case AnyOf(parts=parts):
                either = (self._condition(part, _pin(part) if pin < _BY_NOTHING else pin) for part in parts)
                return f"({' OR '.join(either) or 'false'})"

    def _indexed(self, field: str, values: Sequence[str]) -> str:
        test = "@>" if field in LIST_FIELDS else "="
        if len(values) == 1:
            return f"d.body -> '{field}' {test} {self.bind(values[0])}::jsonb"
        return f"d.body -> '{field}' {test} ANY({self.bind(list(values))}::jsonb[])"

    def _hidden(self, path: tuple[str, ...], values: Sequence[str]) -> str:
        field = f"d.body #> {self.bind(list(path))}::text[]"
        wanted = f"{self.bind(list(values))}::jsonb[]"
        either = [f"{field} = ANY({wanted})", f"jsonb_typeof({field}) = 'array' AND {field} @> ANY({wanted})"]
        if NULL in values:
            either.append(f"{field} IS NULL")
        return f"({' OR '.join((*either, *self._unfolding(path)))})"

    def _unfolding(self, path: tuple[str, ...]) -> list[str]:
        """True where a list lies on the way to the field: Mongo looks into its members, the caller must."""
        return [f"jsonb_typeof(d.body #> {self.bind(list(path[:n]))}::text[]) = 'array'" for n in range(1, len(path))]

    def has_lists(self, condition: Condition) -> str:
        """True where a list lies on the way to a field that the condition names, which it may then not meet."""
        on_the_way = sorted({path[:n] for path in paths(condition) for n in range(1, len(path))})
        lists = (f"jsonb_typeof(d.body #> {self.bind(list(path))}::text[]) = 'array'" for path in on_the_way)
        return f"coalesce({' OR '.join((*lists, 'false'))}, false)"

    def order(self, keys: tuple[SortKey, ...], pin: int) -> tuple[str, str]:
        """What tells that SQL cannot order a row, and the order, such rows first."""
        if not keys:  # an expression where few rows are to be sorted, lest the planner walk the collection in order
            return "false", "d.position" if pin == _BY_NOTHING else "d.position + 0"
        if keys == PRIORITY_ORDER and pin == _BY_STATE:
            return "queue.priority(d.body) = 'Infinity'", "queue.priority(d.body) DESC, d.position"
        odd, by = [], []
        for key in keys:
            if key.path == ("_id",):
                field = "d.id_key::jsonb"
            else:
                field = f"(d.body #> {self.bind(list(key.path))}::text[])"
                odd += self._unfolding(key.path)
            odd.append(
                f"coalesce(jsonb_typeof({field}) IN ('array', 'boolean')"
                f" OR jsonb_typeof({field}) = 'object' AND NOT {field} ?| '{{$oid,$date}}', false)"
            )
            direction = "DESC NULLS LAST" if key.is_descending else "NULLS FIRST"
            kind = f"CASE jsonb_typeof({field})"
            rank = f"{kind} WHEN 'number' THEN 1 WHEN 'string' THEN 2 WHEN 'object' THEN 4 - ({field} ? '$oid')::int"
            number = f"{kind} WHEN 'number' THEN {field} #>> '{{}}' WHEN 'object' THEN {field} ->> '$date' END"
            words = f"{kind} WHEN 'string' THEN {field} #>> '{{}}' WHEN 'object' THEN {field} ->> '$oid' END"
            by += [f"{rank} ELSE 0 END {direction}", f"({number})::numeric {direction}"]
            by.append(f'({words}) COLLATE "C" {direction}')
        is_odd = f"coalesce({' OR '.join(odd)}, false)"
        return is_odd, f"{is_odd} DESC, {', '.join(by)}, d.position + 0"
