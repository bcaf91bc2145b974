"""The authors' files (github.com/usccolumbia/Acitve-Generative-Design): where they lie, and what stands in them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.errors import InputError

URL: Final = "https://github.com/usccolumbia/Acitve-Generative-Design"

ORACLE_ROWS: Final = "Exp1_42k.csv"
TEST_ROWS: Final = "bd_test_only.csv"
CORPUS: Final = "mpid_formula_sp.csv"
INVERSE_DESIGN: Final = "inverse_design_candidates.csv"
SETS: Final = MappingProxyType(
    {
        "Exp1": ORACLE_ROWS,
        "Exp2 BS": "Exp2_BS_1k.csv",
        "Exp2 AL": "Exp2_AL_1741.csv",
        "Exp3 BS": "Exp3_BS_0.3k.csv",
        "Exp3 AL": "Exp3_AL_1153.csv",
    }
)
CANDIDATES: Final = MappingProxyType(
    {
        "Exp1": "roost_simple_candidate_exp1_M0_0224.csv",
        "Exp2 BS": "roost_simple_candidate_exp2_bs_M10001.csv",
        "Exp2 AL": "roost_simple_candidate_exp2_bo_M10016.csv",
        "Exp3 BS": "roost_simple_candidate_exp3_base.csv",
        "Exp3 AL": "roost_simple_candidate_exp3_bo.csv",
    }
)
KAPPAS: Final = (0, 1, 2, 5, 10)
"""The acquisition weights whose logs are published; those of 50 and 100 are not."""

AL_FROM_ID: Final = 99_999
"""Rows of the AL sets from this id on are the search's; the id less this is the place in its log."""

_BESIDE: Final = ("", "data", "data/paper", "shared/data/paper", "Acitve-Generative-Design")


class Row(NamedTuple):
    """A row of a table: id, formula as written, band gap in eV."""

    id: int
    formula: str
    band_gap_ev: float


@dataclass(frozen=True, slots=True)
class AuthorsFiles:
    """The folder that holds the files, at whatever depth; each table is read once."""

    folder: Path
    _rows: dict[str, Sequence[Row]] = field(default_factory=dict, repr=False, compare=False)
    _formulas: dict[str, Sequence[str]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def find(cls, given: Path | None) -> "AuthorsFiles":
        """The folder that was given, or one of the usual places in the working folder or beside it.

        Raises:
            InputError: they are not there.
        """
        if given is not None:
            found = cls(given)
            found.path(ORACLE_ROWS)
            return found
        for base in (Path(), Path("..")):
            for place in _BESIDE:
                folder = base / place
                if (folder / ORACLE_ROWS).is_file() or (place.startswith("Acitve") and folder.is_dir()):
                    return cls(folder)
        raise InputError(f"the authors' files are not here: `git clone {URL}`, then say --data and that folder")

    def path(self, name: str) -> Path:
        """A file by its name; raises InputError where it is not there."""
        direct = self.folder / name
        if direct.is_file():
            return direct
        if (found := next(iter(sorted(self.folder.rglob(name))), None)) is not None:
            return found
        raise InputError(f"{self.folder}: holds no {name}, which is one of the authors' files: get them from {URL}")

    def rows(self, name: str) -> Sequence[Row]:
        """The rows of a table with the columns id, composition, Eg, in their order."""
        if name not in self._rows:
            self._rows[name] = self._read(name)
        return self._rows[name]

    def formulas(self, name: str) -> Sequence[str]:
        """The reduced formulas of a table's rows, in their order."""
        if name not in self._formulas:
            self._formulas[name] = reduced([row.formula for row in self.rows(name)], self.path(name))
        return self._formulas[name]

    def band_gaps(self, name: str) -> dict[str, float]:
        """The band gap in eV by reduced formula; of rows that share one, that of the last."""
        return dict(zip(self.formulas(name), (row.band_gap_ev for row in self.rows(name)), strict=True))

    def _read(self, name: str) -> list[Row]:
        path = self.path(name)
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            try:
                return [Row(int(row["id"]), row["composition"], float(row["Eg"])) for row in reader]
            except (KeyError, ValueError, TypeError, csv.Error) as error:
                raise InputError(
                    f"{path}:{reader.line_num}: not a row of id, composition, Eg ({error}): get the file from {URL}"
                ) from error

    def kappa_log(self, kappa: int) -> list[tuple[str, float]]:
        """The labelled records of a control run in their order: reduced formula and band gap, repeats included."""
        path = self.path(f"exp3_roost_recommandation_budget1000_kappa{kappa}_2nd.txt")
        try:
            lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line]
            pairs = [line.rpartition(",") for line in lines]
            values = [float(value) for _, _, value in pairs]
        except ValueError as error:
            raise InputError(f"{path}: a record is not 'formula,Eg' ({error}): get the file from {URL}") from error
        return list(zip(reduced([formula for formula, _, _ in pairs], path), values, strict=True))


def reduced(formulas: Sequence[str], path: Path) -> list[str]:
    """Reduced formulas in the order of the file; raises InputError for one that does not parse."""
    counts, problems = parse_formulas(formulas)
    if problems:
        raise InputError(f"{path}: record {problems[0].index + 1}: {problems[0].message}")
    return list(identify(counts).reduced_formula)
