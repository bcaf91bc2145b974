"""Other programs find the structures of the record by the OPTIMADE API."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from agd.db.connection import Database, ReadingLimits
from agd.errors import InputError
from agd.web.access import Access
from agd.web.application import create
from agd.web.optimade.filters import NotMadeError, asked_by
from agd.work.workspace import Workspace

AT = "/optimade/v1/structures"


@pytest.fixture(scope="module")
def salts(
    fresh_database: Callable[[], AbstractContextManager[str]],
    import_known: Callable[[Workspace], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Workspace]:
    """Three cubic salts and three elements."""
    with fresh_database() as url, Database(url) as database:
        workspace = Workspace(database, tmp_path_factory.mktemp("salts"))
        import_known(workspace)
        yield workspace


@pytest.fixture(scope="module")
def client(salts: Workspace) -> Iterator[TestClient]:
    with Database(salts.database.url, reading=ReadingLimits()) as database:
        yield TestClient(create(Workspace(database, salts.artifacts)), base_url="http://localhost")


def formulas(client: TestClient, words: str) -> set[str]:
    answer = client.get(AT, params={"filter": words})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["meta"]["data_returned"] == len(found["data"])
    return {one["attributes"]["chemical_formula_reduced"] for one in found["data"]}


ALL = {"ClCs", "BrRb", "ITl", "F", "K", "Na"}
SALTS = {"ClCs", "BrRb", "ITl"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", ALL),
        ("nelements = 2", SALTS),
        ("2 = nelements", SALTS),
        ('nelements < 2 OR elements HAS "Cl"', {"F", "K", "Na", "ClCs"}),
        ("NOT nelements = 2", {"F", "K", "Na"}),
        ('elements HAS ANY "Cl","Br"', {"ClCs", "BrRb"}),
        ('elements HAS ALL "Cl","Cs"', {"ClCs"}),
        ('elements HAS ONLY "Cl","Cs","K"', {"ClCs", "K"}),
        ("elements LENGTH >= 2", SALTS),
        ('chemical_formula_reduced = "ClCs"', {"ClCs"}),
        ('chemical_formula_reduced = "CsCl"', set()),
        ('chemical_formula_reduced STARTS WITH "Cl"', {"ClCs"}),
        ('chemical_formula_reduced CONTAINS "%"', set()),
        ('chemical_formula_descriptive = "CsCl"', {"ClCs"}),
        ('chemical_formula_anonymous = "AB"', SALTS),
        ('chemical_formula_anonymous != "AB" AND nsites = 1', {"F", "K", "Na"}),
        ('type = "structures" AND (nsites = 1 OR nsites > 5)', {"F", "K", "Na"}),
        ('id = "none"', set()),
        ("structure_features LENGTH 0", ALL),
        ('structure_features HAS "disorder"', set()),
        ("_agd_e_above_hull_ev_per_atom IS UNKNOWN", ALL),
        ("_agd_band_gap_ev IS KNOWN", set()),
        ("_exmpl_gap > 3", set()),
        ("_exmpl_gap IS UNKNOWN", ALL),
        ("chemical_formula_hill IS KNOWN", set()),
        ("space_group_it_number = 221 AND nelements = 2", SALTS),
        ('last_modified > "2020-01-01T00:00:00Z"', ALL),
        ('last_modified < "2020-01-01T00:00:00Z"', set()),
    ],
)
def test_structures_are_filtered(client: TestClient, words: str, found: set[str]) -> None:
    assert formulas(client, words) == found


@pytest.mark.parametrize(
    "words",
    ["((", "nelements", "nothing = 1", "id = 1", 'nelements = "2"', 'last_modified > "yesterday"', 'nsites HAS "a"',
     "elements HAS 3", "(" * 60 + "nsites=1" + ")" * 60, "nsites=1 OR " * 200 + "nsites=1", "x'; DROP TABLE label; --",
     'id = "\0"'],
)  # fmt: skip
def test_a_mistaken_filter_is_told(client: TestClient, words: str) -> None:
    answer = client.get(AT, params={"filter": words})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["title"] == "Bad Request"
    with pytest.raises(InputError):
        asked_by(words)


@pytest.mark.parametrize(
    "words",
    ['elements:elements HAS "a":"b"', "nsites = nelements", 'elements HAS < "a"', "lattice_vectors LENGTH 3",
     '"a" = "b"', "species.name = 1", 'elements = "Cl"'],
)  # fmt: skip
def test_what_is_not_made_is_told(client: TestClient, words: str) -> None:
    assert client.get(AT, params={"filter": words}).status_code == 501
    with pytest.raises(NotMadeError):
        asked_by(words)


def test_no_filter_becomes_sql(client: TestClient, salts: Workspace) -> None:
    for words in ('id = "\'; DROP TABLE structure; --"', 'elements HAS "\'}; --"', 'id CONTAINS ":given_0 %(x)s"'):
        assert formulas(client, words) == set()
    with salts.database.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM structure")).scalar_one() == len(ALL)


def test_a_structure_has_its_cell_and_sites(client: TestClient) -> None:
    (one,) = client.get(AT, params={"filter": 'chemical_formula_reduced = "ClCs"'}).json()["data"]
    told: dict[str, Any] = one["attributes"]
    assert told["elements"] == ["Cl", "Cs"]
    assert told["elements_ratios"] == [0.5, 0.5]
    assert sorted(told["species_at_sites"]) == ["Cl", "Cs"]
    assert [sum(x * x for x in vector) ** 0.5 for vector in told["lattice_vectors"]] == pytest.approx([4.1] * 3)
    assert len(told["cartesian_site_positions"]) == told["nsites"] == 2
    again = client.get(f"{AT}/{one['id']}", params={"response_fields": "nsites,_exmpl_x"}).json()
    assert again["data"]["attributes"] == {"nsites": 2, "_exmpl_x": None}
    assert client.get(f"{AT}/99999").json()["data"] is None


def test_pages_follow_each_other(client: TestClient) -> None:
    at: str | None = f"{AT}?page_limit=2&sort=-nsites"
    seen: list[Any] = []
    while at is not None:
        page = client.get(at.removeprefix("http://localhost")).json()
        seen += page["data"]
        assert page["meta"]["more_data_available"] == (page["links"]["next"] is not None)
        at = page["links"]["next"]
    assert len({one["id"] for one in seen}) == len(ALL)
    assert [one["attributes"]["nsites"] for one in seen] == [2, 2, 2, 1, 1, 1]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("structures?page_limit=0", 200),
        ("structures?page_limit=501", 400),
        ("structures?page_limit=-1", 400),
        ("structures?page_offset=x", 400),
        ("structures?sort=elements", 400),
        ("structures?response_format=xml", 400),
        ("structures?nonsense=1", 400),
        ("structures?_exmpl_nonsense=1", 200),
        ("structures?response_fields=nonsense", 400),
        ("nothing", 404),
        ("links", 200),
        ("info", 200),
        ("info/structures", 200),
    ],
)
def test_other_questions(client: TestClient, asked: str, code: int) -> None:
    for base in ("/optimade/v1", "/optimade/v1.2.0", "/optimade"):
        answer = client.get(f"{base}/{asked}")
        assert answer.status_code == code
        assert ("errors" in answer.json()) == (code != 200)
        assert answer.json()["meta"]["api_version"] == "1.2.0"


def test_versions_are_told(client: TestClient) -> None:
    answer = client.get("/optimade/versions")
    assert answer.text == "version\n1\n"
    assert answer.headers["content-type"].startswith("text/csv")
    assert client.get("/optimade/v9/info").status_code == 553


def test_a_program_needs_the_password_too(salts: Workspace, tmp_path: Path) -> None:
    word = "long enough"
    client = TestClient(create(Workspace(salts.database, tmp_path), Access(password=word)), base_url="http://there")
    assert client.get(AT).status_code == 401
    assert client.get(AT, headers={"authorization": f"Bearer {word}"}).status_code == 200


@pytest.mark.slow
def test_the_validator_and_a_client_are_content(salts: Workspace, tmp_path: Path) -> None:
    environment = os.environ | {"AGD_DATABASE_URL": salts.database.url, "AGD_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "agd", "web", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        at = f"{served.stdout.readline().split()[0]}/optimade"
        try:
            validator = [str(Path(sys.executable).with_name("optimade-validator")), at]
            told = subprocess.run(validator, capture_output=True, text=True, check=False)
            assert told.returncode == 0, told.stdout + told.stderr
            program = (
                "import sys; from pymatgen.ext.optimade import OptimadeRester;"
                "found = OptimadeRester(sys.argv[1]).get_structures(elements=['Cl', 'Cs']);"
                "[structures] = found.values(); [one] = structures.values();"
                "print(one.composition.reduced_formula, round(one.lattice.a, 3), len(one))"
            )
            fetched = subprocess.run(
                [sys.executable, "-c", program, f"{at}/"], capture_output=True, text=True, check=False
            )
            assert fetched.stdout.split()[-3:] == ["CsCl", "4.1", "2"], fetched.stdout + fetched.stderr
        finally:
            served.terminate()
