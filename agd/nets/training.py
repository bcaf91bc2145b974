"""The one training loop: AdamW, a decaying or constant learning rate, early stopping, the best weights kept."""

import copy
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from agd.errors import InputError
from agd.protocols import Progress, silent

BatchT = TypeVar("BatchT")

_REPORTS_PER_EPOCH = 10


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to learn; after `patience` epochs without a better score training stops.

    The learning rate falls linearly to zero unless `is_constant`. Without weight decay AdamW is Adam.
    """

    epochs: int
    learning_rate: float
    weight_decay: float
    patience: int
    is_constant: bool = False


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to: epochs run, and the epoch (from 1) and score of the weights kept."""

    n_epochs: int
    best_epoch: int
    best_score: float


def train(
    network: torch.nn.Module,
    schedule: Schedule,
    *,
    batches: Callable[[int], Sequence[BatchT]],
    loss: Callable[[BatchT], torch.Tensor],
    score: Callable[[], float],
    score_name: str,
    score_text: Callable[[float], str] = "{:.1%}".format,
    progress: Progress = silent,
) -> Trained:
    """Fit `network` in place and leave it, in evaluation mode, with the weights of its best epoch.

    `batches(epoch)` gives the batches of an epoch, in order; `loss(batch)` is a scalar to minimise; `score()`, asked
    after each epoch, is better the larger it is, and the later of two equals; the notes to `progress` call it
    `score_name` and give it as `score_text`. Length is counted in epochs, never in seconds: on one kind of processor
    the same batches and the same number of threads give the same weights, bit for bit.

    Raises:
        InputError: the loss is no longer a finite number.
    """
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True
    )
    best_epoch, best_score, best_weights = 0, -math.inf, copy.deepcopy(network.state_dict())
    epoch, risen = 0, 0
    note = ""
    with deterministic_algorithms():
        while epoch < min(schedule.epochs, risen + schedule.patience):
            todo = batches(epoch)
            total = schedule.epochs * len(todo)
            network.train()
            for done, batch in enumerate(todo, start=epoch * len(todo)):
                if not schedule.is_constant:
                    optimizer.param_groups[0]["lr"] = schedule.learning_rate * (1 - done / total)
                optimizer.zero_grad()
                value = loss(batch)
                value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                optimizer.step()
                if done % max(1, len(todo) // _REPORTS_PER_EPOCH) == 0:
                    progress(
                        done,
                        total,
                        f"epoch {epoch + 1}/{schedule.epochs}, loss {_finite(value, epoch, schedule):.3g}{note}",
                    )
            epoch += 1
            network.eval()
            with torch.no_grad():
                reached = score()
            note = f", {score_name} {score_text(reached)}"
            progress(epoch * len(todo), total, f"epoch {epoch}/{schedule.epochs}{note}")
            risen = epoch if reached > best_score else risen
            if reached >= best_score:
                best_epoch, best_score, best_weights = epoch, reached, copy.deepcopy(network.state_dict())
    network.load_state_dict(best_weights)
    return Trained(epoch, best_epoch, best_score)


@contextmanager
def deterministic_algorithms() -> Iterator[None]:
    """Let torch use deterministic algorithms only; its former setting comes back afterwards.

    On a GPU they need a setting of cuBLAS, which it reads from the environment once.
    """
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    was_enabled = torch.are_deterministic_algorithms_enabled()
    is_warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fills = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(mode=True)
    memory.fill_uninitialized_memory = False  # costs a tenth, and nothing reads such memory
    try:
        yield
    finally:
        memory.fill_uninitialized_memory = fills
        torch.use_deterministic_algorithms(was_enabled, warn_only=is_warn_only)


def _finite(value: torch.Tensor, epoch: int, schedule: Schedule) -> float:
    number = value.item()
    if not math.isfinite(number):
        raise InputError(
            f"training diverged in epoch {epoch + 1} (loss {number}): "
            f"lower learning_rate, now {schedule.learning_rate:g}"
        )
    return number
