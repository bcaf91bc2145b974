"""CHGNet, a graph network that minds charges (10.1038/s42256-023-00716-3), with the weights in its package."""

from importlib.metadata import version
from typing import Any, ClassVar

from agd.chem.elements import SYMBOLS
from agd.plugins.potentials import weights
from agd.plugins.potentials.ase_potential import AsePotential

_FILE = "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar"


class ChgNet(AsePotential):
    """CHGNet 0.3.0, trained on the Materials Project's relaxations; the extra `chgnet`.

    Its energies carry the corrections of the project's scheme of 2020.
    """

    elements: ClassVar[frozenset[str]] = frozenset(SYMBOLS[:94]) - {"Po", "At", "Rn", "Fr", "Ra"}

    @property
    def version(self) -> str:
        """The model and the package that brought it."""
        weights.file_of("chgnet", _FILE, "chgnet")
        return f"CHGNet 0.3.0, chgnet {version('chgnet')}"

    @property
    def weights_sha256(self) -> str:
        """The hash of the file of weights."""
        return weights.sha256_of(weights.file_of("chgnet", _FILE, "chgnet"))

    @classmethod
    def make_calculator(cls) -> Any:
        """Load the weights, on the processor: rows would be others on a graphics card."""
        weights.file_of("chgnet", _FILE, "chgnet")
        from chgnet.model.dynamics import CHGNetCalculator
        from chgnet.model.model import CHGNet

        model = CHGNet.load(model_name="0.3.0", use_device="cpu", verbose=False)
        return CHGNetCalculator(model, use_device="cpu", on_isolated_atoms="ignore")
