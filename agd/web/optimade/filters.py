"""Filters of OPTIMADE: read by the grammar of optimade-python-tools, and turned into what the record is asked.

optimadetosql was looked at: it writes values into the text of its SQL, where here they travel as parameters.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, cast

from lark import Token, Transformer, v_args
from lark.exceptions import VisitError
from optimade.exceptions import BadRequest
from optimade.filterparser import LarkParser

from agd.chem.formula import parse_formula
from agd.chem.identity import identify
from agd.db.reading.crystals import Asked, Compare, Has, Joined, Known, Length, Like, Sign
from agd.errors import AgdError, FormulaError, InputError
from agd.web.optimade.fields import FIELDS, NOT_HELD

_LONGEST: Final = 1_000
_DEEPEST: Final = 40
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
_WORDS: Final = {"CONTAINS": "within", "STARTS": "start", "ENDS": "end"}
_ALWAYS: Final = Joined("all", ())
_NEVER: Final = Joined("any", ())
_STRANGERS: Final = re.compile(r"_(?!agd_)[a-z]+_\w+")


class NotMadeError(AgdError):
    """A filter asks for what the API allows and this server has not."""


def asked_by(words: str) -> Asked:
    """What a filter asks for; an empty one asks for everything.

    Raises:
        InputError: it cannot be read, or names a field that is not there.
        NotMadeError: it asks for what is optional, and not to be had here.
    """
    if not words.strip():
        return _ALWAYS
    if len(words) > _LONGEST or words.count("(") > _DEEPEST:
        raise InputError(f"a filter has at most {_LONGEST:,} characters and {_DEEPEST} parentheses")
    try:
        return cast("Asked", _Reader().transform(_parser().parse(words)))
    except VisitError as error:
        if isinstance(error.orig_exc, AgdError):
            raise error.orig_exc from None
        raise
    except (BadRequest, RecursionError) as error:
        raise InputError(f"the filter cannot be read: {str(error).splitlines()[0]:.200}") from error


@cache
def _parser() -> LarkParser:
    return LarkParser(version=(1, 2, 0))


@v_args(inline=True)
class _Reader(Transformer[Token, Any]):
    """From the leaves of a filter to the whole."""

    def filter(self, *parts: Any) -> Any:
        return parts[0] if len(parts) == 1 else Joined("all", parts)

    def expression(self, *parts: Any) -> Any:
        return parts[0] if len(parts) == 1 else Joined("any", parts)

    def expression_clause(self, *parts: Any) -> Any:
        return parts[0] if len(parts) == 1 else Joined("all", parts)

    def expression_phrase(self, *parts: Any) -> Any:
        return Joined("not", (parts[-1],)) if isinstance(parts[0], Token) else parts[-1]

    def comparison(self, found: Any) -> Any:
        return found

    def property_first_comparison(self, name: "_Name", asked: Any) -> Any:
        return asked(str(name))

    def constant_first_comparison(self, value: Any, sign: Token, name: Any) -> Any:
        if not isinstance(name, _Name):
            raise NotMadeError("a comparison of two values is not to be had here: name a field")
        return _compared(str(name), cast("Sign", _MIRRORED[sign]), value)

    def value_op_rhs(self, sign: Token, value: Any) -> Any:
        return lambda name: _compared(name, cast("Sign", str(sign)), value)

    def known_op_rhs(self, _: Token, known: Token) -> Any:
        return lambda name: _known(name, is_known=known == "KNOWN")

    def fuzzy_string_op_rhs(self, operator: Token, *rest: Any) -> Any:
        return lambda name: _like(name, operator, rest[-1])

    def set_op_rhs(self, _: Token, *rest: Any) -> Any:
        if rest and isinstance(rest[0], Token) and rest[0] in {"ALL", "ANY", "ONLY"}:
            return lambda name: _has(name, rest[0].lower(), rest[1])
        if len(rest) > 1 and rest[0] is not None:
            raise NotMadeError("HAS with a sign is not to be had here")
        return lambda name: _has(name, "all", [rest[-1]])

    def length_op_rhs(self, _: Token, *rest: Any) -> Any:
        sign = next((str(one) for one in rest[:-1] if one is not None), "=")
        return lambda name: _length(name, cast("Sign", sign), rest[-1])

    def set_zip_op_rhs(self, *_: Any) -> Any:
        raise NotMadeError("fields that are asked for side by side are not to be had here")

    def value_list(self, *parts: Any) -> Any:
        if any(isinstance(part, Token) for part in parts):
            raise NotMadeError("a list with signs is not to be had here")
        return [part for part in parts if part is not None]

    def value_zip(self, *_: Any) -> Any:
        raise NotMadeError("values side by side are not to be had here")

    def property(self, *parts: Token) -> Any:
        if len(parts) > 1:
            raise NotMadeError(f"parts of a field ({'.'.join(parts)}) cannot be asked for here")
        return _Name(parts[0])

    def constant(self, value: Any) -> Any:
        return value

    def value(self, value: Any) -> Any:
        if isinstance(value, _Name):
            raise NotMadeError("a comparison of two fields is not to be had here")
        return value

    def non_string_value(self, value: Any) -> Any:
        return value

    def not_implemented_string(self, value: Any) -> Any:
        return value

    def string(self, token: Token) -> Any:
        return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)

    def bool(self, token: Token) -> Any:
        return str(token) == "TRUE"

    def number(self, token: Token) -> Any:
        return int(token) if token.type == "SIGNED_INT" else float(token)

    def signed_int(self, token: Token) -> Any:
        return int(token)


class _Name(str):
    """The name of a field, which is no text that somebody compares."""

    __slots__ = ()


def _field(name: str) -> bool:
    """Whether a field can be asked for; False for those of other providers, which no structure has here."""
    if name in FIELDS:
        if not FIELDS[name].is_queryable:
            raise NotMadeError(f"structures cannot be asked for by {name} here")
        return True
    if name in NOT_HELD or _STRANGERS.fullmatch(name):
        return False
    raise InputError(f"there is no field {name!r:.60}")


def _compared(name: str, sign: Sign, value: Any) -> Asked:
    if not _field(name):
        return _NEVER
    kind = FIELDS[name].type
    if kind == "list":
        raise NotMadeError(f"{name} is a list: ask what it HAS")
    if name == "type":
        return _ALWAYS if _judge("structures", sign, _text(name, value)) else _NEVER
    if kind == "timestamp":
        return Compare(name, sign, _time(name, value))
    if kind == "string":
        words = _text(name, value)
        exact = _exactly(words) if name == "chemical_formula_reduced" and sign == "=" else None
        same = Compare(name, sign, words)
        return same if exact is None else Joined("all", (Compare("_agd_reduced_formula", "=", exact), same))
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > 2**53:
        raise InputError(f"{name} is a number, not {value!r:.60}")
    return Compare(name, sign, value)


def _exactly(words: str) -> str | None:
    """The key of a formula, by which it is found at once."""
    try:
        return str(identify(parse_formula(words)).reduced_formula[0])
    except FormulaError:
        return None


def _known(name: str, *, is_known: bool) -> Asked:
    if not _field(name):
        return _NEVER if is_known else _ALWAYS
    return (_ALWAYS if is_known else _NEVER) if name == "type" else Known(name, is_known)


def _like(name: str, operator: str, value: Any) -> Asked:
    if not _field(name):
        return _NEVER
    if FIELDS[name].type != "string":
        raise InputError(f"{name} is no text")
    words = _text(name, value)
    if name == "type":
        found = {"CONTAINS": str.__contains__, "STARTS": str.startswith, "ENDS": str.endswith}[operator]
        return _ALWAYS if found("structures", words) else _NEVER
    return Like(name, cast("Any", _WORDS[operator]), words)


def _has(name: str, how: str, values: Sequence[Any]) -> Asked:
    if not _field(name):
        return _NEVER
    if FIELDS[name].type != "list":
        raise InputError(f"{name} is no list")
    return Has(name, cast("Any", how), [_text(name, value) for value in values])


def _length(name: str, sign: Sign, n: int) -> Asked:
    if not _field(name):
        return _NEVER
    if FIELDS[name].type != "list":
        raise InputError(f"{name} is no list")
    return Length(name, sign, min(n, 2**31 - 1))


def _judge(one: str, sign: Sign, other: str) -> bool:
    return {
        "=": one == other,
        "!=": one != other,
        "<": one < other,
        "<=": one <= other,
        ">": one > other,
        ">=": one >= other,
    }[sign]


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise InputError(f"{name} is a text, not {value!r:.60}")
    return str(value)


def _time(name: str, value: Any) -> datetime:
    try:
        found = datetime.fromisoformat(_text(name, value))
    except ValueError:
        raise InputError(f"{name} is a time such as 2026-01-31T12:00:00Z, not {value!r:.60}") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
