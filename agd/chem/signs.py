"""The signs that formulas are written with: those that mean the same, and what to do about those that mean nothing."""

import re
import unicodedata
from typing import Final

__all__ = ["JOINT", "VULGAR", "advice", "named", "plain"]

JOINT: Final = "·"
"""Joins the parts of a hydrate."""

VULGAR: Final = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
"""Fractions of one sign."""

# Bullets, dots and asterisks of other alphabets and of mathematics; hyphens, dashes and minus signs.
_JOINTS: Final = (
    "\u2022\u2219\u22c5\u2027\uff65\u30fb\u25cf\u2981\u2e31\u2e33\ua78f\u1427\u0387\u02d9*\u2217\u22c6\u00d7"
)
_DASHES: Final = "\u2212\u2010\u2011\u2012\u2013\u2014\u2015\ufe63"
_SAME: Final = {
    **dict(zip(map(ord, "₀₁₂₃₄₅₆₇₈₉₍₎"), "0123456789()", strict=True)),
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # full width
    **dict.fromkeys(map(ord, _JOINTS), JOINT),
    **dict.fromkeys(map(ord, _DASHES), "-"),
    0xFF0A: JOINT,
    0x2044: "/",
    0x2215: "/",
}
_UNSEEN: Final = dict.fromkeys((0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF))

_FIRST_ROMAN, _LAST_ROMAN = "\u2160", "\u217f"
_PLUS_OR_MINUS: Final = frozenset("+-±")
_MARKUP: Final = "is markup: write plain digits, as in H2O"
_SEPARATES: Final = "separates formulas: write one a row"
_ADVICE: Final = {
    "^": "raises a charge or an isotope: leave it out",
    "~": "has no meaning in a formula: write whole numbers",
    ":": "names a dopant: leave it out, or write its amount",
    "%": "is no amount: write whole numbers",
    "@": "joins two materials: write one formula a row",
    "/": "joins two materials: write one formula a row",
    "|": "joins two materials: write one formula a row",
    ",": f"{_SEPARATES}, and amounts as whole numbers",
    ";": _SEPARATES,
    "&": _SEPARATES,
    "=": "has no meaning in a formula: leave bonds and equations out",
    "#": "has no meaning in a formula: leave bonds and notes out",
    "→": "belongs to a reaction: write one formula a row",
    "□": "is a vacancy: leave it out",
    **dict.fromkeys("_$\\<>", _MARKUP),
    **dict.fromkeys("'\"`\u2019\u2018\u201c\u201d\u2032\u2033", "is a quotation mark: leave it out"),
}


def plain(formula: str) -> tuple[str, list[int]]:
    """Return the formula in as few signs as mean the same, and where each stands in it, counted from 1.

    Subscript and full-width signs become ordinary ones, signs that join parts become `·`; those of no width are left
    out.
    """
    kept = [(char, place) for place, char in enumerate(formula, start=1) if ord(char) not in _UNSEEN]
    return "".join(char for char, _ in kept).translate(_SAME), [place for _, place in kept]


def named(char: str) -> str:
    """Return a sign in quotes, with its Unicode name where it is no plain one."""
    if char.isascii() and char.isprintable():
        return repr(char)
    return f"{char!r} ({unicodedata.name(char, f'U+{ord(char):04X}')})"


def advice(text: str, at: int) -> str:
    """Say what the sign at a place of a plain text may have been meant for, and what to write instead."""
    char = text[at]
    if char in _PLUS_OR_MINUS:
        return _of_plus_or_minus(text[:at].strip(), text[at + 1 :].strip())
    is_letter = unicodedata.category(char).startswith("L")
    form = unicodedata.decomposition(char).partition(" ")[0]
    cases = (
        (char in _ADVICE, _ADVICE.get(char, "")),
        (form == "<super>", "is raised, a charge or an isotope: leave it out"),
        (form == "<sub>" and is_letter, "is an unknown amount: write a number"),
        (_FIRST_ROMAN <= char <= _LAST_ROMAN, "is an oxidation state: leave it out"),
        (unicodedata.name(char, "").startswith("GREEK SMALL"), "names a phase or an unknown amount: leave it out"),
        (is_letter, "is no Latin letter: type the symbol anew"),
        (char.isnumeric(), "is none of the digits 0 to 9: type the amount anew"),
    )
    return next((words for is_so, words in cases if is_so), "has no meaning in a formula: leave it out")


def _of_plus_or_minus(before: str, rest: str) -> str:
    if not before and not rest:
        return "is no formula"
    if re.match(r"[0-9]*($|[)\]}])", rest):
        return "is a charge: leave charges out"
    if before and re.match(r"[nmxyzw]|[^\W\d_A-Za-z]", rest):
        return "stands before an unknown amount: write the amount as a whole number"
    return f"joins names or formulas: leave phases and dopants out, write {JOINT} for a hydrate"
