"""A composition: its labels, how it came about, its structures and where its energies stand; and the search for it."""

import re
from math import gcd
from string import ascii_uppercase
from typing import Final

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agd.chem.elements import SYMBOLS
from agd.chem.formula import parse_formula
from agd.chem.identity import identify
from agd.db.reading.listings import COMPOSITIONS, Wanted
from agd.errors import FormulaError, NotFoundError
from agd.report.provenance import provenance_of
from agd.report.provenance_drawing import draw
from agd.steps.reading import explaining
from agd.views import ListedComposition
from agd.web import tables
from agd.web.pages.listing import Listed, answer
from agd.web.shown import path
from agd.web.site import query_of, site_of
from agd.web.tables import Column

_LONGEST: Final = 200
_MOST_SHOWN: Final = 100
_PATTERN: Final = re.compile(r"(?:[A-Z]\d{0,3}){1,10}", re.ASCII)
_ELEMENTS: Final = frozenset(SYMBOLS)
_SYSTEM: Final = re.compile(r"[A-Z][a-z]?(?:\s*-\s*[A-Z][a-z]?)*", re.ASCII)

_COMPOSITIONS: Final = (
    Column("reduced_formula", "formula", "text", "formula", "/composition/{reduced_formula}"),
    Column("chemical_system", "elements", link="/search?q={chemical_system}"),
    Column("anonymous_formula", "pattern", link="/search?q={anonymous_formula}"),
    Column("n_elements", "elements in it", "number"),
    Column("n_atoms", "atoms", "number"),
)


def composition(request: Request) -> Response:
    """Everything that the record holds of a composition."""
    site = site_of(request)
    asked = request.path_params["formula"]
    found = explaining.why(site.workspace, asked[:_LONGEST])
    if found.formula != asked:
        return RedirectResponse(f"/composition/{path(found.formula)}", 308)
    drawn = Markup(draw(provenance_of(found), is_alone=False, has_links=True))  # noqa: S704  it has escaped its words
    return site.show("composition.html", found=found, drawn=drawn, most=_MOST_SHOWN)


def search(request: Request) -> Response:
    """A formula in any spelling, a chemical system, or a pattern such as AB2X5."""
    site = site_of(request)
    words = query_of(request).get("q", "").strip()
    if not words:
        return site.show("search.html", words="", said="")
    if len(words) > _LONGEST or not words.isprintable():
        return site.show("search.html", 400, words="", said="That is too long for a formula.")
    formula = _formula(words)
    if formula is not None:
        try:
            explaining.why(site.workspace, formula)
        except NotFoundError as error:
            is_pattern = pattern_of(words) is not None
            if not is_pattern:
                return site.show("search.html", 404, words=words, said=str(error))
        else:
            return RedirectResponse(f"/composition/{path(formula)}", 303)
    system, pattern = system_of(words), pattern_of(words)
    if system is None and pattern is None:
        said = "That is no formula, no chemical system such as Ba-Cl-F and no pattern such as AB2X5."
        return site.show("search.html", 404, words=words, said=said)
    what = f"of the elements {system}" if system is not None else f"of the pattern {pattern}"
    listed = Listed(f"Compositions {what}", "compositions", crumbs=[("Search", "/search")])
    scope = {"system": system, "pattern": None if system is not None else pattern}
    return answer(
        request,
        listed,
        _COMPOSITIONS,
        Wanted("reduced_formula"),
        lambda tx: tables.of_listing(tx, COMPOSITIONS, scope, ListedComposition),
    )


def system_of(words: str) -> str | None:
    """The chemical system that words with a dash name, as the record spells it: Cl-Ba-F is Ba-Cl-F."""
    if "-" not in words or _SYSTEM.fullmatch(words) is None:
        return None
    symbols = {one.strip() for one in words.split("-")}
    return "-".join(sorted(symbols)) if symbols <= _ELEMENTS else None


def pattern_of(words: str) -> str | None:
    """The anonymous formula that letters and counts stand for, as the record spells it: AB2X5 is AB2C5.

    The same letter is the same element, and the smallest count goes first.
    """
    if _PATTERN.fullmatch(words) is None:
        return None
    counts: dict[str, int] = {}
    for letter, count in re.findall(r"([A-Z])(\d*)", words):
        counts[letter] = counts.get(letter, 0) + int(count or 1)
    if 0 in counts.values():
        return None
    divisor = gcd(*counts.values())
    amounts = sorted(count // divisor for count in counts.values())
    return "".join(f"{name}{n if n > 1 else ''}" for name, n in zip(ascii_uppercase, amounts, strict=False))


def _formula(words: str) -> str | None:
    try:
        return str(identify(parse_formula(words)).reduced_formula[0])
    except FormulaError:
        return None
