"""One formula of any spelling, by recursive descent with exact fractions.

formula = part, {joint, part};  part = [amount], group, {group};  group = (symbol | bracket), [amount];
bracket = "(" formula ")" | "[" formula "]" | "{" formula "}";  joint = "·" and its like, or a full stop that cannot
belong to an amount;  amount = 2 | 2.0 | .5 | 1/2 | ½ | 1½.

What is written must stand a whole number of times: `(Na0.57Li0.43)100` is read, `Li0.5O` and `Li0.5O0.5` are
read by `read_scaled` alone.
pymatgen adds up floats, and gives amounts but no place to what it refuses; hence a grammar of our own.
"""

import math
import re
import unicodedata
from fractions import Fraction
from typing import Final, Literal, NamedTuple, NoReturn, TypeAlias

from agd.chem import signs
from agd.chem.elements import N_ELEMENTS, SYMBOLS

__all__ = ["MAX_AMOUNT", "ProblemKind", "UnreadableError", "read_formula", "read_scaled"]

MAX_AMOUNT: Final = 10_000
"""Largest number of atoms of one element that a formula may name."""

ProblemKind: TypeAlias = Literal["unparsable", "unknown element", "non-integer amount", "ambiguous", "empty"]

_MAX_DEPTH: Final = 50
_MAX_DIGITS: Final = 40
_LONGEST_WORD: Final = 30

_COLUMNS: Final = {symbol: column for column, symbol in enumerate(SYMBOLS)}
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}
_DIGITS: Final = frozenset("0123456789" + signs.VULGAR)
_JOINTS: Final = frozenset((signs.JOINT, "."))
_UNKNOWN: Final = frozenset("nmxyzw")
_OF_PARTS: Final = f"multiply every part to whole numbers, as in 2CaSO4{signs.JOINT}H2O"
_NOT_AFTER_DECIMALS: Final = frozenset("./" + signs.VULGAR)

_AMOUNT: Final = re.compile(
    rf"(?P<top>[0-9]+)/(?P<bottom>[0-9]+)|(?P<mixed>[0-9]*)(?P<vulgar>[{signs.VULGAR}])|[0-9]*\.[0-9]+|[0-9]+"
)
_SYMBOL: Final = re.compile(r"[A-Z][a-z]*")
_WORD: Final = re.compile(r"[a-z]+")
_WATER: Final = re.compile(r"\s*\(?(?:[HD]2O|OH2|HOH)(?![0-9])")
_STOP_OF_WATER: Final = re.compile(rf"\.(?=[0-9]*{_WATER.pattern})")
_TWO_STOPS: Final = re.compile(r"\.[0-9]+\.")

_VANADIUM_IODIDE: Final = re.compile(r"\(VI\)[1-9][0-9]*$")  # as reduced formulas end: Cs(VI)2
_ROMAN: Final = r"(?:VI{0,3}|I[VX]|I{1,3})"
_STATES: Final = tuple(
    (re.compile(rf"[(\[{{]\s*({inside})\s*[)\]}}]"), what)
    for inside, what in (
        (rf"[+-]?{_ROMAN}(?:\s*[,/]\s*{_ROMAN})*[+-]?", "an oxidation state"),
        (r"[0-9]+[+-]?|[+-][0-9]*", "an oxidation state or a charge"),
        (r"s|l|g|aq|cr|am|sol|solid|liquid|gas|amorphous", "a state of matter"),
    )
)


