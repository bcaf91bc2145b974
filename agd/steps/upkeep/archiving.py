"""What a backup is: one tar file of a dump, model files and a manifest, sealed by a hash over all of its bytes.

The dump comes first, then the model files, the manifest and, last, the seal. Any `tar` can open it; `verified` says
whether a single byte differs from what was written.
"""

import hashlib
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import BaseModel, Field, ValidationError

from agd.errors import InputError
from agd.progress import Progress, silent

FORMAT = 1
DUMP = "record.dump"
MANIFEST = "manifest.json"
SEAL = "seal.sha256"
CHUNK_BYTES = 1 << 20

_BLOCK = tarfile.BLOCKSIZE
_MAX_MANIFEST_BYTES = 1 << 28
_KNOWN = re.compile(r"record\.dump|manifest\.json|seal\.sha256|artifacts/([0-9a-f]{2})/\1[0-9a-f]{62}\.npz")

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class Entry(BaseModel, extra="forbid", frozen=True):
    """One file of a backup."""

    n_bytes: Count
    sha256: Sha256


class Manifest(BaseModel, extra="forbid", frozen=True):
    """What a backup holds. `content_hashes` are by campaign, `n_rows` by schema and table; both as the dump has them.

    `absent` are the model files that the record names and the backup lacks, because they were damaged.
    """

    format: int
    created_at: str
    agd_version: str
    schema_revision: Annotated[str, Field(pattern="^[0-9]{4}$")]
    server_version: str
    dump_version: Count
    hash_function: Annotated[str, Field(pattern="^agd_content_hash_v[0-9]+(_with_later)?$")]
    content_hashes: Mapping[str, str]
    n_rows: Mapping[str, Count]
    dump: Entry
    model_files: tuple[Entry, ...]
    absent: tuple[Sha256, ...]


@dataclass(frozen=True, slots=True)
class Archive:
    """A backup that was found whole."""

    path: Path
    manifest: Manifest
    n_bytes: int
    _places: Mapping[str, tuple[int, int]]

    def read(self, name: str) -> Iterator[bytes]:
        """A member, in chunks."""
        start, n_bytes = self._places[name]
        with self.path.open("rb") as file:
            file.seek(start)
            yield from _chunks(file, n_bytes)


def model_member(sha256: str) -> str:
    """Where a model file lies in a backup."""
    return f"artifacts/{sha256[:2]}/{sha256}.npz"


