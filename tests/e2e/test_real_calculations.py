"""NaCl and a triclinic crystal by a real potential: imaginary modes, constants and averages; a minute."""

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
TRICLINIC = (
    '{"id": "layers", "formula": "SrClF3", "nsites": 10, "lattice": [4.636, 4.954, 9.129, 74.403, 86.713, 89.903],'
    ' "species": [["F", 6], ["Cl", 2], ["Sr", 2]], "frac": [0.118, 0.227, 0.046,'
    " 0.234, 0.95, 0.6, 0.336, 0.599, 0.303, 0.664, 0.401, 0.697, 0.766, 0.05, 0.4,"
    " 0.882, 0.773, 0.954, 0.354, 0.311, 0.879, 0.646, 0.689, 0.121, 0.276, 0.091, 0.32, 0.724, 0.909, 0.68]}\n"
)
"""What SrClF3 relaxes to in the place of RbBiF3, near the cell of arXiv 2103.00608 (4.44, 4.75, 8.30 Å, 102.3°)."""


@pytest.fixture
def crystals(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A record with both; a potential and phonopy are installed."""
    for package, extra in (("sevenn", "sevennet"), ("phonopy", "phonons")):
        pytest.importorskip(package, reason=f"needs the extra: pip install '.[{extra}]'")
    (tmp_path / "two.jsonl").write_text(CELL + TRICLINIC)
    import_structures(workspace, [tmp_path / "two.jsonl"], "two", method="dft-pbe", scheme="mp2018")
    return workspace


def test_rock_salt_is_stable_and_as_stiff_as_it_should_be(crystals: Workspace) -> None:
    workspace = crystals
    vibrating = calculate(workspace, CalculationPlan("phonons", "NaCl"))
    assert vibrating.phonons is not None
    assert (vibrating.phonons.n_imaginary, vibrating.claim) == (0, "relaxed by a potential")
    assert vibrating.calculation.n_parts == 3
    constants = calculate(workspace, CalculationPlan("elastic", "NaCl")).elasticity
    assert constants is not None
    matrix = np.zeros((6, 6))
    matrix[np.triu_indices(6)] = constants.stiffness_gpa
    assert [matrix[0, 0], matrix[0, 1], matrix[3, 3]] == pytest.approx([49.0, 13.9, 11.8], rel=0.1)
    assert constants.is_born_stable


def test_a_triclinic_crystal_has_21_constants_and_averages(crystals: Workspace) -> None:
    found = calculate(crystals, CalculationPlan("elastic", "SrClF3"))
    constants = found.elasticity
    assert constants is not None
    assert (found.calculation.space_group, found.calculation.n_parts, constants.is_born_stable) == (2, 24, True)
    assert np.count_nonzero(np.abs(constants.stiffness_gpa) > 0.02) >= 20
    # The paper has by DFT C11 64.2, K 41.3, G 15.6, E 41.6, and 62.9 for C12, which is what C22 is here.
    assert [constants.stiffness_gpa[0], constants.stiffness_gpa[6]] == pytest.approx([67.3, 61.6], rel=0.05)
    averages = [constants.bulk_hill_gpa, constants.shear_hill_gpa, constants.young_hill_gpa]
    assert averages == pytest.approx([31.3, 9.3, 25.5], rel=0.1)
    assert constants.anisotropy == pytest.approx(2.3, abs=0.4)
