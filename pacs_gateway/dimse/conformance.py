"""The DICOM conformance statement, written from the tables that the code runs on (PS3.2).

Nothing here is kept by hand that a table knows: what is offered, matched, answered and waited for is read from where
it is decided, so the document cannot promise anything else. `docs/conformance.md` is what ``statement`` returns.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from enum import IntEnum

from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]

from pacs_gateway.access.device_settings import DEFAULT_IDLE_S, DEFAULT_MAX_MATCHES
from pacs_gateway.archive.commitment import PATIENCE, SECOND
from pacs_gateway.dimse.commitment.message import MAX_REFERENCES
from pacs_gateway.dimse.commitment.service import SOON_S
from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.negotiation import (
    MESSAGE_SYNTAXES,
    SERVICES,
    STORAGE_CLASSES,
    STORED_SYNTAXES,
    Offer,
)
from pacs_gateway.dimse.query.suboperations import RetrieveStatus
from pacs_gateway.dimse.status import NormalizedStatus, QueryStatus, StoreStatus
from pacs_gateway.dimse.tls import TLS_1_2_SUITES
from pacs_gateway.domain.attributes import ATTRIBUTES, Attribute, ItemAttribute, Matching
from pacs_gateway.domain.character_set import WHOLE_SETS
from pacs_gateway.domain.commitment import FailureReason
from pacs_gateway.domain.iso2022 import CODED_SETS
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_MATCHING = {
    Matching.UID: "single value, list of UID",
    Matching.TEXT: "single value, wildcard",
    Matching.NAME: "single value, wildcard; by words when fuzzy matching is negotiated",
    Matching.DATE: "single value, range",
    Matching.TIME: "single value, range",
    Matching.NUMBER: "single value",
    Matching.CODES: "any of the values given, wildcard",
    Matching.ITEMS: "one item",
    Matching.NONE: "none: returned",
}
_OPTIONS = ("relational queries", "combined date and time", "fuzzy matching of names", "timezone adjustment")


_FAILURES = {
    FailureReason.PROCESSING_FAILURE: "damaged, or not in the object store in time",
    FailureReason.NO_SUCH_INSTANCE: "not here, or not the requester's to know of",
    FailureReason.CLASS_CONFLICT: "kept as an object of another SOP class",
}
_HOURS = PATIENCE // SECOND // 3600

_MATCHING_RULES = """\
Every key also matches universally. In the Study Root model patient attributes are keys of the study level. Unless
relational queries are negotiated, the UIDs of the levels above are needed as single values; Patient ID is not. Names
match without regard to accents, case and component borders; accents in the key put the names that share them first.
Other text is matched case-sensitively, unless the device has `--ignore-case`. A sequence of keys has at most one item,
whose keys one item of the object must meet. Keys that are not in these tables are returned empty, with status FF01H.
Retrieve AE Title is returned always, Instance Availability when asked for: ONLINE, or UNAVAILABLE where only a silent
node has the bytes.

Combined, a range of dates and one of the times that belong to them are one span, from the first moment to the last.
With timezone adjustment and a Timezone Offset From UTC in the request, ranges of dates, and of times combined with
them, are meant in that zone and compared in the zone of each study, where its objects tell it; ranges of times alone
are not moved (FF01H). Answers tell dates and times as recorded, with the study's own Timezone Offset From UTC.

A query without a single value or a list for Patient ID, Accession Number or a UID is answered up to the device's cap
(`--max-matches`), then with A700H.
"""


def statement() -> str:
    """Return the conformance statement as Markdown."""
    parts = (
        _opening(),
        _services(),
        _storage(),
        _syntaxes(),
        _queries(),
        _commitment(),
        _character_sets(),
        _statuses(),
        _limits(),
        _security(),
    )
    return "\n".join(parts)


def _opening() -> str:
    return f"""# DICOM conformance statement

Written by `pacs-gateway conformance` from the gateway's own tables; do not edit.

## Implementation

The gateway is one application entity, under one or several AE titles (`PACS_AE_TITLE`). It receives, keeps, finds and
sends composite objects, and reports that it keeps them. Objects are stored as they were sent: no element is coerced.

