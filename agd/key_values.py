"""Options as the command line gives them: `key=value` words become a validated model."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from agd import registry
from agd.errors import InputError

_Model = TypeVar("_Model", bound=BaseModel)


def parse(
    model: type[_Model], given: Sequence[str], *, flag: str, owner: str, defaults: Mapping[str, object] | None = None
) -> _Model:
    """The model of what was given over `defaults`; a list is JSON, or words between commas.

    Raises:
        InputError: a key is unknown, twice there, or its value is none that the model takes; `owner` has the options.
    """
    known = list(model.model_fields)
    values: dict[str, Any] = {}
    for pair in given:
        key, equals, word = pair.partition("=")
        key = key.strip()
        if not equals or not key:
            raise InputError(f"{flag} {pair}: write key=value, for instance {flag} {known[0] if known else 'key'}=1")
        if key not in known:
            raise InputError(f"{flag} {pair}: {owner} has no option {key!r}{registry.suggestion(key, known)}")
        if key in values:
            raise InputError(f"{flag} {pair}: option {key!r} is given twice")
        annotation = model.model_fields[key].annotation
        is_list = tuple in {get_origin(one) for one in (annotation, *get_args(annotation))}
        values[key] = _list(word.strip()) if is_list and word.strip() != "null" else _value(word.strip())
    try:
        return model.model_validate_json(json.dumps({**(defaults or {}), **values}), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "value_error":
            raise InputError(f"{flag} {key}".rstrip() + f": {message}") from None
        raise InputError(f"{flag} {key}: {message[0].lower()}{message[1:]}, not {first['input']!r}") from None


def _list(word: str) -> Any:
    found = _value(word)
    return found if isinstance(found, list) else [_value(part.strip()) for part in word.split(",")]


def _value(word: str) -> Any:
    """A number, a boolean, null or a list as JSON writes it; anything else is text."""
    try:
        return json.loads(word, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return word


def _refuse(constant: str) -> None:
    """NaN and Infinity are not JSON."""
    raise ValueError(constant)
