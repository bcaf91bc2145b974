"""The loop of the library bayesian-optimization, unchanged: what `ucb` and `ei` are measured against."""

import contextlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from bayes_opt import BayesianOptimization
from bayes_opt.acquisition import AcquisitionFunction, ConstantLiar, ExpectedImprovement, UpperConfidenceBound
from pydantic import Field

from agd.errors import InputError
from agd.plugins.samplers.box import Box, are_apart
from agd.plugins.samplers.published_batch import Measures, labelled, propose
from agd.plugins.samplers.uniform import Uniform, UniformOptions, checked_box
from agd.protocols import Options, Space
from agd.types import Floats, History, Proposals

if TYPE_CHECKING:
    from bayes_opt.target_space import TargetSpace
    from numpy.random import RandomState
    from sklearn.gaussian_process import GaussianProcessRegressor


class StockOptions(Options):
    """Options of the sampler `stock`, with the library's own defaults."""

    acquisition: Literal["ucb", "ei"] = Field("ucb", description="Upper confidence bound or expected improvement.")
    kappa: float = Field(2.576, ge=0.0, description="For ucb: standard deviations added to the posterior mean.")
    xi: float = Field(0.01, ge=0.0, description="For ei: least improvement that counts, in the objective's unit.")
    n_random: int = Field(10_000, ge=1, description="Uniform points tried for each suggestion.")
    n_smart: int = Field(10, ge=1, description="Best of these from which a climb starts, for each suggestion.")


class Stock:
    """Bayesian optimisation with the library's Gaussian process, acquisition and maximiser, for comparison.

    In the ordinary batch the library's constant liar keeps the points apart, and a point that still comes too near to
    an earlier one gives way to a uniform one; points without a label are left out. A history without any label gives
    uniform points. Its maximiser takes derivatives by differences: in 128 dimensions a suggestion takes half a minute.
    """

    options_type: ClassVar[type[Options]] = StockOptions
    space: ClassVar[Space] = "latent"
    draws_from_pool: ClassVar[bool] = False
    takes_several_properties: ClassVar[bool] = False

    def __init__(self, options: Options) -> None:
        if not isinstance(options, StockOptions):
            raise TypeError(f"stock takes StockOptions, not {type(options).__name__}")
        self.options = options

    def suggest(self, history: History, n: int, *, seed: int) -> Proposals:
        """Propose `n` points, or the published batch."""
        box, objectives = checked_box(history, n), labelled(history)
        is_labelled = ~np.isnan(objectives)
        if not is_labelled.any():
            return Uniform(UniformOptions()).suggest(history, n, seed=seed)
        known = history.latents[is_labelled], objectives[is_labelled]
        with _quiet():
            if history.undecodable_objective is not None:
                return propose(_Optimizer(self.options, known, box, seed, is_liar=False), history, n)
            return _batch(_Optimizer(self.options, known, box, seed, is_liar=True), box, n, np.random.default_rng(seed))


class _Optimizer:
    """The library's optimiser, told what is known."""

    def __init__(
        self, options: StockOptions, known: tuple[Floats, Floats], box: Box, seed: int, *, is_liar: bool
    ) -> None:
        acquisition = (
            UpperConfidenceBound(kappa=options.kappa)
            if options.acquisition == "ucb"
            else ExpectedImprovement(options.xi)
        )
        self._liar = ConstantLiar(acquisition)
        self.acquisition = _Sized(self._liar if is_liar else acquisition, options)
        self._names = [f"v{i}" for i in range(len(box.lower))]
        self._box = box
        self._optimizer = BayesianOptimization(
            None,
            dict(zip(self._names, zip(box.lower, box.upper, strict=True), strict=True)),
            self.acquisition,
            random_state=seed % 2**32,
            verbose=0,
            allow_duplicate_points=True,
        )
        if options.acquisition == "ei" and not ((known[0] >= box.lower) & (known[0] <= box.upper)).all(axis=1).any():
            raise InputError("the expected improvement of stock needs a labelled point inside the box: take ucb")
        for point, objective in zip(*known, strict=True):
            self.learn(point, float(objective))

    def suggest(self) -> tuple[Floats, Measures]:
        """One point, and what the process of that moment says of it."""
        suggested = self._optimizer.suggest()
        point = self._box.rounded(np.array([[suggested[name] for name in self._names]]))[0]
        return point, self.measure(point)

    def measure(self, point: Floats) -> Measures:
        """What the process of the last suggestion says of a point."""
        predicted: Any = self._optimizer.predict(
            [dict(zip(self._names, point, strict=True))], return_std=True, fit_gp=False
        )
        mean, sd = (float(part[0]) for part in predicted)
        value = np.nan_to_num(self.acquisition.base_acq(mean, np.float64(sd)))  # 0 / 0 without gain and deviation
        return mean, sd, float(value)

    def insist(self, point: Floats) -> None:
        """Tell the liar which point was taken for its last suggestion."""
        self._liar.dummies[-1] = point

    def learn(self, point: Floats, objective: float) -> None:
        """Register a point with the space itself: the optimiser's own way lists the whole space each time."""
        self._optimizer.space.register(point, objective)


class _Sized(AcquisitionFunction):
    """Another acquisition function with our number of random and of climbing points."""

    def __init__(self, inner: AcquisitionFunction, options: StockOptions) -> None:
        super().__init__()
        self.inner = inner
        self._options = options

    def base_acq(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner.base_acq(*args, **kwargs)

    def suggest(
        self,
        gp: "GaussianProcessRegressor",
        target_space: "TargetSpace",
        n_random: int = 0,
        n_smart: int = 0,
        fit_gp: bool = True,  # noqa: FBT001, FBT002  # the signature is bayes_opt's
        random_state: "int | RandomState | None" = None,
    ) -> Any:
        del n_random, n_smart
        return self.inner.suggest(gp, target_space, self._options.n_random, self._options.n_smart, fit_gp, random_state)


def _batch(optimizer: _Optimizer, box: Box, n: int, rng: np.random.Generator) -> Proposals:
    """Choose `n` points apart from each other, the liar told where one had to move."""
    chosen: list[Floats] = []
    measures: list[Measures] = []
    for _ in range(n):
        point, measured = optimizer.suggest()
        if not are_apart(point[None], chosen, box.separation(n))[0]:
            point = box.draw_apart(chosen, n, rng)
            measured = optimizer.measure(point)
        optimizer.insist(point)
        chosen.append(point)
        measures.append(measured)
    means, sds, acquisitions = np.array(measures).T
    return Proposals(posterior_mean=means, posterior_sd=sds, acquisition=acquisitions, latents=np.array(chosen))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library from printing each repeated point and from warning of each point at the edge."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(None):
        warnings.simplefilter("ignore")
        yield
