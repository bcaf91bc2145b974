import os
import threading
from pathlib import Path

import pytest
from psycopg import pq

from agd.config import checked_url
from agd.db.address import hidden_shell, libpq_variables, resolve
from agd.db.session import session_parameters
from agd.errors import InputError


@pytest.fixture(autouse=True)
def _bare_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("PG"):
            monkeypatch.delenv(name)


def test_every_variable_of_the_installed_libpq_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {one.keyword: one.val for one in pq.Conninfo.get_defaults()}
    for one in pq.Conninfo.get_defaults():
        if one.envvar:
            monkeypatch.setenv(one.envvar.decode(), "nonsense")
    monkeypatch.setenv("PGDATESTYLE", "German")
    before = dict(os.environ)
    with hidden_shell():
        assert {one.keyword: one.val for one in pq.Conninfo.get_defaults()} == plain
        assert libpq_variables(os.environ) == []
    assert dict(os.environ) == before


def test_two_threads_hide_the_shell_until_both_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "there")
    first_is_in, second_is_out = threading.Event(), threading.Event()
    seen: list[bool] = []

    def first() -> None:
        with hidden_shell():
            first_is_in.set()
            second_is_out.wait(10)
            seen.append("PGHOST" in os.environ)

    thread = threading.Thread(target=first)
    thread.start()
    first_is_in.wait(10)
    with hidden_shell():
        pass
    second_is_out.set()
    thread.join()
    assert seen == [False]
    assert os.environ["PGHOST"] == "there"


def test_the_shell_says_what_the_url_does_not_and_only_for_a_server_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "PGHOST": "there",
        "PGHOSTADDR": "192.0.2.1",
        "PGPORT": "5433",
        "PGUSER": "ada",
        "PGPASSWORD": "secret",
        "PGSSLMODE": "require",
        "PGCLIENTENCODING": "LATIN1",
        "PGOPTIONS": "-c x.y=1",
        "PGCONNECT_TIMEOUT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    own = resolve("postgresql:///agd", heeds_shell=True)
    assert own.parameters == {
        "dbname": "agd",
        "host": "there",
        "hostaddr": "192.0.2.1",
        "port": "5433",
        "user": "ada",
        "password": "secret",
        "sslmode": "require",
    }
    assert "secret" not in repr(own) + own.url + own.where
    named = resolve("postgresql://here/agd", heeds_shell=True)
    assert named.parameters["host"] == "here"
    assert "hostaddr" not in named.parameters
    assert resolve("postgresql://me@/agd?host=/run", heeds_shell=False).parameters == {
        "user": "me",
        "dbname": "agd",
        "host": "/run",
    }
    service = tmp_path / "services"
    service.write_text("[lab]\nhost=of-the-service\nport=5444\noptions=-c work_mem=1MB\n")
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    found = resolve("postgresql:///agd?service=lab", heeds_shell=True).parameters
    assert (found["host"], found["port"], found.get("options")) == ("of-the-service", "5444", None)
    assert "PGSERVICE" not in os.environ


def test_what_the_url_says_of_a_session_is_outweighed() -> None:
    address = resolve(
        "postgresql://here/agd?client_encoding=LATIN1&options=-c%20timezone%3DEurope/Rome", heeds_shell=False
    )
    told = session_parameters(address.parameters)
    assert told["client_encoding"] == "UTF8"
    assert told["options"].startswith("-c timezone=Europe/Rome -c datestyle=ISO,\\ MDY")
    assert told["options"].rindex("timezone=UTC") > told["options"].index("timezone=Europe/Rome")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me:secret@db/agd?prepare_threshold=0", "prepare_threshold is no parameter of a connection"),
        (
            "postgresql://me:secret@db/agd?sslmod=require",
            "sslmod is no parameter of a connection: did you mean sslmode?",
        ),
        ("postgresql://me:secret@db/agd?sslmode=maybe", 'invalid sslmode value: "maybe"'),
        ("postgresql://me:secret@db/agd?connect_timeout=abc", "connect_timeout is 'abc', which is no whole number"),
        ("postgresql://me:secret@db/agd?keepalives_idle=1s", "keepalives_idle is '1s'"),
        ("postgresql://me:secret@db/agd?service=nowhere", 'definition of service "nowhere" not found'),
        ("postgresql://me:secret@db/agd?target_session_attrs=x&password=secret", "invalid target_session_attrs value"),
        ("postgresql://me:secret@db:0/agd", 'invalid port number: "0"'),
        ("postgresql://me:se%cret@db/agd", "a % is not followed by two hexadecimal digits"),
        ("postgresql://me:12/secret@db/agd", "an @ stands after the host (in a password write %40 for @"),
        ("postgresql://me:se/cret@db/agd", "an @ stands after the host"),
        ("postgresql://me:12?secret@db/agd", "an @ stands after the host"),
        ("postgresql://me:12?secret=1@db/agd", "what follows the ? is no parameter of a connection"),
        ("postgresql://me:secret@[::1/agd", "a bracket in the host is left open"),
        ("postgresql://me:secret@db/agd?colour", "colour is no parameter of a connection"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_line_without_secrets(url: str, words: str) -> None:
    with pytest.raises(InputError, match=r"^AGD_DATABASE_URL cannot be used: ") as caught:
        resolve(url, heeds_shell=False)
    assert words in str(caught.value)
    assert "cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_at_sign_in_a_password_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "other")
    assert checked_url("postgresql://me:p@ss@db:5433/agd") == "postgresql://me:p%40ss@db:5433/agd"
    found = resolve("postgresql://me:p@ss@db:5433/agd", heeds_shell=True)
    assert (found.parameters["password"], found.parameters["host"]) == ("p@ss", "db")
    assert found.where == "the database at db:5433/agd"
    assert found.url == "postgresql://me@/agd?host=db&port=5433"
    many = resolve("postgresql://me:secret@a:1,b:2/agd", heeds_shell=False)
    assert many.where == "the database at a:1,b:2/agd"
