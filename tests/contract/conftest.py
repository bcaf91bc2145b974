"""What the contracts of agd's own plug-ins have in common."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import pytest

from agd import registry
from agd.errors import ModelError
from agd.testing.models import ModelContract

HasAll: TypeAlias = Callable[[str, Iterable[object]], None]


@pytest.fixture(scope="session")
def has_all() -> HasAll:
    """Checks that a file has a contract for each plug-in of a group that agd brings."""

    def check(group: str, contracts: Iterable[object]) -> None:
        named = {getattr(one, "plugin", None) for one in contracts}
        assert named == {one.entry.name for one in registry.installed() if one.is_own and one.entry.group == group}

    return check


@pytest.fixture(scope="session")
def names_damage() -> Callable[[type[ModelContract]], None]:
    """Checks that a load refuses each tensor that is missing, cut, altered or of another type by its name."""

    def check(contract: type[ModelContract]) -> None:
        trained = contract.trained()
        good = dict(trained.fitted.tensors)
        for name, tensor in good.items():
            damaged = [{other: good[other] for other in good if other != name}, good | {name: tensor[:-1]}]
            if np.issubdtype(tensor.dtype, np.floating):
                damaged += [good | {name: tensor * np.nan}, good | {name: tensor.astype(np.float64)}]
            for tensors in damaged:
                with pytest.raises(ModelError, match=name):
                    trained.plugin.load(tensors, trained.options)
        with pytest.raises(ModelError, match="stowaway"):
            trained.plugin.load(good | {"stowaway": np.zeros(1)}, trained.options)

    return check
