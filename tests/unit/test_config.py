import os
from pathlib import Path

import pytest

from agd.config import load_settings, writable_folder
from agd.errors import InputError


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("AGD_"):
            monkeypatch.delenv(name)


def test_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("AGD_DATABASE_URL", "")
    settings = load_settings()
    assert settings.database_url is None
    assert settings.server_linger_s == 10
    assert settings.home.name == "agd"


def test_values(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AGD_HOME", "~/record")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AGD_SERVER_LINGER_S", "2.5")
    monkeypatch.setenv("AGD_TEST_ANYTHING", "1")
    settings = load_settings()
    assert settings.home == tmp_path / "record"
    assert settings.server_linger_s == 2.5
    assert settings.require_home().is_dir()
    assert list(settings.home.iterdir()) == []


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_database_url_gets_the_driver_and_hides_its_password(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("AGD_DATABASE_URL", f"{scheme}://me:secret@db:5433/agd?sslmode=require")
    settings = load_settings()
    assert settings.database_url == "postgresql+psycopg://me:secret@db:5433/agd?sslmode=require"
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:secret@db/agd",
        "postgresql+asyncpg://me:secret@db/agd",
        "db:secret",
        "postgresql://me:secret@db:x/agd",
        "postgresql://me:secret@db:70000/agd",
        "postgresql://me:12/secret@db/agd",
        "postgresql://me:12?secret@db/agd",
        "postgresql://me:secret%@db/agd",
        "postgresql://me:secret@db/agd\n?x",
    ],
)
def test_malformed_database_url(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AGD_DATABASE_URL", url)
    with pytest.raises(InputError, match="AGD_DATABASE_URL cannot be used") as caught:
        load_settings()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_at_sign_in_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGD_DATABASE_URL", "postgres://me:p@ss@db/agd")
    monkeypatch.setenv("AGD_LAUNCHPAD_URL", "mongodb://me:p@ss@a:1,b:2/agd?replicaSet=x")
    settings = load_settings()
    assert settings.database_url == "postgresql+psycopg://me:p%40ss@db/agd"
    assert settings.launchpad_url == "mongodb://me:p%40ss@a:1,b:2/agd?replicaSet=x"
    monkeypatch.setenv("AGD_LAUNCHPAD_URL", "mongodb://me:p/secret@db/agd")
    with pytest.raises(InputError, match=r"AGD_LAUNCHPAD_URL cannot be used: an @ stands after the host") as caught:
        load_settings()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["-1", "nan", "soon"])
def test_malformed_linger(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AGD_SERVER_LINGER_S", value)
    with pytest.raises(InputError, match="AGD_SERVER_LINGER_S"):
        load_settings()


def test_unknown_variable_names_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGD_DATABSE_URL", "postgresql://db/agd")
    with pytest.raises(InputError, match=r"AGD_DATABSE_URL: did you mean AGD_DATABASE_URL\? known are .*AGD_HOME"):
        load_settings()


def test_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write in .*file.*set AGD_HOME to a folder you can write"):
        writable_folder(tmp_path / "file" / "home")
    with pytest.raises(InputError, match=r"Not a directory|File exists"):
        writable_folder(tmp_path / "file")
    if Path("/proc/self").exists():
        with pytest.raises(InputError, match="cannot write in /proc"):
            writable_folder(Path("/proc"))


@pytest.mark.parametrize(
    ("home", "words"),
    [
        (b"/tmp/lat\xfcn", "is not UTF-8 text"),
        (b"/tmp/two\nlines", "holds a control character"),
        (b"~nobody-of-that-name/record", "stands for no folder here"),
        (b"/" + b"long/" * 200, "has 1000 bytes"),
    ],
)
def test_home_that_cannot_be_spelt(monkeypatch: pytest.MonkeyPatch, home: bytes, words: str) -> None:
    monkeypatch.setenv("AGD_HOME", os.fsdecode(home))
    with pytest.raises(InputError, match=f"AGD_HOME cannot be used: .*{words}"):
        load_settings()