class UnreadableError(Exception):
    """Why a formula cannot be read."""

    def __init__(self, kind: ProblemKind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class _Term(NamedTuple):
    """Something written, and how many times it stands: an element's column, or None for a bracket or a part."""

    column: int | None
    times: int | Fraction
    words: str
    place: int
    may_join: bool = False
    advice: str = "multiply to whole numbers"


class _Amount(NamedTuple):
    """A number as it is written; `may_join` where its full stop may as well join two parts."""

    value: int | Fraction
    text: str
    may_join: bool = False


_ONE: Final = _Amount(1, "")


def read_formula(formula: str) -> dict[int, int]:
    """Atoms by column of the count matrix; raises UnreadableError."""
    text, places = signs.plain(formula)
    if not text.strip():
        raise UnreadableError("empty", "no formula")
    return _added_up(_Reader(formula, text, places).formula(None))


def read_scaled(formula: str, max_factor: int) -> tuple[dict[int, int], int]:
    """Atoms by column, and the smallest factor that made fractional amounts whole; raises UnreadableError.

    A full stop within an amount that may as well join two formulas is a decimal's where another amount surely is one.
    """
    text, places = signs.plain(formula)
    terms = _Reader(formula, text, places).formula(None)
    fractional = [term.times for term in terms if term.times.denominator != 1 and not term.may_join]
    if not fractional:
        return read_formula(formula), 1
    factor = math.lcm(*(term.times.denominator for term in terms if term.column is not None))
    if factor > max_factor:
        reason = f"its amounts are whole only times {factor}, which is more than {max_factor}"
        raise UnreadableError("non-integer amount", reason)
    whole = [term._replace(times=term.times * factor, may_join=False) for term in terms if term.column is not None]
    return _added_up(whole), factor


def _added_up(terms: list[_Term]) -> dict[int, int]:
    atoms: dict[int, int] = {}
    for term in sorted(terms, key=lambda term: term.place):
        if term.times.denominator != 1:
            joint = f", or write {signs.JOINT} where the full stop joins two formulas" if term.may_join else ""
            reason = f"{term.words} (character {term.place}); {term.advice}{joint}"
            raise UnreadableError("non-integer amount", reason)
        if term.may_join:
            reason = f"{term.words} (character {term.place}): a decimal, or two formulas joined by the full stop? Write"
            raise UnreadableError("ambiguous", f"{reason} whole numbers, or {signs.JOINT} between the two")
        if term.column is None:
            continue
        n = atoms.get(term.column, 0) + term.times.numerator
        if n > MAX_AMOUNT:
            raise UnreadableError("unparsable", f"more than {MAX_AMOUNT} atoms of {SYMBOLS[term.column]}")
        atoms[term.column] = n
    return atoms


class _Reader:
    def __init__(self, formula: str, text: str, places: list[int]) -> None:
        self.written, self.text, self.places = formula, text, places
        self.at = self.depth = 0

    def formula(self, opener: int | None) -> list[_Term]:
        """Parts up to the end, or to the bracket that closes the one at `opener`."""
        terms: list[_Term] = []
        starts = []
        while True:
            starts.append(self._skip_spaces())
            coefficient = self._coefficient()
            first = self._skip_spaces()
            groups = self._groups()
            if not groups:
                self._refuse_nothing(opener, starts)
            if coefficient is not _ONE:
                words = f"{coefficient.text} times {_short(self.text[first : self.at].strip())}"
                part = _Term(None, coefficient.value, words, self.places[starts[-1]], advice=_OF_PARTS)
                groups = _multiplied(groups, part)
            terms += groups
            if self._peek() not in _JOINTS:
                break
            self.at += 1
        if len(starts) == 1 and coefficient is not _ONE:
            reason = f"{coefficient.text!r} ({self._place(starts[0])}) stands before the formula"
            self._fail(f"{reason}: leave out numbers of isotopes and of formula units")
        if opener is None and self.at < len(self.text):
            self._fail(f"{self._sign(self.at)} closes no bracket")
        return terms

    def _groups(self) -> list[_Term]:
        """Symbols and brackets with their amounts, as far as they go."""
        terms: list[_Term] = []
        while True:
            start, char = self._skip_spaces(), self._peek()
            if char in _CLOSING:
                terms += self._bracket()
            elif "A" <= char <= "Z":
                column = self._symbol()
                amount = self._amount()
                words = f"{amount.text or 1} atoms of {SYMBOLS[column]}"
                terms.append(_Term(column, amount.value, words, self.places[start], amount.may_join))
            elif not char or char in ")]}" or char in _JOINTS:
                return terms
            elif char in _DIGITS:
                self._refuse_spaced(start)
            else:
                self._refuse_sign()

    def _bracket(self) -> list[_Term]:
        start = self.at
        self._refuse_states(start)
        if self.depth == _MAX_DEPTH:
            self._fail(f"brackets stand more than {_MAX_DEPTH} deep ({self._place(start)})")
        self.depth, self.at = self.depth + 1, start + 1
        terms = self.formula(start)
        self.depth -= 1
        if not self._peek():
            self._fail(f"{self._sign(start)} is never closed")
        if self._peek() != _CLOSING[self.text[start]]:
            self._fail(f"{self._sign(self.at)} does not close {self._sign(start)}")
        self.at += 1
        inside = _short(self.text[start : self.at])
        amount = self._amount()
        words = f"{amount.text} times {inside}"
        return _multiplied(terms, _Term(None, amount.value, words, self.places[start], amount.may_join))

    def _symbol(self) -> int:
        start = self.at
        word = _SYMBOL.findall(self.text, start, start + _LONGEST_WORD)[0]
        if word not in _COLUMNS:
            self._refuse_symbol(word, start)
        if self.text.startswith("II", start) and self.text[start + 2 : start + 3] not in {"n", "r"}:
            self._fail(f"'II' ({self._place(start)}) is an oxidation state: leave it out; iodine is I2")
        self.at += len(word)
        return _COLUMNS[word]

    def _refuse_symbol(self, word: str, start: int) -> NoReturn:
        if word in {"D", "T"}:
            self._fail(f"{word} ({self._place(start)}) is an isotope; write H", "unknown element")
        if word[:-1] in _COLUMNS and word[-1] in _UNKNOWN:
            place = self._place(start + len(word) - 1)
            self._fail(f"{word[-1]!r} ({place}) is an unknown amount of {word[:-1]}: write a number")
        reason = f"{word} ({self._place(start)}) is not one of the {N_ELEMENTS} elements H to Lr"
        self._fail(reason + self._small_letter(word, start), "unknown element")

    def _small_letter(self, word: str, start: int) -> str:
        """The symbol that two capitals may be meant for."""
        pairs = (self.text[max(start - 1, 0) : start + 1], self.text[start : start + 2])
        titles = [pair.capitalize() for pair in pairs if pair.isupper() and pair.capitalize() in _COLUMNS]
        return f"; is {titles[0]} meant?" if len(word) == 1 and titles else ""

    def _amount(self) -> _Amount:
        """The number after a symbol or a bracket, 1 where there is none."""
        before, start = self.at, self._skip_spaces()
        found = _AMOUNT.match(self.text, start)
        if found is None:
            self.at = before
            return _ONE
        follower = self._after_spaces(found.end())
        after = self.text[follower : follower + 1]
        is_followed = "A" <= after <= "Z" or after in _CLOSING
        if start > before and is_followed and follower == found.end():
            self._refuse_spaced(start)
        amount = self._number(found, is_followed=is_followed)
        if self._peek() == "." and self._char_after(self.at + 1) in {"", ")", "]", "}"}:
            self.at += 1  # `O3.`, as tables of floats print it
        return amount

    def _coefficient(self) -> _Amount:
        """The number before a part, 1 where there is none."""
        found = _AMOUNT.match(self.text, self.at)
        return _ONE if found is None else self._number(found, is_followed=False)

    def _number(self, found: re.Match[str], *, is_followed: bool) -> _Amount:
        text, start, end = found.group(), found.start(), found.end()
        whole, stop, decimals = text.partition(".")
        if len(text) > _MAX_DIGITS:
            self._fail(f"{_short(text)} ({self._place(start)}) is more than {MAX_AMOUNT} atoms")
        if stop and self.text[end : end + 1] in _NOT_AFTER_DECIMALS:
            words = f"'.' ({self._place(start + len(whole))}) joins two formulas or marks a decimal"
            self._fail(f"{words}: write {signs.JOINT} for a hydrate", "ambiguous")
        if stop and is_followed and whole != "0" and _WATER.match(self.text, end):
            self._refuse_full_stop(start + len(whole))
        value = _value(found)
        if self.text[end : end + 1] == ",":
            self.at = end
            self._refuse_sign()
        if not value:
            self._fail(f"amount {text!r} ({self._place(start)})")
        if len(whole) > 1 and whole[0] == "0":
            self._fail(f"amount {text!r} ({self._place(start)}) begins with a zero: is the letter O meant?")
        self.at = end
        may_join = bool(stop) and is_followed and whole != "0" and decimals[0] != "0"
        return _Amount(value, text, may_join)

    def _refuse_states(self, start: int) -> None:
        """Refuse a bracket that holds an oxidation state, a charge, or a state of matter."""
        for pattern, what in _STATES:
            found = pattern.match(self.text, start)
            if found is None:
                continue
            if _VANADIUM_IODIDE.match(self.text, start):
                return
            words = f"{found.group()!r} ({self._place(start)})"
            if found.group(1) not in {"I", "V"}:
                self._fail(f"{words} is {what}: leave it out")
            if self.text[start - 1 : start].isalpha():
                name = "iodine" if found.group(1) == "I" else "vanadium"
                self._fail(f"{words}: {name} or an oxidation state? Leave out the bracket, or all of it", "ambiguous")

    def _refuse_nothing(self, opener: int | None, starts: list[int]) -> NoReturn:
        """Refuse a part without a group."""
        if len(starts) > 1:
            before = len(self.text[: starts[-1]].rstrip()) - 1
            self._fail(f"{self._sign(before)} joins nothing")
        if self._peek() in _JOINTS:
            self._fail(f"{self._sign(self.at)} joins nothing")
        if opener is not None and self._peek():
            self._fail(f"{self._sign(opener)} and {self._sign(self.at)} hold nothing")
        if opener is not None:
            self._fail(f"{self._sign(opener)} is never closed")
        if self._peek():
            self._fail(f"{self._sign(self.at)} closes no bracket")
        self._fail("no element symbol")

    def _refuse_spaced(self, at: int) -> NoReturn:
        number = re.match(r"[0-9./]+|.", self.text[at:])
        words = f"{_short(number.group() if number else '')!r} ({self._place(at)})"
        if not self.text[at - 1 : at].isspace():
            self._fail(f"{words} follows another number")
        self._fail(f"{words} after a space: write {signs.JOINT} before a hydrate, an amount without space", "ambiguous")

    def _refuse_full_stop(self, at: int) -> NoReturn:
        better = "" if _TWO_STOPS.search(self.text) else _STOP_OF_WATER.sub(signs.JOINT, self.text)
        try:
            read_formula(better)
        except UnreadableError:
            better = ""
        example = f", {better}" if better else ""
        words = f"'.' ({self._place(at)}) joins a hydrate or marks a decimal"
        self._fail(f"{words}: write {signs.JOINT} for a hydrate{example}", "ambiguous")

    def _refuse_sign(self) -> NoReturn:
        """Refuse what begins no group."""
        word = _WORD.match(self.text, self.at)
        if word is None:
            self._fail(f"{self._sign(self.at)} {signs.advice(self.text, self.at)}")
        words = f"{_short(word.group())!r} ({self._place(self.at)})"
        if word.group() == "x" and self._char_after(word.end()) in _DIGITS:
            self._fail(f"{words} joins no formulas: write {signs.JOINT} for a hydrate")
        if word.group() in _UNKNOWN:
            self._fail(f"{words} is an unknown amount: write a number")
        if not re.search("[A-Z]", self.text):
            self._fail(f"no element symbol: {words} is written small")
        self._fail(f"{words} does not belong to an element symbol: leave names and states out")

    def _sign(self, at: int) -> str:
        place = self.places[at]
        return f"{signs.named(self.written[place - 1])} (character {place})"

    def _place(self, at: int) -> str:
        return f"character {self.places[at]}"

    def _fail(self, reason: str, kind: ProblemKind = "unparsable") -> NoReturn:
        raise UnreadableError(kind, reason)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _after_spaces(self, at: int) -> int:
        while self.text[at : at + 1].isspace():
            at += 1
        return at

    def _char_after(self, at: int) -> str:
        """The sign at a place or after the spaces there; nothing at the end."""
        at = self._after_spaces(at)
        return self.text[at : at + 1]

    def _skip_spaces(self) -> int:
        self.at = self._after_spaces(self.at)
        return self.at


def _multiplied(terms: list[_Term], whole: _Term) -> list[_Term]:
    """Terms as often as the bracket or part that holds them, which comes first."""
    if whole.times == 1:
        return terms
    return [whole, *(term._replace(times=term.times * whole.times) for term in terms)]


def _value(found: re.Match[str]) -> int | Fraction:
    if found.group().isdecimal():
        return int(found.group())
    if found["bottom"] is not None:
        bottom = int(found["bottom"])
        return Fraction(int(found["top"]), bottom) if bottom else Fraction(0)
    if found["vulgar"] is not None:
        part = Fraction(unicodedata.numeric(found["vulgar"])).limit_denominator(10)
        return int(found["mixed"] or 0) + part
    return Fraction(found.group())


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_WORD else f"{text[:_LONGEST_WORD]}..."
