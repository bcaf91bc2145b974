"""Counts to the names a composition goes by: pymatgen's, for whole tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import N_ELEMENTS, SYMBOLS, pauling_electronegativities
from agd.errors import InputError
from agd.types import Counts

_NEVER_HALVED_ALONE: Final = [SYMBOLS.index(symbol) for symbol in ("H", "N", "O", "F", "Cl")]
_NEVER_HALVED_OXIDES: Final = [SYMBOLS.index(symbol) for symbol in ("H", "Li", "Na", "K", "Rb", "Cs")]
_OXYGEN: Final = SYMBOLS.index("O")
_POLYANION_GAP: Final = 1.65


@dataclass(frozen=True, slots=True, eq=False)
class Identities:
    """What each row of a table is called.

    `counts` is `[n, 103]`, of the reduced formula: O2, N2, H2O2 and Na2O2 keep their 2, as in pymatgen. The strings are
    pymatgen's `reduced_formula` (Al2(SO4)3), `chemical_system` (Al-O-S) and `anonymized_formula` (A2B3C12); the numbers
    `[n]` are of elements, and of atoms in the reduced formula.
    """

    counts: Counts
    reduced_formula: list[str]
    chemical_system: list[str]
    anonymous_formula: list[str]
    n_elements: NDArray[np.int64]
    n_atoms: NDArray[np.int64]

    def take(self, positions: Sequence[int]) -> "Identities":
        """Some rows, in the order of their positions."""
        at = np.asarray(positions, dtype=np.intp)
        return Identities(
            counts=self.counts[at],
            reduced_formula=[self.reduced_formula[i] for i in positions],
            chemical_system=[self.chemical_system[i] for i in positions],
            anonymous_formula=[self.anonymous_formula[i] for i in positions],
            n_elements=self.n_elements[at],
            n_atoms=self.n_atoms[at],
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """The non-zero cells of a count matrix, row by row; `starts` is `[n]`."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    amounts: NDArray[np.int64]
    starts: NDArray[np.intp]

    def sorted_by(self, rank: NDArray[np.int64]) -> "_Cells":
        order = np.lexsort((rank, self.rows))
        return _Cells(self.rows, self.columns[order], self.amounts[order], self.starts)


def identify(counts: Counts) -> Identities:
    """Reduce and name each row of counts `[n, 103]`; raises InputError for a row without atoms."""
    reduced_counts = reduce_counts(counts)
    if not len(counts):
        return Identities(reduced_counts, [], [], [], np.zeros(0, np.int64), np.zeros(0, np.int64))
    reduced = _cells(reduced_counts)
    n_elements = np.count_nonzero(counts, axis=1)
    return Identities(
        counts=reduced_counts,
        reduced_formula=_reduced_formulas(reduced, n_elements),
        chemical_system=_chemical_systems(reduced),
        anonymous_formula=_anonymous_formulas(_in_lowest_terms(reduced)),
        n_elements=n_elements,
        n_atoms=reduced_counts.sum(axis=1, dtype=np.int64),
    )


def reduce_counts(counts: Counts) -> Counts:
    """Return the counts `[n, 103]` of each row's reduced formula; raises InputError for a row without atoms."""
    if counts.ndim != 2 or counts.shape[1] != N_ELEMENTS:  # noqa: PLR2004 - a matrix
        raise InputError(f"counts must be [n, {N_ELEMENTS}], not {list(counts.shape)}")
    is_bad = (counts < 0).any(axis=1) | ~counts.any(axis=1)
    if is_bad.any():
        raise InputError(f"row {int(np.argmax(is_bad))} of the counts is empty or negative: it names no composition")
    reduced = np.zeros(counts.shape, np.int32)
    if len(counts):
        cells = _in_lowest_terms(_cells(counts))
        factors = 1 + _is_never_halved(cells, np.count_nonzero(counts, axis=1))
        reduced[cells.rows, cells.columns] = cells.amounts * factors[cells.rows]
    return reduced


def _cells(counts: Counts) -> _Cells:
    rows, columns = np.nonzero(counts)
    starts = np.searchsorted(rows, np.arange(len(counts)))
    return _Cells(rows, columns, counts[rows, columns].astype(np.int64), starts)


