"""What an association may do: which presentation contexts are accepted, in which transfer syntax, in which role.

One immutable table serves all associations; a proposal is a dictionary look-up. Storage classes are everything that
is known to be one, and what nobody knows: a private or newer class is stored like any other object. What is known
to belong to another service is never taken for storage.

References
----------
PS3.8 7.1.1.13 and 9.3.3 (presentation contexts), PS3.7 D.3.3.4 (role selection)
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

from pydicom.uid import UID, UID_dictionary  # type: ignore[attr-defined]
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import AllStoragePresentationContexts, PresentationContext

from pacs_gateway.dimse.pdu import AbortReason, PduError
from pacs_gateway.dimse.ports import Device
from pacs_gateway.domain.uids import is_uid

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
_QUERY_RETRIEVE = "1.2.840.10008.5.1.4.1.2."
PATIENT_ROOT_FIND, PATIENT_ROOT_MOVE, PATIENT_ROOT_GET = (f"{_QUERY_RETRIEVE}1.{n}" for n in (1, 2, 3))
STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET = (f"{_QUERY_RETRIEVE}2.{n}" for n in (1, 2, 3))
PATIENT_STUDY_ONLY_FIND, PATIENT_STUDY_ONLY_MOVE, PATIENT_STUDY_ONLY_GET = (
    f"{_QUERY_RETRIEVE}3.{n}" for n in (1, 2, 3)
)  # retired

_ACCEPTED = 0
_USER_REJECTION = 1
_ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
_TRANSFER_SYNTAXES_NOT_SUPPORTED = 4

_EXPLICIT_LITTLE = ("1.2.840.10008.1.2.1",)
_LOSSLESS = (
    "1.2.840.10008.1.2.1.98",  # encapsulated uncompressed
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.58",  # retired
    "1.2.840.10008.1.2.4.65",  # retired
    "1.2.840.10008.1.2.4.66",  # retired
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",  # JPEG-LS
    "1.2.840.10008.1.2.4.90",  # JPEG 2000
    "1.2.840.10008.1.2.4.92",
    "1.2.840.10008.1.2.4.110",  # JPEG XL
    "1.2.840.10008.1.2.4.201",  # HTJ2K
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.8.1",  # deflated frames
)
_LOSSY = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    *(f"1.2.840.10008.1.2.4.{n}" for n in (52, 53, 54, 55, 56, 59, 60, 61, 62, 63, 64)),  # retired
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.93",
    "1.2.840.10008.1.2.4.94",  # JPIP referenced
    "1.2.840.10008.1.2.4.100",  # MPEG2
    "1.2.840.10008.1.2.4.100.1",
    "1.2.840.10008.1.2.4.101",
    "1.2.840.10008.1.2.4.101.1",
    *(f"1.2.840.10008.1.2.4.{n}{part}" for n in range(102, 107) for part in ("", ".1")),  # MPEG-4
    "1.2.840.10008.1.2.4.107",  # HEVC
    "1.2.840.10008.1.2.4.108",
    "1.2.840.10008.1.2.4.111",  # JPEG XL: recompressed JPEG
    "1.2.840.10008.1.2.4.112",
    "1.2.840.10008.1.2.4.203",
    "1.2.840.10008.1.2.4.204",  # JPIP referenced
)
# Not the deflated data sets with JPIP references (4.95, 4.205): the archive does not read them.
_DEFLATED = ("1.2.840.10008.1.2.1.99",)
_IMPLICIT = ("1.2.840.10008.1.2",)
_EXPLICIT_BIG = ("1.2.840.10008.1.2.2",)
# GE's implicit little endian with big endian pixels: a data set anyone can read, pixels nobody else writes.
_PRIVATE = ("1.2.840.113619.5.2",)

_PREFERENCE = (_EXPLICIT_LITTLE, _LOSSLESS, _LOSSY, _DEFLATED, _IMPLICIT, _EXPLICIT_BIG, _PRIVATE)
STORED_SYNTAXES: Mapping[str, int] = MappingProxyType(
    {uid: rank for rank, uids in enumerate(_PREFERENCE) for uid in uids}
)
"""Transfer syntaxes objects are stored in, with their rank in our choice: the lowest proposed one wins."""
MESSAGE_SYNTAXES: Mapping[str, int] = MappingProxyType(
    {uid: rank for rank, (uid,) in enumerate((_EXPLICIT_LITTLE, _IMPLICIT, _EXPLICIT_BIG))}
)
"""Transfer syntaxes for services that exchange no pixels."""

_STANDARD_PREFIX = "1.2.840.10008."
_STANDARD_STORAGE_PREFIX = "1.2.840.10008.5.1.4.1.1."
_NOT_STORAGE = frozenset(
    {
        "1.2.840.10008.1.3.10",  # media storage directory: a file, never a C-STORE
        "1.2.840.10008.1.20.1",  # storage commitment
        "1.2.840.10008.1.20.2",
        "1.2.276.0.7230010.3.4.1915765545.18030.917282194.0",  # DCMTK's private shutdown request
        # Objects of no patient and no study (PS3.4 GG): nothing here could file them.
        "1.2.840.10008.5.1.4.38.1",
        "1.2.840.10008.5.1.4.39.1",
        "1.2.840.10008.5.1.4.43.1",
        "1.2.840.10008.5.1.4.44.1",
        "1.2.840.10008.5.1.4.45.1",
        "1.2.840.10008.5.1.4.1.1.200.1",
        "1.2.840.10008.5.1.4.1.1.200.3",
        "1.2.840.10008.5.1.4.1.1.200.7",
        "1.2.840.10008.5.1.4.1.1.201.1",
    }
)


def _known_storage_classes() -> frozenset[str]:
    current = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    # Retired, DICOS and DICONDE classes are known by their names alone.
    named = {uid for uid, row in UID_dictionary.items() if row[1] == "SOP Class" and "Storage" in row[0]}
    return frozenset((current | named) - _NOT_STORAGE)


STORAGE_CLASSES = _known_storage_classes()
"""Every storage SOP class pynetdicom and pydicom know, retired ones included."""


def is_storage_class(uid: str) -> bool:
    """Return whether objects of class `uid` are stored: it is known to be a storage class, or not known at all."""
    if uid in STORAGE_CLASSES:
        return True
    if uid in _NOT_STORAGE or uid in UID_dictionary or not is_uid(uid):
        return False
    return not uid.startswith(_STANDARD_PREFIX) or uid.startswith(_STANDARD_STORAGE_PREFIX)


@dataclass(frozen=True, slots=True)
class Offer:
    """What is offered under one abstract syntax, and the device's right each role takes."""

    syntaxes: Mapping[str, int]
    scp_right: str
    """To let the device be the user, us the provider."""
    scu_right: str | None = None
    """To let the device be the provider (role selection), us the user."""
    extended: bytes = b""
    """Service class application information: 1 for what we can do (PS3.4 C.5.1.1, C.5.2.1), one byte each."""


