"""No verb overwrites a file unasked, nor one that it reads; what cannot be written is known before anything is done."""

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer
from sqlalchemy import text
from typer.testing import CliRunner, Result

from agd import spec
from agd.cli.app import app
from agd.errors import AgdError, InputError
from agd.reproduction.authors import ORACLE_ROWS
from agd.steps.campaign.opening import open_campaign
from agd.steps.data.importing import keep_rejects
from agd.work.workspace import Workspace

Verb = Callable[..., Result]

VALUES = ["--name", "t", "--value-column", "Eg", "--property", "band_gap", "--unit", "eV"]
PHASES = ["--name", "t", "--method", "dft-pbe", "--scheme", "none", "--formula-column", "composition"]
TABLE = "composition,Eg\nZnO,3.3\nXq,1\nNaCl,-1\n"

# Every option and argument that names a file to be written: the verb, the parameter, a command that writes FILE.
FILES: dict[tuple[str, str], tuple[list[str], str]] = {
    ("data import", "rejects"): (["data", "import", "t.csv", *VALUES, "--rejects"], "r.csv"),
    ("data import-structures", "rejects"): (
        ["data", "import-structures", "t.csv", "--name", "t", "--rejects"],
        "r.csv",
    ),
    ("data import-phases", "rejects"): (["data", "import-phases", "t.csv", *PHASES, "--rejects"], "r.csv"),
    ("data import-optimade", "rejects"): (
        ["data", "import-optimade", "http://127.0.0.1:1", "--name", "t", "--rejects"],
        "r.csv",
    ),
    ("data structure", "output"): (["data", "structure", "mp-1", "-o"], "m.cif"),
    ("phonons", "output"): (["phonons", "mp-1", "-o"], "b.png"),
    ("elastic", "output"): (["elastic", "mp-1", "-o"], "c.svg"),
    ("why", "graph"): (["why", "NaCl", "--graph"], "w.svg"),
    ("why", "prov"): (["why", "NaCl", "--prov"], "w.json"),
    ("init", "file"): (["init"], "s.toml"),
    ("compare", "figure"): (["compare", "small", "--figure"], "f.png"),
    ("compare", "output"): (["compare", "small", "-o"], "c.html"),
    ("report", "output"): (["report", "small", "-o"], "p.html"),
    ("export", "output"): (["export", "small", "--format", "csv", "-o"], "e.csv"),
    ("backup", "file"): (["backup"], "b.tar"),
}
FOLDERS = {("reproduce", "output"), ("structure", "output"), ("worker", "launch_dir")}
READ = {
    ("data import", "file"),
    ("data import-phases", "file"),
    ("data import-structures", "paths"),
    ("run", "spec"),
    ("restore", "file"),
    ("worker", "qadapter"),
    ("dft submit", "qadapter"),
    ("compute", "folder"),  # where a step lies, and its outcome comes beside it
    ("ingest", "folders"),
    ("reproduce", "data"),
    ("reproduce", "corpus"),
    ("web", "password_file"),
}
OF_STRUCTURES = {
    "data import-structures",
    "data import-optimade",
    "data import-phases",
    "data structure",
    "phonons",
    "elastic",
}
"""What these write is tested where there are structures."""

DRY = [words for (verb, _), (words, _) in FILES.items() if verb in {"data import", "backup"}]

each_file = pytest.mark.parametrize(("words", "name"), FILES.values(), ids=map(" ".join, FILES))


