"""Options of a plug-in as they are given on the command line: `-o n_trees=200`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from agd import registry
from agd.errors import InputError
from agd.protocols import Options


def parse(group: str, kind: str, given: Sequence[str], defaults: Mapping[str, object] | None = None) -> Options:
    """The options of a plug-in: what was given as `key=value`, over `defaults`, over the plug-in's own.

    A default that the plug-in has no use for is left out.

    Raises:
        NotFoundError: no such plug-in.
        InputError: a key is unknown, twice there, or its value is none that the plug-in takes.
    """
    options_type: type[Options] = registry.load(group, kind).options_type
    known = list(options_type.model_fields)
    values: dict[str, Any] = {}
    for pair in given:
        key, equals, word = pair.partition("=")
        key = key.strip()
        if not equals or not key:
            raise InputError(f"-o {pair}: write key=value, for instance -o {known[0] if known else 'key'}=1")
        if key not in known:
            raise InputError(f"-o {pair}: {kind} has no option {key!r}{registry.suggestion(key, known)}")
        if key in values:
            raise InputError(f"-o {pair}: option {key!r} is given twice")
        values[key] = _value(word.strip())
    merged = {key: value for key, value in (defaults or {}).items() if key in known} | values
    try:
        return options_type.model_validate_json(json.dumps(merged), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"-o {key}: {message[0].lower()}{message[1:]}, not {first['input']!r}") from None


def _value(word: str) -> Any:
    """A number, a boolean, null or a list as JSON writes it; anything else is text."""
    try:
        return json.loads(word, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return word


def _refuse(constant: str) -> None:
    """NaN and Infinity are not JSON."""
    raise ValueError(constant)
