"""NaCl by a real potential: no imaginary mode, and the constants that others found with it; a minute."""

from pathlib import Path

import numpy as np
import pytest

from agd.steps.calculations.calculating import CalculationPlan, calculate
from agd.steps.structures.importing import import_structures
from agd.work.workspace import Workspace

pytestmark = pytest.mark.slow

CELL = (
    '{"id": "salt", "formula": "NaCl", "nsites": 2, "lattice": [3.98, 3.98, 3.98, 60, 60, 60],'
    ' "species": [["Na", 1], ["Cl", 1]], "frac": [0, 0, 0, 0.5, 0.5, 0.5]}\n'
)


def test_rock_salt_is_stable_and_as_stiff_as_it_should_be(workspace: Workspace, tmp_path: Path) -> None:
    for package, extra in (("sevenn", "sevennet"), ("phonopy", "phonons")):
        pytest.importorskip(package, reason=f"needs the extra: pip install '.[{extra}]'")
    (tmp_path / "salt.jsonl").write_text(CELL)
    import_structures(workspace, [tmp_path / "salt.jsonl"], "salt", method="dft-pbe", scheme="mp2018")
    vibrating = calculate(workspace, CalculationPlan("phonons", "NaCl"))
    assert vibrating.phonons is not None
    assert (vibrating.phonons.n_imaginary, vibrating.claim) == (0, "phonons")
    assert vibrating.calculation.n_parts == 3
    constants = calculate(workspace, CalculationPlan("elastic", "NaCl")).elasticity
    assert constants is not None
    matrix = np.zeros((6, 6))
    matrix[np.triu_indices(6)] = constants.stiffness_gpa
    assert [matrix[0, 0], matrix[0, 1], matrix[3, 3]] == pytest.approx([49.0, 13.9, 11.8], rel=0.1)
    assert constants.is_born_stable