@pytest.fixture
def agd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verb:
    """A verb as typed in a folder of its own, with a database that answers nobody."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "t.csv").write_text(TABLE)
    monkeypatch.chdir(here)
    monkeypatch.setenv("AGD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AGD_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    return lambda *words: CliRunner().invoke(app, words)


@pytest.fixture
def recorded(agd: Verb, starter: Workspace, monkeypatch: pytest.MonkeyPatch) -> Verb:
    """The same on a record that holds the starter set."""
    monkeypatch.setenv("AGD_HOME", str(starter.artifacts.parent))
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url)
    return agd


def refused(ran: Result, message: str) -> None:
    assert isinstance(ran.exception, InputError), ran.output
    assert ran.exception.exit_code == 2
    assert message in str(ran.exception)
    assert len(str(ran.exception).splitlines()) == 1


def listed(folder: Path = Path()) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def parameters(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every verb with the types of its parameters."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from parameters(command, (*words, name))
        else:
            yield " ".join((*words, name)), get_type_hints(inspect.unwrap(command.callback))


VERBS = dict(parameters(typer.main.get_command(app)))


def test_every_path_a_person_can_name_is_in_a_table() -> None:
    """A verb that gets a new one must say whether it reads or writes there."""
    found = {(verb, name) for verb, types in VERBS.items() for name, kind in types.items() if "Path" in repr(kind)}
    assert found == {*FILES, *FOLDERS, *READ}


@pytest.mark.parametrize("verb", sorted({verb for verb, _ in FILES} | {"reproduce"}))
def test_who_writes_a_file_can_be_forced(verb: str) -> None:
    assert VERBS[verb]["force"] is bool
    assert "--force" in CliRunner().invoke(app, [*verb.split(), "--help"], env={"COLUMNS": "160"}).output


@each_file
def test_a_file_that_is_there_is_refused_before_anything_is_done(agd: Verb, words: Sequence[str], name: str) -> None:
    Path(name).write_text("mine")
    Path("link" + Path(name).suffix).symlink_to(name)
    for taken in (name, "link" + Path(name).suffix):
        refused(agd(*words, taken), f"{taken} is there already: choose another name, or --force to overwrite it")
    assert Path(name).read_text() == "mine"
    assert {*listed()} == {"t.csv", name, "link" + Path(name).suffix}


@each_file
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("none/{name}", "there is no folder none"),
        ("t.csv/{name}", "Not a directory"),
        ("folder{suffix}", "is a folder"),
        ("{home}/artifacts/{name}", "among the files of agd itself"),
        ("{home}/server/{name}", "among the files of agd itself"),
        ("{long}{suffix}", "File name too long"),
        ("{closed}/{name}", "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_known_before(
    agd: Verb, tmp_path: Path, words: Sequence[str], name: str, place: str, message: str
) -> None:
    suffix = Path(name).suffix
    Path(f"folder{suffix}").mkdir()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    home = tmp_path / "home"
    (home / "server").mkdir(parents=True)
    (home / "server" / name).write_text("of the server")
    if os.geteuid() == 0:  # the rights of a folder do not bind root
        closed = Path("/proc")
    given = place.format(name=name, suffix=suffix, home=home, long="n" * 300, closed=closed)
    refused(agd(*words, given, "--force"), message)
    assert listed() == {"t.csv": TABLE}
    assert listed(home / "server") == {name: "of the server"}


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_the_table_that_is_imported_is_not_its_rejects_file(agd: Verb, dry: list[str]) -> None:
    Path("hard.csv").hardlink_to("t.csv")
    Path("soft.csv").symlink_to("t.csv")
    for name in ("t.csv", "hard.csv", "soft.csv"):
        refused(
            agd("data", "import", "t.csv", *VALUES, "--rejects", name, "--force", *dry),
            "a file that this command reads",
        )
    assert listed() == dict.fromkeys(("t.csv", "hard.csv", "soft.csv"), TABLE)


@pytest.mark.parametrize("words", DRY)
def test_a_dry_run_writes_nothing(recorded: Verb, words: list[str]) -> None:
    ran = recorded(*words, "out", "--dry-run")
    assert ran.exit_code == 0, ran.output
    assert recorded("data", "import", "t.csv", *VALUES, "--dry-run").exit_code == 0
    assert listed() == {"t.csv": TABLE}
    Path("out").write_text("mine")
    refused(recorded(*words, "out", "--dry-run"), "is there already")


def test_importing_again_leaves_the_rejects_as_they_are(recorded: Verb) -> None:
    assert recorded("data", "import", "t.csv", *VALUES).exit_code == 0
    first, before = listed(), Path("t.rejects.csv").stat()
    assert [line.split(",")[0] for line in first["t.rejects.csv"].splitlines()] == ["line", "3", "4"]
    again = recorded("data", "import", "t.csv", *VALUES)
    assert "in t.rejects.csv" in again.stderr
    assert (listed(), Path("t.rejects.csv").stat().st_mtime_ns) == (first, before.st_mtime_ns)
    Path("t.rejects.csv").write_text("mine")
    for _ in range(2):
        assert "in t.rejects-2.csv" in recorded("data", "import", "t.csv", *VALUES).stderr
    assert listed() == {"t.csv": TABLE, "t.rejects.csv": "mine", "t.rejects-2.csv": first["t.rejects.csv"]}
    Path("t.rejects-2.csv").unlink()
    Path("t.rejects-2.csv").mkdir()
    assert keep_rejects("t", []) == Path("t.rejects-3.csv")


def test_rejects_that_cannot_be_written_fail_no_import(recorded: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise InputError("t.rejects.csv: cannot be written (No space left on device)")

    told = "the refused rows are in the record: `agd data show t --rejects 2`"
    ran = recorded("data", "import", "t.csv", *VALUES, "--rejects", "/dev/full")
    assert (ran.exit_code, ran.exception) == (0, None)
    assert f"warning: /dev/full: cannot be written (No space left on device); {told}" in ran.stderr
    monkeypatch.setattr("agd.steps.data.importing.keep_rejects", full)
    ran = recorded("data", "import", "t.csv", *VALUES, "--json")
    assert (ran.exit_code, ran.exception) == (0, None)
    assert told in ran.stderr
    assert '"rejects_file": null' in ran.stdout
    assert "Xq" in recorded("data", "show", "t", "--rejects", "2").stdout
    assert listed() == {"t.csv": TABLE}


def test_files_are_overwritten_when_forced(
    recorded: Verb, starter: Workspace, make_spec: Callable[..., spec.ResolvedSpec]
) -> None:
    open_campaign(starter, make_spec())
    for (verb, _), (words, name) in FILES.items():
        if verb in OF_STRUCTURES:
            continue
        Path("old" + name).write_text("old")
        for place, force in ((name, []), ("old" + name, ["--force"])):
            ran = recorded(*words, place, *force)
            assert ran.exit_code == 0, (ran.output, ran.exception)
            assert Path(place).stat().st_size > len("old")
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    for words in (["report", "small"], ["init"], ["export", "small", "--format", "json"]):
        option = [] if words == ["init"] else ["-o"]
        ran = recorded(*words, *option, "/dev/full")
        assert isinstance(ran.exception, InputError), ran.output
        assert "No space left on device" in str(ran.exception)
    refused(recorded("compare", "small", "--figure", "x.svg", "-o", "x.svg"), "is named for two outputs")
    refused(recorded("compare", "small", "--figure", "x.bmp"), ".png, .svg, .pdf")
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_a_reproduction_overwrites_no_page_and_no_data(agd: Verb) -> None:
    Path("data").mkdir()
    Path("data", ORACLE_ROWS).write_text("id,composition,Eg\n")
    words = ["reproduce", "fig4", "--authors-data", "--data", "data"]
    for where in (["-o", "t.csv"], ["-o", str(Path(os.environ["AGD_HOME"], "artifacts"))]):
        assert isinstance(agd(*words, *where).exception, InputError)
    assert agd(*words, "--dry-run").exit_code == 0
    assert not Path("reproduced").exists()
    Path("reproduced").mkdir()
    Path("reproduced", "fig4.csv").write_text("mine")
    for dry in ([], ["--dry-run"]):
        refused(agd(*words, *dry), "reproduced/fig4.csv is there already")
    Path("reproduced", "fig4.csv").unlink()
    Path("reproduced", "fig4.csv").symlink_to(Path("data", ORACLE_ROWS).absolute())
    refused(agd(*words, "--force"), "reproduced/fig4.csv is a file that this command reads")
    assert listed(Path("reproduced")) == {"fig4.csv": "id,composition,Eg\n"}


def test_a_worker_that_cannot_make_folders_says_so_before(agd: Verb) -> None:
    ran = agd("worker", "--offline", "--launch-dir", "t.csv/jobs")
    refused(ran, "t.csv is no folder")
    ran = agd("worker", "--offline", "--launch-dir", "jobs")
    assert isinstance(ran.exception, AgdError)
    assert "does not answer" in str(ran.exception)
    assert listed() == {"t.csv": TABLE}


def test_a_backup_goes_to_a_file(agd: Verb) -> None:
    refused(agd("backup", "/dev/null"), "is no regular file")


def test_a_strict_import_that_is_refused_writes_nothing(recorded: Verb, starter: Workspace) -> None:
    ran = recorded("data", "import", "t.csv", *VALUES, "--strict")
    assert isinstance(ran.exception, InputError)
    with starter.database.read() as tx:
        assert tx.scalar(text("SELECT count(*) FROM dataset")) == 1
    assert listed() == {"t.csv": TABLE}
