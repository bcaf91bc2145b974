"""Other libraries at the same task: one JSON request per line in, one JSON answer out, with the CPU seconds it took.

Runs in the environment of peers.txt, which has no agd: see support.py.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

Task = Callable[[list[str]], list[Any]]


def magpie(formulas: list[str]) -> list[Any]:
    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core import Composition

    if "magpie" not in _ready:
        _ready["magpie"] = ElementProperty.from_preset("magpie", impute_nan=True)
    return [_ready["magpie"].featurize(Composition(formula)) for formula in formulas]


def smact_validity(formulas: list[str]) -> list[Any]:
    from smact.screening import smact_validity as is_valid

    return [bool(is_valid(formula)) for formula in formulas]


def smact_neutrality(formulas: list[str]) -> list[Any]:
    from smact.screening import smact_validity as is_valid

    return [bool(is_valid(formula, use_pauling_test=False)) for formula in formulas]


def elmd(formulas: list[str]) -> list[Any]:
    """The distances of the first from each."""
    from ElMD import ElMD

    first = ElMD(formulas[0])
    return [float(first.elmd(formula)) for formula in formulas]


def versions(_: list[str]) -> list[Any]:
    return [f"{name} {version(name)}" for name in ("ElMD", "matminer", "pymatgen", "smact")]


_ready: dict[str, Any] = {}

TASKS: dict[str, Task] = {task.__name__: task for task in (elmd, magpie, smact_validity, smact_neutrality, versions)}


def main() -> None:
    warnings.simplefilter("ignore")
    answers, sys.stdout = sys.stdout, sys.stderr  # what the libraries print is no answer
    for line in sys.stdin:
        request = json.loads(line)
        task = TASKS[request["task"]]
        task(request["formulas"][:5])  # loads libraries and caches
        start = time.process_time()
        values = task(request["formulas"])
        seconds = time.process_time() - start
        answers.write(json.dumps({"seconds": seconds, "values": values}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
