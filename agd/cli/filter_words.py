"""`--filter KEY=VALUE`: a rule of the filter, whichever verb it is given to."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from agd.errors import InputError

if TYPE_CHECKING:
    from agd.filters import FilterOptions

Rules = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="KEY=VALUE",
        help="A further rule, by its key in \\[filter] of a specification, e.g. elements_denied=F,Cl; repeatable.",
    ),
]

_WITH_A_FLAG: Final = ("max_elements", "max_atoms", "max_count")
"""Rules for which the verbs have an option of their own, in which defaults are seen."""


def filter_of(words: Sequence[str] | None) -> "FilterOptions":
    """The filter that is asked for; raises InputError naming the rule that is wrong."""
    from agd import key_values
    from agd.filters import FilterOptions

    found = key_values.parse(FilterOptions, words or (), flag="--filter", owner="a filter")
    for key in found.given():
        if key in _WITH_A_FLAG:
            flag = f"--{key.replace('_', '-')}"
            raise InputError(f"--filter {key}: has an option of its own, {flag}: say it there")
    return found
