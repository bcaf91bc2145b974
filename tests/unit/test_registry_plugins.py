"""A plug-in that cannot be loaded is a named error for who names it, and nobody else's concern."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agd import registry
from agd.errors import NotFoundError, PluginError

Install = Callable[..., None]

GOOD = """\
print("hello from a chatty package")
from agd.plugins.samplers.uniform import Uniform
from agd.protocols import Sampler
class Good(Uniform): pass
class Bare: pass
class Strange:
    options_type = int
    space = "latent"
    draws_from_pool = False
    takes_several_properties = False
    def suggest(self): ...
class Silent(Uniform):
    draws_from_pool = "no"
class Elsewhere(Uniform):
    space = "crystal"
class Annotated:
    options_type: type
    draws_from_pool: bool
    def suggest(self): ...
class Derived(Sampler):
    options_type = Uniform.options_type
class Early(Uniform):
    @property
    def options_type(self): ...
def function(): ...
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution with one sampler on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(distribution: str, entry: str, module: str | bytes = "", group: str = "agd.samplers") -> None:
        folder = tmp_path / f"{distribution}-1.0.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
        name = f"{distribution}_module.py"
        (tmp_path / name).write_bytes(module if isinstance(module, bytes) else module.encode())
        sys.modules.pop(f"{distribution}_module", None)
        importlib.invalidate_caches()
        registry.installed.cache_clear()

    yield put
    registry.installed.cache_clear()


@pytest.mark.parametrize(
    ("module", "attribute", "reason"),
    [
        ("import nosuch_library", "Odd", "ModuleNotFoundError: No module named 'nosuch_library'): install the package"),
        ("class Odd:", "Odd", "odd_module.py:1"),
        ("raise SystemExit(3)", "Odd", "SystemExit: 3"),
        ("1 / 0", "Odd", "ZeroDivisionError"),
        (b"\xff\xfe\x00", "Odd", "SyntaxError"),
        ("", "Odd", "AttributeError"),
        (GOOD, "Bare", "it has no options_type, space, draws_from_pool, takes_several_properties, suggest"),
        (GOOD, "Silent", "its draws_from_pool is no bool"),
        (GOOD, "Elsewhere", "its space is none of latent, formula"),
        (GOOD, "Annotated", "it has no options_type, space, draws_from_pool, takes_several_properties"),
        (GOOD, "Derived", "it has no space, draws_from_pool, takes_several_properties"),
        (GOOD, "Early", "its options_type is no type"),
        (GOOD, "Strange", "its options_type is no class of options"),
        (GOOD, "function", "it is no class"),
    ],
)
def test_who_names_it_hears_of_plugin_package_reason_and_cure(
    install: Install, module: str | bytes, attribute: str, reason: str
) -> None:
    install("odd", f"odd = odd_module:{attribute}", module)
    with pytest.raises(PluginError) as raised:
        registry.load("agd.samplers", "odd")
    said = str(raised.value)
    assert said.startswith(f"the sampler 'odd' of odd 1.0 cannot be loaded from odd_module:{attribute} (")
    assert reason in said
    assert "uninstall" in said
    assert "\n" not in said
    assert registry.load("agd.samplers", "ucb")
    assert list(registry.troubles(is_own=True)) == []
    assert len(list(registry.troubles(is_own=False))) == 1


def test_what_it_says_while_it_loads_is_no_output_of_ours(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("good", "good = good_module:Good", GOOD)
    assert registry.load("agd.samplers", "good").__name__ == "Good"
    said = capsys.readouterr()
    assert (said.out, "chatty" in said.err) == ("", True)


def test_a_name_that_two_packages_claim(install: Install) -> None:
    install("twin", "ucb = twin_module:Good", GOOD)
    with pytest.raises(PluginError, match=r"'ucb' is claimed by .*twin 1.0.*: uninstall all but one"):
        registry.load("agd.samplers", "ucb")
    assert registry.load("agd.samplers", "ei")


@pytest.mark.parametrize("entry", ["no equals sign", "broken = ", "= nothing", "x = 1:2:3"])
def test_entry_points_that_cannot_be_read_stop_nobody(install: Install, entry: str) -> None:
    install("torn", entry)
    assert registry.load("agd.samplers", "ucb")
    assert "ucb" in registry.names("agd.samplers")
    with pytest.raises(NotFoundError, match="did you mean 'ucb'"):
        registry.load("agd.samplers", "ucbb")
    list(registry.troubles())


def test_a_folder_of_metadata_that_is_torn_stops_nobody(install: Install, tmp_path: Path) -> None:
    install("torn", "x = torn_module:X")
    (tmp_path / "torn-1.0.dist-info" / "entry_points.txt").write_bytes(b"[agd.samplers]\nx = \xff\n")
    (tmp_path / "torn-1.0.dist-info" / "METADATA").unlink()
    registry.installed.cache_clear()
    assert registry.load("agd.samplers", "ucb")
