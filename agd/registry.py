"""Plug-ins, found by entry point and loaded on use."""

import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any

from agd.errors import NotFoundError, PluginError
from agd.installing import DISTRIBUTION, FORMER

_OWN = (DISTRIBUTION, FORMER)

_MODEL = ("options_type", "architecture_version", "fit", "load")

MEMBERS = {
    "agd.generators": (*_MODEL, "is_representable", "n_latent", "encode", "decode"),
    "agd.formula_generators": (*_MODEL, "is_representable", "sample"),
    "agd.oracles": (*_MODEL, "label"),
    "agd.samplers": ("options_type", "space", "draws_from_pool", "takes_several_properties", "suggest"),
    "agd.templates": ("options_type", "version", "propose"),
    "agd.potentials": ("options_type", "version", "weights_sha256", "relax", "energy", "forces", "stress"),
    "agd.structure_oracles": (*_MODEL, "label"),
    "agd.dft_engines": (
        *("options_type", "method", "version", "recipe", "refusal", "size", "write", "command", "read", "mend"),
    ),
    "agd.engines": ("has_queue", "run", "submit", "status", "findings"),
}
"""What a class must have to be a plug-in of a group; an attribute that only instances get may be an annotation."""

CLASS_VARS: Mapping[str, type] = {
    "options_type": type,
    "architecture_version": int,
    "space": str,
    "draws_from_pool": bool,
    "takes_several_properties": bool,
    "has_queue": bool,
    "method": str,
}
"""Members that a class itself must have a value of, and its type: they are asked before there is an instance."""

SPACES = ("latent", "formula")
"""Where a sampler may search."""

GROUPS = tuple(MEMBERS)

_PROTOCOLS = {"agd.engines": "agd.engines"}
"""Where a group is described that is not among the others."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed plug-in, not loaded yet, and the distribution that brought it."""

    entry: EntryPoint
    distribution: str

    def __str__(self) -> str:
        return f"{word(self.entry.group)} {self.entry.name!r} of {self.distribution}"

    @property
    def is_own(self) -> bool:
        """Whether it is part of agd."""
        return self.distribution.partition(" ")[0] in _OWN

    def cure(self, error: BaseException | None = None) -> str:
        """What helps against one that is broken, by what it raised when it was loaded."""
        package = self.distribution.partition(" ")[0]
        if isinstance(error, ModuleNotFoundError) and error.name and not self.entry.value.startswith(error.name):
            return f"install the package {error.name}, or uninstall {package}"
        return f"install another version of {package}, or uninstall it"


def names(group: str) -> list[str]:
    """The installed plug-ins of a group, without loading any."""
    return sorted({plugin.entry.name for plugin in installed() if plugin.entry.group == group})


def load(group: str, name: str) -> Any:
    """The plug-in class of that name.

    Raises:
        NotFoundError: none is installed under that name; the message lists those that are.
        PluginError: it cannot be loaded, is no plug-in of this group, or two packages claim the name.
    """
    found = _claimants(group, name)
    if not found:
        raise NotFoundError(f"no {word(group)} {name!r}{suggestion(name, names(group))}")
    if len(found) > 1:
        claimants = " and ".join(plugin.distribution for plugin in found)
        raise PluginError(f"the {word(group)} {name!r} is claimed by {claimants}: uninstall all but one of them")
    return _loaded(found[0])


def find(group: str, name: str) -> Plugin | None:
    """The plug-in of that name, not loaded; None where there is none, or more than one."""
    found = _claimants(group, name)
    return found[0] if len(found) == 1 else None


def troubles(*, is_own: bool | None = None) -> Iterator[tuple[str, str]]:
    """What is wrong with the installed plug-ins, with its cure; each is loaded for that.

    `is_own`: only those of agd, or only those of others.
    """
    for plugin in installed():
        if is_own is None or plugin.is_own == is_own:
            try:
                load(plugin.entry.group, plugin.entry.name)
            except PluginError as error:
                what, _, cure = str(error).rpartition(": ")
                yield what, cure


