"""Numbers, times and targets as a reader meets them."""

import math
import tomllib
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

NOTHING: Final = "-"
_MINUTE_S: Final = 60
_THOUSAND: Final = 1000
_TOO_LONG: Final = 1e12
_NEARLY_ALL: Final = 99.9


def number(value: float | Decimal | None) -> str:
    """Four significant digits; whole numbers with their thousands apart while they can be read; a dash for nothing."""
    if value is None:
        return NOTHING
    if isinstance(value, int):
        return f"{value:,}"
    if _THOUSAND <= abs(float(value)) < _TOO_LONG:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def share(value: float | None) -> str:
    """A percentage: 12.3 %, 0.04 %, 99.98 %."""
    if value is None:
        return NOTHING
    percent = 100 * value
    is_whole_nearly = _NEARLY_ALL < percent < 100  # noqa: PLR2004  all of them
    shown = f"{percent:.2f}" if is_whole_nearly else f"{percent:.1f}" if percent >= 1 else f"{percent:.2g}"
    return f"{shown.removesuffix('.0')} %"


def duration(span: timedelta | None) -> str:
    """12.3 s, 4 min 05 s, 3 h 07 min."""
    if span is None:
        return NOTHING
    seconds = span.total_seconds()
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    hours, minutes = divmod(minutes, _MINUTE_S)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def when(moment: datetime | None) -> str:
    """To the minute, with its zone."""
    return NOTHING if moment is None else f"{moment:%Y-%m-%d %H:%M %Z}".strip()


def with_error(value: float, uncertainty: float | None) -> str:
    """A value with its one standard deviation, as many decimals to both."""
    if uncertainty is None:
        return number(value)
    decimals = 2 if uncertainty == 0 else max(0, min(4, 1 - math.floor(math.log10(uncertainty))))
    return f"{value:.{decimals}f} ± {uncertainty:.{decimals}f}"


def counted(n: int, one: str, many: str | None = None) -> str:
    """1 find, 2 finds, 1,000 calls."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def sampler(spec: Mapping[str, Any], spec_text: str) -> str:
    """The sampler of a campaign with the options that its file gives: ucb, kappa 10."""
    chosen = spec.get("sampler") or {}
    kind = chosen.get("kind", NOTHING)
    try:
        given = tomllib.loads(spec_text).get("sampler", {})
    except tomllib.TOMLDecodeError:
        given = {}
    named = given.get("kind", kind) == kind  # a control carries the text of the campaign it is a control of
    options = [f"{key} {_plain(value)}" for key, value in sorted(given.items()) if key != "kind"] if named else []
    if chosen.get("acquisition") == "random" and "acquisition" not in given:
        options = ["at random"]
    return ", ".join([str(kind), *options])


def sought(spec: Mapping[str, Any]) -> str:
    """What a campaign seeks, as its specification says: one target, or several."""
    target = spec.get("target", NOTHING)
    return target if isinstance(target, str) else " and ".join(map(str, target))


def property_name(name: str) -> str:
    """band_gap as words: band gap."""
    return name.replace("_", " ")


def _plain(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return str(value)
