"""Which compositions are let through: trims of their size and rules of validity, each with its reason why not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agd.chem import smact_validity, validity
from agd.chem.analogues import Analogues
from agd.chem.elements import SYMBOLS, common_states, smact_metals
from agd.types import Counts

VALIDITY: Final = f"{validity.RULE} v{validity.RULE_VERSION}"
"""How the record names the rule that `valid` stands for."""


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What was asked of n compositions, in order: who passed `[n]`, and the words for who did not."""

    n: int
    asked: Sequence[tuple[NDArray[np.bool_], str]]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Which `[n]` are let through."""
        is_let_through = np.ones(self.n, np.bool_)
        for passed, _ in self.asked:
            is_let_through &= passed
        return is_let_through

    @property
    def reasons(self) -> list[str | None]:
        """The first that each did not pass, None where it is let through."""
        asked = [(passed.tolist(), why) for passed, why in self.asked]
        return [next((why for passed, why in asked if not passed[i]), None) for i in range(self.n)]


@dataclass(frozen=True, slots=True)
class Trims:
    """The largest reduced formula that is let through, and its atoms of one element; None asks nothing."""

    max_elements: int | None = None
    max_atoms: int | None = None
    max_count: int | None = None

    def judge(self, counts: Counts) -> Judgement:
        """Judge reduced counts `[n, 103]`."""
        asked = []
        if self.max_elements is not None:
            n_elements = np.count_nonzero(counts, axis=1)
            asked.append((n_elements <= self.max_elements, f"more than {self.max_elements} elements"))
        if self.max_atoms is not None:
            asked.append((counts.sum(axis=1) <= self.max_atoms, f"more than {self.max_atoms} atoms"))
        if self.max_count is not None:
            largest = counts.max(axis=1, initial=0)
            asked.append((largest <= self.max_count, f"an element more than {self.max_count} times"))
        return Judgement(len(counts), asked)


PUBLISHED_TRIMS: Final = Trims(max_elements=5, max_atoms=20, max_count=7)
"""Of generated formulas, before they are screened (arXiv 2103.00608)."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Elements, rules of validity, trims, and whether anything like it is known.

    False, None and an empty list ask nothing; where a rule of validity does not speak it lets nothing through.
    """

    is_charge_neutral: bool = False
    is_electronegativity_balanced: bool = False
    is_smact_valid: bool = False
    trims: Trims = Trims()
    elements_allowed: Sequence[str] = ()
    elements_denied: Sequence[str] = ()
    must_contain: Sequence[str] = ()
    has_metal: bool = False
    is_neutral_in_common_states: bool = False
    analogues: Analogues | None = None

    def judge(self, counts: Counts) -> Judgement:
        """Judge reduced counts `[n, 103]`."""
        asked = self._elements(counts)
        if self.is_neutral_in_common_states:
            is_neutral = validity.can_be_neutral(counts, common_states())
            asked.append((is_neutral, "not neutral in common oxidation states"))
        if self.is_charge_neutral or self.is_electronegativity_balanced:
            verdicts = validity.assess(counts)
            if self.is_charge_neutral:
                asked.append((verdicts.is_charge_neutral, "not charge neutral"))
            if self.is_electronegativity_balanced:
                asked.append((verdicts.is_electronegativity_balanced, "not electronegativity balanced"))
        if self.is_smact_valid:
            is_valid = smact_validity.assess(counts).is_electronegativity_balanced
            asked.append((is_valid, "not valid by SMACT's rule"))
        asked += self.trims.judge(counts).asked
        if self.analogues is not None:
            asked.append((self.analogues.holds(counts), "neither known nor an analogue of a known composition"))
        return Judgement(len(counts), asked)

    def _elements(self, counts: Counts) -> list[tuple[NDArray[np.bool_], str]]:
        asked: list[tuple[NDArray[np.bool_], str]] = []
        if self.elements_allowed:
            others = [i for i, symbol in enumerate(SYMBOLS) if symbol not in self.elements_allowed]
            asked.append(
                (np.logical_not(counts[:, others].any(axis=1)), f"holds more than {', '.join(self.elements_allowed)}")
            )
        if self.elements_denied:
            denied = [SYMBOLS.index(symbol) for symbol in self.elements_denied]
            asked.append((np.logical_not(counts[:, denied].any(axis=1)), f"holds {' or '.join(self.elements_denied)}"))
        asked += [(counts[:, SYMBOLS.index(symbol)] > 0, f"holds no {symbol}") for symbol in self.must_contain]
        if self.has_metal:
            asked.append((np.asarray(counts[:, smact_metals()].any(axis=1)), "holds no metal"))
        return asked


VALID: Final = Filter(is_charge_neutral=True, is_electronegativity_balanced=True)
"""The published validity (arXiv 2103.00608), which screening and generation mean by `valid`."""