| | |
|---|---|
| Implementation class UID | `{IMPLEMENTATION_CLASS_UID}` |
| Implementation version name | `{IMPLEMENTATION_VERSION_NAME}` |
| Application context | `1.2.840.10008.3.1.1.1` |
| Asynchronous operations | one at a time |
| User identity | not taken: a caller is its AE title, the title it calls, its network and, over TLS, its certificate |

A caller that is not registered, or not for this title, network or certificate, is rejected whatever the cause
(result 1, source 1, reason 1); the operator sees the cause with `pacs-gateway device list --rejected`.
"""


def _services() -> str:
    rows = [
        (f"`{uid}`", _name(uid), _roles(offer), f"`{offer.scp_right}`", _options(offer))
        for uid, offer in SERVICES.services.items()
    ]
    return _section(
        "Services",
        ("SOP class", "name", "our roles", "right of the device", "extended negotiation"),
        rows,
        f"""\
Offered in {_join(_name(uid) for uid in MESSAGE_SYNTAXES)},
to devices that have the right. As SCU the gateway calls others for Verification (`pacs-gateway echo`), FIND in the
Patient and Study Root models (`find`), Storage (`send`, C-MOVE), GET and MOVE in the Study Root model (`fetch`) and
Storage Commitment (`send --commit`, and to report what was committed).""",
    )


def _roles(offer: Offer) -> str:
    return "SCP, SCU" if offer.scu_right else "SCP"


def _options(offer: Offer) -> str:
    return ", ".join(name for name, is_offered in zip(_OPTIONS, offer.extended, strict=False) if is_offered) or "none"


def _storage() -> str:
    rows = [(f"`{uid}`", _name(uid)) for uid in sorted(STORAGE_CLASSES, key=_by_number)]
    return _section(
        "Storage",
        ("SOP class", "name"),
        rows,
        """\
As SCP (right `store`), and as SCU for C-MOVE, C-GET and `pacs-gateway send`. Level 2 (full): every element is kept.
Success means that the object and its SHA-256 are on disk (or, with `PACS_ACK=object`, in the object store). Private
classes and classes newer than this table are stored too, unless the device has `--no-private-classes`.

A key object selection titled 113001, 113037, 113038 or 113039 (DCM; IHE IOCM) takes the instances it names out of
sight, those that come later too, if its sender has the right `delete`; it is kept and shown itself. From others it is
only kept.""",
    )


def _syntaxes() -> str:
    rows = [(f"`{uid}`", _name(uid), str(rank + 1)) for uid, rank in STORED_SYNTAXES.items()]
    return _section(
        "Transfer syntaxes of stored objects",
        ("transfer syntax", "name", "rank"),
        rows,
        """\
Of several in one presentation context the one with the lowest rank is taken, among equals the first proposed; a
device's own list (`--transfer-syntaxes`) goes before. Objects are sent in the transfer syntax they are stored in where
the other side takes it, else decompressed in Explicit or Implicit VR Little Endian. Nothing is ever compressed with
loss.""",
    )


def _queries() -> str:
    parts = ["## Query keys\n"]
    for level in Level:
        rows = [row for a in ATTRIBUTES if a.level is level for row in _key_rows(a)]
        head = ("tag", "keyword", "VR", "key", "matching")
        parts.append(f"### {level}\n\n{_table(head, rows)}")
    parts.append(_MATCHING_RULES)
    return "\n".join(parts)


def _key_rows(attribute: Attribute) -> list[tuple[str, ...]]:
    use = "U" if attribute.keyword == attribute.level.unique_key else "O"
    rows: list[tuple[str, ...]] = [
        (_tag(attribute), attribute.keyword, attribute.vr, use, _MATCHING[attribute.matching])
    ]
    rows += [(f"> {_tag(one)}", f"> {one.keyword}", one.vr, "O", _MATCHING[Matching.TEXT]) for one in attribute.items]
    return rows


def _commitment() -> str:
    """State what PS3.2 asks of a provider of storage commitment: duration, latency, capacity (N.5.2.6.2)."""
    rows = [(f"{reason:04X}H", _FAILURES[reason]) for reason in FailureReason]
    return _section(
        "Storage commitment",
        ("failure reason", "meaning"),
        rows,
        f"""\
