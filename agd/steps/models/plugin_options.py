"""Options of a plug-in: as the command line gives them (`-o n_trees=200`), and as others choose them for it."""

import json
from collections.abc import Collection, Mapping, Sequence
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
    merged = known_to(options_type, defaults or {}) | values
    try:
        return options_type.model_validate_json(json.dumps(merged), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"-o {key}: {message[0].lower()}{message[1:]}, not {first['input']!r}") from None


def known_to(options_type: type[Options], offered: Mapping[str, object]) -> dict[str, object]:
    """What is offered as far as the plug-in has options for it: the rest is not sent to it."""
    return {key: value for key, value in offered.items() if key in options_type.model_fields}


def completed(options: Options, offered: Mapping[str, object]) -> Options:
    """The options, with what is offered for those of them that nobody chose: that are None."""
    chosen = dict(options)
    return options.model_copy(
        update={key: value for key, value in known_to(type(options), offered).items() if chosen[key] is None}
    )


def shared(options: Options, keys: Collection[str]) -> dict[str, object]:
    """What was chosen for those of the keys that there are, to be offered to another plug-in."""
    return {key: value for key, value in options if key in keys and value is not None}


def _value(word: str) -> Any:
    """A number, a boolean, null or a list as JSON writes it; anything else is text."""
    try:
        return json.loads(word, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return word


def _refuse(constant: str) -> None:
    """NaN and Infinity are not JSON."""
    raise ValueError(constant)
