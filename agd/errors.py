"""One root error and one class per meaning; the command line turns each into one line and an exit code."""


class AgdError(Exception):
    """Root of every error a user can cause or cure.

    The message says what is wrong, where, and what to do about it.
    """

    exit_code = 1


class InputError(AgdError):
    """A file, option or value that the user gave cannot be used."""

    exit_code = 2


class ExhaustedError(InputError):
    """A sampler has nothing left to suggest."""


class FormulaError(InputError):
    """A chemical formula cannot be read as whole numbers of known elements."""


class SpecError(InputError):
    """A campaign specification is wrong; the message names file, line and key."""


class NotFoundError(AgdError):
    """The record holds no campaign, dataset, composition or plug-in of that name."""

    exit_code = 3


class PluginError(NotFoundError):
    """A plug-in is installed under that name and cannot be used; the message names package, reason and cure."""


class DatabaseError(AgdError):
    """The database cannot be reached, started or used."""

    exit_code = 4


class AbsentError(DatabaseError):
    """The database server has gone away, and may come back: what was committed is safe."""


class SchemaError(DatabaseError):
    """The database schema is not the one this version of agd works with."""


class BusyError(AgdError):
    """Somebody else is at work on the same campaign or the same data directory."""

    exit_code = 5


class ModelError(AgdError):
    """A stored model is missing, altered, or of another architecture."""

    exit_code = 6


class SpecChangedError(SpecError):
    """A campaign of this name exists with another specification or agd major version."""


class StepError(AgdError):
    """A step of a campaign failed; its activity row keeps the error."""

    exit_code = 7


class FaultyPluginError(StepError):
    """A plug-in of another package failed at work; the message names it, its package, the reason and the place."""


def is_transient(error: BaseException) -> bool:
    """Whether the same step may well succeed on another try: a busy or absent server, a full disk, an interruption."""
    if isinstance(error, SchemaError):
        return False
    passing = (DatabaseError, BusyError, OSError, MemoryError, TimeoutError, KeyboardInterrupt, SystemExit)
    return isinstance(error, passing)
