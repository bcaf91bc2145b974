"""Networks that are cross-fitted: what they learn, keep and refuse."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from agd.errors import InputError, ModelError
from agd.nets.descriptor_networks import CrossFittedNetworks, Learning
from agd.nets.threads import limited_threads

Floats = NDArray[np.float64]
WIDTHS = (24, 12)
LEARNING = Learning(epochs=3, n_steps=300, batch=50, learning_rate=5e-3, weight_decay=1e-4, dropout=0.1)


def drawn(n: int, seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1.0, 1.0, (n, 6)) * (1.0, 100.0, 0.01, 1.0, 1.0, 0.0) + 3.0
    noise = np.where(features[:, 0] > 3.0, 1.0, 0.1)
    return features, 8.0 * (features[:, 3] - 3.0) * (features[:, 4] - 3.0) - 20.0 + noise * rng.standard_normal(n)


def fitted(features: Floats, values: Floats, **changed: object) -> CrossFittedNetworks:
    return CrossFittedNetworks.fit(features, values, **_arguments(changed))[0]


def _arguments(changed: dict[str, object]) -> dict[str, object]:
    return {"widths": WIDTHS, "learning": LEARNING, "n_folds": 3, "seed": 1, **changed}


@pytest.fixture(scope="module")
def networks() -> CrossFittedNetworks:
    return fitted(*drawn(900, 0))


def test_they_multiply_features_and_know_where_they_err(networks: CrossFittedNetworks) -> None:
    features, values = drawn(2000, 1)
    mean, sigma = networks.predict(features)
    errors = np.abs(mean - values)
    assert 1.0 - np.mean(errors**2) / values.var() > 0.75
    assert 0.6 < np.mean(errors <= sigma) < 0.82
    is_noisy = features[:, 0] > 3.0
    assert sigma[is_noisy].mean() > 1.4 * sigma[~is_noisy].mean()


def test_a_row_is_left_out_by_the_network_that_answers_it() -> None:
    features, values = drawn(300, 0)
    far = values.copy()
    far[7] += 1000.0
    near, other = (CrossFittedNetworks.fit(features, one, **_arguments({}))[1] for one in (values, far))
    assert near.values[7] == other.values[7]
    assert near.is_judged.all()
    assert np.mean(near.values != other.values) > 0.5


def test_copies_of_a_row_share_its_fold() -> None:
    features, values = drawn(150, 0)
    twice = np.concatenate([features, features]), np.concatenate([values, values])
    kept = CrossFittedNetworks.fit(*twice, **_arguments({"groups": np.tile(np.arange(150), 2)}))[1]
    np.testing.assert_array_equal(kept.values[:150], kept.values[150:])


def test_rows_are_answered_as_if_alone(networks: CrossFittedNetworks) -> None:
    features, _ = drawn(300, 2)
    together = networks.predict(features)
    for rows in (slice(0, 1), slice(63, 66), slice(None, None, -1)):
        for alone, all_of_them in zip(networks.predict(features[rows]), together, strict=True):
            np.testing.assert_array_equal(alone, all_of_them[rows])
    assert networks.predict(features[:0])[0].shape == (0,)


def test_a_seed_gives_the_same_networks_whatever_was_drawn_before(networks: CrossFittedNetworks) -> None:
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    with limited_threads(1):
        once, again = (fitted(*drawn(200, 0)).to_tensors() for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    other = fitted(*drawn(200, 0), seed=2).to_tensors()
    for name, array in once.items():
        np.testing.assert_array_equal(array, again[name])
    assert not np.array_equal(once["value.weight"], other["value.weight"])
    rebuilt = CrossFittedNetworks.from_tensors(networks.to_tensors(), n_features=6, widths=WIDTHS)
    features, _ = drawn(50, 3)
    np.testing.assert_array_equal(rebuilt.predict(features), networks.predict(features))


def test_a_feature_that_never_varied_changes_nothing(networks: CrossFittedNetworks) -> None:
    features, _ = drawn(20, 3)
    moved = features + np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1e6])
    np.testing.assert_array_equal(networks.predict(moved), networks.predict(features))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_rows_still_have_an_answer(n: int) -> None:
    features, values = drawn(n, 0)
    networks, out_of_fold = CrossFittedNetworks.fit(features, values, **_arguments({}))
    assert np.isfinite(networks.predict(features)).all()
    assert (out_of_fold.uncertainties > 0.0).all()
    assert out_of_fold.is_judged.all() == (n > 1)


def test_a_training_that_diverges_is_told() -> None:
    wild = Learning(epochs=3, n_steps=60, batch=50, learning_rate=1e30, weight_decay=0.0, dropout=0.0)
    with pytest.raises(InputError, match="lower learning_rate"):
        fitted(*drawn(200, 0), learning=wild)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"centre": None}, "missing or unknown arrays centre"),
        ({"stranger": np.zeros(1)}, "missing or unknown arrays stranger"),
        ({"value.bias": np.zeros((2, 1), np.float32)}, "not float32"),
        ({"value.bias": np.zeros((3, 1))}, "not float32"),
        ({"value.bias": np.full((3, 1), np.nan, np.float32)}, "not finite"),
        ({"calibration": np.zeros(4)}, "calibration"),
        ({"calibration": np.zeros(4, np.float32)}, "calibration"),
    ],
)
def test_altered_arrays_are_refused(
    networks: CrossFittedNetworks, change: dict[str, NDArray[np.generic] | None], message: str
) -> None:
    tensors = {name: array for name, array in {**networks.to_tensors(), **change}.items() if array is not None}
    with pytest.raises(ModelError, match=message):
        CrossFittedNetworks.from_tensors(tensors, n_features=6, widths=WIDTHS)
    with pytest.raises(ModelError, match="options it was trained with"):
        CrossFittedNetworks.from_tensors(networks.to_tensors(), n_features=6, widths=(24, 13))
