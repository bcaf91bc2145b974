import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from agd.chem.enumeration import charge_balanced
from agd.chem.formula import parse_formulas
from agd.errors import InputError, ModelError
from agd.nets import element_vectors
from agd.nets.element_vectors import matscholar
from agd.nets.roost import Architecture, Network, _AttendedSums, _loss, predict
from agd.nets.stoichiometry_graph import Bags, Compositions, places
from agd.plugins.oracles.roost import Roost, RoostOptions, _folds
from agd.plugins.oracles.training_answers import SeenRows
from agd.types import Counts, TrainingTable

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from plain_roost import PlainBatch, PlainRoost

PUBLISHED = Architecture(200, 64, 256, 3, 3, (1024, 512, 256, 128, 64), is_robust=False)
SMALL = Architecture(5, 8, 6, 2, 2, (16, 8), is_robust=True)
FORMULAS = ["NaCl", "He", "SrYF5", "CaTiO3", "LiFePO4", "O2", "KAl3Si3O12H2", "Na20Cl", "Fe", "U2O7"]
QUICK = RoostOptions(
    epochs=3, learning_rate=2e-3, n_layers=1, n_heads=2, node=16, hidden=8, widths=(16, 8), n_folds=0, device="cpu"
)


def counts_of(*formulas: str) -> Counts:
    counts, problems = parse_formulas(formulas)
    assert not problems
    return counts


def drawn(sizes: Architecture = SMALL, seed: int = 0) -> Network:
    network = Network(sizes)
    vectors = np.random.default_rng(1).standard_normal((103, sizes.n_vector)).astype(np.float32)
    network.draw(vectors, 1.5, 2.0, seed)
    return network


def told(network: Network, counts: Counts) -> torch.Tensor:
    with torch.no_grad():
        made: torch.Tensor = network(Compositions(counts, network.sizes.n_heads, "cpu").whole())
    return made


def small_table(n: int = 80, seed: int = 0) -> TrainingTable:
    counts = charge_balanced(n, seed=seed)
    values = 5.0 * counts[:, 7] / counts.sum(axis=1) + np.random.default_rng(seed).standard_normal(n)
    return TrainingTable(counts, values, np.arange(n) % 5 == 0)


@pytest.mark.parametrize("sizes", [PUBLISHED, SMALL])
def test_it_computes_what_layers_per_head_and_rows_per_pair_compute(sizes: Architecture) -> None:
    network = drawn(sizes)
    plain = PlainRoost.like(network)
    ours = network(Compositions(counts_of(*FORMULAS), sizes.n_heads, "cpu").whole())
    theirs = plain(PlainBatch(counts_of(*FORMULAS)))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * theirs.abs().max().item())
    (1e3 * ours).square().sum().backward()
    (1e3 * theirs).square().sum().backward()
    with torch.no_grad():
        for parameter in network.parameters():
            assert parameter.grad is not None
            parameter.copy_(parameter.grad)
    ours_written_out = dict(PlainRoost.like(network).named_parameters())
    for name, parameter in plain.named_parameters():
        if not name.endswith("gate.2.bias"):  # the softmax cancels it
            assert parameter.grad is not None
            scale = parameter.grad.abs().max().item()
            torch.testing.assert_close(
                ours_written_out[name], parameter.grad, rtol=1e-3, atol=1e-5 * scale, msg=lambda m, n=name: f"{n}: {m}"
            )


@pytest.mark.parametrize("has_pairs", [True, False])
def test_the_gradient_of_the_attention_is_its_derivative(*, has_pairs: bool) -> None:
    compositions = Compositions(counts_of(*FORMULAS), 2, "cpu")
    graph = compositions.whole()
    ties = graph.pairs if has_pairs else graph.pooled
    ties = replace(ties, log_share=ties.log_share.double())
    draws = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=draws).requires_grad_()

    n_rows = (1 + has_pairs) * len(graph.column)
    assert torch.autograd.gradcheck(
        lambda *given: _AttendedSums.apply(*given, ties),
        (normal(n_rows, 2 * 2 * 3), normal(2, 3), normal(2)),
    )


