"""What the DICOM services consume of the archive and of access, as the smallest shapes that serve."""

from collections.abc import Set as AbstractSet
from typing import Protocol

from pacs_gateway.access.certificates import Certificate
from pacs_gateway.domain.instance import Origin


class Reception(Protocol):
    """One data set on its way into the spool."""

    def write(self, data: bytes | memoryview) -> None:
        """Append the next bytes of the data set; they are not kept after the call."""

    def finish(self) -> object:
        """Check, describe and publish what was written; on return it is durable."""

    def discard(self) -> None:
        """Drop what was written; does nothing when called again."""


class Ingest(Protocol):
    """The way into the archive."""

    def receive(
        self, *, transfer_syntax_uid: str, origin: Origin, sop_class_uid: str, sop_instance_uid: str
    ) -> Reception:
        """Begin to receive one data set."""

    def accepts_storage(self) -> bool:
        """Return whether the spool is above its low-water mark."""


class Device(Protocol):
    """A registered application entity, as far as a listener must know it."""

    @property
    def ae_title(self) -> str:
        """Calling AE title."""

    @property
    def facility(self) -> str:
        """Code of the facility that what it sends belongs to."""

    @property
    def rights(self) -> AbstractSet[str]:
        """What it may do: ``echo``, ``store``, ``find``, ``move``, ``get``, ``commit``, ``worklist``, ``delete``."""

    @property
    def transfer_syntaxes(self) -> tuple[str, ...]:
        """What it may send and is sent, the preferred first; empty: all, in the gateway's own order."""

    @property
    def charset(self) -> str:
        """Character set of what it sends without saying; empty: by evidence."""

    @property
    def issuer(self) -> str:
        """Issuer of Patient ID of what it sends without one; empty: its facility."""

    @property
    def max_matches(self) -> int:
        """Answers to one query."""

    @property
    def answers_ascii(self) -> bool:
        """Whether it is answered in letters that every device can show."""

    @property
    def ignores_case(self) -> bool:
        """Whether upper and lower case count alike in its queries, not in names alone."""

    @property
    def takes_private_classes(self) -> bool:
        """Whether it may send objects of storage classes that no standard known here lists."""

    @property
    def idle_s(self) -> float:
        """Seconds of silence between messages that end its association."""


class Devices(Protocol):
    """The register of application entities."""

    def identify(self, *, calling: str, called: str, address: str, certificate: Certificate | None) -> Device | None:
        """Return the device that calls, with what it has shown in TLS, or None when it must be rejected."""

    def record_rejection(
        self, *, calling: str, called: str, address: str, reason: str, certificate: Certificate | None
    ) -> None:
        """Keep an attempt for `device list --rejected`; with an empty `reason` the register finds it."""

    def record_refusal(self, address: str, reason: str) -> None:
        """Keep a connection that ended before its caller said who it is; never waits."""


class Destination(Device, Protocol):
    """A device that can be called."""

    @property
    def host(self) -> str:
        """Name or address."""

    @property
    def port(self) -> int | None:
        """None for a device that is not called."""

    @property
    def is_tls(self) -> bool:
        """Whether it is called over TLS."""

    @property
    def certificates(self) -> tuple[str, ...]:
        """Fingerprints and subjects of which one must be its TLS certificate's; empty: none is asked for."""


class Destinations(Protocol):
    """The register of application entities, as far as calling them needs it."""

    def destination(self, ae_title: str, *, called: str) -> Destination | None:
        """Return the device to send to under `ae_title`, preferably one that knows us as `called`."""
