"""MatGAN: the published networks to the letter, and the writer that learns more."""

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from agd import registry
from agd.chem.elements import AUTOENCODER_ELEMENTS, SYMBOLS
from agd.chem.enumeration import charge_balanced
from agd.chem.formula import parse_formula, parse_formulas
from agd.chem.validity import assess
from agd.errors import InputError, NotFoundError
from agd.nets.formula_networks import (
    SameConvolution,
    SameTransposed,
    Writer,
    WriterShape,
    draw_published,
    matrices,
    published_critic,
    published_generator,
    published_tensors,
)
from agd.nets.wgan import Contest, contend, slope_penalty
from agd.plugins.checks import VOCABULARY, vocabulary
from agd.plugins.formula_generators import vocabulary as formula_vocabulary
from agd.plugins.formula_generators.matgan import (
    Matgan,
    MatganOptions,
    PaperMatgan,
    PaperMatganOptions,
    _drawn,
    _symbols,
    _validation,
    decided,
)
from agd.plugins.formula_generators.vocabulary import COLUMNS, ELEMENTS, blocks, is_representable, learnable, measure
from agd.types import Counts, TrainingTable

SHY = -24.0
"""A bias that leaves few cells of the published matrix above the threshold."""

TINY = MatganOptions(state=16, hidden=16, warm_up_epochs=1, iterations=2, critic_head_start=1, critic_hidden=8, batch=8)
BRIEF = Contest(
    iterations=3,
    critic_iterations=2,
    batch=8,
    gradient_penalty=10.0,
    generator_rate=1e-3,
    critic_rate=1e-3,
    betas=(0.0, 0.9),
    head_start=5,
)


@pytest.fixture(autouse=True)
def few_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formula_vocabulary, "N_MEASURED", 200)


def generator_of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(network: nn.Module) -> nn.Module:
    draw_published(network, generator_of(0))
    return network