def test_the_published_network_has_its_parameters() -> None:
    network = Network(PUBLISHED)
    heads = 9 * (2 * (128 * 256 + 256) + 256 + 256 * 64 + 64 + 1) + 3 * (2 * (64 * 256 + 256) + 256 + 256 * 64 + 64 + 1)
    widths = [64, 1024, 512, 256, 128, 64]
    layers = sum(2 * n * m + m for n, m in itertools.pairwise(widths)) + 65
    assert network.n_parameters == 200 * 63 + 63 + heads + layers == 2_433_156
    options = RoostOptions()
    assert (options.epochs, options.batch, options.learning_rate, options.weight_decay) == (200, 128, 3e-4, 1e-6)
    assert (options.patience, options.n_members, options.n_folds, options.robust) == (None, 1, 0, False)


def test_the_weights_start_as_torchs_layers_do_and_powers_normal() -> None:
    network = drawn(PUBLISHED)
    assert network.messages[0].first_weight.abs().max().item() == pytest.approx(128**-0.5, rel=1e-3)
    assert network.pooling.first_weight.abs().max().item() == pytest.approx(64**-0.5, rel=1e-3)
    assert network.messages[1].message_weight.abs().max().item() == pytest.approx(256**-0.5, rel=1e-3)
    assert network.layers[0].straight.weight.abs().max().item() == pytest.approx(64**-0.5, rel=1e-3)
    powers = torch.cat([drawn(seed=seed).pooling.power.detach() for seed in range(80)])
    assert abs(powers.mean().item()) < 0.25
    assert 0.85 < powers.std().item() < 1.15


def test_drawing_leaves_the_generator_of_torch_alone() -> None:
    state = torch.random.get_rng_state()
    drawn()
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("companions", [[], ["NaCl"], ["SrYF5", "Fe"], ["KAl3Si3O12H2", "O2", "NaCl"]])
def test_a_pure_element_needs_no_neighbours(companions: list[str]) -> None:
    network = drawn()
    alone = told(network, counts_of("He"))
    for formulas in (["He", *companions], [*companions, "He"]):
        among = told(network, counts_of(*formulas))[formulas.index("He")]
        torch.testing.assert_close(among, alone[0])
    assert not torch.allclose(told(network, counts_of("Ne")), alone)


def test_formulas_in_another_order_and_multiplied_are_told_the_same() -> None:
    network = drawn()
    counts = counts_of(*FORMULAS)
    order = np.random.default_rng(0).permutation(len(counts))
    torch.testing.assert_close(told(network, counts[order]), told(network, counts)[torch.from_numpy(order)])
    assert torch.equal(told(network, 2 * counts), told(network, counts))


def test_the_order_of_the_elements_does_not_matter() -> None:
    counts = counts_of("SrYF5", "LiFePO4", "He")
    order = np.random.default_rng(3).permutation(103)
    network, renamed = drawn(), drawn()
    with torch.no_grad():
        renamed.element_vectors.copy_(network.element_vectors[torch.from_numpy(order)])
    torch.testing.assert_close(told(renamed, counts[:, order]), told(network, counts))


def test_every_share_counts_and_every_element() -> None:
    values = told(drawn(), counts_of("NaCl", "Na2Cl", "KCl", "Na", "Cl"))[:, 0]
    assert len(set(values.tolist())) == 5


