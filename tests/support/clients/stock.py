"""pynetdicom as it comes: a client for C-GET and a destination of C-MOVE, in whatever transfer syntaxes one likes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from pacs_gateway.dimse.negotiation import STUDY_ROOT_GET
from tests.support.clients.client import CALLING, CLIENT_DEADLINE_S, SUCCESS, Retrieved, level_of
from tests.support.running_gateway import AE_TITLE

_PENDING = frozenset({0xFF00, 0xFF01})


@dataclass(frozen=True, slots=True)
class Received:
    """An object as it travelled."""

    transfer_syntax_uid: str
    data_set: bytes


@dataclass(slots=True)
class Inbox:
    """What came, by SOP Instance UID."""

    objects: dict[str, Received] = field(default_factory=dict)
    failed_uids: list[str] = field(default_factory=list)
    """What the final response lists as failed."""

    def handle_store(self, event: Event) -> int:
        """Keep an object, encoded as it came."""
        request = cast(C_STORE, event.request)
        assert request.DataSet is not None
        received = Received(event.context.transfer_syntax, request.DataSet.getvalue())
        self.objects[str(request.AffectedSOPInstanceUID)] = received
        return SUCCESS


def get(port: int, keys: dict[str, str], sop_class_uid: str, syntaxes: Sequence[str]) -> tuple[Retrieved, Inbox]:
    """C-GET what the unique keys name, each transfer syntax offered under a context of its own."""
    inbox = Inbox()
    ae = AE(CALLING)
    ae.dimse_timeout = ae.acse_timeout = ae.network_timeout = CLIENT_DEADLINE_S
    ae.add_requested_context(STUDY_ROOT_GET)
    contexts = list(ae.requested_contexts)
    for syntax in syntaxes:
        # A context at a time: pynetdicom puts those of one class together.
        ae.requested_contexts = []
        ae.add_requested_context(sop_class_uid, syntax)
        contexts += ae.requested_contexts
    assoc = ae.associate(
        "127.0.0.1",
        port,
        contexts=contexts,
        ae_title=AE_TITLE,
        ext_neg=[build_role(sop_class_uid, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, inbox.handle_store)],
    )
    assert assoc.is_established
    try:
        return _asked(assoc.send_c_get(_identifier(keys), STUDY_ROOT_GET), inbox), inbox
    finally:
        assoc.release()


@contextmanager
def destination(ae_title: str, sop_class_uid: str, syntaxes: Sequence[str]) -> Iterator[tuple[int, Inbox]]:
    """Run a destination that takes one SOP class; give its port and what comes."""
    inbox = Inbox()
    ae = AE(ae_title)
    ae.add_supported_context(sop_class_uid, list(syntaxes))
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, inbox.handle_store)])
    assert server is not None
    try:
        yield server.server_address[1], inbox
    finally:
        server.shutdown()


def _identifier(keys: dict[str, str]) -> Dataset:
    ds = Dataset()
    ds.QueryRetrieveLevel = level_of(keys)
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    return ds


def _asked(responses: Iterator[tuple[Dataset, Dataset | None]], inbox: Inbox) -> Retrieved:
    for status, identifier in responses:
        if status.Status not in _PENDING:
            failed = identifier.get("FailedSOPInstanceUIDList") if identifier is not None else None
            inbox.failed_uids = [] if failed is None else [failed] if isinstance(failed, str) else list(failed)
            return Retrieved(
                status.Status,
                status.get("NumberOfCompletedSuboperations", 0),
                status.get("NumberOfFailedSuboperations", 0),
            )
    raise AssertionError("no final response")