def read_file(path: Path) -> Iterator[bytes]:
    """A file, in chunks."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


class ArchiveWriter:
    """Writes a backup into a new file, open for reading too; what a member weighs need not be known before."""

    def __init__(self, file: BinaryIO, created_at_s: float) -> None:
        self._file = file
        self._created_at_s = int(created_at_s)

    def add(self, name: str, chunks: Iterable[bytes]) -> Entry:
        """Append a member."""
        start = self._file.tell()
        self._file.write(bytes(_BLOCK))  # the header's place: its size is known at the end
        digest, n_bytes = hashlib.sha256(), 0
        for chunk in chunks:
            self._file.write(chunk)
            digest.update(chunk)
            n_bytes += len(chunk)
        self._file.write(bytes(-n_bytes % _BLOCK))
        end = self._file.tell()
        header = tarfile.TarInfo(name)
        header.size, header.mtime, header.mode = n_bytes, self._created_at_s, 0o600
        self._file.seek(start)
        self._file.write(header.tobuf(tarfile.GNU_FORMAT))
        self._file.seek(end)
        return Entry(n_bytes=n_bytes, sha256=digest.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        """Append the manifest and the seal."""
        self.add(MANIFEST, [manifest.model_dump_json(indent=2).encode()])
        end = self._file.tell()
        self._file.seek(0)
        seal = hashlib.sha256()
        for chunk in _chunks(self._file, end):
            seal.update(chunk)
        self._file.seek(end)
        self.add(SEAL, [seal.hexdigest().encode()])
        self._file.write(bytes(2 * _BLOCK))
        self._file.write(bytes(-self._file.tell() % tarfile.RECORDSIZE))


def verified(path: Path, progress: Progress = silent) -> Archive:
    """Open a backup after every byte of it was found as it was written; nothing is extracted.

    Raises:
        InputError: it is no backup, cut short, altered, of another format, or holds what no backup holds.
    """
    try:
        with path.open("rb") as file:
            return _verified(path, file, progress)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _verified(path: Path, file: BinaryIO, progress: Progress) -> Archive:
    n_bytes = file.seek(0, 2)
    members = _members(path, file)
    names = [member.name for member in members]
    if names[:1] != [DUMP]:
        raise InputError(f"{path} is no backup of agd: choose a file that `agd backup` wrote")
    if names[-2:] != [MANIFEST, SEAL] or len(set(names)) != len(names):
        raise _cut_short(path)
    seal, digests, position = hashlib.sha256(), dict[str, str](), 0
    *sealed, last = members
    for member in sealed:
        _feed(file, position, member.offset_data, seal)
        own = hashlib.sha256()
        position = member.offset_data + member.size
        _feed(file, member.offset_data, position, seal, own)
        digests[member.name] = own.hexdigest()
        progress(position, n_bytes, "verifying")
    _feed(file, position, last.offset, seal)
    file.seek(last.offset_data)
    if file.read(min(last.size, _BLOCK)) != seal.hexdigest().encode():
        raise _altered(path, "its bytes do not have the hash it was sealed with")
    _require_end(path, file, last.offset_data + last.size, n_bytes)
    manifest = _manifest(path, file, sealed[-1])
    _require_listed(path, manifest, sealed[:-1], digests)
    return Archive(path, manifest, n_bytes, {m.name: (m.offset_data, m.size) for m in sealed})


def _members(path: Path, file: BinaryIO) -> list[tarfile.TarInfo]:
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            members = list(tar)
    except tarfile.TarError as error:
        file.seek(0)
        if file.read(len(DUMP)) == DUMP.encode():
            raise _cut_short(path) from error
        raise InputError(f"{path} is no backup of agd ({error}): choose a file that `agd backup` wrote") from error
    for member in members:
        if not _KNOWN.fullmatch(member.name) or not member.isreg() or member.issparse():
            raise InputError(
                f"{path} holds {member.name!r}, which no backup of agd does: it is not one, or was altered"
            )
    return members


def _require_end(path: Path, file: BinaryIO, end: int, n_bytes: int) -> None:
    """Raise InputError unless nothing but the zeros of tar's last record follow."""
    expected = end + -end % _BLOCK + 2 * _BLOCK
    expected += -expected % tarfile.RECORDSIZE
    file.seek(end)
    if n_bytes < expected:
        raise _cut_short(path)
    if n_bytes > expected or any(file.read()):
        raise _altered(path, "something follows its end")


def _manifest(path: Path, file: BinaryIO, member: tarfile.TarInfo) -> Manifest:
    if member.size > _MAX_MANIFEST_BYTES:
        raise InputError(f"{path} has a manifest of {member.size:,} bytes, which no backup of agd has")
    file.seek(member.offset_data)
    content = file.read(member.size)
    found = re.search(rb'"format": *(\d{1,9})\b', content)
    if found is not None and int(found[1]) != FORMAT:
        raise InputError(
            f"{path} is of format {int(found[1])}, this agd reads {FORMAT}: restore it with the agd that wrote it"
        )
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "its text"
        raise InputError(f"{path} has a manifest that cannot be used ({where}: {first['msg']})") from error


def _require_listed(
    path: Path, manifest: Manifest, members: Iterable[tarfile.TarInfo], digests: Mapping[str, str]
) -> None:
    listed = {model_member(entry.sha256): entry for entry in manifest.model_files} | {DUMP: manifest.dump}
    found = {member.name: Entry(n_bytes=member.size, sha256=digests[member.name]) for member in members}
    for name in sorted({*listed, *found}):
        if listed.get(name) != found.get(name):
            raise _altered(path, f"{name} is not what its manifest says")


def _feed(file: BinaryIO, start: int, end: int, *digests: "hashlib._Hash") -> None:
    file.seek(start)
    for chunk in _chunks(file, end - start):
        for digest in digests:
            digest.update(chunk)


def _chunks(file: BinaryIO, n_bytes: int) -> Iterator[bytes]:
    """The next `n_bytes`, or what there is."""
    while n_bytes > 0 and (chunk := file.read(min(CHUNK_BYTES, n_bytes))):
        yield chunk
        n_bytes -= len(chunk)


def _cut_short(path: Path) -> InputError:
    return InputError(f"{path} is cut short or damaged: it does not end as a backup does; use another copy")


def _altered(path: Path, how: str) -> InputError:
    return InputError(f"{path} was altered ({how}): use another copy")
