"""Boosted trees of plain arrays against the libraries' own, and their cross-fitting."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from agd.errors import InputError, ModelError
from agd.nets.boosters import Growth, HistLibrary, Library, LightLibrary
from agd.nets.boosting import CrossFitted
from agd.plugins.oracles.boosting import LightGbm, LightGbmOptions

Floats = NDArray[np.float64]
Features = NDArray[np.float32]
GROWTH = Growth(n_rounds=30, n_leaves=15, learning_rate=0.1, max_features=0.5, min_samples_leaf=3, l2=1.0)


@pytest.fixture(scope="module")
def table() -> tuple[Features, Floats]:
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((600, 9)) * 10.0 ** rng.integers(-3, 4, 9)).astype(np.float32)
    features[:, 4] = rng.integers(0, 4, 600)
    return features, np.abs(features[:, 4] + rng.standard_normal(600))


@pytest.fixture(scope="module", params=["scikit-learn", "lightgbm"])
def library(request: pytest.FixtureRequest) -> Library:
    if request.param == "lightgbm":
        pytest.importorskip("lightgbm", reason="the extra lightgbm is not installed", exc_type=ImportError)
        return LightLibrary(n_threads=1)
    return HistLibrary(n_threads=1)


@pytest.fixture(scope="module")
def fitted(library: Library, table: tuple[Features, Floats]) -> CrossFitted:
    return CrossFitted.fit(*table, library=library, growth=GROWTH, n_folds=3, seed=1)[0]


def queries(features: Features) -> Features:
    """Random points, and every training value of a feature with its two neighbours in float32."""
    other = (np.random.default_rng(1).standard_normal((2000, 9)) * features.std(axis=0)).astype(np.float32)
    ends = [np.nextafter(features, np.float32(end)) for end in (-np.inf, np.inf)]
    return np.concatenate([features, other, *ends])


def test_scikit_learns_trees_answer_as_its_own_predict(table: tuple[Features, Floats]) -> None:
    features, values = table
    theirs = HistGradientBoostingRegressor(
        max_iter=30, max_leaf_nodes=15, learning_rate=0.1, max_features=0.5, min_samples_leaf=3, l2_regularization=1.0,
        early_stopping=False, random_state=7,
    ).fit(features, values)  # fmt: skip
    library = HistLibrary()
    (rebuilt,) = library.unpack(library.pack([library.grow(features, values, GROWTH, seed=7)]), n_features=9)
    points = queries(features)
    np.testing.assert_array_equal(rebuilt.predict(points), theirs.predict(points))


def test_lightgbms_text_brings_back_the_booster(table: tuple[Features, Floats]) -> None:
    lightgbm = pytest.importorskip("lightgbm", reason="the extra lightgbm is not installed", exc_type=ImportError)
    features, values = table
    library = LightLibrary()
    booster = library.grow(features, values, GROWTH, seed=7)
    tensors = library.pack([booster, booster])
    assert tensors["text"].tobytes().decode() == 2 * booster.booster.model_to_string()
    theirs = lightgbm.Booster(model_str=booster.booster.model_to_string())
    for rebuilt in library.unpack(tensors, n_features=9):
        np.testing.assert_array_equal(rebuilt.predict(queries(features)), theirs.predict(queries(features)))
    assert np.corrcoef(booster.predict(features), values)[0, 1] > 0.8


def test_arrays_bring_back_the_same_answers(
    library: Library, fitted: CrossFitted, table: tuple[Features, Floats]
) -> None:
    tensors = fitted.to_tensors()
    rebuilt = CrossFitted.from_tensors(tensors, library=library, n_features=9)
    np.testing.assert_array_equal(rebuilt.predict(table[0]), fitted.predict(table[0]))
    again = rebuilt.to_tensors()
    assert again.keys() == tensors.keys()
    for name, array in again.items():
        np.testing.assert_array_equal(array, tensors[name])


def test_rows_are_answered_as_if_alone(fitted: CrossFitted, table: tuple[Features, Floats]) -> None:
    together = np.stack(fitted.predict(table[0]))
    for rows in (slice(0, 1), slice(5, 38), slice(None, None, -1)):
        np.testing.assert_array_equal(np.stack(fitted.predict(table[0][rows])), together[:, rows])
    assert fitted.predict(table[0][:0])[0].shape == (0,)


def test_uncertainties_hold_their_share_of_new_rows(library: Library) -> None:
    rng = np.random.default_rng(5)
    features = rng.uniform(-1.0, 1.0, (2000, 4))
    noise = np.where(features[:, 0] > 0.0, 1.0, 0.1)
    values = 3.0 * features[:, 1] + noise * rng.standard_normal(2000)
    growth = Growth(n_rounds=60, n_leaves=15, learning_rate=0.15, max_features=1.0, min_samples_leaf=5, l2=1.0)
    model, out_of_fold = CrossFitted.fit(
        features[:1000], values[:1000], library=library, growth=growth, n_folds=4, seed=0
    )
    mean, sigma = model.predict(features[1000:])
    assert 0.62 < np.mean(np.abs(values[1000:] - mean) <= sigma) < 0.75
    assert sigma[noise[1000:] == 1.0].mean() > 2.0 * sigma[noise[1000:] == 0.1].mean()
    errors = np.abs(values[:1000] - out_of_fold.values)
    assert np.mean(errors <= out_of_fold.uncertainties) == pytest.approx(0.6827, abs=0.01)


def test_an_out_of_fold_answer_knows_nothing_of_its_row_or_of_copies(library: Library) -> None:
    rng = np.random.default_rng(0)
    features, values = rng.standard_normal((120, 3)), rng.standard_normal(120)
    growth = Growth(n_rounds=20, n_leaves=31, learning_rate=0.4, max_features=1.0, min_samples_leaf=1, l2=0.0)

    def answers(values: Floats) -> tuple[CrossFitted, Floats]:
        twice, groups = np.concatenate([features, features]), np.tile(np.arange(120), 2)
        model, out_of_fold = CrossFitted.fit(
            twice, np.concatenate([values, values]), library=library, growth=growth, n_folds=4, seed=2, groups=groups
        )
        np.testing.assert_array_equal(out_of_fold.values[:120], out_of_fold.values[120:])
        return model, out_of_fold.values[:120]

    model, before = answers(values)
    assert np.abs(before - values).mean() > 0.7
    assert np.abs(model.predict(features)[0] - values).mean() < 0.5
    changed = values.copy()
    changed[17] += 50.0
    after = answers(changed)[1]
    assert after[17] == before[17]
    assert not np.array_equal(after, before)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_few_rows_still_have_an_answer(library: Library, n: int) -> None:
    features, values = np.eye(7)[:n], np.arange(float(n))
    model, out_of_fold = CrossFitted.fit(features, values, library=library, growth=GROWTH, n_folds=5, seed=0)
    assert np.isfinite(model.predict(np.eye(7))).all()
    assert (model.predict(np.eye(7))[1] > 0.0).all()
    assert (out_of_fold.uncertainties > 0.0).all()
    assert out_of_fold.is_judged.all() == (n > 1)


def test_missing_strange_and_altered_arrays_are_refused(library: Library, fitted: CrossFitted) -> None:
    tensors = dict(fitted.to_tensors())

    def load(changed: dict[str, NDArray[np.generic]], n_features: int = 9) -> None:
        CrossFitted.from_tensors(changed, library=library, n_features=n_features)

    for name, array in tensors.items():
        other = array.copy()
        other[-1] = ~other[-1] if array.dtype.kind in "iu" else -other[-1] - 1.0
        rest = {key: kept for key, kept in tensors.items() if key != name}
        changes = [rest, {**rest, name: array[:-1]}, {**rest, name: array.astype(np.complex128)}]
        if name.rsplit(".", 1)[-1] not in {"threshold", "leaf_value", "baseline"}:  # any finite number will do there
            changes.append({**rest, name: other})
        for changed in changes:
            with pytest.raises(ModelError):
                load(changed)
    with pytest.raises(ModelError, match="one too many"):
        load({**tensors, "stranger": np.zeros(1)})
    with pytest.raises(ModelError):
        load(tensors, n_features=2)
    halves = library.pack(fitted.sizes[:2])
    with pytest.raises(ModelError, match="folds"):
        load({**tensors, **{f"sizes.{name}": array for name, array in halves.items()}})


def test_lightgbm_refuses_text_that_only_looks_stored() -> None:
    lightgbm = pytest.importorskip("lightgbm", reason="the extra lightgbm is not installed", exc_type=ImportError)
    del lightgbm
    from hashlib import sha256

    text = b"no booster at all"
    tensors = {
        "text": np.frombuffer(text, np.uint8),
        "n_bytes": np.array([len(text)]),
        "sha256": np.frombuffer(sha256(text).digest(), np.uint8),
    }
    with pytest.raises(ModelError, match="cannot read"):
        LightLibrary().unpack(tensors, n_features=9)


def test_lightgbm_that_is_not_installed_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(InputError, match=r"pip install 'lightgbm>=4.5'"):
        LightGbm.load({}, LightGbmOptions())


def test_importing_the_plug_ins_loads_no_heavy_library() -> None:
    modules = "agd.plugins.oracles.forests, agd.plugins.oracles.boosting, agd.plugins.oracles.ensembles"
    heavy = "{'sklearn', 'lightgbm', 'scipy', 'torch'}"
    subprocess.run([sys.executable, "-c", f"import sys, {modules}; assert not {heavy} & set(sys.modules)"], check=True)
