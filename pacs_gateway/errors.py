"""The error tree: every failure the gateway names, by what the caller can do about it.

::

    GatewayError
    +-- ConfigurationError      the installation is set up wrong: change a setting
    +-- InputError              what was sent is wrong: change the request
    |   +-- InvalidUidError
    |   +-- InvalidQueryError
    |   |   +-- UnfitQueryError     lacks a key that its level or information model demands
    |   +-- InvalidInstanceError
    |   |   +-- MismatchError       command and data set disagree
    |   +-- InvalidMessageError
    |   +-- UnsupportedSyntaxError
    +-- NotFoundError           nothing there, or nothing the caller may see
    +-- ConflictError           it disagrees with what is already kept
    +-- RefusedError            policy says no
    |   +-- UnauthenticatedError    say who you are first
    +-- CapacityError           disk, quota or queue is full: try later
    |   +-- TooBroadError           more than anybody may ask for at once: ask for less
    +-- UnavailableError        store, index or peer is away: try later
    +-- IntegrityError          bytes and facts disagree

Tables map the tree to DIMSE statuses, HTTP statuses and exit codes; facts are attributes, never patient data.
"""


class GatewayError(Exception):
    """Root of the tree; its message never holds patient data."""


class ConfigurationError(GatewayError):
    """The installation is set up wrong; the message says what to change."""


class InputError(GatewayError):
    """What was sent is wrong."""


class InvalidUidError(InputError):
    """A text that should be a UID is not one (PS3.5 9.1)."""


class InvalidQueryError(InputError):
    """A query cannot be understood.

    Parameters
    ----------
    tag
        The element at fault, where it is one.
    """

    def __init__(self, message: str = "", *, tag: int | None = None) -> None:
        super().__init__(message)
        self.tag = tag


class UnfitQueryError(InvalidQueryError):
    """A query lacks a key that its level or information model demands, or has no such level."""


class InvalidInstanceError(InputError):
    """A data set cannot be kept: not DICOM, truncated, or without the UIDs that identify it."""


class MismatchError(InvalidInstanceError):
    """The command (or request) names another object than the data set."""


class InvalidMessageError(InputError):
    """A message breaks its protocol's framing."""


class UnsupportedSyntaxError(InputError):
    """A transfer syntax or media type that is not offered."""


class NotFoundError(GatewayError):
    """Nothing there, or nothing the caller may see."""


class ConflictError(GatewayError):
    """It disagrees with what is already kept."""


class RefusedError(GatewayError):
    """Policy says no."""


class UnauthenticatedError(RefusedError):
    """The caller has not said, or not proven, who is calling."""


class CapacityError(GatewayError):
    """Disk, quota or queue is full."""


class TooBroadError(CapacityError):
    """More would have to be looked through than anybody may ask for at once."""


class UnavailableError(GatewayError):
    """Store, index or peer is away for now."""


class IntegrityError(GatewayError):
    """Bytes and facts disagree."""
