"""Formulas to counts: whole tables at once, odd spellings one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import N_ELEMENTS, SYMBOLS
from agd.chem.grammar import MAX_AMOUNT, ProblemKind, UnreadableError, read_formula, read_scaled
from agd.chem.identity import Identities, identify
from agd.errors import FormulaError
from agd.types import Counts

__all__ = [
    "MAX_AMOUNT",
    "FormulaProblem",
    "Identities",
    "ProblemKind",
    "identify",
    "parse_formula",
    "parse_formulas",
    "scale_fractions",
]

_BLOCK: Final = 32_768
_LONGEST_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class FormulaProblem:
    """Why the formula at position `index` of the table could not be read."""

    index: int
    kind: ProblemKind
    message: str


def parse_formulas(formulas: Sequence[str]) -> tuple[Counts, list[FormulaProblem]]:
    """Read formulas into counts `[n, 103]`, as written, not reduced; a row with a problem is all zero.

    Element symbols with whole amounts and unnested parentheses are read for the whole table at once; brackets of any
    kind, hydrates, spaces, subscripts and amounts such as `2.0` are read one by one (see `agd.chem.grammar`). Nothing
    is rescaled: `Li0.5O` is a problem. "NaN" is sodium nitride.
    """
    counts = np.empty((len(formulas), N_ELEMENTS), np.int32)
    is_read = np.empty(len(formulas), np.bool_)
    for block in (slice(start, start + _BLOCK) for start in range(0, len(formulas), _BLOCK)):
        counts[block], is_read[block] = _read_plain(formulas[block])
    problems = []
    for index in np.nonzero(~is_read)[0].tolist():
        try:
            atoms = read_formula(formulas[index])
        except UnreadableError as error:
            problems.append(FormulaProblem(index, error.kind, f"{_shown(formulas[index])}: {error}"))
        else:
            row = counts[index]
            for column, n in atoms.items():
                row[column] = n
    return counts, problems


def scale_fractions(
    formulas: Sequence[str], counts: Counts, problems: Sequence[FormulaProblem], max_factor: int
) -> tuple[list[FormulaProblem], dict[int, int]]:
    """Read what `parse_formulas` refused for fractional amounts by making them whole, in place in counts `[n, 103]`.

    Returns the problems that are left, and by index the factor, of at most `max_factor`, that made a row whole.
    """
    left, factors = [], {}
    for problem in problems:
        if max_factor == 1 or problem.kind not in {"non-integer amount", "ambiguous"}:
            left.append(problem)
            continue
        text = formulas[problem.index]
        try:
            atoms, factor = read_scaled(text, max_factor)
        except UnreadableError as error:
            left.append(FormulaProblem(problem.index, error.kind, f"{_shown(text)}: {error}"))
            continue
        factors[problem.index] = factor
        for column, n in atoms.items():
            counts[problem.index, column] = n
    return left, factors


def parse_formula(text: str) -> Counts:
    """Read one formula into counts `[1, 103]`; raises FormulaError."""
    counts, problems = parse_formulas([text])
    if problems:
        raise FormulaError(problems[0].message)
    return counts


def _shown(formula: str) -> str:
    return repr(formula if len(formula) <= _LONGEST_SHOWN else f"{formula[:_LONGEST_SHOWN]}...")


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
    is_read[row[_is_roman(text, row)]] = False

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


def _is_roman(text: NDArray[np.uint8], row: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which characters `[n]` may begin an oxidation state: `(I)`, `(VI`, `II`."""
    is_i, is_numeral = text == ord("I"), (text == ord("I")) | (text == ord("V"))
    is_roman = np.zeros(len(text), np.bool_)
    is_roman[:-1] = is_i[:-1] & is_i[1:] & (row[:-1] == row[1:])
    opening = np.nonzero(text[:-2] == ord("("))[0]
    is_roman[opening] = is_numeral[opening + 1] & (is_numeral | (text == ord(")")))[opening + 2]
    return is_roman


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
    firsts = text[np.minimum(last_digits - n_digits + 1, len(text) - 1)]
    has_leading_zero = (n_digits > 0) & (firsts == ord("0"))
    return values, (values > 0) & (n_digits <= _MAX_DIGITS) & ~has_leading_zero


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
