from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from agd.chem.elements import AUTOENCODER_COLUMNS
from agd.chem.enumeration import charge_balanced
from agd.chem.formula import parse_formulas
from agd.chem.onehot import is_encodable
from agd.errors import InputError
from agd.nets.set_autoencoder import Architecture, Recipe, SetNetwork, fit_network, synthetic_rows
from agd.nets.training import Schedule, train
from agd.plugins.generators import EMPTY, SetAutoencoder, SetAutoencoderOptions, _most_probable
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


def fit(counts: Counts, is_held_out: np.ndarray, **options: float) -> tuple[FittedModel, SetAutoencoder]:
    chosen = SetAutoencoderOptions.model_validate(options)
    fitted = SetAutoencoder.fit(TrainingTable(counts, None, is_held_out), chosen, seed=3)
    return fitted, SetAutoencoder.load(fitted.tensors, chosen)


def test_the_fitted_model_decodes_as_the_network_it_came_from() -> None:
    counts = charge_balanced(600, seed=0)
    inside = counts[:, AUTOENCODER_COLUMNS].astype(np.int64)
    schedule = Schedule(epochs=1, learning_rate=2e-3, weight_decay=0.0, patience=1)
    architecture = Architecture(87, 20, 128, 64, 8)
    network, _ = fit_network(inside, inside[:50], architecture, Recipe(schedule, 64, 0.5, 0.3, 4000), seed=0)
    options = SetAutoencoderOptions(hidden=64, factors=8, certainty=0)
    model = SetAutoencoder({**network.tensors()}, options)
    with torch.no_grad():
        latents = network.encode(torch.from_numpy(inside))
        expected = network.decode(latents).argmax(2).numpy()
    assert_allclose(model.encode(counts), latents.numpy(), atol=1e-4)
    assert (model.decode(latents.numpy()).counts[:, AUTOENCODER_COLUMNS] == expected).all(axis=1).mean() > 0.99


def test_a_table_without_held_out_rows_is_measured_on_its_training_rows() -> None:
    counts = charge_balanced(300, seed=0)
    fitted, model = fit(counts, np.zeros(300, np.bool_), hidden=128, epochs=3, min_rows=4000)
    assert "round_trip" not in fitted.metrics
    assert fitted.metrics["training_round_trip"] == (model.decode(model.encode(counts)).counts == counts).all(1).mean()
    assert fitted.metrics["training_round_trip"] > 0.9


def test_the_plain_argmax_fails_only_where_nothing_is_present() -> None:
    counts = charge_balanced(300, seed=0)
    fitted, model = fit(counts, np.arange(300) % 5 == 0, hidden=64, epochs=1, min_rows=2000, certainty=0)
    latents = model.encode(counts)
    points = np.random.default_rng(0).normal(0, latents.std(), (400, 128)).astype(np.float32)
    decoded = model.decode(points)
    assert 0 < len(decoded.failures) < 400
    assert set(decoded.failures.values()) == {EMPTY}
    assert 0 < fitted.metrics["box_undecodable"] < 1


def test_a_real_corpus_comes_back(real_data: Path) -> None:
    lines = (real_data / "paper" / "Exp1_42k.csv").read_text().splitlines()[1:]
    counts, _ = parse_formulas([line.split(",")[1] for line in lines[::4]])
    counts = counts[is_encodable(counts)]
    is_held_out = np.random.default_rng(0).random(len(counts)) < 0.2
    fitted, _ = fit(counts, is_held_out, hidden=256, epochs=3)
    assert fitted.metrics["round_trip"] > 0.97
    assert 0.8 < fitted.metrics["valid_encoded"] < 0.95
    assert fitted.metrics["box_2_to_6"] > 0.5
