import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError

from agd.chem.elements import AUTOENCODER_ELEMENTS
from agd.chem.enumeration import charge_balanced
from agd.chem.formula import parse_formula
from agd.chem.onehot import one_hot
from agd.errors import InputError, ModelError
from agd.nets.paper_autoencoder import OneHotNetwork, Recipe, convolutional, dense, fit_dense, fit_published
from agd.nets.training import Schedule
from agd.plugins.autoencoders.paper_autoencoders import (
    DensePaperAutoencoder,
    DensePaperAutoencoderOptions,
    PaperAutoencoder,
    PaperAutoencoderOptions,
    _tensors,
    decided,
)
from agd.plugins.autoencoders.set_autoencoder import SetAutoencoderOptions
from agd.plugins.checks import EMPTY
from agd.types import TrainingTable

SR, F = (AUTOENCODER_ELEMENTS.index(symbol) for symbol in ("Sr", "F"))
SMALL = PaperAutoencoderOptions(max_count=8, filters_outer=4, filters_inner=8, n_latent=16)


def layer_shapes(network: OneHotNetwork, max_count: int) -> dict[str, tuple[int, ...]]:
    """The shape that leaves each layer, without the batch."""
    shapes: dict[str, tuple[int, ...]] = {}
    for part in ("encoder", "decoder"):
        for name, layer in network.get_submodule(part).named_children():
            layer.register_forward_hook(
                lambda _layer, _given, made, name=f"{part}.{name}": shapes.update({name: tuple(made.shape[1:])})
            )
    assert network.decode(network.encode(torch.zeros(2, 87, max_count))).shape == (2, 87, max_count)
    return shapes


@pytest.mark.parametrize(
    ("max_count", "columns", "n_parameters"), [(8, (6, 4, 6, 8), 2_064_385), (20, (18, 16, 18, 20), 7_590_913)]
)
def test_the_published_layers(max_count: int, columns: tuple[int, ...], n_parameters: int) -> None:
    network = convolutional(max_count)
    network.draw(0)
    shapes = layer_shapes(network, max_count)
    outer, inner, back, last = columns
    assert {name: shape for name, shape in shapes.items() if "relu" not in name} == {
        "encoder.convolution_1": (32, 43, outer),
        "encoder.convolution_2": (128, 14, inner),
        "encoder.flat": (128 * 14 * inner,),
        "encoder.latent": (128,),
        "decoder.dense": (128 * 14 * inner,),
        "decoder.unflat": (128, 14, inner),
        "decoder.transposed_1": (128, 43, back),
        "decoder.transposed_2": (32, 87, last),
        "decoder.transposed_3": (1, 87, max_count),
    }
    assert sum(parameter.numel() for parameter in network.parameters()) == n_parameters
    linear = {"encoder.latent", "decoder.dense", "decoder.transposed_3"}
    names = list(shapes)
    followed = {name for name, after in zip(names, [*names[1:], ""], strict=True) if "relu" in after}
    assert not linear & followed
    assert followed == {
        "encoder.convolution_1",
        "encoder.convolution_2",
        "decoder.transposed_1",
        "decoder.transposed_2",
    }


@pytest.mark.parametrize("max_count", [8, 20])
def test_the_dense_layers(max_count: int) -> None:
    network = dense(max_count)
    network.draw_to_scale(0, 3.0)
    shapes = layer_shapes(network, max_count)
    widths = [(87 * max_count,), (712,), (512,), (128,), (512,), (712,), (87 * max_count,), (87, max_count)]
    assert [shape for name, shape in shapes.items() if "relu" not in name] == widths
    assert [name for name in shapes if "relu" in name] == [
        f"{p}.relu_{i}" for p in ("encoder", "decoder") for i in (1, 2)
    ]


def test_the_first_dense_layer_is_a_matrix_product() -> None:
    network = dense(5, n_outer=9)
    network.draw_to_scale(0, 3.0)
    layer = network.encoder.dense_1
    torch.nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(0))
    ones = (torch.rand(4, 87 * 5, generator=torch.Generator().manual_seed(1)) < 0.02).float()
    ones[2] = 0
    assert_allclose(layer(ones).detach(), (ones @ layer.weight + layer.bias).detach(), rtol=1e-5, atol=1e-6)


def test_laying_out_and_drawing_leave_the_generator_of_torch_alone() -> None:
    state = torch.random.get_rng_state()
    convolutional(8).draw(0)
    dense(8).draw_to_scale(0, 3.0)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("max_count", [3, 4])
def test_a_matrix_narrower_than_the_convolutions_is_refused(max_count: int) -> None:
    with pytest.raises(ValidationError, match=r"max_count\n.*greater than or equal to 5"):
        PaperAutoencoderOptions(max_count=max_count)
    convolutional(5).draw(0)


def ones(*cells: tuple[int, int]) -> np.ndarray:
    matrix = np.zeros((87, 8), np.bool_)
    for element, count in cells:
        matrix[element, count - 1] = True
    return matrix