@pytest.mark.parametrize("n_networks", [1, 3])
def test_labels_are_those_of_the_network_and_of_each_row_alone(n_networks: int) -> None:
    networks = [drawn(seed=seed) for seed in range(n_networks)]
    counts = charge_balanced(700, seed=1)
    values, scatters = predict(networks, counts, "cpu")
    for network, value, scatter in zip(networks, values, scatters, strict=True):
        made = told(network, counts).numpy()
        np.testing.assert_allclose(value, 1.5 + 2.0 * made[:, 0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(scatter, 2.0 * np.exp(made[:, 1]), rtol=1e-5)
    for rows in (slice(0, 1), slice(300, 340), slice(None, None, -1)):
        again, scattered = predict(networks, counts[rows], "cpu")
        assert again.tobytes() == np.ascontiguousarray(values[:, rows]).tobytes()
        assert scattered.tobytes() == np.ascontiguousarray(scatters[:, rows]).tobytes()


def test_bags_sum_their_rows_some_of_them_empty() -> None:
    sizes, entry = torch.tensor([2, 0, 1, 3, 0]), torch.arange(6)
    bags = Bags.of(sizes, [entry, 5 - entry])
    rows = (10.0 ** torch.arange(6))[:, None].expand(6, 4).contiguous()
    assert bags.sums(rows)[:, 2].tolist() == [11, 110000, 0, 0, 100, 1000, 111000, 111, 0, 0]
    assert places(sizes, 2).tolist() == [[0, 2], [1, 3], [4, 5], [6, 9], [7, 10], [8, 11]]


def test_the_robust_loss_is_least_at_the_laplace_scatter() -> None:
    targets = torch.from_numpy(np.random.default_rng(0).laplace(0.0, 3.0 / np.sqrt(2), 20_000)).float()
    grid = np.linspace(0.5, 2.0, 31)
    losses = [_loss(torch.tensor([[0.0, at]]).expand(len(targets), 2), targets).item() for at in grid]
    assert grid[int(np.argmin(losses))] == pytest.approx(np.log(3.0), abs=0.06)


def test_matscholars_vectors_are_read_without_their_package() -> None:
    vectors = matscholar()
    assert vectors.shape == (103, 200)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    similarity = vectors @ vectors[10]  # Na
    assert similarity[18] > similarity[8]  # K, F
    script = (
        "import sys; from agd.nets.element_vectors import matscholar; matscholar();"
        "assert not [m for m in sys.modules if m.split('.')[0] in {'elementembeddings', 'numba', 'umap', 'torch'}]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_vectors_that_are_not_installed_are_named_with_their_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    matscholar.cache_clear()
    monkeypatch.setitem(sys.modules, "elementembeddings", None)
    with pytest.raises(InputError, match=r"pip install 'elementembeddings>=0.8'"):
        Roost.fit(small_table(), QUICK, seed=0)


@pytest.mark.parametrize("content", ["{}", "no json", '{"H": [1, 2]}'])
def test_another_file_of_vectors_is_refused(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matscholar.cache_clear()
    package = tmp_path / "elementembeddings"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "data" / "vectors.json").write_text(content)
    monkeypatch.setattr(element_vectors, "_FILE", Path("data", "vectors.json"))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="vector of every element"):
        matscholar()
    matscholar.cache_clear()


def test_a_fitted_model_needs_no_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = Roost.fit(small_table(), QUICK, seed=0)
    matscholar.cache_clear()
    monkeypatch.setitem(sys.modules, "elementembeddings", None)
    assert np.isfinite(Roost.load(fitted.tensors, QUICK).label(counts_of("SrYF5")).values).all()


def test_the_validation_rows_of_the_table_are_the_ones() -> None:
    table = small_table()
    assert table.values is not None
    is_validation = (np.arange(80) % 5 == 1) | table.is_held_out
    notes: list[str] = []
    given = TrainingTable(table.counts, table.values, table.is_held_out, is_validation)
    fitted = Roost.fit(given, QUICK, seed=0, progress=lambda _done, _total, note="": notes.append(note))
    rows = is_validation & ~table.is_held_out
    errors = np.abs(Roost.load(fitted.tensors, QUICK).label(table.counts[rows]).values - table.values[rows])
    assert fitted.metrics["validation_mae"] == pytest.approx(errors.mean(), rel=1e-5)
    assert fitted.metrics["out_of_fold_mae"] == pytest.approx(errors.mean(), rel=1e-5)
    assert fitted.metrics["n_train"] == 64
    assert 1 <= fitted.metrics["best_epoch"] <= fitted.metrics["n_epochs"] == 3
    best = min(float(note.rsplit("MAE ", 1)[1]) for note in notes if note.startswith("epoch") and "loss" not in note)
    assert best == pytest.approx(errors.mean(), rel=0.01)
    other = table.values + 3.0 * (np.arange(80) == int(np.argmax(rows)))
    changed = Roost.fit(
        TrainingTable(table.counts, other, table.is_held_out, is_validation),
        QUICK.model_copy(update={"epochs": 1}),
        seed=0,
    )
    once = Roost.fit(given, QUICK.model_copy(update={"epochs": 1}), seed=0)
    np.testing.assert_array_equal(changed.tensors["pooling.gate"], once.tensors["pooling.gate"])


@pytest.mark.parametrize("has_given", [True, False])
@pytest.mark.parametrize("n_folds", [0, 3])
def test_rows_of_one_composition_stay_together(n_folds: int, *, has_given: bool) -> None:
    table = small_table(40)
    assert table.values is not None
    twice = TrainingTable(
        np.concatenate([table.counts, 2 * table.counts]), np.tile(table.values, 2), np.zeros(80, dtype=np.bool_)
    )
    rows = SeenRows.of(twice, "roost")
    given = rows.groups % 4 == 0 if has_given else None
    folds = list(_folds(rows, given, QUICK.model_copy(update={"n_folds": n_folds}), 0))
    assert len(folds) == max(n_folds, 1)

    def groups(is_taken: NDArray[np.bool_]) -> set[int]:
        return set(rows.groups[is_taken].tolist())

    for fold in folds:
        assert not groups(fold.is_fitted) & (groups(fold.is_validation) | groups(fold.is_judged))
        assert n_folds == 0 or not groups(fold.is_validation) & groups(fold.is_judged)
        if given is None:
            share = len(groups(fold.is_validation)) / len(groups(fold.is_fitted | fold.is_validation))
            assert share == pytest.approx(0.25, abs=0.03)
        else:
            assert not (fold.is_fitted & given).any()
            np.testing.assert_array_equal(fold.is_validation, given & ~fold.is_judged if n_folds else given)
    assert n_folds == 0 or np.sum([fold.is_judged for fold in folds], axis=0).tolist() == [1] * 80


def test_an_early_stop_is_a_wish() -> None:
    table = small_table()
    wild = QUICK.model_copy(update={"epochs": 12, "learning_rate": 0.5})
    assert Roost.fit(table, wild, seed=0).metrics["n_epochs"] == 12
    stopped = Roost.fit(table, wild.model_copy(update={"patience": 1}), seed=0).metrics
    assert stopped["best_epoch"] <= stopped["n_epochs"] < 12


def test_the_last_weights_are_kept_on_demand() -> None:
    table = small_table()
    assert table.values is not None
    wild = QUICK.model_copy(update={"epochs": 6, "learning_rate": 0.3})
    best = Roost.fit(table, wild, seed=0).metrics
    last = Roost.fit(table, wild.model_copy(update={"keep": "last"}), seed=0).metrics
    for name in ("mae", "rmse", "r2"):
        assert best[f"last_epoch_{name}"] == pytest.approx(last[name])
        assert last[f"best_epoch_{name}"] == pytest.approx(best[name])
    assert best["best_epoch"] < last["best_epoch"] == 6
    assert best["validation_mae"] < last["validation_mae"] == pytest.approx(last["out_of_fold_mae"], rel=1e-5)


def test_scatter_and_spread_speak_in_the_uncertainty() -> None:
    rng = np.random.default_rng(0)
    counts = charge_balanced(900, seed=5)
    is_wild = counts[:, 7] > 0
    table = TrainingTable(counts, 4.0 + np.where(is_wild, 2.0, 0.1) * rng.standard_normal(900), np.arange(900) % 3 == 0)
    options = QUICK.model_copy(update={"robust": True, "n_members": 2, "epochs": 12, "learning_rate": 4e-3})
    fitted = Roost.fit(table, options, seed=0)
    assert len(fitted.tensors["calibration"]) == 5
    assert len(fitted.tensors["scale"]) == 2
    sigma = Roost.load(fitted.tensors, options).label(counts[table.is_held_out]).uncertainties
    is_wild = is_wild[table.is_held_out]
    assert sigma[is_wild].mean() > 2.0 * sigma[~is_wild].mean()
    with pytest.raises(ModelError):
        Roost.load(fitted.tensors, options.model_copy(update={"n_members": 3}))
    with pytest.raises(ModelError):
        Roost.load(fitted.tensors, options.model_copy(update={"robust": False}))


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("n_folds", [0, 2])
def test_few_rows_still_have_an_answer(n: int, n_folds: int) -> None:
    table = TrainingTable(charge_balanced(n, seed=0), np.full(n, 2.0), np.zeros(n, dtype=np.bool_))
    options = QUICK.model_copy(update={"n_folds": n_folds})
    prediction = Roost.load(Roost.fit(table, options, seed=0).tensors, options).label(counts_of("NaCl", "He"))
    assert np.isfinite(prediction.values).all()
    assert (prediction.uncertainties > 0.0).all()


def test_a_table_of_validation_rows_alone_is_refused() -> None:
    table = small_table(10)
    everything = TrainingTable(table.counts, table.values, table.is_held_out, ~table.is_held_out)
    with pytest.raises(InputError, match="needs a row to fit"):
        Roost.fit(everything, QUICK, seed=0)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"n_folds": 1}, "take 0 or at least 2"),
        ({"validation": 0.0}, "set n_folds to 2 or more"),
        ({"patience": 3, "keep": "last"}, "leave one out"),
        ({"widths": (8, 0)}, "at least 1"),
    ],
)
def test_options_that_cannot_be_are_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        RoostOptions.model_validate(given)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="take 'auto' or 'cpu'"):
        Roost.fit(small_table(), QUICK.model_copy(update={"device": "cuda"}), seed=0)
