"""Our first suggestion against bayesian-optimization's own: `python tests/bench/bench_suggest.py --data FOLDER`.

Both start from the 300 published latents and labels; both points are judged by the same Gaussian process. CPU seconds.
"""

import argparse
import contextlib
import csv
import time
import warnings
from pathlib import Path

import numpy as np
from bayes_opt import BayesianOptimization
from bayes_opt.acquisition import UpperConfidenceBound

from agd.nets.gp import GaussianProcess
from agd.plugins.samplers import Ucb, UcbOptions
from agd.types import Floats, History

DATA = Path(__file__).parents[3] / "shared" / "data"


def read(path: Path) -> History:
    """Latents as float32 holds them, gaps in eV, and their box."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    latents = np.array([[row[f"V{i}"] for i in range(128)] for row in rows], dtype=np.float32).astype(np.float64)
    bounds = np.stack([latents.min(axis=0), latents.max(axis=0)], axis=1)
    return History(latents, np.array([float(row["Eg"]) for row in rows]), bounds)


def stock(history: History, kappa: float) -> tuple[Floats, float]:
    """Suggest one point with bayesian-optimization alone; also the CPU seconds of `suggest`."""
    names = [f"v{i:03}" for i in range(len(history.bounds))]
    optimizer = BayesianOptimization(
        None,
        {name: (low, high) for name, (low, high) in zip(names, history.bounds, strict=True)},
        UpperConfidenceBound(kappa=kappa),
        random_state=42,
        verbose=0,
        allow_duplicate_points=True,
    )
    for latent, objective in zip(history.latents, history.objectives, strict=True):
        optimizer.register(dict(zip(names, latent, strict=True)), objective)
    start = time.process_time()
    point = optimizer.suggest()
    return np.array([[point[name] for name in names]]), time.process_time() - start


def main() -> None:
    """Print seconds and acquisition values for each kappa."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds paper/")
    parser.add_argument("--kappa", type=float, nargs="+", default=[2.576, 10.0, 100.0])
    parser.add_argument("--ours-only", action="store_true", help="leave out the minutes that the other one takes")
    arguments = parser.parse_args()
    history = read(arguments.data / "paper" / "bd_AML_whole_init_300.csv")
    judge = GaussianProcess.fit(history.latents, history.objectives)
    for kappa in arguments.kappa:
        sampler, seconds = Ucb(UcbOptions(kappa=kappa)), {}
        for n in (1, 20):
            start = time.process_time()
            proposals = sampler.suggest(history, n, seed=0)
            seconds[n] = time.process_time() - start
        value = proposals.acquisition[0]
        print(f"kappa {kappa:g}: ours {value:.8f} in {seconds[1]:.2f} s, 20 points in {seconds[20]:.2f} s", flush=True)
        if arguments.ours_only:
            continue
        with warnings.catch_warnings(), contextlib.redirect_stdout(None):  # it prints every repeated point
            warnings.simplefilter("ignore")
            point, stock_seconds = stock(history, kappa)
        mean, sd = judge.posterior(point)
        theirs = mean[0] + kappa * sd[0]
        verdict = "not below" if value >= theirs - 1e-6 else "BELOW"
        print(
            f"  bayesian-optimization {theirs:.8f} in {stock_seconds:.1f} s: "
            f"{stock_seconds / seconds[1]:.0f} times slower, ours is {verdict} it by {value - theirs:+.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
