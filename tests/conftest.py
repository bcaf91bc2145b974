"""Fixtures shared by every test folder."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets: `AGD_TEST_DATA`, or `shared/data` beside the checkout."""
    folder = Path(os.environ.get("AGD_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "paper" / "Exp1_42k.csv").is_file():
        pytest.skip(f"real data not found at {folder}: set AGD_TEST_DATA to the folder that holds paper/Exp1_42k.csv")
    return folder
