"""How fast generators of formulas sample, and how fast what they make is judged; medians of alternating rounds.

Rates do not depend on what a model has learnt, apart from how many elements it writes, so that training is short.

python tests/bench/bench_generate.py [--rounds 5] [--samples 20480] [--threads 1]
"""

import argparse

import numpy as np
import torch
from support import alternate, wall_seconds
from threadpoolctl import threadpool_limits

from agd import registry
from agd.chem.enumeration import charge_balanced
from agd.chem.identity import reduce_counts
from agd.chem.validity import assess
from agd.plugins.formula_generators.vocabulary import is_representable
from agd.protocols import FormulaGenerator
from agd.types import TrainingTable

BRIEF = {"matgan": {"warm_up_epochs": 3, "iterations": 1}, "matgan-paper": {"iterations": 30}}


def trained(kind: str) -> FormulaGenerator:
    """A model of full size, briefly trained."""
    counts = charge_balanced(10_000, seed=0, max_count=8)
    counts = counts[is_representable(counts)]
    plugin = registry.load("agd.formula_generators", kind)
    options = plugin.options_type.model_validate(BRIEF[kind])
    fitted = plugin.fit(TrainingTable(counts, None, np.zeros(len(counts), np.bool_)), options, seed=0)
    return plugin.load(fitted.tensors, options)


def main() -> None:
    """Time sampling of each, then reduction and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=20_480)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    n = arguments.samples
    with threadpool_limits(arguments.threads):
        models = {kind: trained(kind) for kind in BRIEF}
        made = models["matgan"].sample(0, n, seed=1)
        n_elements = np.count_nonzero(made, axis=1).mean()
        print(f"{n:,} samples, {n_elements:.2f} elements each, {arguments.threads} threads", flush=True)
        seconds = alternate(
            arguments.rounds,
            {
                **{
                    f"{kind}: sample and decode": lambda model=model: wall_seconds(lambda: model.sample(0, n, seed=1))
                    for kind, model in models.items()
                },
                "reduce": lambda: wall_seconds(lambda: reduce_counts(made)),
                "validity": lambda: wall_seconds(lambda: assess(made)),
            },
        )
    for name, value in seconds.items():
        print(f"{name:34} {n / value:12,.0f} formulas/s")


if __name__ == "__main__":
    main()
