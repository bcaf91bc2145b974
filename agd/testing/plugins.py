"""What every plug-in promises, whatever it is."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar

import numpy as np
from pydantic import ValidationError

from agd import registry
from agd.protocols import Options
from agd.testing.promises import BrokenPromiseError, checks_of, kept, promised, require


class PluginContract:
    """The contract of one plug-in: a subclass names it and says how to make it quick.

    pytest runs a subclass whose name begins with `Test`; `broken_promises` does it without pytest.
    """

    plugin: ClassVar[Any]
    """The class, or the name that it is installed under."""

    options: ClassVar[Mapping[str, Any]] = {}
    """Options that are not left at their defaults, such as few epochs."""

    is_random: ClassVar[bool] = True
    """Whether another seed gives another result."""

    group: ClassVar[str]
    protocol: ClassVar[type]

    @classmethod
    def broken_promises(cls) -> list[str]:
        """What the plug-in does not keep: an empty list where all is well."""
        broken = []
        for name, _ in checks_of(cls):
            try:
                getattr(cls(), name)()
            except BrokenPromiseError as error:
                broken.append(str(error))
        return list(dict.fromkeys(broken))

    @classmethod
    def title(cls) -> str:
        """What the plug-in is called when something is said of it."""
        name = f"{cls.plugin!r}" if isinstance(cls.plugin, str) else cls.plugin.__name__
        return f"{registry.word(cls.group)} {name}"

    @classmethod
    def plugin_class(cls) -> Any:
        """The class of the plug-in."""
        with kept(cls, "it can be loaded, and has every member of its protocol", cure="see agd.protocols"):
            plugin = registry.load(cls.group, cls.plugin) if isinstance(cls.plugin, str) else cls.plugin
            wrong = registry.misfit(cls.group, plugin)
            require(wrong is None, str(wrong))
            return plugin

    @classmethod
    def chosen(cls, **changed: object) -> Options:
        """The plug-in's options: those of the contract, and some changed."""
        options: Options = cls.plugin_class().options_type.model_validate({**cls.options, **changed})
        return options

    @promised(
        "each option has a default and a description",
        cure="subclass agd.protocols.Options and declare each as `name: type = Field(default, description=...)`",
    )
    def test_options_have_defaults_and_descriptions(self) -> None:
        """A person reads descriptions; a campaign that says nothing of an option gets its default."""
        options_type = self.plugin_class().options_type
        require(issubclass(options_type, Options), f"{options_type.__name__} is no subclass of agd.protocols.Options")
        for name, field in options_type.model_fields.items():
            require(not field.is_required(), f"option {name!r} has no default")
            require(field.description, f"option {name!r} has no description")
        options_type()

    @promised(
        "options that do not exist are refused",
        cure='leave extra="forbid" of agd.protocols.Options as it is: a misspelt option must not be ignored',
    )
    def test_unknown_options_are_refused(self) -> None:
        """A slip of the pen in a specification is an error, not a default."""
        options_type = self.plugin_class().options_type
        try:
            options_type.model_validate({"no_such_option": 1})
        except ValidationError:
            return
        require(is_kept=False, found=f"{options_type.__name__} takes no_such_option = 1 without a word")

    @promised(
        "options survive the record, which keeps them as JSON",
        cure="use numbers, booleans, texts and tuples of them, and let no validator change what it has accepted before",
    )
    def test_options_survive_the_record(self) -> None:
        """A resumed campaign reads them from there."""
        for options in (self.plugin_class().options_type(), self.chosen()):
            kept = json.dumps(options.model_dump(mode="json"), allow_nan=False)
            again = type(options).model_validate_json(kept)
            require(again == options, f"{options!r} comes back as {again!r}")

    @promised(
        "importing its module does not load torch",
        cure="import torch in the function that uses it: whoever lists or names plug-ins need not wait for it",
    )
    def test_importing_it_loads_no_torch(self) -> None:
        """A module that another process cannot import, such as a notebook, is not asked."""
        module = self.plugin_class().__module__
        require(not _loads_torch(module), f"`import {module}` loads torch")


@contextmanager
def other_global_randomness() -> Iterator[None]:
    """Put numpy's and Python's global random numbers elsewhere; afterwards require that nobody drew from them."""
    before = np.random.get_state(), random.getstate()  # noqa: NPY002  # the very thing that is to be left alone
    np.random.seed(12345)  # noqa: NPY002
    random.seed(12345)
    expected = _drawn()
    try:
        yield
        require(_drawn() == expected, "it draws from the global random numbers of numpy or Python")
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        random.setstate(before[1])


def _drawn() -> object:
    """What tells whether anybody drew a global random number."""
    name, key, *rest = np.random.get_state()  # noqa: NPY002
    return name, np.asarray(key).tobytes(), rest, random.getstate()


@cache
def _loads_torch(module: str) -> bool:
    program = f"import sys, {module}; print('torch' in sys.modules)"
    path = os.pathsep.join(folder for folder in sys.path if folder)
    ran = subprocess.run(  # noqa: S603  # this very interpreter
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode == 0 and ran.stdout.strip().endswith("True")
