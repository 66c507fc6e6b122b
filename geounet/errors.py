"""What a user can act on, each with its exit code.

    GeounetError
    ├── UsageError        2    also a ValueError: an option or argument that cannot be meant
    ├── InputError        3    also a ValueError: a raster, labels or vectors that cannot be used
    ├── ModelError        4    also a ValueError: a model that cannot be used or does not fit
    ├── ResourceError     5    also an OSError: memory, disk or device
    ├── BelowThreshold    6    a metric below --fail-under
    └── Interrupted     130    stopped by the user; says how to go on

Messages are one line: what; what was found; what to do. Everything else that is raised is a bug
(exit code 1).
"""


class GeounetError(Exception):
    """Base of all errors that a user can act on.

    Attributes:
        exit_code: of the command.
        is_told: whether another process tells it, of several that work together.
    """

    exit_code = 1
    is_told = False


class UsageError(GeounetError, ValueError):
    """An option or argument that cannot be meant."""

    exit_code = 2


class InputError(GeounetError, ValueError):
    """A raster, labels or vectors that cannot be used."""

    exit_code = 3


class ModelError(GeounetError, ValueError):
    """A model that cannot be used, or does not fit the scene."""

    exit_code = 4


class ResourceError(GeounetError, OSError):
    """Memory, disk or device: the work could be done elsewhere."""

    exit_code = 5


class BelowThreshold(GeounetError):
    """A metric is below what --fail-under asks for."""

    exit_code = 6


class Interrupted(GeounetError):
    """Stopped by the user; the message says how to go on."""

    exit_code = 130
