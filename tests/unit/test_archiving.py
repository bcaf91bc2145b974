"""The file of a backup: whatever byte of it is not what was written, it is refused."""

import hashlib
import io
import random
import tarfile
from pathlib import Path

import pytest

from agd.errors import InputError
from agd.steps.upkeep.archiving import (
    DUMP,
    FORMAT,
    MANIFEST,
    SEAL,
    ArchiveWriter,
    Entry,
    Manifest,
    model_member,
    verified,
)

MODEL = bytes(range(256)) * 7
MODEL_SHA256 = hashlib.sha256(MODEL).hexdigest()


def manifest(dump: Entry, models: tuple[Entry, ...], **changes: object) -> Manifest:
    values: dict[str, object] = {
        "format": FORMAT,
        "created_at": "2026-01-15T12:00:00+00:00",
        "agd_version": "0.1.0",
        "schema_revision": "0002",
        "server_version": "18.4",
        "dump_version": 18,
        "hash_function": "agd_content_hash_v2",
        "content_hashes": {"wide-gap": "ab" * 32},
        "n_rows": {"public.activity": 3},
        "dump": dump,
        "model_files": models,
        "absent": (),
    }
    return Manifest.model_validate(values | changes)


def write(path: Path, *, more: dict[str, bytes] | None = None, **changes: object) -> Path:
    with path.open("x+b") as file:
        writer = ArchiveWriter(file, 0)
        dump = writer.add(DUMP, [b"PGDMP", b"x" * 1000])
        models = (writer.add(model_member(MODEL_SHA256), [MODEL]),)
        for name, content in (more or {}).items():
            writer.add(name, [content])
        writer.finish(manifest(dump, models, **changes))
    return path


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    return write(tmp_path / "kept.tar")


def test_what_was_written_comes_back(backup: Path) -> None:
    archive = verified(backup)
    assert b"".join(archive.read(DUMP)) == b"PGDMP" + b"x" * 1000
    assert b"".join(archive.read(model_member(MODEL_SHA256))) == MODEL
    assert archive.manifest.model_files == (Entry(n_bytes=len(MODEL), sha256=MODEL_SHA256),)
    with tarfile.open(backup) as tar:
        assert tar.getnames() == [DUMP, model_member(MODEL_SHA256), MANIFEST, SEAL]


def test_any_flipped_bit_is_found(backup: Path) -> None:
    content = backup.read_bytes()
    chance = random.Random(7)
    places = {0, 100, 156, 257, 511, len(content) - 1, *(chance.randrange(len(content)) for _ in range(300))}
    for place in places:
        altered = bytearray(content)
        altered[place] ^= 1 << chance.randrange(8)
        backup.write_bytes(altered)
        with pytest.raises(InputError, match=r"altered|cut short|no backup"):
            verified(backup)
    backup.write_bytes(content)
    verified(backup)


def test_any_missing_end_is_found(backup: Path) -> None:
    content = backup.read_bytes()
    for n_bytes in {*range(0, len(content), 512), len(content) - 1, 3, 700}:
        backup.write_bytes(content[:n_bytes])
        with pytest.raises(InputError, match="cut short" if n_bytes >= 512 else "cut short|no backup"):
            verified(backup)


def test_what_follows_the_end_is_found(backup: Path) -> None:
    backup.write_bytes(backup.read_bytes() + bytes(10240))
    with pytest.raises(InputError, match="something follows its end"):
        verified(backup)


def test_other_files_are_no_backups(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.tar: cannot be read \(No such file"):
        verified(tmp_path / "none.tar")
    (tmp_path / "table.csv").write_text("composition,Eg\nZnO,3.3\n" * 100)
    with pytest.raises(InputError, match="no backup of agd"):
        verified(tmp_path / "table.csv")
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(tmp_path / "table.csv", "table.csv")
    with pytest.raises(InputError, match=r"'table\.csv', which no backup"):
        verified(tmp_path / "other.tar")


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "/etc/passwd", "artifacts/../record.dump", f"artifacts/00/{MODEL_SHA256}.npz"]
)
def test_a_member_with_another_name_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "kept.tar", more={name: b"evil"})
    with pytest.raises(InputError, match="which no backup of agd does"):
        verified(path)


def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kept.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo(DUMP)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(InputError, match="which no backup of agd does"):
        verified(path)


def test_a_file_that_the_manifest_lacks_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "kept.tar", more={model_member("ab" * 32): b"another"})
    with pytest.raises(InputError, match="is not what its manifest says"):
        verified(path)


def test_a_file_that_the_manifest_alone_has_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "kept.tar", model_files=(Entry(n_bytes=1, sha256="ab" * 32),))
    with pytest.raises(InputError, match="is not what its manifest says"):
        verified(path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "kept.tar", format=2)
    with pytest.raises(InputError, match="of format 2, this agd reads 1"):
        verified(path)


def test_a_manifest_in_other_words_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kept.tar"
    with path.open("x+b") as file:
        writer = ArchiveWriter(file, 0)
        dump = writer.add(DUMP, [b"PGDMP"])
        told = manifest(dump, ())
        object.__setattr__(told, "hash_function", "pg_sleep")
        writer.finish(told)
    with pytest.raises(InputError, match=r"manifest that cannot be used \(hash_function"):
        verified(path)


def test_sizes_are_known_at_the_end_only() -> None:
    """What is streamed may be of any length, also none and just a block."""
    for n_bytes in (0, 1, 511, 512, 513):
        file = io.BytesIO()
        writer = ArchiveWriter(file, 0)
        entry = writer.add(DUMP, [b"x" * n_bytes])
        writer.finish(manifest(entry, ()))
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            assert tar.getmember(DUMP).size == n_bytes == entry.n_bytes
