"""A file that a user named is whole or not there, and costs no other file."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agd import writing as module
from agd.errors import InputError
from agd.writing import check_folder, check_output, check_outputs, whole_file, write_text, writing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder that nobody may write in; the rights of a folder do not bind root."""
    if os.geteuid() == 0:
        return Path("/proc")
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    return folder


@pytest.mark.usefixtures("umask")
def test_a_file_appears_whole_with_the_rights_of_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with writing(path, force=False) as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b" whole")
    assert path.read_bytes() == b"half whole"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("force", [False, True])
def test_what_fails_leaves_what_was_there(tmp_path: Path, error: type[BaseException], force: bool) -> None:  # noqa: FBT001
    path = tmp_path / "a.txt"
    if force:
        path.write_text("old")

    def fail() -> None:
        with writing(path, force=force) as file:
            file.write(b"new")
            raise error

    with pytest.raises(InputError if error is OSError else error):
        fail()
    assert names(tmp_path) == (["a.txt"] if force else [])
    assert not force or path.read_text() == "old"


@pytest.mark.parametrize("has_hard_links", [True, False])
def test_what_comes_up_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_hard_links: bool
) -> None:
    def no_link(*_: object) -> None:
        raise PermissionError

    if not has_hard_links:
        monkeypatch.setattr(module.os, "link", no_link)
    path = tmp_path / "a.txt"

    def meet() -> None:
        with writing(path, force=False) as file:
            file.write(b"ours")
            path.write_text("theirs")

    with pytest.raises(InputError, match="is there already: choose another name, or --force"):
        meet()
    assert path.read_text() == "theirs"
    write_text(tmp_path / "b.txt", "ours", force=False)
    assert names(tmp_path) == ["a.txt", "b.txt"]


def test_a_file_is_overwritten_when_forced_and_its_other_names_keep_what_they_had(tmp_path: Path) -> None:
    path, link, other = tmp_path / "a.txt", tmp_path / "link.txt", tmp_path / "other.txt"
    path.write_text("old")
    other.hardlink_to(path)
    link.symlink_to("a.txt")
    for taken in (path, link, other):
        with pytest.raises(InputError, match="is there already"):
            write_text(taken, "new", force=False)
    write_text(link, "new", force=True)
    assert link.is_symlink()
    assert (path.read_text(), other.read_text()) == ("new", "old")
    (tmp_path / "dangling").symlink_to("c.txt")
    with pytest.raises(InputError, match="is a link to nothing"):
        write_text(tmp_path / "dangling", "new", force=False)
    write_text(tmp_path / "dangling", "new", force=True)
    assert (tmp_path / "c.txt").read_text() == "new"


def test_what_is_read_is_not_overwritten_by_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "t.csv"
    table.write_text("formula\nNaCl\n")
    (tmp_path / "hard.csv").hardlink_to(table)
    (tmp_path / "soft.csv").symlink_to(table)
    (tmp_path / "folder").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    spellings = ["t.csv", "./t.csv", "hard.csv", "soft.csv", "folder/t.csv", str(table)]
    for name in spellings:
        for read in (table, Path("hard.csv"), Path("soft.csv")):
            with pytest.raises(InputError, match="is a file that this command reads"):
                check_output(Path(name), force=True, reads=[read])
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(InputError, match="is a file that this command reads"):
        check_output(fifo, force=True, reads=[fifo])
    program = "from agd.writing import *; check_output(Path('t.csv'), force=True, reads=[Path('-')])"
    with table.open() as stdin:
        ran = subprocess.run([sys.executable, "-c", program], stdin=stdin, capture_output=True, text=True, check=False)
    assert "t.csv is a file that this command reads" in ran.stderr
    check_output(Path("other.csv"), force=False, reads=[table, Path("-"), Path("none")])
    assert table.read_text() == "formula\nNaCl\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("-", "no file can be called that here: name one, or /dev/stdout"),
        (".", "is a folder"),
        ("", "is a folder"),
        ("home/models/a.npz", "among the files of agd itself"),
        ("home/models/../models/new.npz", "among the files of agd itself"),
        ("way/new.npz", "among the files of agd itself"),
        ("none/a.html", "there is no folder none: make it first"),
        ("file/a.html", "Not a directory"),
        ("n" * 300, "File name too long"),
        ("loop", "cannot be written"),
        ("socket", "is a device or a socket"),
        ("a\0b", "is no name of a file"),
    ],
)
def test_what_can_be_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    import socket

    monkeypatch.chdir(tmp_path)
    (tmp_path / "home" / "models").mkdir(parents=True)
    (tmp_path / "home" / "models" / "a.npz").touch()
    (tmp_path / "way").symlink_to("home/models")
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
        before = names(tmp_path)
        for force in (False, True):
            with pytest.raises(InputError, match=message):
                check_output(Path(name), force=force, kept=[Path("home/models")])
        assert names(tmp_path) == before
    with pytest.raises(InputError, match="among the files of agd itself"):
        check_output(Path("home/later/a"), force=True, kept=[Path("home/later")])


def test_a_folder_that_cannot_be_written_is_known_before(tmp_path: Path, closed: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        check_output(closed / "a.html", force=False)
    with pytest.raises(InputError, match="cannot be written"):
        check_folder(closed / "new" / "folder")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is no folder"):
        check_folder(tmp_path / "file" / "folder")
    with pytest.raises(InputError, match="among the files of agd itself"):
        check_folder(tmp_path / "home" / "new", kept=[tmp_path / "home"])
    check_folder(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()


def test_a_full_disk_is_known_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.tempfile.TemporaryFile
    monkeypatch.setattr(module.tempfile, "TemporaryFile", lambda **_: open("/dev/full", "wb"))  # noqa: SIM115, PTH123
    with pytest.raises(InputError, match="No space left on device"):
        check_output(tmp_path / "a.html", force=False)
    monkeypatch.setattr(module.tempfile, "TemporaryFile", real)
    check_output(tmp_path / "a.html", force=False)


def test_streams_hold_nothing_that_could_be_lost(tmp_path: Path) -> None:
    write_text(Path("/dev/null"), "gone", force=False)
    with pytest.raises(InputError, match="No space left on device"):
        write_text(Path("/dev/full"), "gone", force=False)
    with pytest.raises(InputError, match="is no regular file"):
        check_output(Path("/dev/null"), force=True, takes_streams=False)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE) as reader:
        write_text(fifo, "through", force=False)
        assert reader.communicate()[0] == b"through"
    assert fifo.is_fifo()
    program = "print('before'); from agd.writing import *; write_text(Path('/dev/stdout'), 'page', force=False)"
    for redirected in (tmp_path / "out.txt", None):
        with (redirected or Path(os.devnull)).open("w") as file:
            where = file if redirected else subprocess.PIPE
            ran = subprocess.run([sys.executable, "-c", program], stdout=where, check=True)
        assert (redirected.read_bytes() if redirected else ran.stdout) == b"before\npage"


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is named for two outputs"):
        check_outputs([tmp_path / "a.svg", None, tmp_path / "." / "a.svg"], force=False)
    check_outputs([tmp_path / "a.svg", None, tmp_path / "a.html"], force=False)
    check_outputs([Path("/dev/null"), Path("/dev/null")], force=False)


def test_a_long_name_has_room_for_its_part(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250 + ".csv")
    with whole_file(path, replaces=False) as file:
        file.write(b"x")
    assert names(tmp_path) == [path.name]
