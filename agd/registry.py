"""Plug-ins, found by entry point and loaded on use."""

import difflib
from importlib.metadata import entry_points
from typing import Any

from agd.errors import NotFoundError

GROUPS = ("agd.generators", "agd.formula_generators", "agd.oracles", "agd.samplers", "agd.engines")


def names(group: str) -> list[str]:
    """The installed plug-ins of a group, without loading any."""
    return sorted(entry_points(group=group).names)


def load(group: str, name: str) -> Any:
    """The plug-in class of that name.

    Raises:
        NotFoundError: none is installed under that name; the message lists those that are.
    """
    found = entry_points(group=group, name=name)
    if not found:
        word = group.removeprefix("agd.").removesuffix("s").replace("_", " ")
        raise NotFoundError(f"no {word} {name!r}{suggestion(name, names(group))}")
    return next(iter(found)).load()


def suggestion(wrong: str, known: list[str]) -> str:
    """The end of an error message: the near miss, or everything there is."""
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(wrong.casefold(), by_folded, n=1)
    if near:
        return f": did you mean {by_folded[near[0]]!r}?"
    return f": there is {', '.join(known)}" if known else ": there is none yet"