def _in_lowest_terms(cells: _Cells) -> _Cells:
    divisors = np.gcd.reduceat(cells.amounts, cells.starts)
    return _Cells(cells.rows, cells.columns, cells.amounts // divisors[cells.rows], cells.starts)


def _is_never_halved(cells: _Cells, n_elements: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which rows `[n]` pymatgen keeps even: five elements that come in pairs, and peroxides of group 1."""
    is_single = np.maximum.reduceat(cells.amounts, cells.starts) == 1
    lone = np.isin(cells.columns, _NEVER_HALVED_ALONE)[cells.starts]
    has_oxygen = np.add.reduceat(cells.columns == _OXYGEN, cells.starts, dtype=np.intp) == 1
    has_partner = np.add.reduceat(np.isin(cells.columns, _NEVER_HALVED_OXIDES), cells.starts, dtype=np.intp) == 1
    is_pair = (n_elements == 2) & has_oxygen & has_partner  # noqa: PLR2004 - two elements
    is_never_halved: NDArray[np.bool_] = is_single & (((n_elements == 1) & lone) | is_pair)
    return is_never_halved


def _reduced_formulas(cells: _Cells, n_elements: NDArray[np.int64]) -> list[str]:
    """Order elements by electronegativity, then symbol; put the last two in parentheses where pymatgen does."""
    electronegativities = pauling_electronegativities()
    order = sorted(range(N_ELEMENTS), key=lambda z: (np.nan_to_num(electronegativities[z], nan=np.inf), SYMBOLS[z]))
    cells = cells.sorted_by(np.argsort(order)[cells.columns])

    last = cells.starts + n_elements - 1
    gap = electronegativities[cells.columns[last]] - electronegativities[cells.columns[last - 1]]
    factor = np.gcd(cells.amounts[last], cells.amounts[last - 1])
    is_grouped = (n_elements > 2) & (gap < _POLYANION_GAP) & (factor > 1)  # noqa: PLR2004 - and something before them
    first, final, factor = last[is_grouped] - 1, last[is_grouped], factor[is_grouped]
    amounts = cells.amounts.copy()
    amounts[first] //= factor
    amounts[final] //= factor
    is_opening = np.zeros(len(amounts), np.bool_)
    is_opening[first] = True
    closing = np.zeros(len(amounts), np.int64)
    closing[final] = factor

    def spell(column: int, amount: int, opens: int, closes: int) -> str:
        atoms = SYMBOLS[column] + (str(amount) if amount > 1 else "")
        return "(" * opens + atoms + (f"){closes}" if closes else "")

    return _joined("", _spelled(spell, cells.columns, amounts, is_opening, closing), cells.starts)


def _chemical_systems(cells: _Cells) -> list[str]:
    order = sorted(range(N_ELEMENTS), key=SYMBOLS.__getitem__)
    columns = cells.sorted_by(np.argsort(order)[cells.columns]).columns
    return _joined("-", np.array(SYMBOLS, object)[columns], cells.starts)


def _anonymous_formulas(cells: _Cells) -> list[str]:
    """Letters in order of rising amounts; like pymatgen, only the first 26."""
    amounts = cells.sorted_by(cells.amounts).amounts
    positions = np.arange(len(amounts)) - cells.starts[cells.rows]

    def spell(position: int, amount: int) -> str:
        return ascii_uppercase[position : position + 1] and ascii_uppercase[position] + (
            str(amount) if amount > 1 else ""
        )

    return _joined("", _spelled(spell, positions, amounts), cells.starts)


def _spelled(spell: Callable[..., str], *parts: NDArray[np.integer] | NDArray[np.bool_]) -> NDArray[np.object_]:
    """Apply `spell` to each distinct tuple of small whole numbers once."""
    key = np.zeros(len(parts[0]), np.int64)
    for part in parts:
        key = key * (int(part.max()) + 1) + part
    _, representatives, inverse = np.unique(key, return_index=True, return_inverse=True)
    distinct = zip(*(part[representatives].tolist() for part in parts), strict=True)
    return np.array([spell(*arguments) for arguments in distinct], object)[inverse]


def _joined(separator: str, words: NDArray[np.object_], starts: NDArray[np.intp]) -> list[str]:
    words_, stops = words.tolist(), [*starts[1:].tolist(), len(words)]
    return [separator.join(words_[start:stop]) for start, stop in zip(starts.tolist(), stops, strict=True)]
