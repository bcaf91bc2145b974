"""The distribution's name: what the command says where another package stands in its place, and what cures name."""

import subprocess
import sys
from pathlib import Path

import pytest

import agd_command
from agd import installing

ROOT = Path(__file__).parents[2]
STRANGERS = '"""The AGD (Adaptive Grid Discretizations) package."""\nraise SystemExit("the stranger ran")\n'


def started(site: Path, **kept: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; sys.argv = ['agd', '--version']; import agd_command; agd_command.main()"
    environment = {"PYTHONPATH": f"{site}:{ROOT}", "PATH": "/usr/bin:/bin", **kept}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=site, capture_output=True, text=True, check=False
    )


def test_a_strangers_package_is_named_and_not_imported(tmp_path: Path) -> None:
    (tmp_path / "agd").mkdir()
    (tmp_path / "agd" / "__init__.py").write_text(STRANGERS)
    found = started(tmp_path)
    assert found.returncode == 3
    assert "Adaptive Grid Discretizations" in found.stderr
    assert "pip uninstall agd agd-campaigns" in found.stderr
    assert "the stranger ran" not in found.stderr


def test_what_the_strangers_removal_leaves_is_named(tmp_path: Path) -> None:
    (tmp_path / "agd").mkdir()
    program = f"import sys; sys.path[:] = [{str(tmp_path)!r}]; import agd_command; print(agd_command._trouble())"
    left = tmp_path / "agd_command.py"
    left.write_text(Path(agd_command.__file__).read_text())
    found = subprocess.run(
        [sys.executable, "-S", "-c", program.replace("sys.path[:] =", "sys.path[0:1] =")],
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "has lost its first file" in found.stdout


def test_ours_is_started() -> None:
    assert agd_command._trouble() is None


def test_no_text_tells_anybody_to_install_the_strangers_package() -> None:
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docker").iterdir(), ROOT / "Makefile"]
    for room in ("agd", "workflows", "migrations"):
        files += (ROOT / room).rglob("*.py")
    for file in files:
        words = file.read_text().replace("`pip install agd` is not ours", "")
        assert not any(wrong in words for wrong in ("install agd`", "install 'agd[", "--upgrade agd", "'agd==")), file


@pytest.mark.parametrize("extra", ["lightgbm", "roost", "parquet", "chgnet", "structures"])
def test_cures_name_what_an_extra_brings(extra: str) -> None:
    command = installing.pip_install_extra(extra)
    assert "-m pip install " in command
    assert "agd" not in command.partition("install ")[2]
    assert any(character in command.partition("install ")[2] for character in ">=")
