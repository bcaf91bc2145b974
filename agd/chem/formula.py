"""Formulas to counts: whole tables at once, odd spellings one by one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import N_ELEMENTS, SYMBOLS
from agd.chem.identity import Identities, identify
from agd.errors import FormulaError
from agd.types import Counts

__all__ = ["MAX_AMOUNT", "FormulaProblem", "Identities", "ProblemKind", "identify", "parse_formula", "parse_formulas"]

MAX_AMOUNT: Final = 10_000
"""Largest number of atoms of one element that a formula may name."""

_BLOCK: Final = 32_768

ProblemKind: TypeAlias = Literal["unparsable", "unknown element", "non-integer amount", "empty"]


@dataclass(frozen=True, slots=True)
class FormulaProblem:
    """Why the formula at position `index` of the table could not be read."""

    index: int
    kind: ProblemKind
    message: str


def parse_formulas(formulas: Sequence[str]) -> tuple[Counts, list[FormulaProblem]]:
    """Read formulas into counts `[n, 103]`, as written, not reduced; a row with a problem is all zero.

    Element symbols with whole amounts and unnested parentheses are read for the whole table at once; brackets of any
    kind, hydrate dots, spaces, subscripts and amounts such as `2.0` are read one by one. Nothing is rescaled: `Li0.5O`
    is a problem. "NaN" is sodium nitride.
    """
    counts = np.empty((len(formulas), N_ELEMENTS), np.int32)
    is_read = np.empty(len(formulas), np.bool_)
    for block in (slice(start, start + _BLOCK) for start in range(0, len(formulas), _BLOCK)):
        counts[block], is_read[block] = _read_plain(formulas[block])
    problems = []
    for index in np.nonzero(~is_read)[0].tolist():
        try:
            counts[index] = _read_odd(formulas[index])
        except _OddFormulaError as error:
            problems.append(FormulaProblem(index, error.kind, f"{formulas[index]!r}: {error}"))
    return counts, problems


def parse_formula(text: str) -> Counts:
    """Read one formula into counts `[1, 103]`; raises FormulaError."""
    counts, problems = parse_formulas([text])
    if problems:
        raise FormulaError(problems[0].message)
    return counts


# The plain grammar, (Element[amount] | "(" (Element[amount])+ ")" [amount])+, over the characters of all rows.

_UPPER, _LOWER, _DIGIT, _OPEN, _CLOSE, _OTHER, _START = range(7)

_CLASS: Final = np.full(128, _OTHER, np.uint8)
_CLASS[ord("A") : ord("Z") + 1] = _UPPER
_CLASS[ord("a") : ord("z") + 1] = _LOWER
_CLASS[ord("0") : ord("9") + 1] = _DIGIT
_CLASS[ord("(")] = _OPEN
_CLASS[ord(")")] = _CLOSE

_MAY_FOLLOW: Final = np.zeros((7, 7), np.bool_)
_MAY_FOLLOW[_START, [_UPPER, _OPEN]] = True
_MAY_FOLLOW[_OPEN, _UPPER] = True
_MAY_FOLLOW[_UPPER, [_UPPER, _LOWER, _DIGIT, _OPEN, _CLOSE]] = True
_MAY_FOLLOW[_LOWER, [_UPPER, _DIGIT, _OPEN, _CLOSE]] = True
_MAY_FOLLOW[_DIGIT, [_UPPER, _DIGIT, _OPEN, _CLOSE]] = True
_MAY_FOLLOW[_CLOSE, [_UPPER, _DIGIT, _OPEN]] = True

_MAX_DIGITS: Final = 5
_NO_ELEMENT: Final = -1
_COLUMN: Final = np.full((26, 27), _NO_ELEMENT)
for _column, _symbol in enumerate(SYMBOLS):
    _COLUMN[ord(_symbol[0]) - ord("A"), ord(_symbol[1]) - ord("a") + 1 if _symbol[1:] else 0] = _column


def _read_plain(formulas: Sequence[str]) -> tuple[Counts, NDArray[np.bool_]]:
    """Return counts `[n, 103]` and which rows `[n]` the plain grammar could read; the others are zero."""
    n = len(formulas)
    lengths = np.fromiter(map(len, formulas), np.intp, n)
    text = np.frombuffer("".join(formulas).encode("ascii", "replace"), np.uint8)
    row = np.repeat(np.arange(n), lengths)
    is_read = _follows_grammar(text, row, lengths)

    is_kept = is_read[row]
    text, row = text[is_kept], row[is_kept]
    kind = _CLASS[text]
    starts = np.nonzero((kind == _UPPER) | (kind == _CLOSE))[0]
    counts = np.zeros((n, N_ELEMENTS), np.int32)
    if not starts.size:
        return counts, is_read
    token_row = row[starts]
    amounts, is_amount = _amounts(text, kind, starts)
    np.logical_and.at(is_read, token_row, is_amount)

    is_element = kind[starts] == _UPPER
    multipliers = _multipliers(kind, starts, amounts)
    following = np.append(text, 0)[starts + 1].astype(np.intp)
    is_two_letters = np.append(kind, _OTHER)[starts + 1] == _LOWER
    columns = _COLUMN[
        np.where(is_element, text[starts].astype(np.intp) - ord("A"), 0),
        np.where(is_two_letters, following - ord("a") + 1, 0),
    ]
    np.logical_and.at(is_read, token_row, ~is_element | (columns != _NO_ELEMENT))

    totals = amounts * multipliers
    np.logical_and.at(is_read, token_row, totals <= MAX_AMOUNT)

    is_counted = is_element & is_read[token_row]
    cells = token_row[is_counted] * N_ELEMENTS + columns[is_counted]
    np.add.at(counts.reshape(-1), cells, totals[is_counted].astype(np.int32))
    is_read[token_row[is_counted][counts.reshape(-1)[cells] > MAX_AMOUNT]] = False
    counts[~is_read] = 0
    return counts, is_read


def _follows_grammar(text: NDArray[np.uint8], row: NDArray[np.intp], lengths: NDArray[np.intp]) -> NDArray[np.bool_]:
    kind = _CLASS[text]
    previous = np.empty_like(kind)
    previous[1:] = kind[:-1]
    firsts = (np.cumsum(lengths) - lengths)[lengths > 0]
    previous[firsts] = _START
    step = (kind == _OPEN).astype(np.int32) - (kind == _CLOSE)
    depth = np.cumsum(step, dtype=np.int32)
    depth -= np.repeat(depth[firsts] - step[firsts], lengths[lengths > 0])
    is_legal = _MAY_FOLLOW[previous, kind] & (depth >= 0) & (depth <= 1)
    is_legal[firsts + lengths[lengths > 0] - 1] &= depth[firsts + lengths[lengths > 0] - 1] == 0
    is_read = lengths > 0
    is_read[row[~is_legal]] = False
    return is_read


def _amounts(
    text: NDArray[np.uint8], kind: NDArray[np.uint8], starts: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the number written after each token, 1 where there is none, and whether it can be used."""
    is_digit = kind == _DIGIT
    n_digits = np.add.reduceat(is_digit, starts, dtype=np.intp)
    last_digits = starts + 1 + (np.append(kind, _OTHER)[starts + 1] == _LOWER) + n_digits - 1
    token = np.cumsum((kind == _UPPER) | (kind == _CLOSE)) - 1
    digits = np.nonzero(is_digit)[0]
    places = np.minimum(last_digits[token[digits]] - digits, _MAX_DIGITS)
    values = np.zeros(len(starts), np.int64)
    np.add.at(values, token[digits], (text[digits].astype(np.int64) - ord("0")) * 10**places)
    values[n_digits == 0] = 1
    return values, (values > 0) & (n_digits <= _MAX_DIGITS)


