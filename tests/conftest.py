"""Fixtures shared by every test folder."""

import importlib
import itertools
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Connection, NullPool, create_engine, make_url, text

from agd import registry, spec
from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.chem.structures import canonical
from agd.db import schema
from agd.db.connection import Database
from agd.db.record import activities, datasets
from agd.db.server.embedded import EmbeddedServer
from agd.nets.threads import limited_threads
from agd.spec import ResolvedSpec
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.compositions import store_compositions
from agd.steps.data.importing import import_dataset
from agd.steps.structures.crystals import store_crystals
from agd.steps.structures.importing import import_structures
from agd.types import Structure
from agd.work.leases import recorded
from agd.work.workspace import Workspace

STARTER = Path(str(files("agd") / "data" / "starter.csv"))

KNOWN = (
    (4.1, ("Cs", "Cl")),
    (4.3, ("Rb", "Br")),
    (7.0, ("Tl", "I")),
    (3.0, ("K",)),
    (3.1, ("F",)),
    (3.2, ("Na",)),
)
"""Edges of cubic cells in Å, and what stands at their corners and centres."""

METALS = (("CuAu", 3.2), ("AgAu", 3.3), ("AgNi", 3.1), ("NaCl", 4.0))
"""Formulas and edges in Å of cubic cells, most of which the engine `emt` knows."""

# A small campaign on the starter set: real steps, a small autoencoder, seconds.
SPEC = """\
name = "{name}"
target = "{target}"
seed = 3

[data]
dataset = "starter"

[initial]
n = 30
at_most = 5.0

[budget]
oracle_calls = {budget}
suggestions_per_iteration = 8
stall_after = 8

[autoencoder]
epochs = 3
n_latent = 12
hidden = 48
min_rows = 2000

{more}
"""

UNFILTERED = "\n[filter]\nis_neutral_in_common_states = false\n"

DEFAULT = """\
[oracle]
n_trees = 10
uses_known_labels = false

[sampler]
kind = "ucb"
kappa = 5
n_warmup = 200
"""


