"""Reading a specification: every error with file, line and key; and what its content is known by."""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from functools import reduce
from numbers import Integral, Real
from operator import getitem
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from pydantic import ValidationError

from agd import registry
from agd.answerers import ANSWERERS
from agd.errors import NotFoundError, PluginError, SpecError
from agd.filters import FilterOptions
from agd.spec.campaign import (
    DEFAULT_SAMPLER,
    NAME,
    PAPER_AUTOENCODER,
    CampaignSpec,
    PluginSpec,
    SamplerSpec,
    validated,
)
from agd.spec.consistency import check
from agd.spec.places import Places, shown
from agd.spec.toml import MAX_DEPTH, Key, first_refused, lines_of, written

_MAX_BYTES = 2**20
"""Of a file; a specification has a thousand."""

_MAX_BITS = 4096
"""Of a whole number: Python writes none of more than some thousand digits."""


@dataclass(frozen=True, slots=True)
class ResolvedSpec:
    """A specification with its files read: all a campaign needs, wherever it is resumed.

    `folder` is where the files that it names are looked for.
    """

    spec: CampaignSpec
    text: str
    places: Places
    folder: Path
    content: dict[str, Any]
    sha256: str

    def place(self, *key: str) -> str:
        """The beginning of an error message about a key, as in Places."""
        return self.places.of(*key)


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
    return parse(text, path)


def parse(text: str, path: Path) -> ResolvedSpec:
    """Validate the text of a specification that stands, or could stand, at `path`.

    Raises:
        SpecError: it is wrong; the message has file, line and key.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from error
    except RecursionError:
        raise SpecError(f"{path}: {_TOO_DEEP}") from None
    except ValueError as error:
        raise SpecError(f"{path}:{first_refused(text)}: {_TOO_LONG}") from error
    places = Places(path, lines_of(text))
    return _resolved(_plain(values, places), text, places, path.parent.resolve())


def from_mapping(values: Mapping[str, Any], folder: Path) -> ResolvedSpec:
    """Validate a specification given as a mapping; files it names are looked for in `folder`.

    Its text is TOML of the same content.

    Raises:
        SpecError: it is wrong; the message has the key.
    """
    places = Places()
    plain = _plain(values, places)
    return replace(_resolved(plain, "", places, folder), text=written(plain))


def in_units(resolved: ResolvedSpec, targets: Sequence[str]) -> ResolvedSpec:
    """The same specification with its targets in other words; its text stays as it was given."""
    told: str | list[str] = targets[0] if isinstance(resolved.content["target"], str) else list(targets)
    content = {**resolved.content, "target": told}
    spec = CampaignSpec.model_validate_json(json.dumps(content))
    return replace(resolved, spec=spec, content=content, sha256=hash_of(content))


_OF_NEW: Mapping[str, Mapping[str, bool | float]] = {
    "": {"is_neutral_in_common_states": True},
    DEFAULT_SAMPLER: {
        "is_electronegativity_balanced": True,
        "is_known_or_analogue": True,
        "max_radius_ratio": 1.42,
        "has_metal": True,
    },
}
"""What a new specification of the default mode filters by, unless it says otherwise: with any sampler, and with one.

The ratio of radii admits Cl for F and K for Na, not B for Al: 98 % of the known compounds that have an analogue have
one within it.
"""


def _resolved(values: dict[str, Any], text: str, places: Places, folder: Path) -> ResolvedSpec:
    try:
        spec = validated(CampaignSpec, _with_defaults(values))
    except ValidationError as error:
        raise SpecError(_explain(places, (), error)) from error
    for section, plugin in _plugins(spec):
        _check_options(places, section, plugin)
    check(places, spec)
    content = _with_hashes(spec, folder, places)
    return ResolvedSpec(spec, text, places, folder, content, hash_of(content))


def _with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a specification means today where it says nothing; a stored one says everything, and means what it did."""

    def section(name: str) -> dict[str, Any] | None:
        given = values.get(name, {})
        return given if isinstance(given, dict) else None

    filled = dict(values)
    sampler, oracle, chosen, rule = map(section, ("sampler", "oracle", "autoencoder", "filter"))
    is_paper = values.get("mode") == "paper"
    if is_paper and chosen is not None:
        filled["autoencoder"] = {"kind": PAPER_AUTOENCODER, **chosen}
    if sampler is None:
        return filled
    if not is_paper:
        filled["sampler"] = sampler = {"kind": DEFAULT_SAMPLER, **sampler}
        kind = str(sampler["kind"])
        if oracle is not None:
            filled["oracle"] = _answering(oracle)
        if further := section("oracles"):
            filled["oracles"] = {
                name: _answering(one) if isinstance(one, dict) else one for name, one in further.items()
            }
        if rule is not None:
            ours = {**_OF_NEW[""], **_OF_NEW.get(kind, {})}
            if rule.get("is_known_or_analogue") is False:
                ours.pop("max_radius_ratio", None)  # who wants no analogues wants none of a size
            filled["filter"] = {**ours, **rule}
        if "autoencoder" not in values and _is_latent(kind):
            filled["autoencoder"] = {}
    return filled