def _multipliers(kind: NDArray[np.uint8], starts: NDArray[np.intp], amounts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each token the amount of the parenthesis around it, 1 outside."""
    multipliers = np.ones(len(starts), np.int64)
    is_close = kind[starts] == _CLOSE
    if is_close.any():
        depth = np.cumsum(kind == _OPEN) - np.cumsum(kind == _CLOSE)
        is_inside = depth[starts] > 0
        next_close = np.cumsum(is_close) - is_close
        multipliers[is_inside] = amounts[is_close][next_close[is_inside]]
    return multipliers


# Everything else, through pymatgen, with its leniency (charges, dummy species, deuterium, exponents) taken away.

_SUBSCRIPTS: Final = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_HYDRATE: Final = re.compile(r"[·•∙⋅](\d*)([^·•∙⋅]+)")
_ODD_GRAMMAR: Final = re.compile(r"[A-Za-z0-9.()\[\]{}\s]+")
_TOLERANCE: Final = 1e-6  # 0.57 * 100 is 56.99999999999999
_NUMBER: Final = re.compile(r"\d*\.\d*|\d+")


class _OddFormulaError(Exception):
    def __init__(self, kind: ProblemKind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def _read_odd(formula: str) -> Counts:
    """Return counts `[103]`; raises _OddFormulaError."""
    text = _HYDRATE.sub(r"(\2)\1", formula.strip().translate(_SUBSCRIPTS))
    _refuse_illegible(text)
    from pymatgen.core.composition import Composition

    try:
        amounts = Composition(text).get_el_amt_dict()
    except ValueError as error:
        raise _OddFormulaError("unparsable", f"brackets or amounts out of place ({error})") from error
    counts = np.zeros(N_ELEMENTS, np.int32)
    for symbol, amount in amounts.items():
        if amount > MAX_AMOUNT:
            raise _OddFormulaError("unparsable", f"more than {MAX_AMOUNT} atoms of {symbol}")
        if abs(amount - round(amount)) > _TOLERANCE:
            raise _OddFormulaError("non-integer amount", f"{amount:g} atoms of {symbol}; multiply to whole numbers")
        counts[SYMBOLS.index(symbol)] = round(amount)
    return counts


def _refuse_illegible(text: str) -> None:
    if not text:
        raise _OddFormulaError("empty", "no formula")
    if strange := _ODD_GRAMMAR.sub("", text):
        raise _OddFormulaError("unparsable", f"{strange!r} has no meaning in a formula; leave charges out")
    symbols = re.findall(r"[A-Z][a-z]*", text)
    if not symbols:
        raise _OddFormulaError("unparsable", "no element symbol")
    for symbol in symbols:
        if symbol in {"D", "T"}:
            raise _OddFormulaError("unknown element", f"{symbol} is an isotope; write H")
        if symbol not in SYMBOLS:
            raise _OddFormulaError("unknown element", f"{symbol} is not one of the {N_ELEMENTS} elements H to Lr")
    if stray := re.search(r"(?<![A-Za-z])[a-z]+", text):
        raise _OddFormulaError("unparsable", f"{stray.group()!r} does not belong to an element symbol")
    for number in _NUMBER.findall(text):
        if number == "." or float(number) == 0:
            raise _OddFormulaError("unparsable", f"amount {number!r}")
