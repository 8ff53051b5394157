"""Which presentation contexts to propose for objects that are to be sent, and which of the accepted ones to use.

One context per SOP class and stored transfer syntax, so that what the destination takes leaves as it is; and one per
SOP class with the uncompressed syntaxes for what it does not take (settled: Negotiation and sending).
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pacs_gateway.dimse.scu.requestor import MAX_CONTEXTS, Proposal
from pacs_gateway.dimse.store import AcceptedContext

# Explicit first: nothing is lost in it, not even the VR of a private element.
_UNCOMPRESSED = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))


class Sendable(Protocol):
    """What a plan must know of an object."""

    @property
    def sop_class_uid(self) -> str:
        """Its SOP class."""

    @property
    def transfer_syntax_uid(self) -> str:
        """What it is stored in."""


S = TypeVar("S", bound=Sendable)


@dataclass(frozen=True, slots=True)
class Batch(Generic[S]):
    """What goes through one association."""

    proposals: tuple[Proposal, ...]
    instances: tuple[S, ...]


def plan(
    instances: Iterable[S], *, taken: AbstractSet[str] = frozenset(), max_contexts: int = MAX_CONTEXTS
) -> tuple[Batch[S], ...]:
    """Distribute `instances` over as few associations as their contexts need, in their order within each.

    Parameters
    ----------
    taken
        Transfer syntaxes the destination is known to take; empty when nothing is known. What can be sent in none of
        them stands in a batch all the same, without a context of its own: its sender counts it as failed. So a
        batch may have no proposals at all.
    """
    open_batch: tuple[dict[Proposal, None], list[S]] = ({}, [])
    batches = [open_batch]
    places: dict[tuple[str, str], list[S]] = {}
    for instance in instances:
        key = instance.sop_class_uid, instance.transfer_syntax_uid
        if key not in places:
            wanted = _proposals(*key, taken)
            if len(open_batch[0].keys() | set(wanted)) > max_contexts:
                open_batch = ({}, [])
                batches.append(open_batch)
            open_batch[0].update(dict.fromkeys(wanted))
            places[key] = open_batch[1]
        places[key].append(instance)
    return tuple(Batch(tuple(proposals), tuple(members)) for proposals, members in batches if members)


def choose_context(contexts: Mapping[int, AcceptedContext], sop_class_uid: str, forms: Sequence[str]) -> int | None:
    """Return the ID of the context to send an object under; None where the destination takes it in no way.

    Parameters
    ----------
    forms
        The transfer syntaxes in which the object can leave, the best first.
    """
    for form in forms:
        for context_id, context in contexts.items():
            is_it = context.transfer_syntax == form and context.abstract_syntax == sop_class_uid
            if is_it and context.is_user:
                return context_id
    return None


def _proposals(sop_class_uid: str, stored_syntax: str, taken: AbstractSet[str]) -> list[Proposal]:
    choices = ((stored_syntax,), _UNCOMPRESSED)
    limited = [tuple(syntax for syntax in choice if not taken or syntax in taken) for choice in choices]
    return [Proposal(sop_class_uid, choice) for choice in dict.fromkeys(limited) if choice]
