"""What the DICOM listener of one process is told; every limit on hostile peers stands here."""

from dataclasses import dataclass
from pathlib import Path

from pacs_gateway.access.networks import ANYWHERE, NOWHERE, Networks


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Files in PEM form for DICOM over TLS; they are read again when they change."""

    certificate: Path
    """Ours, followed by those that lead to its authority."""
    key: Path
    ca: Path | None = None
    """Authorities of the callers' certificates; without them nobody is asked for one."""


@dataclass(frozen=True, slots=True)
class DimseConfig:
    """Titles and limits of one listening process."""

    ae_titles: tuple[str, ...]
    """Called AE titles the gateway answers to, compared case-sensitively."""
    max_associations: int = 128
    """Associations this process serves at once; at the cap it leaves new connections to its siblings."""
    max_per_device: int = 100
    """Of these, associations with one device: a device that runs wild leaves room for the others."""
    max_pdu: int = 131_072
    """Maximum length in bytes of the P-DATA-TF PDUs we ask for; twice that is still taken, more is an abort."""
    artim_s: float = 15.0
    """A connection that has not sent a whole A-ASSOCIATE-RQ by then is closed (PS3.8 9.1.5)."""
    pdu_deadline_s: float = 30.0
    """A PDU is complete this long after its first bytes, or the association is aborted."""
    message_s: float = 60.0
    """Silence within a message ends the association; below 1 KiB/s this time is used up as well."""
    connect_s: float = 10.0
    """A connection of ours stands this long after we began to ask for it, TLS included."""
    max_suboperations: int = 8
    """Objects that C-MOVE and C-GET send at the same time; who wants more waits, by priority."""
    half_open_per_address: int = 8
    """Connections of one address without a complete A-ASSOCIATE-RQ, before the oldest makes room."""
    half_open_total: int = 200
    """The same for all addresses together: this process's share of the node's cap."""
    trusted_proxies: Networks = NOWHERE
    """Whose connections begin with a PROXY protocol v2 header; nobody else's may."""
    tls: TlsConfig | None = None
    plain_networks: Networks = ANYWHERE
    """Who may call without TLS."""