def layer_shapes(network: nn.Module, given: torch.Tensor) -> dict[str, tuple[int, ...]]:
    """The shape that leaves each layer, without the batch."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, layer in network.named_children():
        layer.register_forward_hook(
            lambda _layer, _given, made, name=name: shapes.update({name: tuple(made.shape[1:])})
        )
    network(given)
    return {name: shape for name, shape in shapes.items() if not name.startswith(("norm", "relu"))}


def corpus(n: int = 200) -> Counts:
    counts = charge_balanced(n, seed=1, max_count=8)
    return counts[is_representable(counts)]


def test_the_published_generator() -> None:
    network = drawn(published_generator())
    assert layer_shapes(network, torch.zeros(2, 128)) == {
        "dense": (3072,),
        "planes": (128, 6, 4),
        "transposed_1": (64, 11, 8),
        "transposed_2": (32, 22, 8),
        "transposed_3": (16, 43, 8),
        "transposed_4": (1, 85, 8),
        "sigmoid": (1, 85, 8),
        "matrix": (85, 8),
    }
    dense, first, second, third, fourth = 129 * 3072, 25 * 128 * 64 + 64, 9 * 64 * 32 + 32, 9 * 32 * 16 + 16, 9 * 16 + 1
    norms = 2 * (3072 + 64 + 32 + 16)
    assert sum(tensor.numel() for tensor in network.parameters()) == dense + first + second + third + fourth + norms


def test_the_published_critic() -> None:
    network = drawn(published_critic())
    assert layer_shapes(network, torch.zeros(2, 85, 8)) == {
        "plane": (1, 85, 8),
        "convolution_1": (16, 85, 8),
        "convolution_2": (16, 43, 8),
        "convolution_3": (32, 43, 8),
        "convolution_4": (64, 43, 8),
        "convolution_5": (128, 22, 4),
        "flat": (11264,),
        "dense": (1,),
    }
    convolutions = 160 + 16 * 145 + 32 * 145 + 64 * 289 + 128 * 1601
    assert sum(tensor.numel() for tensor in network.parameters()) == convolutions + 2 * (16 + 32 + 64 + 128) + 11265
    kinds = [type(layer).__name__ for layer in network.children()]
    assert kinds[1:3] == ["SameConvolution", "LeakyReLU"], "no normalisation after the first"
    assert kinds[-4:] == ["BatchNorm2d", "Flatten", "LeakyReLU", "Linear"]


@pytest.mark.parametrize("make", [published_generator, published_critic])
def test_published_weights_are_standard_normal(make: type[nn.Sequential]) -> None:
    network = drawn(make())
    for name, tensor in network.named_parameters():
        if "norm" in name:
            assert (tensor == float(name.endswith("weight"))).all(), name
        elif name.endswith("bias"):
            assert not tensor.any(), name
        else:
            assert abs(tensor.mean().item()) < 5 / math.sqrt(tensor.numel()), name
            assert abs(tensor.std().item() - 1) < 5 / math.sqrt(tensor.numel()), name
    norms = [layer for layer in network.children() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert len(norms) == 4
    assert {(layer.eps, layer.momentum) for layer in norms} == {(1e-5, 0.1)}


def test_published_constants_are_the_defaults() -> None:
    options = PaperMatganOptions()
    rates = (options.generator_rate, options.critic_rate)
    assert (rates, options.batch, options.critic_iterations, options.gradient_penalty) == ((1e-3, 1e-2), 32, 1, 10)


def test_padding_is_that_of_tensorflow() -> None:
    """Width 8 with a window of 5 and stride 2: one column before, two behind; the windows start at -1, 1, 3, 5."""
    layer = SameConvolution(1, 1, 5, (2, 2), (43, 8))
    nn.init.ones_(layer.convolution.weight)
    nn.init.zeros_(layer.convolution.bias)
    ramp = torch.zeros(1, 1, 43, 8)
    ramp[0, 0, 20] = torch.arange(1.0, 9.0)
    assert layer(ramp)[0, 0, 10].tolist() == [1 + 2 + 3 + 4, 2 + 3 + 4 + 5 + 6, 4 + 5 + 6 + 7 + 8, 6 + 7 + 8]
    assert layer(ramp).shape == (1, 1, 22, 4)


@pytest.mark.parametrize(
    ("kernel", "stride", "size", "small"),
    [(5, (2, 2), (11, 8), (6, 4)), (3, (2, 1), (22, 8), (11, 8)), (3, (2, 1), (85, 8), (43, 8))],
)
def test_a_transposed_convolution_is_the_adjoint_of_the_convolution(
    kernel: int, stride: tuple[int, int], size: tuple[int, int], small: tuple[int, int]
) -> None:
    forth, back = SameConvolution(2, 3, kernel, stride, size), SameTransposed(3, 2, kernel, stride, size)
    nn.init.zeros_(forth.convolution.bias)
    nn.init.zeros_(back.convolution.bias)
    with torch.no_grad():
        back.convolution.weight.copy_(forth.convolution.weight)
        large_plane = torch.randn(1, 2, *size, generator=generator_of(1))
        small_plane = torch.randn(1, 3, *small, generator=generator_of(2))
        there = (forth(large_plane) * small_plane).sum().item()
        again = (large_plane * back(small_plane)).sum().item()
    assert there == pytest.approx(again, rel=1e-4)


def test_the_published_rule_reads_a_matrix() -> None:
    given = np.zeros((6, 85, 8), np.float32)
    na, cl, f = (ELEMENTS.index(symbol) for symbol in ("Na", "Cl", "F"))
    given[0, na, 1], given[0, cl, 1] = 0.2, 1.0
    given[1, na, 0], given[1, na, 4], given[1, cl, 0] = 0.9, 0.3, 0.5
    given[2, na, 0], given[2, cl, 0] = 0.19, 1.0
    given[3, :9, 0] = 1.0
    given[4, na, 0], given[4, f, 0], given[4, cl, 0] = 1.0, 1.0, 1.01
    given[5, :8, 7] = 1.0
    counts = decided(given)
    assert counts.dtype == np.int32
    assert counts[0, [na, cl]].tolist() == [2, 2], "0.2 is on, and nothing is reduced"
    assert counts[1, [na, cl]].tolist() == [5, 1], "the last one wins"
    assert not counts[2].any(), "one element alone is no formula"
    assert not counts[3].any(), "nor are nine"
    assert counts[4, [na, f, cl]].tolist() == [1, 1, 0], "nothing above one is on"
    assert counts[5].sum() == 64
    assert np.count_nonzero(counts, axis=1).tolist() == [2, 2, 0, 0, 2, 8]


@pytest.mark.slow
def test_the_published_network_samples_in_blocks() -> None:
    network = drawn(published_generator())
    with torch.no_grad():
        for _ in range(60):  # until the moving averages of the normalisations are what they average
            network(torch.randn(64, 128, generator=generator_of(2)))
        network.get_parameter("transposed_4.convolution.bias").fill_(SHY)
    tensors = {**published_tensors(network), VOCABULARY: vocabulary(ELEMENTS)}
    assert all(tensor.dtype == np.float32 for name, tensor in tensors.items() if name != VOCABULARY)
    model = PaperMatgan.load(tensors, PaperMatganOptions())
    whole = model.sample(0, 700, seed=3)
    assert 100 < whole.any(axis=1).sum() < 700
    bounds = [0, 1, 2, 255, 256, 300, 512, 700]
    parts = [model.sample(a, b - a, seed=3) for a, b in itertools.pairwise(bounds)]
    assert_array_equal(np.concatenate(parts), whole)
    assert (model.sample(0, 700, seed=4) != whole).any()
    state = torch.random.get_rng_state()
    PaperMatgan.load(tensors, PaperMatganOptions()).sample(0, 1, seed=0)
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator is left alone"


def test_the_vocabulary() -> None:
    assert len(ELEMENTS) == 85
    assert set(AUTOENCODER_ELEMENTS) - set(ELEMENTS) == {"He", "Kr"}
    named = {"H2O": True, "Na8Cl": True, "Na9Cl": False, "XeF2": True, "KrF2": False, "Fe": False, "RnF2": False}
    eight = {"LiNaKRbCsMgCaF": True, "LiNaKRbCsMgCaSrF": False}
    counts, problems = parse_formulas([*named, *eight])
    assert not problems
    assert is_representable(counts).tolist() == [*named.values(), *eight.values()]


def test_rows_to_learn_from() -> None:
    counts, _ = parse_formulas(["NaCl", "NaCl2", "MgO", "SiO2"])
    table = TrainingTable(counts, None, np.array([False, False, True, False]))
    assert learnable(table, only_valid=True).tolist() == [True, False, False, True]
    assert learnable(table, only_valid=False).tolist() == [True, True, False, True]
    with pytest.raises(InputError, match="only_valid"):
        learnable(TrainingTable(counts[1:2], None, np.zeros(1, np.bool_)), only_valid=True)


def test_rows_that_break_the_rule_leave_no_trace() -> None:
    valid = corpus(60)
    invalid = valid.copy()
    invalid[:, COLUMNS[ELEMENTS.index("Cs")]] = 7
    invalid = invalid[is_representable(invalid) & ~assess(invalid).is_charge_neutral]
    assert len(invalid) > 5
    none = np.zeros(len(valid), np.bool_)
    alone = Matgan.fit(TrainingTable(valid, None, none), TINY, seed=1)
    both = np.concatenate([valid, invalid])
    beside = Matgan.fit(TrainingTable(both, None, np.zeros(len(both), np.bool_)), TINY, seed=1)
    for name, tensor in alone.tensors.items():
        assert tensor.tobytes() == beside.tensors[name].tobytes(), name
    other = TINY.model_copy(update={"only_valid": False})
    every = Matgan.fit(TrainingTable(both, None, np.zeros(len(both), np.bool_)), other, seed=1)
    assert every.metrics["n_trained"] == len(both)


def test_validation_rows_are_the_tables_or_a_share_of_those_learnt() -> None:
    counts = corpus(100)
    is_learnt = np.arange(len(counts)) % 4 > 0
    given = np.arange(len(counts)) % 3 == 0
    none = np.zeros(len(counts), np.bool_)
    assert_array_equal(_validation(TrainingTable(counts, None, none, given), is_learnt, 0.5, 0), is_learnt & given)
    own = _validation(TrainingTable(counts, None, none), is_learnt, 0.2, 0)
    assert own.sum() == int(0.2 * is_learnt.sum())
    assert not (own & ~is_learnt).any()


def test_too_few_rows_for_validation_are_enough_for_training() -> None:
    fitted = Matgan.fit(TrainingTable(corpus(12), None, np.zeros(len(corpus(12)), np.bool_)), TINY, seed=0)
    assert all(np.isfinite(value) for value in fitted.metrics.values())


def enumerated(shape: WriterShape) -> torch.Tensor:
    """Every formula that a writer can write."""
    every = itertools.product(range(shape.max_count + 1), repeat=shape.n_elements)
    return torch.tensor([row for row in every if 2 <= np.count_nonzero(row) <= shape.max_elements])


def spread_out(shape: WriterShape) -> Writer:
    writer = Writer(shape, generator_of(3))
    with torch.no_grad():
        for parameter in writer.parameters():
            parameter.mul_(2).add_(torch.randn(parameter.shape, generator=generator_of(4)) * 0.3)
    return writer


@pytest.mark.parametrize("max_elements", [3, 4])
def test_the_probabilities_of_all_formulas_sum_to_one(max_elements: int) -> None:
    shape = WriterShape(n_elements=4, max_count=2, max_elements=max_elements, n_state=6, n_hidden=5)
    writer = spread_out(shape)
    with torch.no_grad():
        assert writer.log_likelihood(enumerated(shape)).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_formulas_are_drawn_as_often_as_their_likelihood_says() -> None:
    shape = WriterShape(n_elements=3, max_count=2, max_elements=3, n_state=6, n_hidden=5)
    writer = spread_out(shape)
    every = enumerated(shape)
    made = writer.draw(40_000, generator_of(5))
    found = torch.stack([(made == row).all(1).float().mean() for row in every])
    with torch.no_grad():
        expected = writer.log_likelihood(every).exp()
    assert found.sum().item() == pytest.approx(1)
    assert_allclose(found.numpy(), expected.numpy(), atol=0.012)


def test_a_fitted_model_samples_as_its_network_draws() -> None:
    writer = spread_out(WriterShape(85, 8, 8, 16, 16))
    tensors = {**writer.tensors(), VOCABULARY: vocabulary(_symbols())}
    counts = Matgan.load(tensors, MatganOptions(state=16, hidden=16)).sample(0, 20_000, seed=1)
    assert is_representable(counts).all()
    ours = torch.from_numpy(counts[:, [SYMBOLS.index(symbol) for symbol in _symbols()]].astype(np.int64))
    theirs = writer.draw(20_000, generator_of(6))
    with torch.no_grad():
        likely, as_likely = writer.log_likelihood(ours), writer.log_likelihood(theirs)
    assert likely.mean().item() == pytest.approx(as_likely.mean().item(), abs=8 * likely.std().item() / math.sqrt(2e4))
    assert_allclose((ours > 0).double().mean(0), (theirs > 0).double().mean(0), atol=0.02)
    sizes, as_sized = ((made > 0).sum(1).bincount(minlength=9) / 2e4 for made in (ours, theirs))
    assert_allclose(sizes, as_sized, atol=0.02)


def test_a_low_temperature_keeps_to_what_is_likely() -> None:
    writer = spread_out(WriterShape(85, 8, 8, 16, 16))
    tensors = {**writer.tensors(), VOCABULARY: vocabulary(_symbols())}
    n_distinct = [
        len(np.unique(Matgan.load(tensors, options).sample(0, 2000, seed=1), axis=0))
        for options in (MatganOptions(state=16, hidden=16, temperature=heat) for heat in (0.01, 0.3, 1.0))
    ]
    assert n_distinct[0] < n_distinct[1] < n_distinct[2]


def test_elements_are_written_by_falling_electronegativity() -> None:
    symbols = _symbols()
    assert sorted(symbols) == sorted(ELEMENTS)
    assert [symbols.index(symbol) for symbol in ("F", "O", "Cl", "S", "Na", "Cs")] == sorted(
        symbols.index(symbol) for symbol in ("F", "O", "Cl", "S", "Na", "Cs")
    )


@pytest.mark.parametrize("chance", [0.0, 0.2, 0.5, 0.999, np.nextafter(np.float32(1), np.float32(0))])
def test_a_chance_never_falls_on_what_is_impossible(chance: float) -> None:
    logits = np.full((1, 5), -np.inf, np.float32)
    logits[0, [1, 3]] = 0.0
    assert _drawn(logits, np.array([chance], np.float32)).tolist() == [1 if chance < 0.5 else 3]


def test_blocks_cover_a_stream_once() -> None:
    for start, n in [(0, 10), (3, 1), (7, 9), (8, 8), (15, 0), (0, 25)]:
        seen = np.zeros(n, np.int64)
        numbers = np.zeros(n, np.int64)
        for block, of_block, of_all in blocks(start, n, 8):
            seen[of_all] += 1
            numbers[of_all] = (block * 8 + np.arange(8))[of_block]
        assert (seen == 1).all()
        assert_array_equal(numbers, np.arange(start, start + n))


def test_the_penalty_of_a_linear_critic() -> None:
    """Its gradient has norm 5 everywhere; along the line from (0, 0) to (1, 0) its slope is 3, to (0, 0.5) it is 4."""
    critic = nn.Linear(2, 1)
    with torch.no_grad():
        critic.weight.copy_(torch.tensor([[3.0, 4.0]]))
    examples, fakes = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 2)
    assert slope_penalty(critic, examples, fakes, generator_of(0)).item() == pytest.approx(16)
    along = slope_penalty(critic, examples, fakes, generator_of(0), is_along_lines=True)
    assert along.item() == pytest.approx(((3 - 1) ** 2 + (4 - 1) ** 2) / 2)
    with torch.no_grad():
        critic.weight.mul_(0.2)
    assert slope_penalty(critic, examples, fakes, generator_of(0), is_along_lines=True).item() == 0


def test_the_critic_moves_before_and_more_often_than_the_generator() -> None:
    generator, critic = nn.Linear(1, 2), nn.Linear(2, 1)
    told: list[str] = []

    def real() -> torch.Tensor:
        told.append("critic")
        return torch.ones(8, 2)

    def loss() -> torch.Tensor:
        told.append("generator")
        return -critic(generator(torch.ones(8, 1))).mean()

    contend(
        generator,
        critic,
        BRIEF,
        real=real,
        made=lambda: generator(torch.ones(8, 1)),
        loss=loss,
        after=lambda: told.append("after"),
        draws=generator_of(0),
    )
    turn = ["critic", "critic", "generator", "after"]
    assert told == ["critic"] * 5 + turn * 3


def test_a_contest_that_diverges_is_told() -> None:
    generator, critic = nn.Linear(1, 2), nn.Linear(2, 1)
    with pytest.raises(InputError, match=r"iteration 1 .*critic_rate"):
        contend(
            generator,
            critic,
            BRIEF,
            real=lambda: torch.full((8, 2), math.nan),
            made=lambda: generator(torch.ones(8, 1)),
            loss=lambda: -critic(generator(torch.ones(8, 1))).mean(),
            draws=generator_of(0),
        )


@pytest.mark.slow
def test_the_contest_alone_teaches() -> None:
    """Without a warm-up the writer learns from the critic which elements there are."""
    counts, _ = parse_formulas(["NaCl", "KCl", "NaBr", "KBr", "LiCl", "LiBr"])
    table = TrainingTable(counts, None, np.zeros(len(counts), np.bool_))
    before, after = (
        Matgan.fit(
            table,
            TINY.model_copy(
                update={
                    "warm_up_epochs": 0,
                    "iterations": iterations,
                    "batch": 64,
                    "critic_hidden": 16,
                    "generator_rate": 2e-2,
                    "critic_rate": 1e-2,
                    "averaging": 0.5,
                }
            ),
            seed=0,
        ).metrics
        for iterations in (0, 150)
    )
    assert before["valid"] < 0.5
    assert after["valid"] > before["valid"] + 0.3
    assert before["elements_per_formula"] > after["elements_per_formula"]


def test_what_is_measured() -> None:
    table = TrainingTable(parse_formulas(["NaCl", "MgO", "KBr", "LiF"])[0], None, np.array([False, False, True, True]))
    made = parse_formulas(["NaCl", "Na2Cl2", "KBr", "CaO", "NaCl2", "NaCl2", "CaS", "CaS", "SrO"])[0]
    made = np.concatenate([made, np.zeros((191, 103), np.int32)])
    found = measure(lambda n: made[:n], table, ~table.is_held_out)
    assert found == {
        "n_trained": 2.0,
        "decoded": 9 / 200,
        "valid": 6 / 9,
        "unique": 6 / 9,
        "novel": 5 / 6,
        "recovered_trained": 1 / 2,
        "recovered_held_out": 1 / 2,
        "elements_per_formula": 2.0,
    }
    assert measure(lambda n: np.zeros((n, 103), np.int32), table, ~table.is_held_out) == {
        "n_trained": 2.0,
        "decoded": 0.0,
    }


def test_matrices_are_one_hot() -> None:
    counts = torch.from_numpy(parse_formula("SrYF5")[:, COLUMNS].astype(np.int64))
    given = matrices(counts, 8)[0]
    cells = [(ELEMENTS.index(symbol), count - 1) for symbol, count in (("F", 5), ("Sr", 1), ("Y", 1))]
    assert given.nonzero().tolist() == sorted(map(list, cells))
    assert (decided(given.numpy()[None]) == counts.numpy()).all()


def test_an_unknown_generator_is_told_in_plain_words() -> None:
    with pytest.raises(NotFoundError, match="no formula generator 'matgam': did you mean 'matgan'"):
        registry.load("agd.formula_generators", "matgam")


@pytest.mark.slow
def test_two_threads_train_the_same_weights_each_time() -> None:
    options = MatganOptions(
        warm_up_epochs=1, iterations=4, critic_head_start=2, critic_hidden=64, batch=256, only_valid=False
    )
    counts = charge_balanced(600, seed=0)
    table = TrainingTable(
        counts[is_representable(counts)], None, np.zeros(int(is_representable(counts).sum()), np.bool_)
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, *others = (Matgan.fit(table, options, seed=0).tensors for _ in range(3))
    finally:
        torch.set_num_threads(threads)
    for other in others:
        for name, tensor in first.items():
            assert_array_equal(other[name], tensor)
