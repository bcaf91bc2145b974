"""MatGAN (10.1038/s41524-020-00352-0) behind the protocol: the published networks, and a generator that learns more.

A formula is a matrix of 85 elements by 8 counts. Both generators are trained against a critic with gradient penalty.
"""

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agd.chem.elements import N_ELEMENTS, pauling_electronegativities
from agd.plugins.checks import VOCABULARY, check_tensors, narrowed, vocabulary
from agd.plugins.formula_generators.vocabulary import (
    COLUMNS,
    ELEMENTS,
    MAX_COUNT,
    MAX_ELEMENTS,
    blocks,
    is_representable,
    learnable,
    measure,
    noise_of,
)
from agd.progress import Progress, silent
from agd.protocols import Options
from agd.types import Counts, FittedModel, Tensors, TrainingTable

if TYPE_CHECKING:
    from torch import nn

    from agd.nets.formula_networks import WriterShape
    from agd.nets.wgan import Contest

_BLOCK: Final = 2048
_PAPER_BLOCK: Final = 256
"""Samples computed at once: no sample depends on another block."""

_LEAST_ELEMENTS: Final = 2
_ON: Final = 0.2
_FAMILY: Final = "formula generator"


class MatganOptions(Options):
    """Hyper-parameters of `Matgan`."""

    only_valid: bool = Field(
        default=True, description="Train on charge-neutral and electronegativity-balanced formulas only."
    )
    temperature: float = Field(
        1.0, gt=0, le=10, description="Divides the logits when sampling: below 1 fewer, likelier formulas."
    )
    state: int = Field(384, ge=8, le=4096, description="Length of the vector that stands for what is written so far.")
    hidden: int = Field(256, ge=8, le=4096, description="Width of the hidden layers that choose elements and counts.")
    warm_up_epochs: int = Field(
        20, ge=0, le=10_000, description="Most passes by likelihood before the contest; 0 trains by the contest alone."
    )
    warm_up_patience: int = Field(
        4, ge=1, le=10_000, description="Epochs without a better likelihood of validation rows before the warm-up ends."
    )
    warm_up_batch: int = Field(128, ge=1, le=65_536, description="Rows per step of the warm-up.")
    warm_up_rate: float = Field(
        2e-3, gt=0, le=1, description="First step size of AdamW in the warm-up; it falls linearly to zero."
    )
    weight_decay: float = Field(1e-2, ge=0, le=10, description="Weight decay of AdamW in the warm-up.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of the state that is dropped in the warm-up.")
    validation: float = Field(
        0.05, gt=0, lt=1, description="Share of the rows set aside to end the warm-up, where the table names none."
    )
    iterations: int = Field(400, ge=0, description="Steps of the generator against the critic.")
    critic_iterations: int = Field(3, ge=1, le=100, description="Steps of the critic for each of the generator.")
    critic_head_start: int = Field(200, ge=0, description="Steps of the critic before the generator's first.")
    critic_hidden: int = Field(256, ge=8, le=4096, description="Width of the critic's two hidden layers.")
    batch: int = Field(256, ge=2, le=65_536, description="Formulas per step of the contest.")
    gradient_penalty: float = Field(
        10.0,
        ge=0,
        description="Weight of the penalty on slopes of the critic above 1, from each formula to a made one.",
    )
    generator_rate: float = Field(1e-4, gt=0, le=1, description="Step size of Adam for the generator.")
    critic_rate: float = Field(5e-4, gt=0, le=1, description="Step size of Adam for the critic.")
    averaging: float = Field(
        0.98, ge=0, lt=1, description="What the moving average of the generator's weights keeps in an iteration."
    )


class PaperMatganOptions(Options):
    """Hyper-parameters of `PaperMatgan`: but for `iterations`, which the paper leaves open, the published ones."""

    only_valid: bool = Field(
        default=True, description="Train on charge-neutral and electronegativity-balanced formulas only."
    )
    iterations: int = Field(
        1000,
        ge=1,
        le=100_000_000,
        description="Steps of the generator. A thousand take minutes on a CPU and do not give formulas yet; "
        "the published training is open-ended.",
    )
    critic_iterations: int = Field(1, ge=1, le=100, description="Steps of the critic for each of the generator.")
    batch: int = Field(32, ge=2, le=65_536, description="Formulas per step.")
    gradient_penalty: float = Field(10.0, ge=0, description="Weight of the critic's gradient penalty.")
    generator_rate: float = Field(1e-3, gt=0, le=1, description="Step size of Adam for the generator.")
    critic_rate: float = Field(1e-2, gt=0, le=1, description="Step size of Adam for the critic.")


