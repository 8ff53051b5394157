"""The head of a stored file: what was announced of its object, and whence and when it came (docs/decisions/0001)."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import orjson

from pacs_gateway.domain.clock import from_microseconds, to_microseconds, utc_now
from pacs_gateway.domain.instance import Method, Origin
from pacs_gateway.domain.part10 import FileMeta, encode_head
from pacs_gateway.domain.rejection import Reach


@dataclass(frozen=True, slots=True)
class Announced:
    """What the sender says about an object before its bytes come; empty texts where it says nothing."""

    transfer_syntax_uid: str
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    is_binding: bool = False
    """A C-STORE command binds (PS3.7 9.1.1.1); a file's meta information is only a hint."""


def encode_reception(announced: Announced, origin: Origin, received_at: datetime) -> bytes:
    """Return preamble and file meta information of an object that is being received."""
    facts = {
        "facility": origin.facility,
        "method": origin.method,
        "source": origin.source,
        "address": origin.address,
        "received_at": to_microseconds(received_at),
    }
    if origin.charset:
        facts["charset"] = origin.charset
    if origin.issuer:
        facts["issuer"] = origin.issuer
    if origin.reach:
        facts["reach"] = origin.reach
    return encode_head(
        FileMeta(
            announced.sop_class_uid,
            announced.sop_instance_uid,
            announced.transfer_syntax_uid,
            origin.source if origin.method is Method.DIMSE else "",
            orjson.dumps(facts),
        )
    )


def decode_reception(private: bytes, default_facility: str) -> tuple[Origin, datetime]:
    """Return origin and time from the private information of a stored object's head."""
    with suppress(orjson.JSONDecodeError, KeyError, ValueError, TypeError, OverflowError, OSError):
        facts = orjson.loads(private)
        origin = Origin(
            Method(facts["method"]),
            facts["facility"],
            facts["source"],
            facts["address"],
            charset=facts.get("charset", ""),
            issuer=facts.get("issuer", ""),
            reach=Reach(facts.get("reach", "")),
        )
        return origin, from_microseconds(facts["received_at"])
    return Origin(Method.IMPORT, default_facility), utc_now()
