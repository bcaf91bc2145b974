"""Reading a specification: every error with file, line and key; and what its content is known by."""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from agd import registry
from agd.errors import NotFoundError, SpecError
from agd.spec.campaign import EXTERNAL, NAME, PAPER_AUTOENCODER, TABLE, CampaignSpec, PluginSpec, SamplerSpec, validated

_MAX_BYTES, _MAX_DEPTH = 2**20, 20
"""Of a specification; the sections that there are have a depth of 3."""


class ResolvedSpec(BaseModel, frozen=True):
    """A specification with its files read: all a campaign needs, wherever it is resumed."""

    spec: CampaignSpec
    text: str
    path: Path
    content: dict[str, Any]
    sha256: str

    @property
    def folder(self) -> Path:
        """Where the files that the specification names are looked for."""
        return self.path.parent.resolve()

    def place(self, *key: str) -> str:
        """`file:line: key`, the beginning of an error message."""
        return _place(self.path, self.text, key)


def read(path: Path) -> ResolvedSpec:
    """Read and validate a specification.

    Raises:
        SpecError: the file is missing or wrong; the message has file, line and key.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file; `agd init {path}` writes a commented one") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror})") from error
    if len(raw) > _MAX_BYTES:
        raise SpecError(f"{path}: is larger than {_MAX_BYTES:,} bytes: this is no specification")
    try:
        text = raw.decode("utf-8-sig")  # Windows editors put a byte-order mark first
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        byte = f"byte {raw[error.start]:#04x}"
        raise SpecError(f"{path}:{line}: {byte} is not UTF-8: save the file as UTF-8") from error
    return parse(text.replace("\r\n", "\n").replace("\r", "\n"), path)


def parse(text: str, path: Path) -> ResolvedSpec:
    """Validate the text of a specification that stands, or could stand, at `path`.

    Raises:
        SpecError: it is wrong; the message has file, line and key.
    """
    values = _loaded(text, path)
    if values.get("mode") == "paper":
        values = {"autoencoder": {}, **values}
        if isinstance(values["autoencoder"], dict):
            values["autoencoder"].setdefault("kind", PAPER_AUTOENCODER)
    try:
        spec = validated(CampaignSpec, values)
    except ValidationError as error:
        raise SpecError(_explain(path, text, (), error)) from error
    for section in _PLUGIN_SECTIONS:
        _check_options(path, text, section, getattr(spec, section))
    _check_pool(path, text, spec.sampler)
    content = resolve(spec, path.parent.resolve(), path, text)
    return ResolvedSpec(spec=spec, text=text, path=path, content=content, sha256=hash_of(content))


def _loaded(text: str, path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(text)
        if any("\x00" in words for words in _texts(values)):
            raise SpecError(f"{path}: a text holds the null character, which no record can keep: leave it out")
        json.dumps(values, default=str)  # as it will be kept
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from error
    except RecursionError:
        raise SpecError(f"{path}: lists or tables in it are nested too deeply: a specification has sections") from None
    except ValueError as error:  # Python reads and writes no integer of more than some thousand digits
        lines = enumerate(text.splitlines(), start=1)
        line = next((number for number, words in lines if re.search(r"[\da-fA-F_]{1000}", words)), 1)
        raise SpecError(f"{path}:{line}: a number of too many digits: no key takes one") from error
    return values


def from_mapping(values: Mapping[str, Any], folder: Path) -> ResolvedSpec:
    """Validate a specification given as a mapping; files it names are looked for in `folder`.

    Raises:
        SpecError: it is wrong; the message has the line of the TOML it was written as, and the key.
    """
    scalars = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    lines = [f"{key} = {_toml(value)}" for key, value in scalars.items()]
    for section, keys in values.items():
        if isinstance(keys, Mapping):
            lines += ["", f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in keys.items())]
    return parse("\n".join(lines) + "\n", folder / "specification")


def _texts(value: object, depth: int = 0) -> Iterator[str]:
    """Every text within a value of TOML, keys included; raises RecursionError where it is deeper than any is."""
    if depth > _MAX_DEPTH:
        raise RecursionError
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (words for pair in value.items() for part in pair for words in _texts(part, depth + 1))
    elif isinstance(value, list):
        yield from (words for item in value for words in _texts(item, depth + 1))


def _toml(value: object) -> str:
    if not isinstance(value, str | bool | int | float | list | tuple):
        raise SpecError(f"a specification holds text, numbers, booleans and lists of them, not {value!r}")
    return json.dumps(value)


CONTROLS = ("random", "substitution")
"""Samplers that learn nothing: what a search must beat."""


def control(content: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A resolved specification with a sampler that learns nothing in the place of its own, named NAME-KIND.

    Raises:
        SpecError: that name would be too long.
    """
    name = f"{content['name']}-{kind}"
    if not NAME.fullmatch(name):
        raise SpecError(f"{name!r}, the name of the control, is too long: give the campaign a shorter one")
    sampler = SamplerSpec(kind=kind)
    return {**content, "name": name, "sampler": {"kind": kind, **sampler.options().model_dump(mode="json")}}


