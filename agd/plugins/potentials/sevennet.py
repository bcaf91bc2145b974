"""SevenNet-0, an equivariant graph network (10.1021/acs.jctc.4c00190), with the weights in its package."""

from importlib.metadata import version
from typing import Any, ClassVar

from agd.chem.elements import SYMBOLS
from agd.plugins.potentials import weights
from agd.plugins.potentials.ase_potential import AsePotential

_FILE = "pretrained_potentials/SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth"


class SevenNet(AsePotential):
    """SevenNet-0 of 11 July 2024, trained on the Materials Project's relaxations; the extra `sevennet`.

    Its energies carry no correction.
    """

    elements: ClassVar[frozenset[str]] = frozenset(SYMBOLS[:94]) - {"Po", "At", "Rn", "Fr", "Ra"}

    @property
    def version(self) -> str:
        """The model and the package that brought it."""
        weights.file_of("sevenn", _FILE, "sevennet")
        return f"SevenNet-0 11Jul2024, sevenn {version('sevenn')}"

    @property
    def weights_sha256(self) -> str:
        """The hash of the file of weights."""
        return weights.sha256_of(weights.file_of("sevenn", _FILE, "sevennet"))

    @classmethod
    def make_calculator(cls) -> Any:
        """Load the weights, on the processor: rows would be others on a graphics card."""
        path = weights.file_of("sevenn", _FILE, "sevennet")
        from sevenn.calculator import SevenNetCalculator

        return SevenNetCalculator(str(path), device="cpu")
