"""Who may look, and what is refused: a stranger sees nothing, and no word becomes markup or SQL."""

import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import text
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from typer.testing import CliRunner

from agd.cli.app import app as command
from agd.db.removals import open_removal
from agd.errors import InputError
from agd.web import serving
from agd.web.access import COOKIE, OPEN, Access
from agd.web.application import routes
from agd.work.workspace import Workspace

PASSWORD = "correct horse, ü"  # noqa: S105  it opens nothing
Visit = Callable[..., TestClient]

INJECTED = (
    "'; DROP TABLE label; --",
    '" OR 1=1 --',
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
    "%00",
    "\0",
    "../../etc/passwd",
    "%(n)s :n \\",
    "NaCl\x7f",
    "٣",
)


def addresses() -> list[str]:
    found = []
    values = {"name": "small", "figure": "finds", "formula": "LiF"}
    for route in routes():
        if isinstance(route, Mount):
            found += [f"{route.path}/style.css", f"{route.path}/nothing"]
        else:
            assert isinstance(route, Route)
            found.append(re.sub(r"{(\w+)(?::\w+)?}", lambda match: values.get(match[1], "1"), route.path))
    return found


@pytest.fixture
def stranger(visit: Visit) -> TestClient:
    """Somebody on another machine, who does not know the password."""
    return visit(Access(password=PASSWORD), host="dashboard.example")


@pytest.mark.parametrize("address", addresses())
def test_every_address_asks_for_the_password(stranger: TestClient, address: str) -> None:
    answer = stranger.get(address)
    assert answer.status_code == (200 if address in OPEN else 401)
    if address not in OPEN:
        assert "small" not in answer.text
        assert "LiF" not in answer.text
        assert 'type="password"' in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_who_knows_the_password_comes_in(stranger: TestClient) -> None:
    wrong = stranger.post("/login", data={"password": "wrong"})
    assert wrong.status_code == 401
    assert COOKIE not in wrong.cookies
    right = stranger.post("/login", data={"password": PASSWORD})
    assert (right.status_code, right.headers["location"]) == (303, "/")
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert PASSWORD not in cookie
    assert stranger.get("/campaigns/small").status_code == 200


@pytest.mark.parametrize(
    "cookie", ["", "9999999999.", "9999999999.0", f"9999999999.{'a' * 64}", "x.y.z", "\xff.\xfe", "a" * 3000]
)
def test_no_session_is_made_up(stranger: TestClient, cookie: str) -> None:
    assert stranger.get("/", headers={"cookie": f"{COOKIE}={cookie}".encode("latin-1")}).status_code == 401