@pytest.fixture(scope="module", autouse=True)
def held_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests that train and ask models themselves hold threads as every step does; all others are left as users are."""
    with limited_threads(1) if request.path.parent.name in {"unit", "contract"} else nullcontext():
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets: `AGD_TEST_DATA`, or `shared/data` beside the checkout."""
    folder = Path(os.environ.get("AGD_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "paper" / "Exp1_42k.csv").is_file():
        pytest.skip(f"real data not found at {folder}: set AGD_TEST_DATA to the folder that holds paper/Exp1_42k.csv")
    return folder


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server: `AGD_TEST_DATABASE_URL`, or an embedded one for the length of the session."""
    given = os.environ.get("AGD_TEST_DATABASE_URL")
    if given is not None:
        yield given.replace("postgresql://", "postgresql+psycopg://", 1)
        return
    server = EmbeddedServer(tmp_path_factory.mktemp("server"), linger_s=0)
    url = server.acquire()
    with _maintenance(url) as connection:  # made and dropped a thousand times, and never killed
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    yield url
    cluster = server.status().data_directory.parent
    server.release()
    server.stop()
    shutil.rmtree(cluster)  # as root it may lie outside the temporary folder


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """Name of a database that has the schema and nothing else."""
    name = f"agd_template_{os.getpid()}"
    with _maintenance(server_url) as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    with Database(_with_database(server_url, name)) as made, made.transaction() as tx:
        schema.upgrade(tx)
    yield name
    with _maintenance(server_url) as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def fresh_database(server_url: str, template: str) -> Callable[[], AbstractContextManager[str]]:
    """Opens a database of its own, and drops it afterwards."""

    @contextmanager
    def fresh() -> Iterator[str]:
        name = f"agd_test_{os.getpid()}_{next(_numbers)}"
        with _maintenance(server_url) as connection:
            connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
        try:
            yield _with_database(server_url, name)
        finally:
            with _maintenance(server_url) as connection:
                connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))

    return fresh


@pytest.fixture
def database_url(fresh_database: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """A database of its own for one test."""
    with fresh_database() as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The record, empty."""
    with Database(database_url) as opened:
        yield opened


@pytest.fixture
def workspace(database: Database, tmp_path: Path) -> Workspace:
    """An empty record with a folder for model files."""
    return Workspace(database, tmp_path / "artifacts")


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution: templates `alike`, potentials `spring` and `bonds`, the engine `emt`; all quick."""
    info = tmp_path / "site" / "quick-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: quick\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[agd.templates]\nalike = quick_plugins:Alike\n"
        "[agd.potentials]\nspring = quick_plugins:Spring\nbonds = quick_plugins:Bonds\n"
        "[agd.dft_engines]\nemt = quick_dft:Emt\n"
    )
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "fixtures" / "quick"))
    monkeypatch.syspath_prepend(str(info.parent))
    importlib.invalidate_caches()
    registry.installed.cache_clear()
    yield
    for name in ("quick_plugins", "quick_dft"):
        sys.modules.pop(name, None)
    registry.installed.cache_clear()


STRUCTURE_ROW = """
INSERT INTO structure_row (dataset_id, entry, line, structure_id, composition_id)
VALUES (:dataset, :entry, :line, :structure, :composition)
"""


@pytest.fixture(scope="session")
def import_known() -> Callable[[Workspace], None]:
    """Bring three cubic salts and three elements into a record, as structures of the dataset `known`."""

    def bring(workspace: Workspace) -> None:
        with recorded(workspace, "import structures") as activity_id, workspace.database.transaction() as tx:
            named = identify(parse_formulas(["".join(species) for _, species in KNOWN])[0])
            compositions = store_compositions(tx, named, activity_id).tolist()
            dataset = {"name": "known", "source": "known.jsonl", "source_sha256": "s", "recipe_sha256": "known"}
            dataset_id = datasets.store(
                tx,
                {**dataset, "property": None, "options": {}, "n_read": 6, "n_rejected": 0, "activity_id": activity_id},
            )
            assert dataset_id is not None
            for line, ((length, species), composition_id) in enumerate(zip(KNOWN, compositions, strict=True), start=2):
                row = {"dataset": dataset_id, "composition": composition_id, "line": line}
                tx.execute(text("INSERT INTO dataset_row VALUES (:dataset, :composition, :line, 'f', 1)"), row)
                sites = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])[: len(species)]
                crystal = canonical(Structure(np.eye(3) * length, species, sites))
                (structure_id,) = store_crystals(tx, [crystal], composition_id, activity_id)
                row |= {"entry": f"known-{line}", "structure": structure_id}
                tx.execute(text(STRUCTURE_ROW), row)
            activities.finish(tx, activity_id)

    return bring


@pytest.fixture
def import_metals(tmp_path: Path) -> Callable[[Workspace], None]:
    """Bring four cells of the type of caesium chloride into a record, as structures of the dataset `metals`."""

    def bring(workspace: Workspace) -> None:
        lines = [
            json.dumps(
                {
                    "id": formula,
                    "lattice": (length * np.eye(3)).tolist(),
                    "species": [formula[:2], formula[2:]],
                    "frac": [0, 0, 0, 0.5, 0.5, 0.5],
                    "e_form": -0.1,
                }
            )
            for formula, length in METALS
        ]
        path = tmp_path / "metals.jsonl"
        path.write_text("\n".join(lines) + "\n")
        import_structures(workspace, [path], "metals", method="dft-pbe", scheme="mp2018")

    return bring


@pytest.fixture
def starter(workspace: Workspace) -> Workspace:
    """A record that holds the starter set."""
    import_dataset(workspace, STARTER, "starter", ImportRules("formula", "band_gap_ev", "band_gap", "eV"))
    return workspace


@pytest.fixture
def make_spec(tmp_path: Path) -> Callable[..., ResolvedSpec]:
    """Write and read a specification."""

    def make(
        name: str = "small", target: str = "band_gap > 6 eV", budget: int = 25, more: str = DEFAULT
    ) -> ResolvedSpec:
        path = tmp_path / f"{name}.toml"
        rule = "" if "[filter]" in more else UNFILTERED
        path.write_text(SPEC.format(name=name, target=target, budget=budget, more=more) + rule)
        return spec.read(path)

    return make


_numbers = itertools.count()


def _with_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@contextmanager
def _maintenance(url: str) -> Iterator[Connection]:
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        yield connection
