"""Tensors on disk, named by what they hold: the address of a file is the sha256 of its bytes."""

import hashlib
import io
import os
import re
import uuid
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agd.errors import ModelError
from agd.types import Tensors

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
    path = _path(folder, sha256)
    if path.is_file() and _digest(path.read_bytes()) == sha256:
        return sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{sha256}.{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync(path.parent)
    return sha256


def load_tensors(folder: Path, sha256: str) -> dict[str, NDArray[np.generic]]:
    """Read the tensors saved under `sha256`; nothing is parsed before the hash is found right.

    Raises:
        ModelError: the file is missing or altered, or `sha256` is not a hash.
    """
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ModelError(f"{sha256!r} is not a sha256 (64 hexadecimal digits): it names no stored model")
    path = _path(folder, sha256)
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


def _path(folder: Path, sha256: str) -> Path:
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


def _sync(folder: Path) -> None:
    """Make a rename in `folder` last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