_STORAGE = Offer(STORED_SYNTAXES, "store", "get")


@lru_cache(maxsize=256)
def _storage(preferred: tuple[str, ...]) -> Offer:
    """Return storage in a device's own transfer syntaxes, in its order; in all of ours where it has none."""
    own = {uid: rank for rank, uid in enumerate(preferred) if uid in STORED_SYNTAXES}
    return replace(_STORAGE, syntaxes=MappingProxyType(own)) if preferred else _STORAGE


@dataclass(frozen=True, slots=True)
class ContextTable:
    """What the gateway offers besides storage, by abstract syntax."""

    services: Mapping[str, Offer]

    def offer(self, abstract_syntax: str, device: Device) -> Offer | None:
        """Return what is offered to `device` under `abstract_syntax`."""
        offer = self.services.get(abstract_syntax)
        if offer is not None or not is_storage_class(abstract_syntax):
            return offer
        is_known = abstract_syntax in STORAGE_CLASSES
        return _storage(device.transfer_syntaxes) if is_known or device.takes_private_classes else None


# PS3.4 C.5.1.1: relational queries, combined date and time, fuzzy names, timezone; C.5.2.1 and C.5.3.1: relational.
_FIND = Offer(MESSAGE_SYNTAXES, "find", extended=b"\1\1\1\1")
_MOVE = Offer(MESSAGE_SYNTAXES, "move", extended=b"\1")
_GET = Offer(MESSAGE_SYNTAXES, "get", extended=b"\1")

SERVICES = ContextTable(
    MappingProxyType(
        {
            VERIFICATION: Offer(MESSAGE_SYNTAXES, "echo"),
            **dict.fromkeys((PATIENT_ROOT_FIND, STUDY_ROOT_FIND, PATIENT_STUDY_ONLY_FIND), _FIND),
            **dict.fromkeys((PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE, PATIENT_STUDY_ONLY_MOVE), _MOVE),
            **dict.fromkeys((PATIENT_ROOT_GET, STUDY_ROOT_GET, PATIENT_STUDY_ONLY_GET), _GET),
            # As provider a device reports what it has committed to at our request (PS3.4 J.3.3).
            STORAGE_COMMITMENT: Offer(MESSAGE_SYNTAXES, "commit", scu_right="commit"),
        }
    )
)
"""The services of the listener."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The outcome of a negotiation."""

    contexts: tuple[PresentationContext, ...]
    """An answer to every proposed context, in the order proposed."""
    roles: tuple[SCP_SCU_RoleSelectionNegotiation, ...]
    extended: Mapping[str, bytes]
    """Service class application information agreed, by SOP class."""
    missing_rights: frozenset[str]
    """Rights for want of which contexts were refused."""

    @property
    def obstacle(self) -> str:
        """Why nothing at all was agreed, in words for a technician; empty where something was."""
        results = {cx.result for cx in self.contexts}
        if _ACCEPTED in results:
            return ""
        if self.missing_rights:
            return f"let in, but has no right to {', '.join(sorted(self.missing_rights))}"
        if _TRANSFER_SYNTAXES_NOT_SUPPORTED in results:
            return "let in, but proposes no transfer syntax that is taken from it"
        return "let in, but proposes nothing that is offered to it"


