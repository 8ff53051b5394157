"""Who gets in: the caller is known by its titles and address before anything else of its request is looked at.

A stranger therefore costs 42 bytes of parsing, and every rejection looks the same (promises B2). AE titles are
compared case-sensitively, without their padding (PS3.8 Table 9-11, PS3.5 6.2).
"""

import ipaddress
import logging
from dataclasses import dataclass

from pacs_gateway.access.certificates import Certificate
from pacs_gateway.access.networks import ANYWHERE, Networks, parse_address
from pacs_gateway.dimse.fault import log_fault
from pacs_gateway.dimse.pdu import CONGESTED, LIMIT_EXCEEDED, REJECTED, Rejection, raw_titles
from pacs_gateway.dimse.places import Places
from pacs_gateway.dimse.ports import Device, Devices
from pacs_gateway.errors import GatewayError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for an association, as they say and as their connection proves."""

    calling: str
    called: str
    address: str
    certificate: Certificate | None


def plain_address(address: str) -> str:
    """Return `address` without a zone, and IPv4 as IPv4 where a dual-stack socket reports it inside IPv6."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def parse_title(raw: bytes) -> str | None:
    """Return the AE title in 16 `raw` bytes without padding; None when it is not one."""
    title = raw.strip(b" \0")
    is_clean = all(0x20 <= byte <= 0x7E and byte != 0x5C for byte in title)
    return title.decode("ascii") if title and is_clean else None


@dataclass(frozen=True, slots=True)
class Admission:
    """Decides who may have an association."""

    ae_titles: tuple[str, ...]
    devices: Devices
    places: Places
    plain_networks: Networks = ANYWHERE
    """Who may call without TLS."""

    def admit(
        self,
        request: bytes | memoryview,
        address: str,
        *,
        is_tls: bool = False,
        certificate: Certificate | None = None,
    ) -> Device | Rejection:
        """Return the device that sent the A-ASSOCIATE-RQ `request`, its place taken, or how to reject it.

        Raises
        ------
        PduError
            The request is too short to name anybody.
        """
        raw_called, raw_calling = raw_titles(request)
        called, calling = parse_title(raw_called), parse_title(raw_calling)
        try:
            if called is None or calling is None:
                caller = Caller(_printable(raw_calling), _printable(raw_called), address, certificate)
                return self._reject(caller, "an AE title with characters that are not allowed")
            caller = Caller(calling, called, address, certificate)
            if called not in self.ae_titles:
                return self._reject(caller, "")
            if not is_tls and not self.plain_networks.contain(parse_address(address)):
                return self._reject(caller, "called without TLS from outside PACS_DICOM_PLAIN_NETWORKS")
            device = self.devices.identify(calling=calling, called=called, address=address, certificate=certificate)
            return self._place(caller, device) if device else self._reject(caller, "")
        except GatewayError as error:
            logger.warning("cannot tell who calls from %s: %s", address, error)
        except Exception as error:  # the boundary of one request
            log_fault(logger, f"identifying a caller from {address}", error)
        return CONGESTED

    def _place(self, caller: Caller, device: Device) -> Device | Rejection:
        if self.places.take(device.ae_title):
            return device
        self._reject(caller, f"had {self.places.most} associations with one process at once")
        return LIMIT_EXCEEDED

    def _reject(self, caller: Caller, reason: str) -> Rejection:
        logger.info("rejected %s calling %s from %s", caller.calling, caller.called, caller.address)
        self.devices.record_rejection(
            calling=caller.calling,
            called=caller.called,
            address=caller.address,
            reason=reason,
            certificate=caller.certificate,
        )
        return REJECTED


def _printable(raw: bytes) -> str:
    text = raw.decode("ascii", "replace").strip(" \0")
    return "".join(char if " " <= char <= "~" else "?" for char in text)