@cache
def installed() -> Sequence[Plugin]:
    """Every plug-in that any installed distribution declares; a distribution that cannot be read declares none.

    Of two copies of one distribution the first on the path counts.
    """
    found: dict[tuple[str, EntryPoint], Plugin] = {}
    seen: set[str] = set()
    for distribution in distributions():
        declared = _declared(distribution)
        if not declared:
            continue
        name, version = _title(distribution)
        if name not in seen:
            seen.add(name)
            found |= {(name, entry): Plugin(entry, f"{name} {version}".strip()) for entry in declared}
    if DISTRIBUTION in seen:  # what an installation under the former name has left is no other package
        found = {key: plugin for key, plugin in found.items() if key[0] != FORMER}
    return tuple(found.values())


def _claimants(group: str, name: str) -> list[Plugin]:
    return [plugin for plugin in installed() if (plugin.entry.group, plugin.entry.name) == (group, name)]


def _declared(distribution: Distribution) -> list[EntryPoint]:
    with suppress(OSError, ValueError, TypeError):  # a file that nobody can read, or that holds no entry points
        if "agd." in (distribution.read_text("entry_points.txt") or ""):
            return [entry for entry in distribution.entry_points if entry.group in GROUPS]
    return []


def _title(distribution: Distribution) -> tuple[str, str]:
    """Name and version, as far as its metadata say."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(distribution.metadata["Name"]), str(distribution.metadata["Version"] or "")
    return "an unnamed distribution", ""


def _loaded(plugin: Plugin) -> Any:
    try:
        with redirect_stdout(sys.stderr):  # what a module says while it loads is no output of ours
            loaded = plugin.entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # another package's module may raise anything, SystemExit too
        raise PluginError(f"{_broken(plugin)} ({reason(error)}): {plugin.cure(error)}") from error
    if wrong := misfit(plugin.entry.group, loaded):
        described = _PROTOCOLS.get(plugin.entry.group, "agd.protocols")
        raise PluginError(f"{_broken(plugin)} ({wrong}, see {described}): {plugin.cure()}")
    return loaded


def misfit(group: str, loaded: Any) -> str | None:
    """Why that is no plug-in of a group, None where it is one."""
    members = MEMBERS[group]
    if not isinstance(loaded, type):
        return "it is no class"
    if lacking := [name for name in members if not _has(loaded, name)]:
        return f"it has no {', '.join(lacking)}"
    values = {name: getattr(loaded, name) for name in members if name in CLASS_VARS}
    for name, value in values.items():
        if not isinstance(value, CLASS_VARS[name]):
            return f"its {name} is no {CLASS_VARS[name].__name__}"
    if values.get("space", SPACES[0]) not in SPACES:
        return f"its space is none of {', '.join(SPACES)}"
    if "options_type" in values and not hasattr(values["options_type"], "model_fields"):
        return "its options_type is no class of options"
    return None


def _has(loaded: type, name: str) -> bool:
    is_annotated = any(name in vars(kind).get("__annotations__", {}) for kind in loaded.__mro__)
    return hasattr(loaded, name) or (is_annotated and name not in CLASS_VARS)


def _broken(plugin: Plugin) -> str:
    return f"the {plugin} cannot be loaded from {plugin.entry.value}"


def reason(error: BaseException) -> str:
    """Class and first line of an error."""
    words = str(error).strip().partition("\n")[0]
    if isinstance(error, SyntaxError) and error.filename:
        words = f"{error.msg}, {error.filename}:{error.lineno}"
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def word(group: str) -> str:
    """What one plug-in of a group is called."""
    return group.removeprefix("agd.").removesuffix("s").replace("_", " ")


def suggestion(wrong: str, known: list[str]) -> str:
    """The end of an error message: the near miss, or everything there is."""
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(wrong.casefold(), by_folded, n=1)
    if near:
        return f": did you mean {by_folded[near[0]]!r}?"
    return f": there is {', '.join(known)}" if known else ": there is none yet"