def choose_syntax(proposed: Iterable[str], known: Mapping[str, int]) -> str | None:
    """Return the best of `proposed` that is `known`; among equals the proposer's first."""
    return min((uid for uid in proposed if uid in known), key=known.__getitem__, default=None)


def is_storage_only(contexts: Iterable[PresentationContext]) -> bool:
    """Return whether nothing but storage is proposed."""
    return all(is_storage_class(str(context.abstract_syntax)) for context in contexts)


def negotiate(
    contexts: Iterable[PresentationContext],
    roles: Mapping[UID, tuple[bool, bool]],
    device: Device,
    table: ContextTable,
    *,
    extended: Mapping[UID, bytes] = MappingProxyType({}),
) -> Agreement:
    """Answer the proposed `contexts` as the rights and the settings of `device` have it.

    Parameters
    ----------
    roles
        Proposed (SCU, SCP) roles of the requestor by SOP class.
    extended
        Proposed service class application information by SOP class.

    Raises
    ------
    PduError
        A proposed context lacks its abstract syntax or has no transfer syntax.
    """
    answers: list[PresentationContext] = []
    agreed: dict[UID, SCP_SCU_RoleSelectionNegotiation] = {}
    informed: dict[str, bytes] = {}
    missing: set[str] = set()
    for proposal in contexts:
        abstract = proposal.abstract_syntax
        if not abstract or not proposal.transfer_syntax:
            raise PduError(AbortReason.INVALID_PARAMETER, "presentation context without its syntaxes")
        answer = PresentationContext()
        answer.context_id = proposal.context_id
        answer.abstract_syntax = abstract
        offer = table.offer(abstract, device)
        syntax = choose_syntax(proposal.transfer_syntax, offer.syntaxes) if offer else None
        # A rejection repeats a proposed syntax: the item must have one, and it is not significant (PS3.8 9.3.3.2).
        answer.transfer_syntax = [syntax or proposal.transfer_syntax[0]]
        if offer is None:
            answer.result = _ABSTRACT_SYNTAX_NOT_SUPPORTED
        elif syntax is None:
            answer.result = _TRANSFER_SYNTAXES_NOT_SUPPORTED
        else:
            missing |= _agree_on_roles(answer, offer, roles.get(abstract), device.rights)
            if answer.result == _ACCEPTED and abstract in roles:
                agreed[abstract] = _role_item(abstract, answer)
            if answer.result == _ACCEPTED and offer.extended and abstract in extended:
                # Each byte is one option: what both want; what the standard adds one day, nobody here does.
                both = zip(extended[abstract], offer.extended, strict=False)
                informed[str(abstract)] = bytes(asked & offered for asked, offered in both)
        answers.append(answer)
    return Agreement(tuple(answers), tuple(agreed.values()), informed, frozenset(missing))


def _agree_on_roles(
    answer: PresentationContext, offer: Offer, proposed: tuple[bool, bool] | None, rights: AbstractSet[str]
) -> set[str]:
    """Accept a context in the roles the rights allow; return the rights that were missing."""
    wants_scu, wants_scp = proposed or (True, False)
    answer._as_scp = wants_scu and offer.scp_right in rights
    answer._as_scu = wants_scp and offer.scu_right is not None and offer.scu_right in rights
    answer.result = _ACCEPTED if answer.as_scp or answer.as_scu else _USER_REJECTION
    needed = {offer.scp_right} if wants_scu else set()
    if wants_scp and offer.scu_right is not None:
        needed.add(offer.scu_right)
    return needed - rights


def _role_item(abstract: UID, answer: PresentationContext) -> SCP_SCU_RoleSelectionNegotiation:
    item = SCP_SCU_RoleSelectionNegotiation()
    item.sop_class_uid = abstract
    # The requestor's roles mirror ours (PS3.7 Table D.3-9).
    item.scu_role = bool(answer.as_scp)
    item.scp_role = bool(answer.as_scu)
    return item