def hash_of(content: Mapping[str, Any]) -> str:
    """The sha256 of a resolved specification."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


_PLUGIN_SECTIONS = ("autoencoder", "oracle", "sampler")


def with_options(spec: CampaignSpec) -> dict[str, Any]:
    """Every key with its value, the plug-ins' options among them."""
    content: dict[str, Any] = spec.model_dump(mode="json")
    for section in _PLUGIN_SECTIONS:
        content[section] |= getattr(spec, section).options().model_dump(mode="json")
    if spec.sampler.pool is None:
        del content["sampler"]["pool"]  # so that specifications without one keep their hash
    return content


def resolve(spec: CampaignSpec, folder: Path, path: Path, text: str) -> dict[str, Any]:
    """Every key with its value: defaults and options filled in, files replaced by their hashes."""
    content = with_options(spec)

    def hashed(file: str, *key: str) -> str:
        try:
            return "sha256:" + hashlib.sha256((folder / file).read_bytes()).hexdigest()
        except OSError as error:
            raise SpecError(
                f"{_place(path, text, key)}: {folder / file} cannot be read ({error.strerror}); "
                "paths are relative to the specification"
            ) from error

    if spec.initial.file is not None:
        content["initial"]["file"] = hashed(spec.initial.file, "initial", "file")
    content["oracle"]["exclude"] = [hashed(file, "oracle", "exclude") for file in spec.oracle.exclude]
    return content


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The keys in which two resolved specifications differ, as `key: old -> new`."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}: {json.dumps(a)} -> {json.dumps(b)}")
    return found


def _check_options(path: Path, text: str, section: str, plugin: PluginSpec) -> None:
    try:
        plugin.options()
    except NotFoundError as error:
        also = f", {TABLE}, {EXTERNAL}" if section == "oracle" else ""
        raise SpecError(f"{_place(path, text, (section, 'kind'))}: {error}{also}") from error
    except ValidationError as error:
        known = [*type(plugin).model_fields, *plugin.options_type().model_fields]
        raise SpecError(_explain(path, text, (section,), error, known)) from error


def _check_pool(path: Path, text: str, sampler: SamplerSpec) -> None:
    place = _place(path, text, ("sampler", "pool"))
    if sampler.draws_from_pool() and sampler.pool is None:
        raise SpecError(f"{place}: this key is needed, the dataset that sampler {sampler.kind!r} draws from")
    if sampler.pool is not None and not sampler.draws_from_pool():
        raise SpecError(
            f'{place}: sampler {sampler.kind!r} draws from no dataset: leave the key out, or take kind "pool"'
        )


def _explain(
    path: Path, text: str, prefix: tuple[str, ...], error: ValidationError, known: Sequence[str] | None = None
) -> str:
    lines = []
    for problem in error.errors():
        key = (*prefix, *(str(part) for part in problem["loc"])) or ("mode",)
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown key" + registry.suggestion(key[-1], list(known or _known_keys(key[:-1])))
        elif problem["type"] == "missing":
            message = "this key is needed"
        elif problem["type"] != "value_error":
            message = f"{message[0].lower()}{message[1:]}, not {_brief(repr(problem['input']))}"
        lines.append(f"{_place(path, text, key)}: {message}")
    return "\n".join(lines)


def _known_keys(section: Sequence[str]) -> list[str]:
    model: Any = CampaignSpec
    for key in section:
        model = model.model_fields[key].annotation
    return list(model.model_fields)


def _place(path: Path, text: str, key: Sequence[str]) -> str:
    return f"{path}:{_line_of(text, key)}: {_brief('.'.join(key))}"


def _brief(words: str, most: int = 200) -> str:
    return words if len(words) <= most else f"{words[:most]}..."


def _line_of(text: str, key: Sequence[str]) -> int:
    """The line where a key stands, or its section, or line 1."""
    table: tuple[str, ...] = ()
    best = (0, 1)
    for number, line in enumerate(text.splitlines(), start=1):
        if (header := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line)) is not None:
            table = tuple(part.strip().strip("\"'") for part in header[1].split("."))
            here = table
        elif (pair := re.match(r"\s*([\w.\"'-]+)\s*=", line)) is not None:
            here = (*table, *(part.strip("\"'") for part in pair[1].split(".")))
        else:
            continue
        depth = len(here) if tuple(key[: len(here)]) == here else 0
        best = max(best, (depth, number), key=lambda pair: pair[0])
    return best[1]