An instance is committed to when its object has been read back from the object store, whole, and is what was received.
What has not got there yet is waited for, up to {_HOURS} hours. Duration: what was committed to is not deleted until a
person removes it. Latency: the report comes on the association of the request if that is open and the outcome known
within {SOON_S:g} s; else on a new one, to the address registered for the device, in the role of the provider, tried for
{_HOURS} hours until it is acknowledged with status 0000H. Capacity: {MAX_REFERENCES:,} instances in one transaction.
A transaction UID counts once for a requester. As SCU the gateway takes reports on both kinds of association,
of archives it has asked.""",
    )


def _character_sets() -> str:
    rows = [
        (
            f"`ISO 2022 IR {coded.number}`"
            if coded.is_multi_byte
            else f"`ISO_IR {coded.number}`, `ISO 2022 IR {coded.number}`",
        )
        for coded in CODED_SETS.values()
    ]
    rows += [(f"`{term}`",) for term in sorted({term for term, _ in WHOLE_SETS.values()})]
    return _section(
        "Character sets",
        ("defined term",),
        rows,
        """\
Read and, in answers, written: a query is answered in its own character set where that can express the answer, else in
`ISO_IR 192`; with `--ascii-answers` in ASCII letters. Bytes beyond ASCII under `ISO_IR 100`, ISO_IR 6 or no term are
also recognised as UTF-8, windows-1258, TCVN3 and VNI, which are no character sets of DICOM; a device's `--charset` says
what it sends without saying.""",
    )


def _statuses() -> str:
    parts = []
    services: dict[str, Iterable[IntEnum]] = {
        "C-STORE": StoreStatus,
        "C-FIND": QueryStatus,
        "C-MOVE and C-GET": RetrieveStatus,
        "N-ACTION and N-EVENT-REPORT": NormalizedStatus,
    }
    for service, statuses in services.items():
        rows = [(f"{status:04X}H", status.name.lower().replace("_", " ")) for status in sorted(statuses)]
        parts.append(
            _section(
                f"Status codes of {service}", ("status", "meaning"), rows, "A failure comes with an Error Comment."
            )
        )
    return "\n".join(parts)


def _limits() -> str:
    described = {
        "max_associations": "associations at once, per process (one for each core)",
        "max_per_device": "of these, of one device; more are rejected (result 2, source 3, reason 2)",
        "max_pdu": "longest PDU received, in bytes (maximum length sub-item)",
        "artim_s": "seconds until an association request must be complete (ARTIM)",
        "pdu_deadline_s": "seconds a PDU may take from its first byte to its last",
        "message_s": "seconds of silence within a message",
    }
    defaults = {field.name: field.default for field in fields(DimseConfig)}
    rows = [(text, f"{defaults[name]:g}") for name, text in described.items()]
    rows.append(("seconds of silence between messages, unless the device has its own (`--idle`)", str(DEFAULT_IDLE_S)))
    rows.append(("answers to a query about everything, unless the device has its own", str(DEFAULT_MAX_MATCHES)))
    return _section("Limits and time-outs", ("what", "value"), rows, "")


def _security() -> str:
    rows = [(suite, "1.2") for suite in TLS_1_2_SUITES] + [("those of the protocol", "1.3")]
    return _section(
        "Security",
        ("cipher suite", "TLS"),
        rows,
        """\
BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile (PS3.15 B.12): TLS 1.2 and 1.3, no compression, no
renegotiation. With an authority (`PACS_DICOM_TLS_CA`) a certificate is asked of every caller; a device can be bound to
its certificate (`--certificate`) by fingerprint or subject. Once TLS is configured, the plain port serves this machine
and the networks in `PACS_DICOM_PLAIN_NETWORKS` alone.""",
    )


def _section(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], text: str) -> str:
    paragraphs = (f"## {title}", text, _table(head, rows))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join((lines[0], f"|{'---|' * len(head)}", *lines[1:])) + "\n"


def _name(uid: str) -> str:
    known = UID_dictionary.get(uid)
    if known is None:
        return "private"
    return f"{known[0]} (retired)" if known[3] else str(known[0])


def _tag(attribute: Attribute | ItemAttribute) -> str:
    return f"({attribute.hex[:4]},{attribute.hex[4:]})"


def _by_number(uid: str) -> list[int]:
    return [int(part) for part in uid.split(".")]


def _join(names: Iterable[str]) -> str:
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last
