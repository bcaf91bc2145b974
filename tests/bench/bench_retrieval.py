"""Real compounds that `retrieval` finds, beside bayesian-optimization's model and acquisition on the same descriptors.

`python tests/bench/bench_retrieval.py --data FOLDER [--goal wide] [--calls 1000] [--seeds 1]`. The pool is the authors'
table with its gaps hidden; each batch of 20 is answered by it. The peer is the Gaussian process of
bayesian-optimization (Matern 2.5, alpha 1e-6, normalised, its restarts left out for their time) with its upper
confidence bound, on standardised descriptors; the best 20 of the pool are its batch. Found, and wall seconds.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bayes_opt.acquisition import UpperConfidenceBound
from numpy.typing import NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from agd.chem.descriptors import magpie_and_fractions
from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.nets.threads import limited_threads
from agd.plugins.samplers.retrieval import Retrieval, RetrievalOptions
from agd.reproduction.authors import ORACLE_ROWS, SETS, AuthorsFiles
from agd.target import Target
from agd.types import Counts, Floats, History

DATA = Path(__file__).parents[3] / "shared" / "data"
BATCH = 20
FLUORINE = 8
GOALS = {"wide": "band_gap >= 6 eV", "window": "2 eV <= band_gap <= 4 eV", "no-fluorine": "band_gap >= 5 eV"}
AFTER = (100, 300, 500, 1000)

Pick = Callable[[NDArray[np.intp], int], NDArray[np.intp]]
"""The next rows of the pool, by those that are known, in their order, and a seed."""


class Pool:
    """The table `[n, 103]` of a goal, its gaps, the objective, and the rows of the start."""

    def __init__(self, files: AuthorsFiles, goal: str) -> None:
        rows = files.rows(ORACLE_ROWS)
        self.counts: Counts = identify(parse_formulas([row.formula for row in rows])[0]).counts
        self.gaps = np.array([row.band_gap_ev for row in rows])
        target = Target.parse(GOALS[goal])
        self.objectives: Floats = target.objective(self.gaps)
        self.is_open = self.counts[:, FLUORINE] == 0 if goal == "no-fluorine" else np.ones(len(rows), np.bool_)
        self.is_wanted = target.holds(self.gaps) & self.is_open
        self.formulas = files.formulas(ORACLE_ROWS)
        if goal == "window":
            self.start = np.random.default_rng(0).permutation(np.flatnonzero(self.gaps <= 2.0))[:300]
        else:
            place = {formula: i for i, formula in enumerate(self.formulas)}
            self.start = np.array([place[formula] for formula in files.formulas(SETS["Exp3 BS"])])


def ours(pool: Pool) -> Pick:
    sampler = Retrieval(RetrievalOptions())
    place = {counts.tobytes(): i for i, counts in enumerate(pool.counts)}
    allowed = pool.counts[pool.is_open]

    def pick(known: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
        history = History(
            np.zeros((len(known), 0)),
            pool.objectives[known],
            np.zeros((0, 2)),
            seen=frozenset(pool.formulas[i] for i in known.tolist()),
            counts=pool.counts[known],
            n_initial=len(pool.start),
            candidates=allowed,
        )
        proposals = sampler.suggest(history, BATCH, seed=seed)
        assert proposals.counts is not None
        return np.array([place[counts.tobytes()] for counts in proposals.counts])

    return pick


def peer(pool: Pool) -> Pick:
    features = magpie_and_fractions(pool.counts).astype(np.float64)
    spread = features.std(axis=0)
    features = (features - features.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    acquisition = UpperConfidenceBound(kappa=2.576)

    def pick(known: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
        process = GaussianProcessRegressor(Matern(nu=2.5), alpha=1e-6, normalize_y=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            process.fit(features[known], pool.objectives[known])
        left = np.setdiff1d(np.flatnonzero(pool.is_open), known)
        mean, sd = process.predict(features[left], return_std=True)
        return left[np.argsort(-acquisition.base_acq(mean, sd), kind="stable")[:BATCH]]

    return pick


def at_random(pool: Pool) -> Pick:
    def pick(known: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
        left = np.setdiff1d(np.flatnonzero(pool.is_open), known)
        return np.random.default_rng(seed).choice(left, BATCH, replace=False)

    return pick


def found(pool: Pool, pick: Pick, calls: int, seed: int) -> tuple[dict[int, int], float]:
    """Wanted ones after so many calls, and the seconds."""
    known, started = pool.start, time.perf_counter()
    for batch in range(calls // BATCH):
        known = np.concatenate([known, pick(known, 1000 * seed + batch)])
    spent = time.perf_counter() - started
    hits = pool.is_wanted[known[len(pool.start) :]].cumsum()
    return {n: int(hits[n - 1]) for n in sorted({*AFTER, calls}) if n <= calls}, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--goal", choices=GOALS, default="wide")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    pool = Pool(AuthorsFiles.find(chosen.data / "paper"), chosen.goal)
    n_there = int(np.delete(pool.is_wanted, pool.start).sum())
    print(f"{chosen.goal}: {n_there:,} there beside those of the start")
    last: dict[str, list[int]] = {}
    with limited_threads(chosen.threads):
        for seed in range(chosen.seeds):
            for name, make in (("retrieval", ours), ("bayesian-optimization", peer), ("random", at_random)):
                curve, seconds = found(pool, make(pool), chosen.calls, seed)
                last.setdefault(name, []).append(curve[chosen.calls])
                told = ", ".join(f"{n_found:,} after {n:,}" for n, n_found in curve.items())
                print(f"seed {seed}  {name:>21}: {told} calls; {seconds:.0f} s", flush=True)
    medians = {name: statistics.median(counts) for name, counts in last.items()}
    for name in ("bayesian-optimization", "random"):
        print(f"retrieval finds {medians['retrieval'] / max(medians[name], 1):.2f} times what {name} does")


if __name__ == "__main__":
    main()
