"""Every page shows what the record holds, and tables sort, filter and page on the server."""

import csv
import hashlib
import io
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from agd.db.connection import Database, ReadingLimits
from agd.errors import DatabaseError
from agd.steps.reading import overviews
from agd.web.application import create
from agd.web.pages.compositions import pattern_of, system_of
from agd.work.workspace import Workspace

PAGES = (
    "/",
    "/campaigns/small",
    "/campaigns/small/live",
    "/campaigns/small/elements",
    "/campaigns/small/suggestions",
    "/campaigns/small/iterations",
    "/campaigns/small-substitution",
    "/screens",
    "/models",
    "/models/1",
    "/jobs",
    "/jobs/1",
    "/datasets",
    "/datasets/1",
    "/datasets/1/refused",
    "/search",
    "/search?q=AB",
    "/composition/LiF",
)


def rows_of(page: str) -> list[list[str]]:
    body = page[page.index('<tbody id="rows"') :]
    body = body[: body.index("</tbody>")]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td.*?>(.*?)</td>", row)] for row in rows]


@pytest.mark.parametrize("address", PAGES)
def test_a_page_is_there_and_small(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) < 250_000
    assert not re.search(r"<script(?![^>]* src=)|\sstyle=|\son\w+=|https?://", answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_campaign_says_what_status_says(client: TestClient, readable: Workspace) -> None:
    with readable.database.read() as tx:
        (progress,) = overviews.campaigns(tx, "small")
    page = client.get("/campaigns/small").text
    assert progress.n_finds > 0
    assert f"<dt>distinct finds</dt><dd>{progress.n_finds}" in page
    assert f"<b>{progress.n_charged}</b> of {progress.budget_calls} calls" in page
    assert progress.state in page
    assert "finds of small-substitution" in page


def test_figures_stand_beside_the_control_and_their_numbers_are_a_file(client: TestClient, readable: Workspace) -> None:
    with readable.database.read() as tx:
        (progress,) = overviews.campaigns(tx, "small")
    finds: dict[str, Any] = client.get("/campaigns/small/figures/finds").json()
    assert [line["title"] for line in finds["lines"]] == ["small", "small-substitution"]
    assert [line["is_control"] for line in finds["lines"]] == [False, True]
    assert finds["lines"][0]["values"][-1] == progress.n_finds
    assert finds["x"][-1] == progress.n_charged
    best = client.get("/campaigns/small/figures/best").json()
    assert best["lines"][0]["values"][-1] == progress.highest
    values = client.get("/campaigns/small/figures/values").json()
    assert sum(values["lines"][0]["values"]) == progress.n_new
    assert values["shaded"][0] == pytest.approx(6.0)
    file = list(csv.reader(io.StringIO(client.get("/campaigns/small/figures/finds?as=csv").text)))
    assert file[0] == ["oracle calls charged", "small: distinct finds", "small-substitution: distinct finds"]
    assert float(file[-1][1]) == progress.n_finds
    assert client.get("/campaigns/small/figures/bets").status_code == 404
    assert "did you mean" in client.get("/campaigns/small/figures/bets").text


def test_a_table_is_sorted_filtered_and_paged_by_the_server(client: TestClient) -> None:
    at = "/campaigns/small/suggestions"
    down = rows_of(client.get(f"{at}?sort=value&desc=1").text)
    values = [float(row[2].split()[0]) for row in down if row[2] != "-"]
    assert values == sorted(values, reverse=True)
    up = [row[2] for row in rows_of(client.get(f"{at}?sort=value&desc=0").text) if row[2] != "-"]
    assert up == [row[2] for row in down if row[2] != "-"][::-1]
    finds = rows_of(client.get(f"{at}?f.is_find=yes").text)
    assert {row[5] for row in finds} == {"yes"}
    assert all(float(row[2].split()[0]) > 6 for row in rows_of(client.get(f"{at}?f.value=>6").text))
    assert all(2 <= float(row[2].split()[0]) <= 6 for row in rows_of(client.get(f"{at}?f.value=2..6").text))
    assert all("O" in row[1] for row in rows_of(client.get(f"{at}?f.reduced_formula=o").text))
    assert rows_of(client.get(f"{at}?f.reduced_formula=%25").text) == []
    first, second = (rows_of(client.get(f"/datasets/1?page={page}").text) for page in (1, 2))
    assert len(first) == 50
    assert first[-1] != second[0]
    assert int(first[-1][0]) < int(second[0][0])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("sort=nonsense", "no column"),
        ("f.nonsense=1", "no column"),
        ("f.value=many", "write &gt;6"),
        ("f.is_find=perhaps", "yes or no"),
        ("page=0", "no number from 1"),
        ("page=99999999", "no number from 1"),
        ("f.reason=" + "x" * 101, "too long"),
    ],
)
def test_a_mistaken_question_is_told_and_the_table_still_shown(client: TestClient, asked: str, said: str) -> None:
    answer = client.get(f"/campaigns/small/suggestions?{asked}")
    assert answer.status_code == 400
    assert said in answer.text
    assert rows_of(answer.text)


