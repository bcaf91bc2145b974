"""The one training loop: AdamW, a decaying or constant learning rate, early stopping, the best weights kept."""

import copy
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from agd.errors import InputError
from agd.nets.training_checkpoint import load_state, save_state
from agd.progress import Progress, silent

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


@dataclass(slots=True)
class _Position:
    """How far a training has come: epochs that are whole, batches of the next one, and what was reached when."""

    epoch: int = 0
    n_batches: int = 0
    risen: int = 0
    best_epoch: int = 0
    best_score: float = -math.inf


@dataclass(slots=True)
class _Run:
    """A training as it stands: its position, its best weights, and where it is kept, if anywhere."""

    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    checkpoint: Path | None
    best_weights: dict[str, Any]
    at: _Position = field(default_factory=_Position)

    def keep(self) -> None:
        """Leave it in the checkpoint's file, whole."""
        if self.checkpoint is not None:
            parts = {"network": self.network.state_dict(), "best": self.best_weights, "at": asdict(self.at)}
            save_state(self.checkpoint, {**parts, "optimizer": self.optimizer.state_dict()["state"]})

    def go_on(self) -> None:
        """Take it up where the checkpoint's file has left it, if it is there and is one of this network."""
        kept = None if self.checkpoint is None else load_state(self.checkpoint)
        shapes = {name: tensor.shape for name, tensor in self.network.state_dict().items()}
        if kept is None or {name: tensor.shape for name, tensor in kept["network"].items()} != shapes:
            return
        whole = {key: int(one) for key, one in kept["at"].items() if key != "best_score"}
        self.at = _Position(**whole, best_score=float(kept["at"]["best_score"]))
        self.best_weights = kept["best"]
        self.network.load_state_dict(kept["network"])
        state = {int(number): tensors for number, tensors in kept["optimizer"].items()}
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})


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
    checkpoint: Path | None = None,
) -> Trained:
    """Fit `network` in place and leave it, in evaluation mode, with the weights of its best epoch.

    `batches(epoch)` gives the batches of an epoch, in order; `loss(batch)` is a scalar to minimise; `score()`, asked
    after each epoch, is better the larger it is, and the later of two equals; the notes to `progress` call it
    `score_name` and give it as `score_text`. Length is counted in epochs, never in seconds: on one kind of processor
    the same batches and the same number of threads give the same weights, bit for bit. Ten times an epoch all that it
    takes to go on to the same bits is left in `checkpoint`, and a training goes on from the file that it finds there.

    Raises:
        InputError: the loss is no longer a finite number.
    """
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True
    )
    run = _Run(network, optimizer, checkpoint, copy.deepcopy(network.state_dict()))
    run.go_on()
    at, note = run.at, ""
    with deterministic_algorithms():
        while at.epoch < min(schedule.epochs, at.risen + schedule.patience):
            todo = batches(at.epoch)
            total = schedule.epochs * len(todo)
            network.train()
            for done, batch in enumerate(todo[at.n_batches :], start=at.epoch * len(todo) + at.n_batches):
                if not schedule.is_constant:
                    optimizer.param_groups[0]["lr"] = schedule.learning_rate * (1 - done / total)
                optimizer.zero_grad()
                value = loss(batch)
                value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                optimizer.step()
                at.n_batches += 1
                if done % max(1, len(todo) // _REPORTS_PER_EPOCH) == 0:
                    reached_loss = _finite(value, at.epoch, schedule)
                    run.keep()
                    progress(done, total, f"epoch {at.epoch + 1}/{schedule.epochs}, loss {reached_loss:.3g}{note}")
            at.epoch, at.n_batches = at.epoch + 1, 0
            network.eval()
            with torch.no_grad():
                reached = score()
            note = f", {score_name} {score_text(reached)}"
            at.risen = at.epoch if reached > at.best_score else at.risen
            if reached >= at.best_score:
                at.best_epoch, at.best_score = at.epoch, reached
                run.best_weights = copy.deepcopy(network.state_dict())
            run.keep()
            progress(at.epoch * len(todo), total, f"epoch {at.epoch}/{schedule.epochs}{note}")
    network.load_state_dict(run.best_weights)
    return Trained(at.epoch, at.best_epoch, at.best_score)


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
