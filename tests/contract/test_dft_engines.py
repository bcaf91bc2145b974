"""What every engine of calculations must do, and what those of agd do besides."""

import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from agd.recipes import Launch
from agd.testing import DftEngineContract
from agd.testing.crystals import rock_salt
from agd.types import Structure

sys.path.append(str(Path(__file__).parents[1] / "fixtures" / "quick"))
from quick_dft import Emt

pytestmark = pytest.mark.skipif(find_spec("ase") is None, reason="ASE is not installed")


class TestEmt(DftEngineContract):
    plugin = Emt
    kinds = ("relax", "gap")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gpaw") is None, reason="GPAW is not installed: `make gpaw`")
class TestGpaw(DftEngineContract):
    plugin = "gpaw"
    options: ClassVar[dict[str, Any]] = {"mesh": (2, 2, 2), "cutoff_ev": 250.0, "relax_cutoff_ev": 300.0}

    @classmethod
    def crystal(cls) -> Structure:
        return rock_salt("Na", "Cl", 5.8)


STAND_IN = Path(__file__).parents[1] / "fixtures" / "vasp" / "vasp_stand_in.py"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("custodian") is None, reason="custodian is not installed: it comes with the extra vasp")
class TestVasp(DftEngineContract):
    plugin = "vasp"
    launch = Launch(command=f"{sys.executable} {STAND_IN} emt slow")

    @classmethod
    def crystal(cls) -> Structure:
        return Structure(3.2 * np.eye(3), ("Cu", "Au"), np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.45]]))


def test_each_has_a_contract(has_all: Callable[[str, Iterable[object]], None]) -> None:
    has_all("agd.dft_engines", (TestGpaw, TestVasp))