def test_the_published_decision_repairs_nothing() -> None:
    matrices = np.stack(
        [
            ones((SR, 1), (F, 2)),
            ones((SR, 1), (SR, 3), (F, 2)),
            ones(),
            ones((SR, 8)),
            ones((F, 1), (F, 2), (F, 3), (SR, 1), (SR, 2)),
        ]
    )
    counts, failures = decided(matrices)
    assert failures == {1: "two counts for Sr", 2: EMPTY, 4: "3 counts for F"}
    assert_array_equal(counts[[0]], parse_formula("SrF2"))
    assert_array_equal(counts[[3]], parse_formula("Sr8"))
    assert not counts[[1, 2, 4]].any()


def test_what_is_encoded_is_what_the_decision_reads() -> None:
    counts = charge_balanced(200, seed=0)
    back, failures = decided(one_hot(counts).astype(np.bool_))
    assert not failures
    assert_array_equal(back, counts)


def untrained_dense() -> tuple[OneHotNetwork, DensePaperAutoencoder]:
    options = DensePaperAutoencoderOptions(hidden_outer=64, hidden_inner=32, n_latent=16)
    network = dense(20, 16, 64, 32)
    network.draw_to_scale(0, 3.0)
    return network, DensePaperAutoencoder.load(_tensors(network), options)


def test_the_dense_plug_in_computes_what_the_network_computes() -> None:
    network, model = untrained_dense()
    counts = charge_balanced(300, seed=0)
    latents = 40 * np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    with torch.no_grad():
        expected = network.encode(torch.from_numpy(one_hot(counts)).float())
        logits = network.decode(torch.from_numpy(latents))
    assert_allclose(model.encode(counts), expected, rtol=1e-4, atol=1e-4)
    assert_array_equal(model.decode(latents).counts, decided((logits > 0).numpy())[0])


def test_a_row_has_one_code_wherever_it_stands() -> None:
    network = convolutional(8)
    network.draw(0)
    options = PaperAutoencoderOptions(max_count=8)
    model = PaperAutoencoder.load(_tensors(network), options)
    counts = charge_balanced(200, seed=0)
    counts = counts[PaperAutoencoder.is_representable(counts, options)][:70]
    order = np.random.default_rng(0).permutation(len(counts))
    together = model.encode(counts)
    assert model.encode(counts[order]).tobytes() == together[order].tobytes()
    assert model.encode(counts[5:6]).tobytes() == together[5:6].tobytes()


def fit_tiny(progress_notes: list[str], *, epochs: int = 3, held_out: int = 20) -> tuple[OneHotNetwork, float]:
    counts = np.eye(87, dtype=np.int64)
    network = convolutional(5, 4, 2, 3)
    trained = fit_published(
        network,
        counts[held_out:],
        counts[:held_out],
        Recipe(Schedule(epochs, 1e-3, 0.0, epochs, is_constant=True), 16),
        seed=3,
        progress=lambda _done, _total, note="": progress_notes.append(note),
    )
    return network, trained.best_score


def test_the_time_is_told_before_the_training_starts_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    network, best = fit_tiny(notes)
    assert notes[0].startswith("about ")
    assert all(note.endswith(notes[0]) for note in notes)
    monkeypatch.setattr("agd.nets.paper_autoencoder._step_s", lambda *_: 100.0)
    later: list[str] = []
    again, best_again = fit_tiny(later)
    assert later[0] == "about 27 min on this CPU" if not torch.cuda.is_available() else later[0]
    assert best_again == best
    for name, tensor in network.tensors().items():
        assert tensor.tobytes() == again.tensors()[name].tobytes()


def test_the_least_held_out_loss_is_kept() -> None:
    network, best = fit_tiny([], epochs=4)
    rows = torch.from_numpy(one_hot_of_eye(20))
    logits = network.decode(network.encode(rows))
    assert_allclose(-best, torch.nn.functional.binary_cross_entropy_with_logits(logits, rows).item(), rtol=1e-5)


def one_hot_of_eye(n: int) -> np.ndarray:
    matrices = np.zeros((n, 87, 5), np.float32)
    matrices[np.arange(n), np.arange(n), 0] = 1
    return matrices


def test_a_small_table_is_repeated_in_a_dense_epoch() -> None:
    told: list[tuple[int, int]] = []
    recipe = Recipe(Schedule(2, 1e-3, 0.0, 2), 32, min_rows=300)
    fit_dense(
        dense(5, 4, 8, 8),
        np.eye(87, dtype=np.int64),
        np.zeros((0, 87), np.int64),
        recipe,
        seed=0,
        progress=lambda done, total, _note="": told.append((done, total)),
    )
    assert told[-1] == (2 * 11, 2 * 11)  # 348 rows, 32 at a time


@pytest.mark.parametrize("plugin", [PaperAutoencoder, DensePaperAutoencoder])
def test_options_of_another_plug_in_are_refused(plugin: type[PaperAutoencoder | DensePaperAutoencoder]) -> None:
    table = TrainingTable(parse_formula("NaCl"), None, np.zeros(1, np.bool_))
    with pytest.raises(InputError, match="not SetAutoencoderOptions"):
        plugin.fit(table, SetAutoencoderOptions(), seed=0)


def test_tensors_of_another_size_are_refused() -> None:
    network = convolutional(8, 16, 4, 8)
    network.draw(0)
    assert PaperAutoencoder.load(_tensors(network), SMALL).n_latent == 16
    with pytest.raises(ModelError, match=r"tensor 'encoder.latent.weight' .* load the model with the options"):
        PaperAutoencoder.load(_tensors(network), SMALL.model_copy(update={"max_count": 9}))
