"""Plug-ins of another distribution, from writing to a campaign: built, installed, checked, run, and broken ones named.

The sampler is that of `docs/howto/plugins.md`; oracle, autoencoder and what is broken lie in `tests/fixtures/stranger`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STRANGER = ROOT / "tests" / "fixtures" / "stranger"
STARTER = Path(str(files("agd") / "data" / "starter.csv"))
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "docs" / "howto" / "plugins.md").read_text(), flags=re.DOTALL)
SAMPLER, TEST, *_ = (text for language, text in BLOCKS if language == "python")
PROJECT, CHOICE = (text for language, text in BLOCKS if language == "toml")

SPEC = """\
name = "abroad"
target = "band_gap > 4 eV"

[data]
dataset = "starter"

[initial]
n = 30
at_most = 5.0

[filter]
is_neutral_in_common_states = false

[budget]
oracle_calls = 12
suggestions_per_iteration = 6
stall_after = 3

[autoencoder]
kind = "{autoencoder}"

[oracle]
kind = "{oracle}"

{sampler}
"""
GOOD = {"autoencoder": "counted", "oracle": "linear", "sampler": CHOICE}

CONTRACTS = """
import json
from agd.testing import AutoencoderContract, OracleContract, SamplerContract

found = {}
for contract in (AutoencoderContract, OracleContract, SamplerContract):
    for kind in ("absent", "bare", "raising", "misshapen"):
        named = type("Named", (contract,), {"plugin": kind, "is_random": contract is SamplerContract})
        found[f"{contract.group} {kind}"] = named.broken_promises()
print(json.dumps(found))
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three distributions, installed from their wheels without a network."""
    sources, wheels, target = (tmp_path_factory.mktemp(name) for name in ("sources", "wheels", "site"))
    shutil.copytree(STRANGER, sources / "stranger")
    spread = sources / "spread"
    spread.mkdir()
    (spread / "agd_spread.py").write_text(SAMPLER)
    (spread / "pyproject.toml").write_text(PROJECT)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    for source in (spread, sources / "stranger" / "good", sources / "stranger" / "broken"):
        offline = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(wheels)]
        subprocess.run([*pip, "wheel", *offline, str(source)], check=True)
    built = [str(wheel) for wheel in wheels.glob("*.whl")]
    assert len(built) == 3
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", str(target), *built], check=True)
    return target


@pytest.fixture
def abroad(site: Path, tmp_path: Path) -> dict[str, str]:
    """An environment in which the distributions are installed, beside no setting of ours."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AGD_")}
    return {**clean, "PYTHONPATH": str(site), "AGD_HOME": str(tmp_path / "home"), "COLUMNS": "160"}


