"""Files that carry a step to where the record is not in reach, and back: plain values as JSON, arrays as npz."""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from agd.errors import InputError
from agd.work.shelf import ModelRef
from agd.writing import whole_file

FORMAT = "agd step 1"

_HEADER = "header"
_DAMAGE = (
    *(ValueError, KeyError, TypeError, AttributeError, EOFError, OverflowError, MemoryError, RecursionError),
    *(zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError),  # the last two: encrypted, or another zip
)
"""What reading a file raises that is not as it was written."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Parcel:
    """What such a file holds: words about the step, and the fields of one of its dataclasses, or an error's words."""

    about: Mapping[str, Any]
    values: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    def unpack(self, kind: type[_T]) -> _T:
        """The dataclass again."""
        models = {
            name: [ModelRef.of(one) for one in value] if isinstance(value, list) else ModelRef.of(value)
            for name, value in self.values.get("models", {}).items()
        }
        return kind(**self.values["plain"], **models, **self.arrays)

    def model_files(self) -> list[str]:
        """Hashes of the model files that it names."""
        named = self.values.get("models", {}).values()
        refs = [one for value in named for one in (value if isinstance(value, list) else [value])]
        return [sha256 for ref in refs for sha256 in ModelRef.of(ref).files()]

    @property
    def sha256(self) -> str:
        """Of values and arrays, whatever the words about them."""
        digest = hashlib.sha256(json.dumps(self.values, sort_keys=True).encode())
        for name, array in sorted(self.arrays.items()):
            digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def pack(about: Mapping[str, Any], content: Any) -> Parcel:
    """A parcel of a dataclass of arrays, models and plain values."""
    plain: dict[str, Any] = {}
    models: dict[str, Any] = {}
    arrays: dict[str, NDArray[Any]] = {}
    for one in fields(content):
        value = getattr(content, one.name)
        if isinstance(value, np.ndarray):
            arrays[one.name] = value
        elif isinstance(value, ModelRef):
            models[one.name] = asdict(value)
        elif isinstance(value, list) and value and isinstance(value[0], ModelRef):
            models[one.name] = [asdict(ref) for ref in value]
        else:
            plain[one.name] = value
    values = json.loads(json.dumps({"plain": plain, "models": models}))
    return Parcel(about, values, arrays)


def write(path: Path, parcel: Parcel) -> None:
    """Write the file; it appears whole or not at all."""
    header = {"format": FORMAT, "sha256": parcel.sha256, "about": dict(parcel.about), "values": dict(parcel.values)}
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {f"array {name}": array for name, array in parcel.arrays.items()}
    arrays[_HEADER] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(buffer, **arrays)
    with whole_file(path, replaces=True) as file:
        file.write(buffer.getvalue())


def read(path: Path) -> Parcel:
    """Read such a file, found whole and unaltered.

    Raises:
        InputError: it is missing, damaged, or of another format.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            header = json.loads(file[_HEADER].tobytes())
            arrays = {name.removeprefix("array "): file[name] for name in file.files if name != _HEADER}
            is_known = isinstance(header, dict) and header.get("format") == FORMAT
            parcel = Parcel({**header["about"]}, {**header["values"]}, arrays) if is_known else None
            is_whole = parcel is None or parcel.sha256 == header["sha256"]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except _DAMAGE as error:
        raise InputError(f"{path}: damaged, or not a file of agd ({error}): have the step computed again") from error
    if parcel is None:
        raise InputError(f"{path}: not a step of this version of agd ({FORMAT!r} is wanted)")
    if not is_whole:
        raise InputError(f"{path}: altered since it was written: have the step computed again")
    return parcel
