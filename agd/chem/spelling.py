"""Counts to formulas as generators write them: metals by rising atomic number, then non-metals by falling one."""

from typing import Final

import numpy as np

from agd.chem.elements import N_ELEMENTS, SYMBOLS
from agd.types import Counts

_LISTED: Final = "H He B C N O F Ne Si P S Cl Ar Ge As Se Br Kr Sb Te I Xe At Rn"
_NON_METALS: Final = frozenset(SYMBOLS.index(symbol) for symbol in _LISTED.split())
_ORDER: Final = np.array(
    sorted(range(N_ELEMENTS), key=lambda column: (column in _NON_METALS, -column if column in _NON_METALS else column))
)


def spell(counts: Counts) -> list[str]:
    """Write counts `[n, 103]` as they are, not reduced: `Sr2Y2F10`.

    The order of elements is that of every formula published with MatGAN (10.1038/s41524-020-00352-0).
    """
    rows, places = np.nonzero(counts[:, _ORDER])
    columns = _ORDER[places]
    amounts = counts[rows, columns].astype(np.int64)
    distinct, inverse = np.unique(columns * (amounts.max(initial=0) + 1) + amounts, return_inverse=True)
    pairs = (divmod(key, int(amounts.max(initial=0)) + 1) for key in distinct.tolist())
    words = np.array([SYMBOLS[column] + (str(n) if n > 1 else "") for column, n in pairs], object)[inverse].tolist()
    stops = np.searchsorted(rows, np.arange(len(counts)), side="right").tolist()
    return ["".join(words[start:stop]) for start, stop in zip([0, *stops], stops, strict=False)]
