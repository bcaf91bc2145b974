"""Two lists of candidates compared, as the authors' code does it, with the measures it lacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agd.reproduction import paper
from agd.reproduction.authors import CANDIDATES, AuthorsFiles
from agd.reproduction.outcome import Figure, Line

MAX_ATOMS = 7
MAX_ELEMENTS = 3
"""The filters of the authors' code, which the paper does not name: fewer than 8 atoms, fewer than 4 elements."""

REFERENCE = "Exp1"

FILTERS = (
    f"A candidate has a predicted gap of at least {paper.HIGH_EV:g} eV, at most {MAX_ATOMS} atoms and at most "
    f"{MAX_ELEMENTS} elements. The last two are in the authors' code and not in the paper (every listed formula obeys "
    "them); two candidates are one where their formulas are the same text."
)
CIRCULAR = (
    "The measure is circular: the oracle that defines the reference also labelled what the AL models learned from. It "
    "counts no wrong pick and so rewards long lists; precision, F1 and average precision (candidates by predicted gap, "
    "a reference formula that is missing counting as zero) stand beside it."
)


class Candidate(NamedTuple):
    """What a screener picked: formula and predicted band gap in eV."""

    formula: str
    band_gap_ev: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """A list of candidates against the reference list."""

    n: int
    n_shared: int
    n_reference: int
    average_precision: float

    @classmethod
    def of(cls, candidates: Sequence[Candidate], reference: Sequence[Candidate]) -> "Agreement":
        """Compare two lists."""
        wanted = {candidate.formula for candidate in reference}
        ranked = sorted(candidates, key=lambda candidate: (-candidate.band_gap_ev, candidate.formula))
        n_shared, total = 0, 0.0
        for place, candidate in enumerate(ranked, start=1):
            if candidate.formula in wanted:
                n_shared += 1
                total += n_shared / place
        return cls(len(ranked), n_shared, len(wanted), total / len(wanted) if wanted else 0.0)

    @property
    def recovery(self) -> float:
        """Share of the reference that is in the list."""
        return self.n_shared / self.n_reference if self.n_reference else 0.0

    @property
    def precision(self) -> float:
        """Share of the list that is in the reference."""
        return self.n_shared / self.n if self.n else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of the two."""
        together = self.n + self.n_reference
        return 2 * self.n_shared / together if together else 0.0


def measures(row: str, found: Sequence[Agreement]) -> list[Line]:
    """What lists are worth, means over them, the rate beside the paper's."""
    rate = Figure(paper.RECOVERY_RATES[row])
    return [
        Line(row, paper.RECOVERY, Figure.of([100 * one.recovery for one in found]), rate, 2),
        Line(row, "precision, %", Figure.of([100 * one.precision for one in found]), None, 1),
        Line(row, "F1, %", Figure.of([100 * one.f1 for one in found]), None, 1),
        Line(row, "average precision", Figure.of([one.average_precision for one in found]), None, 3),
    ]


def published_lines(found: Mapping[str, Agreement]) -> list[Line]:
    """The figures of the authors' lists, by row, beside the paper's."""
    lines = []
    for row, one in found.items():
        shared = round(paper.RECOVERY_RATES[row] * one.n_reference / 100)
        lines += [
            Line(row, paper.CANDIDATES, Figure(one.n), Figure(paper.CANDIDATE_COUNTS[row]), 0),
            Line(row, f"of the {one.n_reference}", Figure(one.n_shared), Figure(shared), 0),
            *measures(row, [one]),
        ]
    return lines


def authors_lists(files: AuthorsFiles) -> dict[str, list[Candidate]]:
    """The candidates behind Table 1's last two columns, by row."""
    return {
        row: [Candidate(one.formula, one.band_gap_ev) for one in files.rows(name)] for row, name in CANDIDATES.items()
    }


def authors_agreements(lists: Mapping[str, Sequence[Candidate]]) -> dict[str, Agreement]:
    """Each of the authors' lists against the oracle's."""
    return {row: Agreement.of(candidates, lists[REFERENCE]) for row, candidates in lists.items()}
