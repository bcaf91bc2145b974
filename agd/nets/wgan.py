"""Generators of formulas trained against a critic: a Wasserstein GAN with gradient penalty (arXiv 1704.00028)."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from agd.errors import InputError
from agd.nets.formula_networks import (
    N_NOISE,
    PUBLISHED_SHAPE,
    Writer,
    WriterShape,
    dense_critic,
    draw_published,
    matrices,
    published_critic,
    published_generator,
)
from agd.nets.training import Schedule, Trained, deterministic_algorithms, train
from agd.progress import Progress, silent

_SQUARE = 1e-8
_N_REPORTS = 100


@dataclass(frozen=True, slots=True)
class Contest:
    """How generator and critic learn by turns; Adam with these betas for both.

    Before the first iteration the critic has `head_start` steps of its own. `is_along_lines` is as in `slope_penalty`.
    """

    iterations: int
    critic_iterations: int
    batch: int
    gradient_penalty: float
    generator_rate: float
    critic_rate: float
    betas: tuple[float, float]
    head_start: int = 0
    is_along_lines: bool = False


@dataclass(frozen=True, slots=True)
class WriterRecipe:
    """How to train a `Writer`: first by the likelihood of the rows, then against a critic.

    `averaging` is what the moving average of the generator's weights, which is kept, holds on to in an iteration.
    """

    warm_up: Schedule
    warm_up_batch: int
    dropout: float
    contest: Contest
    n_critic: int
    averaging: float


def fit_writer(
    counts: NDArray[np.int64],
    validation: NDArray[np.int64],
    shape: WriterShape,
    recipe: WriterRecipe,
    *,
    seed: int,
    progress: Progress = silent,
) -> tuple[Writer, Trained]:
    """Train on `counts` `[n, n_elements]`; the likelihood of `validation` `[m, n_elements]` ends the warm-up.

    The critic sees matrices, which have no derivative by the weights that drew them: the generator follows the
    derivative of its samples' log-likelihood, weighted by how far the critic holds each of them above their mean.
    """
    draws = torch.Generator().manual_seed(seed)
    writer = Writer(shape, draws)
    rows, probe = torch.from_numpy(counts), torch.from_numpy(validation)
    n_batches = max(1, len(rows) // recipe.warm_up_batch)
    n_warm_up = recipe.warm_up.epochs * n_batches
    n_total = n_warm_up + recipe.contest.iterations

    def batches(_epoch: int) -> Sequence[torch.Tensor]:
        return rows[torch.randperm(len(rows), generator=draws)].tensor_split(n_batches)

    trained = train(
        writer,
        recipe.warm_up,
        batches=batches,
        loss=lambda batch: -writer.log_likelihood(batch, dropout=recipe.dropout, draws=draws).mean(),
        score=lambda: writer.log_likelihood(probe).mean().item(),
        score_name="log-likelihood",
        score_text="{:.2f}".format,
        progress=lambda done, _total, note="": progress(done, n_total, f"warm-up: {note}"),
    )
    critic = dense_critic(shape.n_elements * shape.max_count, recipe.n_critic, draws)
    averaged = copy.deepcopy(writer)

    def loss() -> torch.Tensor:
        made = writer.draw(recipe.contest.batch, draws)
        with torch.no_grad():
            worth = critic(matrices(made, shape.max_count))[:, 0]
        objective: torch.Tensor = -((worth - worth.mean()) * writer.log_likelihood(made)).mean()
        return objective

    def after() -> None:
        with torch.no_grad():
            for kept, latest in zip(averaged.parameters(), writer.parameters(), strict=True):
                kept.lerp_(latest, 1 - recipe.averaging)

    contend(
        writer,
        critic,
        recipe.contest,
        real=lambda: matrices(_chosen(rows, recipe.contest.batch, draws), shape.max_count),
        made=lambda: matrices(writer.draw(recipe.contest.batch, draws), shape.max_count),
        loss=loss,
        after=after,
        draws=draws,
        progress=lambda done, _total, note="": progress(n_warm_up + done, n_total, note),
    )
    return averaged, trained


def fit_published(counts: NDArray[np.int64], contest: Contest, *, seed: int, progress: Progress = silent) -> nn.Module:
    """Train the published generator on `counts` `[n, 85]`, none above 8; back in evaluation mode."""
    draws = torch.Generator().manual_seed(seed)
    generator, critic = published_generator(), published_critic()
    draw_published(generator, draws)
    draw_published(critic, draws)
    rows = torch.from_numpy(counts)

    def made() -> torch.Tensor:
        matrix: torch.Tensor = generator(torch.randn(contest.batch, N_NOISE, generator=draws))
        return matrix

    contend(
        generator,
        critic,
        contest,
        real=lambda: matrices(_chosen(rows, contest.batch, draws), PUBLISHED_SHAPE[1]),
        made=made,
        loss=lambda: -critic(made()).mean(),
        draws=draws,
        progress=progress,
    )
    return generator.eval()


@deterministic_algorithms()
def contend(
    generator: nn.Module,
    critic: nn.Module,
    contest: Contest,
    *,
    real: Callable[[], torch.Tensor],
    made: Callable[[], torch.Tensor],
    loss: Callable[[], torch.Tensor],
    draws: torch.Generator,
    after: Callable[[], None] = lambda: None,
    progress: Progress = silent,
) -> None:
    """Train both in place; `real` and `made` give batches for the critic, `loss` is what the generator minimises.

    Raises:
        InputError: a loss is no longer a finite number.
    """
    generator_steps = torch.optim.Adam(generator.parameters(), contest.generator_rate, contest.betas, fused=True)
    critic_steps = torch.optim.Adam(critic.parameters(), contest.critic_rate, contest.betas, fused=True)
    distance = math.nan
    for iteration in range(contest.iterations):
        for _ in range(contest.critic_iterations + (0 if iteration else contest.head_start)):
            with torch.no_grad():
                examples, fakes = real(), made()
            gap = critic(examples).mean() - critic(fakes).mean()
            penalty = slope_penalty(critic, examples, fakes, draws, is_along_lines=contest.is_along_lines)
            objective = contest.gradient_penalty * penalty - gap
            critic_steps.zero_grad()
            objective.backward()
            critic_steps.step()
            distance = gap.item()
        generator_steps.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        generator_steps.step()
        after()
        if not math.isfinite(distance):
            raise InputError(
                f"training diverged in iteration {iteration + 1} (the critic's distance is {distance}): "
                "lower critic_rate and generator_rate"
            )
        if iteration % max(1, contest.iterations // _N_REPORTS) == 0:
            note = f"iteration {iteration + 1}/{contest.iterations}, critic's distance {distance:.3g}"
            progress(iteration, contest.iterations, note)
    progress(contest.iterations, contest.iterations, f"critic's distance {distance:.3g}")


def slope_penalty(
    critic: nn.Module,
    examples: torch.Tensor,
    fakes: torch.Tensor,
    draws: torch.Generator,
    *,
    is_along_lines: bool = False,
) -> torch.Tensor:
    """Mean squared departure from 1 of the gradient's norm, at a point drawn between each example and its fake.

    With `is_along_lines` only the slope along the line between the two counts, and only what exceeds 1. A gradient has
    a component for each absent cell too, hundreds for each that is present, so that a critic of bounded norm hardly
    tells one number of elements from another.
    """
    share = torch.rand(len(examples), *(1,) * (examples.ndim - 1), generator=draws)
    between = (share * examples + (1 - share) * fakes).requires_grad_()
    (gradients,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    if is_along_lines:
        lines = (examples - fakes).flatten(1)
        slopes = (gradients.flatten(1) * lines).sum(1) / lines.norm(dim=1).clamp(min=1)
        excess: torch.Tensor = (slopes.abs() - 1).clamp(min=0)
        return excess.square().mean()
    return ((gradients.square().flatten(1).sum(1) + _SQUARE).sqrt() - 1).square().mean()


def _chosen(rows: torch.Tensor, n: int, draws: torch.Generator) -> torch.Tensor:
    return rows[torch.randint(len(rows), (n,), generator=draws)]