def _answering(oracle: Mapping[str, Any]) -> dict[str, Any]:
    """What the section of an oracle means today: a model knows the labels of its own dataset."""
    return {**({} if str(oracle.get("kind")) in ANSWERERS else {"uses_known_labels": True}), **oracle}


def _is_latent(kind: str) -> bool:
    """Whether a sampler's space is latent; one that cannot be loaded is refused later, with its place."""
    try:
        return SamplerSpec(kind=kind).space() == "latent"
    except (NotFoundError, PluginError):
        return True


_TOO_DEEP = "lists or tables in it are nested too deeply: a specification has sections"
_TOO_LONG = "a number of too many digits: no key takes one"


def _plain(value: Any, places: Places, key: Key = ()) -> Any:
    """A value as TOML would hold it.

    Raises:
        SpecError: it is none of those, or no record can keep it; the message has the key.
    """
    if len(key) > MAX_DEPTH:
        raise SpecError(f"{places.of(*key)}: {_TOO_DEEP}")
    match value:
        case Mapping():
            for name in value:
                _check_text(name, places, (*key, str(name)))
            return {name: _plain(inner, places, (*key, name)) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner, places, (*key, str(i))) for i, inner in enumerate(value)]
        case str():
            _check_text(value, places, key)
            return value
        case bool() | date() | time():
            return value
        case Integral():
            whole = int(value)
            if whole.bit_length() > _MAX_BITS:
                raise SpecError(f"{places.of(*key)}: {_TOO_LONG}")
            return whole
        case Real():
            return float(value)
    raise SpecError(
        f"{places.of(*key)}: a specification holds text, numbers, booleans, dates, lists and mappings of them, "
        f"not {shown(value)}"
    )


def _check_text(words: object, places: Places, key: Key) -> None:
    if not isinstance(words, str):
        raise SpecError(f"{places.of(*key)}: a key is text, not {shown(words)}")
    if "\x00" in words:
        raise SpecError(f"{places.of(*key)}: holds the null character, which no record can keep: leave it out")
    try:
        words.encode()
    except UnicodeEncodeError as error:
        raise SpecError(f"{places.of(*key)}: holds half a character, which no file can keep: leave it out") from error


CONTROLS = ("random", "substitution")
"""Samplers that learn nothing: what a search must beat."""


