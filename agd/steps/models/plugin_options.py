"""Options of a plug-in: as the command line gives them (`-o n_trees=200`), and as others choose them for it."""

from collections.abc import Collection, Mapping, Sequence

from agd import key_values, registry
from agd.protocols import Options


def parse(group: str, kind: str, given: Sequence[str], defaults: Mapping[str, object] | None = None) -> Options:
    """The options of a plug-in: what was given as `key=value`, over `defaults`, over the plug-in's own.

    A default that the plug-in has no use for is left out.

    Raises:
        NotFoundError: no such plug-in.
        InputError: a key is unknown, twice there, or its value is none that the plug-in takes.
    """
    options_type: type[Options] = registry.load(group, kind).options_type
    offered = known_to(options_type, defaults or {})
    return key_values.parse(options_type, given, flag="-o", owner=kind, defaults=offered)


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
