"""Two lists of candidates compared, as the authors' code does it, with the measures it lacks."""

from collections.abc import Sequence
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


def agreement_lines(
    row: str, found: Agreement, *, is_published: bool, rests_on: Sequence[str] = (), note: str = ""
) -> list[Line]:
    """The figures of a list; beside the paper's where the row is one of its."""
    recovery = Figure(paper.RECOVERY_RATES[row]) if is_published else None
    n_paper = Figure(paper.CANDIDATE_COUNTS[row]) if is_published else None
    shared = Figure(round(paper.RECOVERY_RATES[row] * found.n_reference / 100)) if is_published else None
    return [
        Line(row, paper.CANDIDATES, Figure(found.n), n_paper, 0, note, rests_on),
        Line(row, f"of the {found.n_reference}", Figure(found.n_shared), shared, 0),
        Line(row, paper.RECOVERY, Figure(100 * found.recovery), recovery, 2),
        Line(row, "precision, %", Figure(100 * found.precision), None, 1),
        Line(row, "F1, %", Figure(100 * found.f1), None, 1),
        Line(row, "average precision", Figure(found.average_precision), None, 3),
    ]


def authors_lists(files: AuthorsFiles) -> dict[str, list[Candidate]]:
    """The candidates behind Table 1's last two columns, by row."""
    return {
        row: [Candidate(one.formula, one.band_gap_ev) for one in files.rows(name)] for row, name in CANDIDATES.items()
    }
