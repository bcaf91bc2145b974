"""How values are shown on a page."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup, escape

from agd.report import markup, words
from agd.web.tables import Column

LINKS: Final[Mapping[str, str]] = {
    "Campaigns": "/",
    "Screens": "/screens",
    "Models": "/models",
    "Jobs": "/jobs",
    "Datasets": "/datasets",
}
"""What stands above every page."""

_SHOWN_HASH: Final = 12


def value(given: object) -> object:
    """A dash for nothing, four significant digits, times to the minute; a word as it is."""
    match given:
        case None | "":
            return words.NOTHING
        case bool():
            return "yes" if given else "no"
        case int() | float() | Decimal():
            return words.number(given)
        case datetime():
            return when(given)
        case timedelta():
            return words.duration(given)
        case _:
            return given


def when(moment: datetime | None) -> object:
    """A time to the minute, and to the second for who points at it."""
    if moment is None:
        return words.NOTHING
    full = moment.isoformat(timespec="seconds")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(full, full, f"{moment:%Y-%m-%d %H:%M}")


def formula(given: str | None) -> object:
    """A formula with its counts as subscripts."""
    return words.NOTHING if given is None else Markup(str(markup.formula(given)))  # noqa: S704  it has escaped it


def cell(row: Any, column: Column) -> Markup:
    """A cell of a table, with its link."""
    given = getattr(row, column.name)
    match column.style:
        case "formula":
            content = formula(given)
        case "hash":
            content = (given or words.NOTHING)[:_SHOWN_HASH]
        case "mark":
            content = "yes" if given else ""
        case "share":
            content = words.share(given)
        case "with unit" if given is not None:
            content = f"{words.number(given)} {row.unit or ''}"
        case _:
            content = value(given)
    address = column.address(row)
    shown = escape(content)
    return shown if address is None else Markup('<a href="{}">{}</a>').format(address, shown)


def path(given: object) -> str:
    """A word as a part of an address."""
    return quote(str(given), safe="")


FILTERS: Final = {
    "value": value,
    "when": when,
    "formula": formula,
    "cell": cell,
    "path": path,
    "number": words.number,
    "share": words.share,
    "duration": words.duration,
    "property_name": words.property_name,
    "hash": lambda given: (given or words.NOTHING)[:_SHOWN_HASH],
}
