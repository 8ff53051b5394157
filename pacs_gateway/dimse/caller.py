"""Who calls, in the words of the policy."""

from pacs_gateway.access.device import Right
from pacs_gateway.access.policy import Caller, CallerKind
from pacs_gateway.dimse.ports import Device


def caller_of(device: Device) -> Caller:
    """Return the caller that `device` is."""
    rights = frozenset(Right(name) for name in device.rights)
    return Caller(kind=CallerKind.DEVICE, name=device.ae_title, facility=device.facility, rights=rights)
