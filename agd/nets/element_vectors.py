"""Vectors of the elements that were learnt from texts, read from a package that is not needed otherwise."""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import N_ELEMENTS, SYMBOLS
from agd.errors import InputError
from agd.installing import pip_install_extra

N_MATSCHOLAR: Final = 200
_FILE: Final = Path("data", "element_representations", "matscholar-embedding.json")


@cache
def matscholar() -> NDArray[np.float32]:
    """Matscholar's vectors of all elements (doi:10.1038/s41586-019-1335-8), `[103, 200]`, each of length one.

    They are a data file of ElementEmbeddings, which is found and not imported: its modules are slow to load.

    Raises:
        InputError: the package is not installed, or has another file.
    """
    package = find_spec("elementembeddings")
    if package is None or not package.submodule_search_locations:
        raise InputError(f"the Matscholar vectors of the elements are not installed: {pip_install_extra('roost')}")
    path = Path(package.submodule_search_locations[0]) / _FILE
    try:
        by_symbol = json.loads(path.read_text(encoding="utf-8"))
        vectors = np.array([by_symbol[symbol] for symbol in SYMBOLS], dtype=np.float32)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} does not hold a vector of every element: {pip_install_extra('roost')}") from error
    if vectors.shape != (N_ELEMENTS, N_MATSCHOLAR) or not np.isfinite(vectors).all():
        raise InputError(f"{path} does not hold {N_MATSCHOLAR} numbers of every element: {pip_install_extra('roost')}")
    vectors.flags.writeable = False
    return vectors
