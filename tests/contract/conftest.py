"""What generators of formulas and autoencoders must both refuse."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest

from agd.errors import ModelError
from agd.types import Tensors

RefusesDamage: TypeAlias = Callable[[Tensors, Callable[[Tensors], object]], None]


@pytest.fixture(scope="session")
def refuses_damage() -> RefusesDamage:
    """Checks that a load refuses each tensor that is missing, cut, altered or of another type by its name."""

    def check(tensors: Tensors, load: Callable[[Tensors], object]) -> None:
        good = dict(tensors)
        for name, tensor in good.items():
            with pytest.raises(ModelError, match=name):
                load({other: good[other] for other in good if other != name})
            with pytest.raises(ModelError, match=name):
                load(good | {name: tensor[:-1]})
            if np.issubdtype(tensor.dtype, np.floating):
                with pytest.raises(ModelError, match=name):
                    load(good | {name: tensor * np.nan})
                with pytest.raises(ModelError, match=name):
                    load(good | {name: tensor.astype(np.float64)})
        with pytest.raises(ModelError, match="stowaway"):
            load(good | {"stowaway": np.zeros(1)})

    return check
