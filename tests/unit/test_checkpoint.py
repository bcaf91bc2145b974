import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes
from numpy.testing import assert_array_equal

from agd.errors import ModelError
from agd.nets.checkpoint import damage, load_tensors, place_file, save_tensors

TENSORS = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "symbols": np.array(["H", "He"], "S2"),
    "scalar": np.float64(0.5) * np.ones(()),
}

NAMES = st.text("abcxyz_0.", min_size=1, max_size=9)
NUMBERS = arrays(scalar_dtypes(), array_shapes(min_dims=0))


def only_file(folder: Path) -> Path:
    [path] = [path for path in folder.rglob("*") if path.is_file()]
    return path


def test_the_address_is_the_hash_of_the_bytes(tmp_path: Path) -> None:
    sha256 = save_tensors(tmp_path / "models", TENSORS)
    path = tmp_path / "models" / sha256[:2] / f"{sha256}.npz"
    assert only_file(tmp_path) == path
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def test_the_bytes_stay_the_same_from_version_to_version(tmp_path: Path) -> None:
    assert save_tensors(tmp_path, TENSORS) == "7ccb218f78176d33702a06c83746f644e5f4ba0a7beece69c42734e0c1fc2655"


def test_order_of_names_memory_layout_and_byte_order_do_not_matter(tmp_path: Path) -> None:
    weight = np.asfortranarray(TENSORS["weight"])
    turned = {name: TENSORS[name] for name in reversed(TENSORS)} | {"weight": weight.astype(">f4")}
    assert save_tensors(tmp_path, turned) == save_tensors(tmp_path, TENSORS)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, NUMBERS, max_size=4))
def test_any_tensors_come_back_equal(tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, np.ndarray]) -> None:
    folder = tmp_path_factory.mktemp("models")
    back = load_tensors(folder, save_tensors(folder, tensors))
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].shape == tensor.shape
        assert_array_equal(back[name], tensor)


def test_a_whole_file_is_kept_and_a_damaged_one_replaced(tmp_path: Path) -> None:
    sha256 = save_tensors(tmp_path, TENSORS)
    path = only_file(tmp_path)
    os.utime(path, (1, 1))
    save_tensors(tmp_path, TENSORS)
    assert path.stat().st_mtime == 1
    path.write_bytes(b"damaged")
    assert save_tensors(tmp_path, TENSORS) == sha256
    assert_array_equal(load_tensors(tmp_path, sha256)["weight"], TENSORS["weight"])
    assert only_file(tmp_path) == path


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("agd.writing.os.fsync", fail)
    with pytest.raises(OSError, match="no space"):
        save_tensors(tmp_path, TENSORS)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_only_the_right_bytes_take_the_place(tmp_path: Path) -> None:
    sha256 = save_tensors(tmp_path / "first", TENSORS)
    content = only_file(tmp_path / "first").read_bytes()
    second = tmp_path / "second"
    assert damage(second, sha256) == "missing"
    with pytest.raises(ModelError, match="has sha256"):
        place_file(second, sha256, [content, b"more"])
    assert not [path for path in second.rglob("*") if path.is_file()]
    assert place_file(second, sha256, [content[:100], content[100:]])
    assert damage(second, sha256) is None
    assert not place_file(second, sha256, [b"not looked at"])
    only_file(second).write_bytes(content[:-1])
    assert damage(second, sha256) == "altered"


def test_python_objects_are_not_tensors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'bad' holds Python objects"):
        save_tensors(tmp_path, {"bad": np.array([object()])})


def test_a_missing_file_is_named_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_tensors(tmp_path, "ab" * 32)
    for word in (str(tmp_path / "ab"), "ab" * 32, "missing", "backup", "retrain"):
        assert word in str(caught.value)


def test_an_altered_file_is_refused_before_it_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = save_tensors(tmp_path, TENSORS)
    path = only_file(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr("agd.nets.checkpoint.np.load", lambda *_, **__: pytest.fail("parsed"))
    with pytest.raises(ModelError) as caught:
        load_tensors(tmp_path, sha256)
    for word in (str(path), sha256, hashlib.sha256(content).hexdigest(), "backup", "retrain"):
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["", "latest", "../../etc/passwd", "AB" * 32])
def test_only_a_hash_is_an_address(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="not a sha256"):
        load_tensors(tmp_path, name)
