"""The forest of plain arrays against scikit-learn's own."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from agd.errors import ModelError
from agd.nets.forest import Forest
from agd.nets.threads import limited_threads

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def table() -> tuple[Floats, Floats]:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((600, 9)) * 10.0 ** rng.integers(-3, 4, 9)
    features[:, 4] = rng.integers(0, 4, 600)
    return features, np.abs(features[:, 4] + rng.standard_normal(600))


@pytest.fixture(scope="module")
def forest(table: tuple[Floats, Floats]) -> Forest:
    return Forest.fit(*table, n_trees=25, max_features=0.5, min_samples_leaf=2, seed=3)[0]


def test_it_predicts_what_scikit_learn_predicts(forest: Forest, table: tuple[Floats, Floats]) -> None:
    features, values = table
    theirs = RandomForestRegressor(25, max_features=0.5, min_samples_leaf=2, random_state=3).fit(features, values)
    rebuilt = Forest.from_tensors(forest.to_tensors(), n_features=9)
    queries = np.concatenate([features, np.random.default_rng(1).standard_normal((2000, 9)) * features.std(axis=0)])
    assert rebuilt.predict(queries)[0] == pytest.approx(theirs.predict(queries), abs=1e-12)


def test_extra_trees_are_scikit_learns_on_bootstrap_samples(table: tuple[Floats, Floats]) -> None:
    features, values = table
    ours, out_of_bag = Forest.fit(
        features, values, n_trees=25, max_features=0.5, min_samples_leaf=2, seed=3, grower="extra_trees"
    )
    theirs = ExtraTreesRegressor(
        25, max_features=0.5, min_samples_leaf=2, bootstrap=True, oob_score=True, random_state=3
    ).fit(features, values)
    rebuilt = Forest.from_tensors(ours.to_tensors(), n_features=9)
    assert rebuilt.predict(features)[0] == pytest.approx(theirs.predict(features), abs=1e-12)
    assert out_of_bag.values == pytest.approx(theirs.oob_prediction_, abs=1e-12)


def test_the_median_of_the_trees_that_left_a_row_out(
    table: tuple[Floats, Floats], monkeypatch: pytest.MonkeyPatch
) -> None:
    features, values = table
    theirs = RandomForestRegressor(24, max_features=0.5, min_samples_leaf=2, random_state=3).fit(features, values)
    answers = np.array([tree.predict(features) for tree in theirs.estimators_])
    seen = np.array([np.isin(np.arange(600), rows) for rows in theirs.estimators_samples_])
    expected = np.nanmedian(np.where(seen, np.nan, answers), axis=0)
    monkeypatch.setattr("agd.nets.forest._MOST_ANSWERS", 1000)
    ours, out_of_bag = Forest.fit(
        features, values, n_trees=24, max_features=0.5, min_samples_leaf=2, seed=3, answer="median"
    )
    rebuilt = Forest.from_tensors(ours.to_tensors(), n_features=9, answer="median")
    assert rebuilt.predict(features)[0] == pytest.approx(np.median(answers, axis=0), abs=1e-12)
    assert out_of_bag.values[out_of_bag.is_judged] == pytest.approx(expected[out_of_bag.is_judged], abs=1e-12)
    np.testing.assert_array_equal(rebuilt.predict(features[5:9])[0], rebuilt.predict(features)[0][5:9])
    errors = np.abs(out_of_bag.values - values)
    assert np.mean(errors <= out_of_bag.uncertainties) == pytest.approx(0.6827, abs=0.02)


def test_the_median_of_leaves_of_one_row_is_what_was_seen(table: tuple[Floats, Floats]) -> None:
    features, values = table
    ours, out_of_bag = Forest.fit(
        features,
        values,
        n_trees=60,
        max_features=0.5,
        min_samples_leaf=1,
        seed=3,
        grower="extra_trees",
        answer="median",
    )
    said, _ = ours.predict(features)
    assert np.abs(said - values).mean() < 0.05 * np.abs(out_of_bag.values - values).mean()


def test_a_row_no_tree_left_out_is_answered_by_all_trees() -> None:
    rng = np.random.default_rng(0)
    features, values = rng.standard_normal((40, 3)), rng.standard_normal(40)
    forest, out_of_bag = Forest.fit(features, values, n_trees=1, max_features=1.0, min_samples_leaf=1, seed=0)
    assert not out_of_bag.is_judged.any()
    is_left_out = out_of_bag.values != values  # one tree of leaves with one row knows the rows it saw
    assert 0 < is_left_out.sum() < 40
    np.testing.assert_array_equal(forest.predict(features)[0], out_of_bag.values)


def test_copies_of_a_row_are_left_out_together() -> None:
    rng = np.random.default_rng(0)
    features, values = rng.standard_normal((200, 3)), rng.standard_normal(200)
    twice = np.concatenate([features, features]), np.concatenate([values, values])
    kwargs = {"n_trees": 60, "max_features": 1.0, "min_samples_leaf": 1, "seed": 0}
    together = Forest.fit(*twice, groups=np.tile(np.arange(200), 2), **kwargs)[1]
    apart = Forest.fit(*twice, **kwargs)[1]
    assert np.abs(together.values - twice[1]).mean() > 0.7
    assert np.abs(apart.values - twice[1]).mean() < 0.4
    np.testing.assert_array_equal(together.values[:200], together.values[200:])


def test_seeds_may_be_large(table: tuple[Floats, Floats]) -> None:
    first, second = (
        Forest.fit(*table, n_trees=2, max_features=0.5, min_samples_leaf=2, seed=seed)[0].predict(table[0])[0]
        for seed in (2**62, 2**62 + 1)
    )
    assert not np.array_equal(first, second)


def test_a_feature_on_a_threshold_goes_the_same_way_after_rounding(forest: Forest) -> None:
    rebuilt = Forest.from_tensors(forest.to_tensors(), n_features=9)
    for tree in forest.trees:
        inner = np.flatnonzero(tree.feature >= 0)
        queries = np.zeros((3 * len(inner), 9), dtype=np.float32)
        near = tree.threshold[inner].astype(np.float32)
        ends = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
        queries[np.arange(len(queries)), np.tile(tree.feature[inner], 3)] = np.concatenate(ends)
        np.testing.assert_array_equal(rebuilt.predict(queries)[0], forest.predict(queries)[0])


def test_arrays_bring_back_the_same_forest_bit_for_bit(forest: Forest, table: tuple[Floats, Floats]) -> None:
    tensors = forest.to_tensors()
    rebuilt = Forest.from_tensors(tensors, n_features=9)
    for name, array in rebuilt.to_tensors().items():
        np.testing.assert_array_equal(array, tensors[name])
        assert array.dtype == tensors[name].dtype
    np.testing.assert_array_equal(rebuilt.predict(table[0]), forest.predict(table[0]))


def test_threads_change_nothing(forest: Forest, table: tuple[Floats, Floats]) -> None:
    for threads in (1, 2):
        with limited_threads(threads):
            again, _ = Forest.fit(*table, n_trees=25, max_features=0.5, min_samples_leaf=2, seed=3)
        for name, array in forest.to_tensors().items():
            np.testing.assert_array_equal(again.to_tensors()[name], array)


def test_uncertainties_hold_their_share_of_new_rows() -> None:
    rng = np.random.default_rng(5)
    features = rng.uniform(-1.0, 1.0, (3000, 4))
    noise = np.where(features[:, 0] > 0.0, 1.0, 0.1)
    values = 3.0 * features[:, 1] + noise * rng.standard_normal(3000)
    forest, _ = Forest.fit(features[:2000], values[:2000], n_trees=60, max_features=0.5, min_samples_leaf=2, seed=0)
    mean, sigma = forest.predict(features[2000:])
    errors = np.abs(values[2000:] - mean)
    assert 0.62 < np.mean(errors <= sigma) < 0.75
    assert np.mean(errors <= 2.0 * sigma) > 0.85  # only one sigma is calibrated, and the tails here are heavy
    assert sigma[noise[2000:] == 1.0].mean() > 2.0 * sigma[noise[2000:] == 0.1].mean()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_rows_still_have_an_uncertainty(n: int) -> None:
    forest, out_of_bag = Forest.fit(
        np.eye(3)[:n], np.arange(float(n)), n_trees=3, max_features=1.0, min_samples_leaf=1, seed=0
    )
    assert (forest.predict(np.eye(3))[1] > 0.0).all()
    assert (out_of_bag.uncertainties > 0.0).all()
    assert np.isfinite(out_of_bag.values).all()


def raised(array: NDArray[np.generic], index: int, value: float) -> NDArray[np.generic]:
    copy = array.copy()
    copy[index] = value
    return copy


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("feature", lambda array: raised(array, 0, 9)),
        ("feature", lambda array: raised(array, 0, -2)),
        ("feature", lambda array: raised(array, 0, -1)),
        ("feature", lambda array: array.astype(np.int32)),
        ("left", lambda array: raised(array, 0, 0)),
        ("left", lambda array: raised(array, 0, -1)),
        ("left", lambda array: raised(array, 5, 2**31 - 1)),
        ("right", lambda array: raised(array, 0, array[1])),
        ("right", lambda array: array[:-1]),
        ("threshold", lambda array: raised(array, 3, np.nan)),
        ("threshold", lambda array: array.astype(object)),
        ("leaf_value", lambda array: raised(array, 0, np.inf)),
        ("leaf_value", lambda array: array[:-1]),
        ("leaf_value", lambda array: array[:, None]),
        ("n_nodes", lambda array: array[:-1]),
        ("n_nodes", lambda array: array[:0]),
        ("n_nodes", lambda array: raised(raised(array, 0, array[0] + 1), 1, array[1] - 1)),
        ("calibration", lambda array: raised(array, 3, 0.0)),
        ("calibration", lambda array: raised(array, 1, -1.0)),
        ("calibration", lambda array: array[:3]),
    ],
)
def test_altered_arrays_are_refused(forest: Forest, name: str, change: object) -> None:
    assert callable(change)
    tensors = dict(forest.to_tensors())
    with pytest.raises(ModelError, match="forest"):
        Forest.from_tensors({**tensors, name: change(tensors[name])}, n_features=9)


def test_missing_and_strange_arrays_are_refused(forest: Forest) -> None:
    tensors = dict(forest.to_tensors())
    with pytest.raises(ModelError, match="not none"):
        Forest.from_tensors({}, n_features=9)
    with pytest.raises(ModelError, match="stranger"):
        Forest.from_tensors({**tensors, "stranger": np.zeros(1)}, n_features=9)
    with pytest.raises(ModelError, match="its features"):
        Forest.from_tensors(tensors, n_features=8)