def test_rows_are_downloaded_as_they_are_filtered(client: TestClient) -> None:
    answer = client.get("/campaigns/small/suggestions?f.is_find=yes&sort=value&desc=1&page=3&as=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert 'filename="small-suggestions.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert rows
    assert {row["is_find"] for row in rows} == {"true"}
    assert [float(row["value"]) for row in rows] == sorted((float(row["value"]) for row in rows), reverse=True)
    few = csv.DictReader(io.StringIO(client.get("/models?as=csv&sort=id&desc=0").text))
    assert next(few)["id"] == "1"


def test_a_composition_is_found_however_it_is_spelled(client: TestClient) -> None:
    for spelled in ("FLi", "Li1F1", "Li2F2", "LiF"):
        answer = client.get("/search", params={"q": spelled})
        assert (answer.status_code, answer.headers["location"]) == (303, "/composition/LiF")
    assert client.get("/composition/FLi").headers["location"] == "/composition/LiF"
    page = client.get("/composition/LiF").text
    assert 'data set <a href="/datasets/1">starter</a>' in page
    assert "claim: " in page
    assert '<g class="entity of"><title>LiF; F-Li, 2 atoms' in page
    assert client.get("/composition/Xq").status_code == 400
    assert client.get("/composition/PuF3").status_code == 404
    assert client.get("/search", params={"q": "PuF3"}).status_code == 404


def test_systems_and_patterns_are_searched(client: TestClient) -> None:
    system = rows_of(client.get("/search", params={"q": "F-Li"}).text)
    assert [row[0] for row in system] == ["LiF"]
    pattern = rows_of(client.get("/search", params={"q": "XA2", "sort": "n_atoms"}).text)
    assert pattern
    assert {row[2] for row in pattern} == {"AB2"}
    page = client.get("/search", params={"q": "AB", "sort": "reduced_formula", "desc": "1"}).text
    assert 'name="q" value="AB"' in page
    assert "q=AB" in page[page.index('rel="next"') :]
    assert client.get("/search", params={"q": "<b>no</b>"}).status_code == 404


@pytest.mark.parametrize(
    ("words", "pattern"),
    [("AB2X5", "AB2C5"), ("X2Y", "AB2"), ("A2B4", "AB2"), ("ABAB", "AB"), ("A", "A"), ("A0", None), ("ab", None)],
)
def test_a_pattern_is_written_as_the_record_does(words: str, pattern: str | None) -> None:
    assert pattern_of(words) == pattern


def test_a_system_is_sorted_and_of_elements() -> None:
    assert system_of("F-Ba - Cl") == "Ba-Cl-F"
    assert system_of("Ba-Qq") is None
    assert system_of("BaF2") is None


def test_looking_writes_nothing(client: TestClient, record: tuple[str, Path]) -> None:
    def written() -> Any:
        with Database(record[0]) as database, database.read() as tx:
            newest = "SELECT (SELECT max(id) FROM activity), (SELECT max(id) FROM composition)"
            return tx.execute(text(newest)).one()

    before = written()
    for address in PAGES:
        client.get(address)
    assert written() == before


def test_a_reader_cannot_write_and_is_cut_short(readable: Workspace, record: tuple[str, Path]) -> None:
    with pytest.raises(DatabaseError, match="read-only"), readable.database.transaction() as tx:
        tx.execute(text("CREATE TABLE theirs (x int)"))
    limits = ReadingLimits(statement_s=0.1)
    with Database(record[0], reading=limits) as database:
        slow = pytest.raises(DatabaseError, match="cancelled a statement")
        with slow, database.read() as tx:
            tx.execute(text("SELECT pg_sleep(2)"))


def test_no_connection_left_is_said_at_once(record: tuple[str, Path], tmp_path: Path) -> None:
    with Database(record[0], reading=ReadingLimits(n_connections=1, connection_s=0.1)) as database:
        client = TestClient(create(Workspace(database, tmp_path)), base_url="http://localhost")
        with database.read():
            answer = client.get("/jobs")
        assert answer.status_code == 503
        assert "in use" in answer.text
        assert client.get("/jobs").status_code == 200


def test_what_was_brought_from_elsewhere_is_what_its_list_says() -> None:
    folder = files("agd.web") / "static" / "vendor"
    listed = re.findall(r"^(\S+\.(?:js|css))\s+.*?([0-9a-f]{64})$", (folder / "NOTICE").read_text(), re.MULTILINE)
    assert {name for name, _ in listed} == {one.name for one in folder.iterdir() if one.name != "NOTICE"}
    for name, digest in listed:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