class Person:
    """Somebody with a record of the starter set, who writes specifications and runs them."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment, self.folder = environment, folder
        columns = ["--formula-column", "formula", "--value-column", "band_gap_ev"]
        gap = ["--property", "band_gap", "--unit", "eV"]
        assert self("data", "import", str(STARTER), "--name", "starter", *columns, *gap).code == 0

    def __call__(self, *words: str, **changed: str) -> SimpleNamespace:
        ran = subprocess.run(
            [sys.executable, "-m", "agd", *words],
            env=self.environment | changed,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert "Traceback" not in ran.stderr, ran.stderr
        return SimpleNamespace(code=ran.returncode, out=ran.stdout, err=ran.stderr)

    def write(self, **kinds: str) -> str:
        """A specification of the good plug-ins, but for `kinds`."""
        chosen = {**GOOD, **kinds}
        if "sampler" in kinds:
            chosen["sampler"] = f'[sampler]\nkind = "{kinds["sampler"]}"'
        (self.folder / "abroad.toml").write_text(SPEC.format(**chosen))
        return "abroad.toml"


@pytest.fixture
def person(
    abroad: dict[str, str], fresh_database: Callable[[], AbstractContextManager[str]], tmp_path: Path
) -> Iterator[Callable[[str], Person]]:
    """Makes somebody with a record of their own."""
    opened: list[AbstractContextManager[str]] = []

    def make(name: str) -> Person:
        opened.append(fresh_database())
        folder = tmp_path / name
        folder.mkdir()
        return Person({**abroad, "AGD_DATABASE_URL": opened[-1].__enter__()}, folder)

    yield make
    for record in opened:
        record.__exit__(None, None, None)


def test_the_good_keep_their_promises(abroad: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "test_agd_spread.py").write_text(TEST)
    shutil.copy(STRANGER / "good" / "contracts.py", tmp_path / "test_foreign.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "-c", os.devnull, "."]
    ran = subprocess.run(command, env=abroad, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"^\d\d passed", ran.stdout, flags=re.MULTILINE), ran.stdout


def test_the_broken_are_told_which_promise_they_break(abroad: dict[str, str], tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CONTRACTS], env=abroad, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found = json.loads(ran.stdout)
    for group in ("agd.generators", "agd.oracles", "agd.samplers"):
        for kind, why in (
            ("absent", "No module named 'nowhere_to_be_found'"),
            ("bare", "it has no options_type"),
            ("raising", "RuntimeError: this needs a licence server"),
        ):
            said = found[f"{group} {kind}"]
            assert len(said) == 1
            assert why in said[0]
            assert f"{kind!r} of broken 0.3 cannot be loaded" in said[0]
    for group, promise, why in (
        ("agd.generators", "encode gives finite float32 latents `[n, n_latent]`", r"latents: shape \[103, \d+\], not"),
        ("agd.oracles", "label gives agd.types.Prediction", r"values: shape \[240, 1\], not \[240\]"),
        ("agd.samplers", "suggest gives agd.types.Proposals of `n` points", r"latents: shape \[1, 5\], not \[1, 6\]"),
    ):
        said = next(one for one in found[f"{group} misshapen"] if promise in one)
        assert re.search(rf"breaks a promise\n  promised: .*\n  found: .*{why}.*\n  cure: ", said), said


def test_a_campaign_of_all_three_is_the_same_by_either_engine(person: Callable[[str], Person]) -> None:
    hashes = []
    for name, engine in (("local", []), ("queue", ["--engine", "fireworks", "--detach"])):
        somebody = person(name)
        ran = somebody("run", somebody.write(), "--quiet", *engine)
        assert ran.code == 0, ran.err
        if engine:
            assert somebody("worker", "--until-idle", "0", "--quiet").code == 0
        shown = json.loads(somebody("status", "abroad", "--json").out)["campaigns"]
        assert shown[0]["state"] == "ended: budget spent"
        hashes.append(somebody("hash", "abroad").out)
    assert hashes[0] == hashes[1]
    gone = somebody("resume", "abroad", PYTHONPATH="")
    assert gone.code == 0, "nothing is left to do, so that nobody is asked"


def test_who_names_a_broken_one_gets_a_line_and_nobody_else(person: Callable[[str], Person]) -> None:
    somebody = person("somebody")
    for role, kind, why in (
        ("autoencoder", "absent", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("oracle", "raising", "RuntimeError: this needs a licence server"),
        ("sampler", "bare", "it has no options_type"),
    ):
        for engine in ([], ["--engine", "fireworks"]):
            ran = somebody("run", somebody.write(**{role: kind}), *engine)
            assert ran.code == 2, ran
            line = ran.err.strip().splitlines()[-1]
            assert re.match(
                rf"agd: abroad.toml:\d+: {role}.kind: the \w+ {kind!r} of broken 0.3 cannot be loaded", line
            )
            assert why in line
            assert line.endswith("install another version of broken, or uninstall it")
    told = somebody("doctor").out
    for kind in ("absent", "bare", "raising"):
        assert told.count(f"{kind!r} of broken 0.3") == 3


@pytest.mark.parametrize("engine", [[], ["--engine", "fireworks"]], ids=["local", "fireworks"])
def test_one_that_fails_at_work_is_named_with_its_package(person: Callable[[str], Person], engine: list[str]) -> None:
    for role, member, why in (
        ("autoencoder", "encode", r"latents are \[103, 30\], not \[30, 103\]"),
        ("oracle", "label", r"values are \[6, 1\], not \[6\]"),
        ("sampler", "suggest", r"latents are \[6, 102\], not \[6, 103\]"),
    ):
        somebody = person(role)
        ran = somebody("run", somebody.write(**{role: "misshapen"}), "--quiet", *engine)
        assert ran.code == 7, ran
        said = ran.err + ran.out
        assert re.search(rf"'misshapen' of broken 0.3 failed in {member} \({why}\)", said), said
