"""In processes of their own: what is loaded when is the point."""

import os
import subprocess
import sys

import pytest

from agd.errors import InputError
from agd.nets.threads import limited_threads, n_threads

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

HELD = """
import os
from threadpoolctl import threadpool_info
from agd.nets.threads import limited_threads

def counts():
    return {library["filepath"]: library["num_threads"] for library in threadpool_info()}

def variables():
    return {name: value for name, value in os.environ.items() if name.endswith("_THREADS")}

environment = variables()
with limited_threads(3):
    import scipy.linalg, sklearn.ensemble, torch
    held = counts()
    assert len(held) >= 4, held  # numpy's and SciPy's BLAS, torch's and scikit-learn's OpenMP
    assert set(held.values()) == {3} == {torch.get_num_threads()}, held
    with limited_threads(1):
        assert set(counts().values()) == {1} == {torch.get_num_threads()}
    assert counts() == held
assert variables() == environment
n_before = torch.get_num_threads()
assert all(n == n_before for n in counts().values()), counts()
"""


@pytest.mark.parametrize("n", [None, pytest.param("4", marks=pytest.mark.slow)])
def test_what_is_loaded_meanwhile_is_held_too(n: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {} if n is None else dict.fromkeys(VARIABLES, n)
    ran = subprocess.run([sys.executable, "-c", HELD], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_how_many_are_held_is_known() -> None:
    assert n_threads() == 1
    with limited_threads(2):
        assert n_threads() == 2
        with limited_threads(3):
            assert n_threads() == 3
        assert n_threads() == 2
    assert n_threads() == 1


@pytest.mark.parametrize(("name", "value"), [("OMP_THREAD_LIMIT", "1"), ("OMP_DYNAMIC", "TRUE")])
def test_fewer_threads_than_told_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=rf"{name}={value} lets OpenMP use fewer than 2 threads.*unset it"):
        limited_threads(2).__enter__()
    with limited_threads(1):
        assert n_threads() == 1
