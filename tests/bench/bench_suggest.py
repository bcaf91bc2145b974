"""Our first suggestion against bayesian-optimization's own, and the published batch: seconds and acquisition values.

`python tests/bench/bench_suggest.py --data FOLDER`. Both start from the 300 published latents and labels; both points
are judged by the same Gaussian process. CPU seconds. Before that, a batch of 20
as a campaign pays it. A published batch of 20 follows undecodable points, of 0 eV.
"""

import argparse
import contextlib
import csv
import statistics
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from bayes_opt import BayesianOptimization
from bayes_opt.acquisition import AcquisitionFunction, ExpectedImprovement, UpperConfidenceBound

from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.nets.gp import GaussianProcess
from agd.nets.threads import limited_threads
from agd.plugins.autoencoders.set_autoencoder import SetAutoencoder, SetAutoencoderOptions
from agd.plugins.samplers.acquisition import Acquisition, Improvement, UpperBound
from agd.plugins.samplers.gaussian_process import Ei, EiOptions, Ucb, UcbOptions
from agd.types import Floats, History, TrainingTable

DATA = Path(__file__).parents[3] / "shared" / "data"
_CORPUS = 5_000


def read(path: Path) -> History:
    """Latents as float32 holds them, gaps in eV, and their box."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    latents = np.array([[row[f"V{i}"] for i in range(128)] for row in rows], dtype=np.float32).astype(np.float64)
    bounds = np.stack([latents.min(axis=0), latents.max(axis=0)], axis=1)
    return History(latents, np.array([float(row["Eg"]) for row in rows]), bounds)


def stock(history: History, acquisition: AcquisitionFunction) -> tuple[Floats, float]:
    """Suggest one point with bayesian-optimization alone; also the CPU seconds of `suggest`."""
    names = [f"v{i:03}" for i in range(len(history.bounds))]
    optimizer = BayesianOptimization(
        None,
        {name: (low, high) for name, (low, high) in zip(names, history.bounds, strict=True)},
        acquisition,
        random_state=42,
        verbose=0,
        allow_duplicate_points=True,
    )
    with warnings.catch_warnings(), contextlib.redirect_stdout(None):  # it prints every repeated point
        warnings.simplefilter("ignore")
        for latent, objective in zip(history.latents, history.objectives, strict=True):
            optimizer.space.register(latent, objective)
        start = time.process_time()
        point = optimizer.suggest()
    return np.array([[point[name] for name in names]]), time.process_time() - start


def compare(
    name: str,
    sampler: Ucb | Ei,
    history: History,
    judge: tuple[GaussianProcess, Acquisition],
    peer: AcquisitionFunction | None,
) -> None:
    """Print our seconds and value, and those of the peer."""
    posterior, acquisition = judge
    seconds = {}
    for n in (20, 1):
        start = time.process_time()
        proposals = sampler.suggest(history, n, seed=0)
        seconds[n] = time.process_time() - start
    value = proposals.acquisition[0]
    print(f"{name}: ours {value:.8f} in {seconds[1]:.2f} s, 20 points in {seconds[20]:.2f} s", flush=True)
    if peer is None:
        return
    point, stock_seconds = stock(history, peer)
    theirs = float(acquisition.value(*posterior.posterior(point))[0])
    verdict = "not below" if value >= theirs - 1e-6 else "BELOW"
    print(
        f"  bayesian-optimization {theirs:.8f} in {stock_seconds:.1f} s: "
        f"{stock_seconds / seconds[1]:.0f} times slower, ours is {verdict} it by {value - theirs:+.1e}",
        flush=True,
    )


def publish(history: History, n_undecodable: int, share: float) -> None:
    """Print the seconds of a published batch of 20 of which a share cannot be decoded."""
    rng = np.random.default_rng(0)
    lost = (
        rng.uniform(history.bounds[:, 0], history.bounds[:, 1], (n_undecodable, len(history.bounds)))
        .astype(np.float32)
        .astype(np.float64)
    )

    def read(points: Floats) -> Sequence[str | None]:
        return [None if rng.uniform() < share else "NaCl" for _ in points]

    past = replace(
        history,
        latents=np.concatenate([history.latents, lost]),
        objectives=np.concatenate([history.objectives, np.full(n_undecodable, np.nan)]),
        read=read,
        undecodable_objective=0.0,
    )
    for name, sampler in (("ucb", Ucb(UcbOptions(kappa=100.0))), ("ei", Ei(EiOptions()))):
        start = time.process_time()
        n = len(sampler.suggest(past, 20, seed=0).acquisition)
        print(
            f"published batch of {name}, {len(history.objectives)} labels and {n_undecodable} undecodable points: "
            f"{n} suggestions in {time.process_time() - start:.1f} s",
            flush=True,
        )


def as_a_campaign_pays_it(data: Path, n_points: int) -> None:
    """Print the seconds of a batch of 20 that avoids what was seen, its points read through an autoencoder."""
    with (data / "paper" / "Exp1_42k.csv").open() as file:
        rows = list(csv.DictReader(file))
    chosen = np.random.default_rng(0).permutation(len(rows))[:_CORPUS]
    counts = identify(parse_formulas([rows[i]["composition"] for i in chosen])[0]).counts
    options = SetAutoencoderOptions(epochs=2)
    fitted = SetAutoencoder.fit(TrainingTable(counts, None, np.arange(len(counts)) % 10 == 0), options, seed=0)
    autoencoder = SetAutoencoder.load(fitted.tensors, options)
    latents = autoencoder.encode(counts[:n_points]).astype(np.float64)

    def read(points: Floats) -> list[str | None]:
        decoded = autoencoder.decode(points.astype(np.float32))
        names = iter(identify(decoded.counts[[i not in decoded.failures for i in range(len(points))]]).reduced_formula)
        return [None if i in decoded.failures else next(names) for i in range(len(points))]

    history = History(
        latents,
        np.array([float(rows[i]["Eg"]) for i in chosen[:n_points]]),
        np.stack([latents.min(axis=0), latents.max(axis=0)], axis=1),
        read=read,
        seen=frozenset(identify(counts[:n_points]).reduced_formula),
    )
    for name, known in (("with names", history), ("without", replace(history, read=None))):
        seconds, walls = [], []
        for seed in range(3):
            start, at = time.process_time(), time.perf_counter()
            Ucb(UcbOptions(kappa=10.0)).suggest(known, 20, seed=seed)
            seconds.append(time.process_time() - start)
            walls.append(time.perf_counter() - at)
        print(
            f"20 suggestions of ucb at {n_points} points {name}: {statistics.median(seconds):.2f} CPU s,"
            f" {statistics.median(walls):.2f} s",
            flush=True,
        )


def main() -> None:
    """Print seconds and acquisition values."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds paper/")
    parser.add_argument("--kappa", type=float, nargs="*", default=[2.576, 10.0, 100.0])
    parser.add_argument("--xi", type=float, nargs="*", default=[0.0, 0.01])
    parser.add_argument("--ours-only", action="store_true", help="leave out the minutes that the other one takes")
    parser.add_argument("--campaign-only", action="store_true", help="only what a campaign pays for a batch")
    parser.add_argument("--undecodable", type=int, nargs="*", default=[0, 1000, 3000], help="in the published batch")
    arguments = parser.parse_args()
    with limited_threads(1):
        as_a_campaign_pays_it(arguments.data, n_points=500)
    if arguments.campaign_only:
        return
    history = read(arguments.data / "paper" / "bd_AML_whole_init_300.csv")
    posterior = GaussianProcess.fit(history.latents, history.objectives)
    for kappa in arguments.kappa:
        bound = None if arguments.ours_only else UpperConfidenceBound(kappa=kappa)
        sampler = Ucb(UcbOptions(kappa=kappa))
        compare(f"ucb, kappa {kappa:g}", sampler, history, (posterior, UpperBound(kappa)), bound)
    for xi in arguments.xi:
        improvement = None if arguments.ours_only else ExpectedImprovement(xi=xi)
        judge = posterior, Improvement(float(history.objectives.max()), xi)
        compare(f"ei, xi {xi:g} eV", Ei(EiOptions(xi=xi)), history, judge, improvement)
    for n_undecodable in arguments.undecodable:
        publish(history, n_undecodable, share=0.0)
    if arguments.undecodable:
        publish(history, 1000, share=5 / 6)


if __name__ == "__main__":
    main()