def test_a_session_ends_with_its_time_and_with_the_process(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Access(password=PASSWORD), Access(password=PASSWORD)
    session, lasts_s = first.new_session()
    headers = {"cookie": f"{COOKIE}={session}"}
    assert visit(first, host="h").get("/", headers=headers).status_code == 200
    assert visit(second, host="h").get("/", headers=headers).status_code == 401
    now = time.time()
    monkeypatch.setattr("agd.web.access.time.time", lambda: now + lasts_s + 1)
    assert visit(first, host="h").get("/", headers=headers).status_code == 401


def test_a_program_brings_the_password_itself(stranger: TestClient) -> None:
    assert stranger.get("/", headers={"authorization": f"Bearer {PASSWORD}".encode()}).status_code == 200
    assert stranger.get("/", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert stranger.get("/", headers={"authorization": "Basic d3Jvbmc6d3Jvbmc="}).status_code == 401


def test_passwords_are_not_tried_for_ever(stranger: TestClient) -> None:
    codes = [stranger.post("/login", data={"password": str(i)}).status_code for i in range(11)]
    assert codes == [401] * 10 + [429]
    assert stranger.post("/login", data={"password": PASSWORD}).status_code == 429


def test_without_a_password_only_this_machine_is_answered(visit: Visit) -> None:
    assert visit(host="127.0.0.1").get("/jobs").status_code == 200
    assert visit(host="localhost:8750").get("/jobs").status_code == 200
    assert visit(host="evil.example").get("/jobs").status_code == 421  # a name that was made to lead here


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_pages_are_only_looked_at(client: TestClient, method: str) -> None:
    assert client.request(method, "/").status_code == 405
    assert client.request(method, "/campaigns/small").status_code == 405


def test_what_is_too_large_is_refused(client: TestClient, stranger: TestClient) -> None:
    assert client.get(f"/search?q={'a' * 5000}").status_code == 414
    assert client.get(f"/{'a' * 3000}").status_code == 414
    assert client.get(f"/search?q={'a' * 300}").status_code == 400
    assert client.request("GET", "/", content=b"x" * 5000).status_code == 413
    assert stranger.post("/login", content=b"password=" + b"x" * 5000).status_code == 413

    def parts() -> "list[bytes]":
        return [b"password="] + [b"x" * 1000] * 10

    assert stranger.post("/login", content=iter(parts())).status_code == 413
    many = "&".join(f"a{i}=1" for i in range(100))
    assert stranger.post("/login", content=many.encode()).status_code == 401


@pytest.mark.parametrize("words", INJECTED)
def test_no_word_becomes_sql_or_markup(client: TestClient, writable: Workspace, words: str) -> None:
    for address, key in (
        ("/search", "q"),
        ("/", "f.campaign"),
        ("/campaigns/small/suggestions", "f.reduced_formula"),
        ("/campaigns/small/suggestions", "f.value"),
        ("/campaigns/small/suggestions", "sort"),
        ("/campaigns/small/suggestions", "page"),
        ("/campaigns/small/suggestions", f"f.{words}"),
        ("/jobs", "f.title"),
    ):
        answer = client.get(address, params={key: words})
        assert answer.status_code in {200, 303, 400, 404}, answer.text
        assert "<script>" not in answer.text
        assert "<img" not in answer.text
        assert "{{" not in answer.text.replace("{{ 7 * 7 }}", "")
    for start in ("/composition/", "/campaigns/", "/static/", "/campaigns/small/figures/", "/models/"):
        answer = client.get(start + quote(words, safe=""))
        assert answer.status_code in {400, 404}, answer.text
        assert "<script>" not in answer.text
    with writable.database.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM label")).scalar_one() > 0


@pytest.mark.parametrize(
    "path",
    ["/static/../application.py", "/static/%2e%2e/application.py", "/static/..%2fapplication.py",
     "/static//etc/passwd", "/static/vendor/..%5c..%5capplication.py", "/static/"],
)  # fmt: skip
def test_no_path_leads_out_of_the_files_for_browsers(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "import" not in answer.text


def test_what_the_record_holds_is_shown_as_it_is(client: TestClient, writable: Workspace) -> None:
    """Names and errors may come from anybody's file."""
    evil = "<script>alert('x')</script>"
    with writable.database.transaction() as tx:
        open_removal(tx, "a test")
        before = tx.execute(text("SELECT title FROM job WHERE id = 1")).scalar_one()
        tx.execute(text("UPDATE job SET title = :evil WHERE id = 1"), {"evil": evil})
    try:
        for address in ("/jobs?sort=id&desc=0", "/jobs/1"):
            page = client.get(address).text
            assert evil not in page
            assert "&lt;script&gt;alert" in page
        file = client.get("/jobs?as=csv").text
        assert evil in file
    finally:
        with writable.database.transaction() as tx:
            open_removal(tx, "a test")
            tx.execute(text("UPDATE job SET title = :title WHERE id = 1"), {"title": before})


def test_no_cell_is_run_by_a_spreadsheet(client: TestClient, writable: Workspace) -> None:
    with writable.database.transaction() as tx:
        open_removal(tx, "a test")
        before = tx.execute(text("SELECT title FROM job WHERE id = 1")).scalar_one()
        tx.execute(text("UPDATE job SET title = '=1+1' WHERE id = 1"))
    try:
        assert "'=1+1" in client.get("/jobs?as=csv").text
    finally:
        with writable.database.transaction() as tx:
            open_removal(tx, "a test")
            tx.execute(text("UPDATE job SET title = :title WHERE id = 1"), {"title": before})


def test_others_are_let_in_only_with_a_password(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "dashboard.example"):  # noqa: S104  it is refused
        with pytest.raises(InputError, match="--password-file"):
            serving.access_for(host, None)
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.2"):
        assert serving.access_for(host, None).password is None
    file = tmp_path / "password"
    file.write_text("short\n")
    with pytest.raises(InputError, match="fewer than 8"):
        serving.access_for("0.0.0.0", file)  # noqa: S104
    file.write_text("long enough\nanother line\n")
    assert serving.access_for("0.0.0.0", file).password == "long enough"  # noqa: S104, S105
    with pytest.raises(InputError, match="cannot read"):
        serving.access_for("127.0.0.1", tmp_path / "nothing")
    refused = CliRunner().invoke(command, ["web", "--host", "0.0.0.0"])  # noqa: S104
    assert isinstance(refused.exception, InputError)


def test_who_comes_before_the_first_page_is_served_waits() -> None:
    with serving.bound("127.0.0.1", 0) as at, socket.create_connection(at.getsockname(), timeout=5) as early:
        assert early.getpeername() == at.getsockname()


def test_a_port_that_is_taken_is_said() -> None:
    with serving.bound("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        assert serving.address_of(first, "127.0.0.1") == f"http://127.0.0.1:{port}"
        with pytest.raises(InputError, match=rf"port {port} \(Address already in use\)"):
            serving.bound("127.0.0.1", port)


def test_a_fault_of_ours_tells_a_visitor_nothing(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a secret")

    monkeypatch.setattr("agd.steps.reading.overviews.all_screenings", broken)
    answer = visit().get("/screens")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "agd web" in answer.text
