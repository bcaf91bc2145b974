"""Tensors on disk, named by what they hold: the address of a file is the sha256 of its bytes."""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agd.errors import ModelError
from agd.types import Tensors
from agd.writing import whole_file

_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_CURE = "restore it from a backup, or make it again with `agd retrain` and the beginning of that hash"


def save_tensors(folder: Path, tensors: Tensors) -> str:
    """Write `tensors` to `folder/<first two digits>/<sha256>.npz` and return the sha256 of the file.

    Equal names, types, shapes and values give equal bytes wherever and whenever they are written. The file appears
    whole or not at all; a whole one that stands already is kept, a damaged one replaced.

    Raises:
        ModelError: a tensor is made of Python objects.
    """
    content = _pack(tensors)
    sha256 = hashlib.sha256(content).hexdigest()
    place_file(folder, sha256, [content])
    return sha256


def load_tensors(folder: Path, sha256: str) -> dict[str, NDArray[np.generic]]:
    """Read the tensors saved under `sha256`; nothing is parsed before the hash is found right.

    Raises:
        ModelError: the file is missing or altered, or `sha256` is not a hash.
    """
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ModelError(f"{sha256!r} is not a sha256 (64 hexadecimal digits): it names no stored model")
    path = tensors_path(folder, sha256)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(
            f"model file {path} is missing: expected sha256 {sha256}, found no file; put the file back ({_CURE})"
        ) from error
    found = _digest(content)
    if found != sha256:
        raise ModelError(f"model file {path} was altered: expected sha256 {sha256}, found {found}; {_CURE}")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def place_file(folder: Path, sha256: str, chunks: Iterable[bytes]) -> bool:
    """Put the file of that hash in its place, whole or not at all; whether it had to be written.

    Raises:
        ModelError: the chunks have another hash; nothing was changed.
    """
    if damage(folder, sha256) is None:
        return False
    path = tensors_path(folder, sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with whole_file(path, replaces=True) as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != sha256:
            raise ModelError(f"what was to become {path} has sha256 {digest.hexdigest()}: take it from another copy")
    return True


def damage(folder: Path, sha256: str) -> str | None:
    """What is wrong with the file of that hash: "missing", "unreadable", "altered" or nothing."""
    try:
        with tensors_path(folder, sha256).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "unreadable"
    return None if found == sha256 else "altered"


def tensors_path(folder: Path, sha256: str) -> Path:
    """Where the tensors of that hash lie."""
    return folder / sha256[:2] / f"{sha256}.npz"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _pack(tensors: Tensors) -> bytes:
    """Build an uncompressed .npz: names sorted, rows first, least byte first, one fixed time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(tensors):
            tensor = np.asarray(tensors[name], order="C")
            if tensor.dtype.hasobject:
                raise ModelError(
                    f"tensor {name!r} holds Python objects ({tensor.dtype}): store numbers or fixed-length text"
                )
            member = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            member.create_system = _UNIX
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, tensor.astype(tensor.dtype.newbyteorder("<")), allow_pickle=False)
    return buffer.getvalue()
