import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from agd.chem.elements import AUTOENCODER_COLUMNS, AUTOENCODER_ELEMENTS
from agd.chem.enumeration import charge_balanced
from agd.chem.formula import parse_formulas
from agd.chem.onehot import is_encodable
from agd.errors import InputError
from agd.nets.set_autoencoder import (
    Architecture,
    Recipe,
    SetNetwork,
    fit_network,
    kl_from_standard_normal,
    synthetic_rows,
)
from agd.nets.training import Schedule, train
from agd.plugins.autoencoders.set_autoencoder import SetAutoencoder, SetAutoencoderOptions, _most_probable
from agd.plugins.checks import EMPTY
from agd.types import Counts, FittedModel, TrainingTable

SMALL = Architecture(n_elements=6, max_count=5, n_latent=12, n_hidden=24, n_factors=4)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


def small_network() -> SetNetwork:
    network = SetNetwork(SMALL, torch.Generator().manual_seed(0))
    network.standardise.running_mean.normal_(generator=torch.Generator().manual_seed(1))
    network.standardise.running_var.uniform_(0.5, 3, generator=torch.Generator().manual_seed(2))
    return network.eval()


def test_the_encoder_is_a_sum_over_pairs() -> None:
    network = small_network()
    counts = torch.tensor([[1, 0, 3, 0, 0, 5], [0, 2, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    tensors = network.tensors()
    expected = [
        tensors["origin"] + sum(tensors["codes"][element, count - 1] for element, count in enumerate(row) if count)
        for row in counts.tolist()
    ]
    assert_allclose(network.encode(counts).detach().numpy(), expected, atol=1e-5)


def test_synthetic_rows_keep_the_number_of_elements_and_reach_every_pair() -> None:
    parents = np.array([[1, 1, 0, 0, 0, 0], [0, 1, 2, 3, 0, 0]])
    rows = synthetic_rows(parents, 4000, 5, np.random.default_rng(0))
    assert set((rows > 0).sum(axis=1).tolist()) == {2, 3}
    assert {(e, c) for e in range(6) for c in range(1, 6)} <= {(e, row[e]) for row in rows.tolist() for e in range(6)}
    assert rows.max() == 5
    assert_array_equal(parents, [[1, 1, 0, 0, 0, 0], [0, 1, 2, 3, 0, 0]])


def logits(log_odds: list[float]) -> np.ndarray:
    """One row whose elements have these log odds of presence, likeliest count 2."""
    return np.stack([np.zeros(len(log_odds)), np.array(log_odds) - 1, np.array(log_odds)], axis=1)[None]


@pytest.mark.parametrize(
    ("log_odds", "certainty", "expected"),
    [
        ([5, -1, 4, 3], 3, [2, 0, 2, 2]),  # two or more elements: the plain argmax, however doubtful the rest
        ([9, -4, -5, -6], 3, [2, 0, 0, 0]),  # one element, all others certainly absent
        ([9, -4, -2, -6], 3, [2, 0, 2, 0]),  # one element, another in doubt
        ([2, -4, -5, -6], 3, [2, 2, 0, 0]),  # one element, itself in doubt
        ([-4, -5, -6, -7], 3, [0, 0, 0, 0]),  # certainly empty
        ([-4, -5, -1, -7], 3, [2, 0, 2, 0]),  # doubtfully empty
        ([-4, -5, -1, -7], 0, [0, 0, 0, 0]),  # the plain argmax
    ],
)
def test_the_decision_rule(log_odds: list[float], certainty: float, expected: list[int]) -> None:
    assert_array_equal(_most_probable(logits(log_odds), certainty), [expected])


def toy_problem() -> tuple[torch.nn.Linear, torch.Tensor]:
    network = torch.nn.Linear(1, 1)
    torch.nn.init.ones_(network.weight)
    return network, torch.ones(8, 1)


def test_the_best_epoch_is_kept_and_patience_ends_the_run() -> None:
    network, rows = toy_problem()
    seen: list[float] = []
    scores = iter([0.2, 0.9, 0.5, 0.4, 0.3])

    def score() -> float:
        seen.append(network.weight.item())
        return next(scores)

    trained = train(
        network,
        Schedule(epochs=50, learning_rate=0.1, weight_decay=0.0, patience=2),
        batches=lambda _epoch: [rows, rows],
        loss=lambda batch: network(batch).square().mean(),
        score=score,
        score_name="share",
    )
    assert (trained.n_epochs, trained.best_epoch, trained.best_score) == (4, 2, 0.9)
    assert network.weight.item() == seen[1] != seen[-1]


def test_a_constant_learning_rate_stays_and_another_falls() -> None:
    moved = {}
    for is_constant in (False, True):
        network, rows = toy_problem()
        train(
            network,
            Schedule(epochs=4, learning_rate=0.01, weight_decay=0.0, patience=9, is_constant=is_constant),
            batches=lambda _, rows=rows: [rows],
            loss=lambda batch, network=network: network(batch).mean(),
            score=lambda: 1.0,
            score_name="",
        )
        moved[is_constant] = 1 - network.weight.item()
    assert_allclose([moved[True], moved[False]], [0.04, 0.025], rtol=1e-4)


def test_a_score_is_told_as_its_text() -> None:
    network, rows = toy_problem()
    notes: list[str] = []
    train(
        network,
        Schedule(epochs=1, learning_rate=0.1, weight_decay=0.0, patience=1),
        batches=lambda _: [rows],
        loss=lambda batch: network(batch).square().mean(),
        score=lambda: -0.125,
        score_name="loss",
        score_text=lambda score: f"{-score:.2g}",
        progress=lambda _done, _total, note="": notes.append(note),
    )
    assert notes[-1] == "epoch 1/1, loss 0.12"


def test_training_leaves_torch_as_it_was() -> None:
    network, rows = toy_problem()
    state = torch.random.get_rng_state()
    schedule = Schedule(epochs=1, learning_rate=0.1, weight_decay=0.0, patience=1)
    train(
        network, schedule, batches=lambda _: [rows], loss=lambda b: network(b).mean(), score=lambda: 1.0, score_name=""
    )
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.random.get_rng_state(), state)
    architecture = Architecture(6, 5, 12, 24, 4)
    fit_network(
        np.eye(6, dtype=np.int64), np.eye(6, dtype=np.int64), architecture, Recipe(schedule, 16, 1, 0.1, 32), seed=0
    )
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_diverged_training_says_what_to_change() -> None:
    network, rows = toy_problem()
    with pytest.raises(InputError, match=r"diverged in epoch 1 .*lower learning_rate, now 0\.5"):
        train(
            network,
            Schedule(epochs=2, learning_rate=0.5, weight_decay=0.0, patience=1),
            batches=lambda _: [rows],
            loss=lambda batch: network(batch).mean() * torch.nan,
            score=lambda: 0.0,
            score_name="",
        )


OPTIONS = SetAutoencoderOptions(hidden=64, factors=8, certainty=0)


def untrained() -> SetNetwork:
    architecture = Architecture(len(AUTOENCODER_ELEMENTS), OPTIONS.max_count, OPTIONS.n_latent, 64, 8)
    return SetNetwork(architecture, torch.Generator().manual_seed(0)).eval()


def plugged(network: SetNetwork, options: SetAutoencoderOptions) -> SetAutoencoder:
    vocabulary = np.array(AUTOENCODER_ELEMENTS, "S2")
    return SetAutoencoder.load({**network.tensors(), "vocabulary": vocabulary}, options)


def test_the_plug_in_computes_what_the_network_computes() -> None:
    counts = charge_balanced(300, seed=0)
    network = untrained()
    model = plugged(network, OPTIONS)
    inside = torch.from_numpy(counts[:, AUTOENCODER_COLUMNS].astype(np.int64))
    with torch.no_grad():
        latents = network.encode(inside)
        expected = network.double().decode(latents.double()).argmax(2).numpy()
    assert_allclose(model.encode(counts), latents.numpy(), rtol=1e-5, atol=1e-4)
    assert_array_equal(model.decode(latents.numpy()).counts[:, AUTOENCODER_COLUMNS], expected)


def test_a_certainly_empty_point_fails_and_says_so() -> None:
    network = untrained()
    with torch.no_grad():
        network.count_bias[:, 0] = 1e6
    model = plugged(network, OPTIONS.model_copy(update={"certainty": 3.0}))
    decoded = model.decode(np.zeros((2, 128), np.float32))
    assert dict(decoded.failures) == {0: EMPTY, 1: EMPTY}
    assert not decoded.counts.any()


def fit(counts: Counts, is_held_out: NDArray[np.bool_], **changed: float) -> tuple[FittedModel, SetAutoencoder]:
    options = SetAutoencoderOptions(hidden=64, batch=64, epochs=3, min_rows=5000, **changed)
    fitted = SetAutoencoder.fit(TrainingTable(counts, None, is_held_out), options, seed=3)
    return fitted, SetAutoencoder.load(fitted.tensors, options)


def test_a_table_without_held_out_rows_is_measured_on_its_training_rows() -> None:
    counts = charge_balanced(300, seed=0)
    fitted, model = fit(counts, np.zeros(300, np.bool_))
    assert fitted.metrics.keys().isdisjoint({"round_trip", "kl_nats_per_row"})
    assert fitted.metrics["training_round_trip"] == (model.decode(model.encode(counts)).counts == counts).all(1).mean()
    assert fitted.metrics["training_round_trip"] > 0.8


def test_the_divergence_is_what_torch_says() -> None:
    generator = torch.Generator().manual_seed(0)
    means, log_variances = torch.randn(2, 7, 5, dtype=torch.float64, generator=generator)
    normal = torch.distributions.Normal(means, (0.5 * log_variances).exp())
    prior = torch.distributions.Normal(torch.zeros_like(means), torch.ones_like(means))
    expected = torch.distributions.kl_divergence(normal, prior).sum(1)
    assert_allclose(kl_from_standard_normal(means, log_variances), expected, rtol=1e-12)
    assert_allclose(kl_from_standard_normal(torch.zeros(1, 3), torch.zeros(1, 3)), [0])


def test_the_learnt_noise_starts_where_it_is_told_and_follows_the_mean() -> None:
    network = SetNetwork(Architecture(6, 5, 12, 24, 4, first_noise=0.6), torch.Generator().manual_seed(0)).eval()
    means = torch.randn(3, 12, generator=torch.Generator().manual_seed(1))
    assert_allclose(network.log_variances(means).exp().sqrt().detach(), np.full((3, 12), 0.6), rtol=1e-6)
    torch.nn.init.eye_(network.spread_weight)
    assert_allclose(network.log_variances(means).detach(), means + 2 * np.log(0.6), rtol=1e-5)


def test_the_divergence_falls_with_its_weight() -> None:
    counts = np.random.default_rng(0).integers(0, 3, size=(64, 6))
    schedule = Schedule(epochs=2, learning_rate=4e-3, weight_decay=0.0, patience=2)
    kl = {}
    for weight in (0.0, 3.0):
        network, _ = fit_network(
            counts, counts, Architecture(6, 5, 12, 24, 4, 0.6), Recipe(schedule, 16, 1, 0.6, 2000, weight), seed=0
        )
        kl[weight] = network.mean_kl(counts)
    assert 0 < kl[3.0] < 0.9 * kl[0.0]


def test_a_variational_fit_is_another_model_of_the_same_form() -> None:
    counts = charge_balanced(300, seed=0)
    is_held_out = np.arange(300) % 5 == 0
    fitted, model = fit(counts, is_held_out, variational=True)
    assert fitted.tensors.keys() == {*untrained().tensors(), "vocabulary"}
    assert fitted.metrics["kl_nats_per_row"] > 0
    assert (model.decode(model.encode(counts)).counts == counts).all(1)[~is_held_out].mean() > 0.95


def test_a_variational_fit_needs_noise_to_start_from() -> None:
    with pytest.raises(ValueError, match="noise above 0"):
        SetAutoencoderOptions(variational=True, noise=0)


def test_real_compositions_never_seen_come_back(real_data: Path) -> None:
    with (real_data / "paper" / "Exp1_42k.csv").open(encoding="utf-8", newline="") as file:
        counts, _ = parse_formulas([row["composition"] for row in csv.DictReader(file)][::10])
    counts = counts[is_encodable(counts)]
    fitted, _ = fit(counts, np.arange(len(counts)) % 5 == 0)
    assert fitted.metrics["round_trip"] > 0.8
    assert fitted.metrics["round_trip_counts_le_8"] > 0.85
    assert 0.85 < fitted.metrics["valid_encoded"] < 0.95
    assert fitted.metrics["box_undecodable"] < 0.5
