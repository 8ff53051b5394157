"""Settings of access: frozen, made by the composition root."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from pacs_gateway.access.ae_titles import check_ae_title
from pacs_gateway.access.names import check_facility
from pacs_gateway.errors import ConfigurationError, InputError


class UnknownDevices(StrEnum):
    """What becomes of a caller no device is registered for."""

    REJECT = "reject"
    ACCEPT = "accept"
    """Every caller on this machine, with all rights; nobody from anywhere else."""


@dataclass(frozen=True, slots=True)
class AccessConfig:
    """Who may come in, and for how long."""

    facility: str = "LOCAL"
    """Code of this node's own facility."""
    ae_titles: tuple[str, ...] = ("PACSGW",)
    """The titles this gateway answers to; at least one."""
    is_auth_on: bool = True
    """False: every caller of the web is an administrator; loopback only."""
    unknown_devices: UnknownDevices = UnknownDevices.REJECT
    session_lifetime: timedelta = timedelta(hours=12)
    session_idle: timedelta = timedelta(minutes=15)
    """Without a request for so long a session ends: hospital computers are shared."""

    def __post_init__(self) -> None:
        if not self.ae_titles:
            raise ConfigurationError("PACS_AE_TITLE names no AE title")
        try:
            for title in self.ae_titles:
                check_ae_title(title)
            check_facility(self.facility)
        except InputError as error:
            raise ConfigurationError(f"PACS_AE_TITLE or PACS_FACILITY: {error}") from error
