"""Fetching a study from a peer into the archive: by C-GET, or by C-MOVE to ourselves where the peer has no C-GET.

With C-GET the objects come back on the association that asks for them, and are kept as if the peer had sent them. With
C-MOVE the peer calls this gateway's own listener, which must be running and known to it under our AE title.

References
----------
PS3.4 C.4.2 (C-MOVE), C.4.3 (C-GET), C.5.3 (negotiation of C-GET), PS3.7 D.3.3.4 (role selection)
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from pynetdicom.presentation import StoragePresentationContexts

from pacs_gateway.dimse.command import C_GET_RQ, C_MOVE_RQ, Field
from pacs_gateway.dimse.message import Response
from pacs_gateway.dimse.negotiation import (
    MESSAGE_SYNTAXES,
    STORED_SYNTAXES,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    is_storage_class,
)
from pacs_gateway.dimse.scu.requestor import MAX_CONTEXTS, Proposal, RequestedAssociation, associate
from pacs_gateway.dimse.store import StoreService
from pacs_gateway.domain.levels import Level
from pacs_gateway.errors import NotFoundError, RefusedError
from pacs_gateway.peers.dicom_peer import DicomPeer, encode_query

_STUDY_INSTANCE_UID = 0x0020000D
_SOP_CLASSES_IN_STUDY = 0x00080062
# Success, and some sub-operations failed or warned (PS3.4 Tables C.4-2 and C.4-3).
_ENDS_WELL = frozenset({0x0000, 0xB000})
_PENDING_BYTE = 0xFF
_UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
# Between two objects a peer may have to bring the next one from a slow medium.
_WAIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the peer says it has come."""

    n_remaining: int
    n_completed: int
    n_failed: int


def fetch(peer: DicomPeer, study_uid: str, service: StoreService) -> Iterator[Progress]:
    """Fetch a study, yielding how far the peer is; the last one tells how it ended.

    Parameters
    ----------
    service
        What keeps the objects that come back by C-GET.

    Raises
    ------
    NotFoundError
        The peer has no such study.
    RefusedError
        The peer offers neither C-GET nor C-MOVE, or ends with a failure.
    UnavailableError
        The peer cannot be reached or has gone away; what came is kept.
    """
    model = [Proposal(STUDY_ROOT_GET, tuple(MESSAGE_SYNTAXES)), Proposal(STUDY_ROOT_MOVE, tuple(MESSAGE_SYNTAXES))]
    proposals = [*model, *islice(storage_proposals(_classes(peer, study_uid)), MAX_CONTEXTS - len(model))]
    with associate(peer.remote, proposals, peer.config) as association:
        association.dul.assembler.store = service
        offered = {context.abstract_syntax for context in association.contexts.values()}
        if STUDY_ROOT_GET in offered:
            responses = _ask(association, STUDY_ROOT_GET, C_GET_RQ, study_uid, {})
        elif STUDY_ROOT_MOVE in offered:
            ours: dict[Field, int | str] = {Field.MOVE_DESTINATION: peer.remote.calling_ae_title}
            responses = _ask(association, STUDY_ROOT_MOVE, C_MOVE_RQ, study_uid, ours)
        else:
            raise RefusedError("the peer offers neither C-GET nor C-MOVE")
        progress = Progress(0, 0, 0)
        for response in responses:
            progress = _progress(response)
            yield progress
            if response.status not in _ENDS_WELL and response.status >> 8 != _PENDING_BYTE:
                raise RefusedError(f"the peer ended with status 0x{response.status:04X}")
        if not progress.n_completed + progress.n_failed:
            raise NotFoundError("the peer has no such study")


def storage_proposals(classes: Iterable[str]) -> Iterator[Proposal]:
    """Yield the contexts in which objects of `classes` can come back, the likeliest first.

    A context is agreed in one transfer syntax; so that objects come as they are stored, each has a context of its own.
    """
    known = tuple(classes)
    if not known:
        yield from (
            Proposal(str(cx.abstract_syntax), _UNCOMPRESSED, as_scu=False, as_scp=True)
            for cx in StoragePresentationContexts
        )
        return
    for syntax in dict.fromkeys((*_UNCOMPRESSED, *STORED_SYNTAXES)):
        yield from (Proposal(uid, (syntax,), as_scu=False, as_scp=True) for uid in known)


def _classes(peer: DicomPeer, study_uid: str) -> list[str]:
    """Return the storage classes the peer says the study has; none where it does not say."""
    keys = {_STUDY_INSTANCE_UID: study_uid, _SOP_CLASSES_IN_STUDY: ""}
    try:
        matches = list(peer.find(Level.STUDY, keys))
    except RefusedError:  # who may retrieve need not be one who may search
        return []
    if not matches:
        raise NotFoundError("the peer has no such study")
    classes = {uid for match in matches for uid in match.get("SOPClassesInStudy", "").split("\\")}
    return sorted(uid for uid in classes if is_storage_class(uid))


def _ask(
    association: RequestedAssociation, model: str, command_field: int, study_uid: str, more: dict[Field, int | str]
) -> Iterator[Response]:
    syntax = association.contexts[association.context_id(model)].transfer_syntax
    identifier = encode_query(Level.STUDY, {_STUDY_INSTANCE_UID: study_uid}, syntax)
    elements: dict[Field, int | str] = {Field.AFFECTED_SOP_CLASS_UID: model, Field.PRIORITY: 0, **more}
    return association.ask(model, command_field, elements, identifier, wait_s=_WAIT_S)


def _progress(response: Response) -> Progress:
    def number(field: Field) -> int:
        return int.from_bytes(response.command.elements.get(field, b"")[:2], "little")

    failed = number(Field.FAILED_SUBOPERATIONS)
    completed = number(Field.COMPLETED_SUBOPERATIONS) + number(Field.WARNING_SUBOPERATIONS)
    return Progress(number(Field.REMAINING_SUBOPERATIONS), completed, failed)