class Matgan:
    """Writes formulas element by element from the most electronegative on; learns by likelihood, then from a critic.

    Only training loads torch; a fitted model samples in numpy.
    """

    options_type: ClassVar[type[Options]] = MatganOptions
    architecture_version: ClassVar[int] = 1

    def __init__(self, tensors: Tensors, options: MatganOptions) -> None:
        """Take tensors that `load` has checked."""
        self._temperature = np.float32(options.temperature)
        self._tensors = {name: tensor.astype(np.float32) for name, tensor in tensors.items() if name != VOCABULARY}
        nothing = np.zeros((1, options.state), np.float32)
        self._openings = [
            self._heads(self._state(nothing, 0)),
            self._heads(self._state(self._tensors["pair_vectors"], 1)),
        ]

    @classmethod
    def is_representable(cls, counts: Counts) -> NDArray[np.bool_]:
        """Which rows `[n]` have 2 to 8 of the 85 elements and 1 to 8 atoms of each."""
        return is_representable(counts)

    @classmethod
    def fit(cls, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent) -> FittedModel:
        """Train on the rows that are not held out; measure on those that are.

        Raises:
            InputError: no row to train on, a row outside the vocabulary, or a training that diverged.
        """
        from agd.nets.training import Schedule
        from agd.nets.wgan import WriterRecipe, fit_writer

        o = narrowed(options, MatganOptions, "the matgan generator")
        is_learnt = learnable(table, only_valid=o.only_valid)
        is_validation = _validation(table, is_learnt, o.validation, seed)
        inside = table.counts[:, COLUMNS[_by_electronegativity()]].astype(np.int64)
        contest = replace(_contest(o), betas=(0.0, 0.9), head_start=o.critic_head_start, is_along_lines=True)
        recipe = WriterRecipe(
            warm_up=Schedule(o.warm_up_epochs, o.warm_up_rate, o.weight_decay, o.warm_up_patience),
            warm_up_batch=o.warm_up_batch,
            dropout=o.dropout,
            contest=contest,
            n_critic=o.critic_hidden,
            averaging=o.averaging,
        )
        learnt = inside[is_learnt & ~is_validation]
        probe = inside[is_validation] if is_validation.any() else learnt
        writer, trained = fit_writer(learnt, probe, _shape(o), recipe, seed=seed, progress=progress)
        tensors: Tensors = {**writer.tensors(), VOCABULARY: vocabulary(_symbols())}
        metrics = {"warm_up_epochs": float(trained.n_epochs), "best_epoch": float(trained.best_epoch)}
        fitted = cls(tensors, o)
        return FittedModel(tensors, metrics | measure(lambda n: fitted.sample(0, n, seed=seed), table, is_learnt))

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild a fitted model; raises ModelError where tensors, vocabulary and options disagree."""
        o = narrowed(options, MatganOptions, "the matgan generator")
        shapes = _shape(o).tensors()
        check_tensors(tensors, shapes, "matgan", cls.architecture_version, family=_FAMILY, symbols=_symbols())
        return cls(tensors, o)

    def sample(self, start: int, n: int, *, seed: int) -> Counts:
        """Samples number `start` to `start + n - 1` of the stream `seed`: counts `[n, 103]` as generated."""
        counts = np.zeros((n, N_ELEMENTS), np.int32)
        columns = COLUMNS[_by_electronegativity()]
        for block, of_block, of_all in blocks(start, n, _BLOCK):
            chances = noise_of(block, seed).random((MAX_ELEMENTS, 2, _BLOCK), np.float32)
            rows, elements, amounts = self._written(chances)
            whole = np.zeros((_BLOCK, N_ELEMENTS), np.int32)
            whole[rows, columns[elements]] = amounts
            counts[of_all] = whole[of_block]
        return counts

    def _written(self, chances: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """A block of formulas as (row, element, count), from chances `[n_slots, 2, n]` in 0..1.

        The first two slots stand in tables: what is written before them is nothing, or one (element, count).
        """
        t = self._tensors
        n_choices = len(ELEMENTS) + 1
        rows = np.arange(chances.shape[2])
        last, pairs = np.full(len(rows), -1), np.zeros(len(rows), np.intp)
        sums = np.zeros((len(rows), t["pair_vectors"].shape[1]), np.float32)
        written = []
        for slot, (of_elements, of_counts) in enumerate(chances):
            is_opening = slot < len(self._openings)
            states = self._state(sums, slot) if not is_opening else None
            logits = self._openings[slot].choices[pairs] if states is None else self._choices(states)
            is_forbidden = np.arange(n_choices) <= last[:, None]
            is_forbidden[:, -1] = slot < _LEAST_ELEMENTS
            is_forbidden[:, -2] |= slot == 0
            logits[is_forbidden] = -np.inf
            elements = _drawn(logits / self._temperature, of_elements[rows])
            goes_on = elements < len(ELEMENTS)
            rows, elements, pairs, sums = rows[goes_on], elements[goes_on], pairs[goes_on], sums[goes_on]
            if not len(rows):
                break
            known = self._openings[slot].counts[pairs] if states is None else self._towards_counts(states[goes_on])
            hidden = np.maximum(known + t["element_vectors"][elements], np.float32(0))
            logits = hidden @ t["count_vectors"].T + t["count_bias"][elements]
            columns = _drawn(logits / self._temperature, of_counts[rows])
            written.append((rows, elements, columns + 1))
            last, pairs = elements, elements * MAX_COUNT + columns
            sums += t["pair_vectors"][pairs]
        every = [np.concatenate(parts) for parts in zip(*written, strict=True)]
        return every[0], every[1], every[2]

    def _state(self, sums: NDArray[np.float32], slot: int) -> NDArray[np.float32]:
        state: NDArray[np.float32] = np.maximum(sums + self._tensors["slot_vectors"][slot], np.float32(0))
        return state

    def _heads(self, states: NDArray[np.float32]) -> "_Heads":
        return _Heads(self._choices(states), self._towards_counts(states))

    def _choices(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits `[n, 86]` of the next element or the end, before what is forbidden."""
        t = self._tensors
        hidden = np.maximum(states @ t["element_hidden"].T + t["element_bias"], np.float32(0))
        logits: NDArray[np.float32] = hidden @ t["choice_vectors"].T + states @ t["choice_direct"].T + t["choice_bias"]
        return logits

    def _towards_counts(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the state adds to the hidden layer `[n, hidden]` of a count."""
        hidden: NDArray[np.float32] = states @ self._tensors["count_hidden"].T
        return hidden


class _Heads(NamedTuple):
    """What a state has to say of the next choice and of its count."""

    choices: NDArray[np.float32]
    counts: NDArray[np.float32]


class PaperMatgan:
    """The published generator and critic of the ICSD: convolutions, batch normalisation, Adam, one critic step each.

    A fitted model samples with torch on the CPU; its normalisations use their moving averages.
    """

    options_type: ClassVar[type[Options]] = PaperMatganOptions
    architecture_version: ClassVar[int] = 1

    def __init__(self, tensors: Tensors) -> None:
        """Take tensors that `load` has checked."""
        self._tensors = tensors

    @classmethod
    def is_representable(cls, counts: Counts) -> NDArray[np.bool_]:
        """Which rows `[n]` have 2 to 8 of the 85 elements and 1 to 8 atoms of each."""
        return is_representable(counts)

    @classmethod
    def fit(cls, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent) -> FittedModel:
        """Train on the rows that are not held out; measure on those that are.

        Raises:
            InputError: no row to train on, a row outside the vocabulary, or a training that diverged.
        """
        from agd.nets.formula_networks import published_tensors
        from agd.nets.wgan import fit_published

        o = narrowed(options, PaperMatganOptions, "the matgan-paper generator")
        is_learnt = learnable(table, only_valid=o.only_valid)
        inside = table.counts[is_learnt][:, COLUMNS].astype(np.int64)
        generator = fit_published(inside, _contest(o), seed=seed, progress=progress)
        tensors: Tensors = {**published_tensors(generator), VOCABULARY: vocabulary(ELEMENTS)}
        fitted = cls(tensors)
        return FittedModel(tensors, measure(lambda n: fitted.sample(0, n, seed=seed), table, is_learnt))

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild a fitted model; raises ModelError where tensors and vocabulary are not those of this version."""
        from agd.nets.formula_networks import published_shapes

        narrowed(options, PaperMatganOptions, "the matgan-paper generator")
        shapes = published_shapes()
        check_tensors(tensors, shapes, "matgan-paper", cls.architecture_version, family=_FAMILY, symbols=ELEMENTS)
        return cls(tensors)

    def sample(self, start: int, n: int, *, seed: int) -> Counts:
        """Samples number `start` to `start + n - 1` of the stream `seed`: counts `[n, 103]` as generated."""
        import torch

        from agd.nets.formula_networks import N_NOISE

        counts = np.zeros((n, N_ELEMENTS), np.int32)
        for block, of_block, of_all in blocks(start, n, _PAPER_BLOCK):
            noise = noise_of(block, seed).standard_normal((_PAPER_BLOCK, N_NOISE), np.float32)
            with torch.no_grad():
                matrices: NDArray[np.float32] = self._network(torch.from_numpy(noise)).numpy()
            counts[of_all, COLUMNS] = decided(matrices[of_block])
        return counts

    @cached_property
    def _network(self) -> "nn.Module":
        from agd.nets.formula_networks import set_published

        return set_published(self._tensors)


def decided(matrices: NDArray[np.float32]) -> NDArray[np.int32]:
    """Read matrices `[n, 85, 8]` by the published rule: counts `[n, 85]`, a zero row where it finds no formula.

    A cell from 0.2 to 1 is on, the last that is on gives an element's count, and 2 to 8 elements are a formula.
    """
    is_on = (matrices >= _ON) & (matrices <= 1)
    counts: NDArray[np.int32] = (is_on * np.arange(1, MAX_COUNT + 1, dtype=np.int32)).max(axis=2)
    n_elements = np.count_nonzero(counts, axis=1)
    counts[(n_elements < _LEAST_ELEMENTS) | (n_elements > MAX_ELEMENTS)] = 0
    return counts


def _drawn(logits: NDArray[np.float32], chances: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which column of `[m, k]` each chance `[m]` in 0..1 falls into."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True)).cumsum(axis=1)
    whole = odds[:, -1]
    aims = np.minimum(chances * whole, np.nextafter(whole, np.float32(0)))
    drawn: NDArray[np.intp] = (odds > aims[:, None]).argmax(axis=1)
    return drawn


def _by_electronegativity() -> NDArray[np.intp]:
    """Positions of the elements `[85]` in the order in which they are written; those without a value come first."""
    order: NDArray[np.intp] = np.argsort(-np.nan_to_num(pauling_electronegativities()[COLUMNS], nan=9.0), kind="stable")
    return order


def _symbols() -> list[str]:
    return [ELEMENTS[position] for position in _by_electronegativity()]


def _validation(table: TrainingTable, is_learnt: NDArray[np.bool_], share: float, seed: int) -> NDArray[np.bool_]:
    """Which rows `[n]` of those to learn from end the warm-up: the table's, or a share drawn at random."""
    if table.is_validation is not None:
        return is_learnt & table.is_validation
    rows = np.nonzero(is_learnt)[0]
    is_validation = np.zeros(len(is_learnt), np.bool_)
    is_validation[np.random.default_rng(seed).permutation(rows)[: int(share * len(rows))]] = True
    return is_validation


def _contest(options: MatganOptions | PaperMatganOptions) -> "Contest":
    """The contest that the options say, with the published moments of Adam."""
    from agd.nets.wgan import Contest

    return Contest(
        iterations=options.iterations,
        critic_iterations=options.critic_iterations,
        batch=options.batch,
        gradient_penalty=options.gradient_penalty,
        generator_rate=options.generator_rate,
        critic_rate=options.critic_rate,
        betas=(0.5, 0.9),
    )


def _shape(options: MatganOptions) -> "WriterShape":
    from agd.nets.formula_networks import WriterShape

    return WriterShape(len(ELEMENTS), MAX_COUNT, MAX_ELEMENTS, options.state, options.hidden)
