"""What a shell hands over: arguments, working folder, the width of its terminal."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from agd.errors import InputError

_WIDTHS = ("COLUMNS", "LINES", "TERMINAL_WIDTH")
"""Dropped unless at least 20: narrower, a table shows one letter a line."""


def settle(arguments: Sequence[str]) -> None:
    """Refuse what no verb can work with, and drop what says nothing.

    Raises:
        InputError: an argument is no text, or the working folder is gone.
    """
    _refuse_what_is_not_text(arguments)
    try:
        Path.cwd()
    except OSError:
        raise InputError("the working folder is gone: `cd` to one that is there, and run the command again") from None
    for name in _WIDTHS:
        if re.fullmatch(r"[2-9]\d|[1-9]\d{2,4}", os.environ.get(name, ""), re.ASCII) is None:
            os.environ.pop(name, None)
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # other packages' plug-ins, read whenever a model is declared


def _refuse_what_is_not_text(arguments: Sequence[str]) -> None:
    """Refuse an argument whose bytes are not text, or that holds a null character: no record can keep it."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            encoding = sys.getfilesystemencoding()
            if encoding != "utf-8":
                cure = f"this locale reads {encoding} alone: set LC_ALL=C.UTF-8"
            else:
                cure = "it is not UTF-8 text: type it anew"
            raise InputError(f"the argument {argument!a} cannot be read: {cure}") from None