def controls(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The controls that a resolved specification can have: without an autoencoder no point can be drawn at random."""
    has_latents = content.get("autoencoder") is not None
    return tuple(kind for kind in CONTROLS if kind != "random" or has_latents or "acquisition" in content["sampler"])


def control(content: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A resolved specification with a sampler that learns nothing in the place of its own, named NAME-KIND.

    Where nothing is latent, random is the sampler itself, choosing blindly among what it would have weighed.

    Raises:
        SpecError: that name would be too long.
    """
    name = f"{content['name']}-{kind}"
    if not NAME.fullmatch(name):
        raise SpecError(f"{name!r}, the name of the control, is too long: give the campaign a shorter one")
    if kind == "random" and content.get("autoencoder") is None:
        return {**content, "name": name, "sampler": {**content["sampler"], "acquisition": "random"}}
    sampler = SamplerSpec(kind=kind)
    return {**content, "name": name, "sampler": {"kind": kind, **sampler.options().model_dump(mode="json")}}


def hash_of(content: Mapping[str, Any]) -> str:
    """The sha256 of a resolved specification."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _plugins(spec: CampaignSpec) -> Iterator[tuple[Key, PluginSpec]]:
    """The plug-ins that a specification names, each by the key of its section."""
    if spec.autoencoder is not None:
        yield ("autoencoder",), spec.autoencoder
    yield ("oracle",), spec.oracle
    for name, oracle in spec.oracles.items():
        yield ("oracles", name), oracle
    yield ("sampler",), spec.sampler


def with_options(spec: CampaignSpec) -> dict[str, Any]:
    """Every key with its value, the plug-ins' options among them."""
    content: dict[str, Any] = spec.model_dump(mode="json", by_alias=True)
    for section, plugin in _plugins(spec):
        reduce(getitem, section, content).update(plugin.options().model_dump(mode="json"))
    for *above, key in _YOUNGER:  # so that specifications without them keep their hash
        of = content[above[0]] if above else content
        if not of[key]:
            del of[key]
    return content


_FIRST_OPTIONS = {
    *("is_charge_neutral", "is_electronegativity_balanced", "is_smact_valid"),
    *("max_elements", "max_atoms", "max_count"),
}
"""Of the filter, in the first release: written even where they ask nothing."""

_YOUNGER: Sequence[Key] = (
    ("autoencoder",),
    ("oracles",),
    ("sampler", "pool"),
    ("data", "known"),
    ("oracle", "uses_known_labels"),
    ("oracle", "with_answers_of"),
    ("trust",),
    *(("filter", option) for option in FilterOptions.model_fields if option not in _FIRST_OPTIONS),
)
"""Keys that came after the first release, which ask nothing where they are not given."""


def _with_hashes(spec: CampaignSpec, folder: Path, places: Places) -> dict[str, Any]:
    """Every key with its value: defaults and options filled in, files replaced by their hashes."""
    content = with_options(spec)

    def hashed(file: str, *key: str) -> str:
        try:
            return "sha256:" + hashlib.sha256((folder / file).read_bytes()).hexdigest()
        except OSError as error:
            home = "the specification" if places.path else "the working directory"
            raise SpecError(
                f"{places.of(*key)}: {folder / file} cannot be read ({error.strerror}); paths are relative to {home}"
            ) from error

    if spec.initial.file is not None:
        content["initial"]["file"] = hashed(spec.initial.file, "initial", "file")
    content["oracle"]["exclude"] = [hashed(file, "oracle", "exclude") for file in spec.oracle.exclude]
    for name, oracle in spec.oracles.items():
        excluded = [hashed(file, "oracles", name, "exclude") for file in oracle.exclude]
        content["oracles"][name]["exclude"] = excluded
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


def _check_options(places: Places, section: Key, plugin: PluginSpec) -> None:
    try:
        plugin.options()
    except PluginError as error:
        raise SpecError(f"{places.of(*section, 'kind')}: {error}") from error
    except NotFoundError as error:
        also = "".join(f", {kind}" for kind in ANSWERERS) if section == ("oracle",) else ""
        raise SpecError(f"{places.of(*section, 'kind')}: {error}{also}") from error
    except ValidationError as error:
        known = [*type(plugin).model_fields, *plugin.options_type().model_fields]
        raise SpecError(_explain(places, section, error, known)) from error


def _explain(places: Places, prefix: Key, error: ValidationError, known: Sequence[str] | None = None) -> str:
    """A line for each problem."""
    lines = []
    for problem in error.errors():
        key = (*prefix, *(str(part) for part in problem["loc"])) or ("mode",)
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown key" + registry.suggestion(key[-1], list(known or _known_keys(key[:-1])))
        elif problem["type"] == "missing":
            message = "this key is needed"
        elif problem["type"] != "value_error":
            message = f"{message[0].lower()}{message[1:]}, not {shown(problem['input'])}"
        lines.append(f"{places.of(*key)}: {message}")
    return "\n".join(lines)


def _known_keys(section: Sequence[str]) -> list[str]:
    model: Any = CampaignSpec
    for key in section:
        annotation = model.model_fields[key].annotation
        model = next((one for one in get_args(annotation) if one is not NoneType), annotation)
    return [one.alias or name for name, one in model.model_fields.items()]
