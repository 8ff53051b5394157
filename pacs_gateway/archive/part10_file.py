"""An instance as a Part 10 file for somebody outside.

It gets a head of our own: the stored one carries where it came from and stays inside, and the preamble is zeros again,
whatever came in (promises B11).
"""

from itertools import chain

from pacs_gateway.archive.egress import Payload, data_set, data_set_length
from pacs_gateway.archive.retrieve import Retrieve
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.domain.part10 import FileMeta, encode_head


def part10(retrieve: Retrieve, instance: StoredInstance, transfer_syntax_uid: str) -> Payload:
    """Return the file of an instance in the stored transfer syntax or in another of its forms; errors as `data_set`."""
    head = _head(instance, transfer_syntax_uid)
    body = data_set(retrieve, instance, transfer_syntax_uid)
    length = None if body.length is None else len(head) + body.length
    return Payload(chain((head,), body.pieces), length)


def part10_length(instance: StoredInstance, transfer_syntax_uid: str) -> int | None:
    """Return the length in bytes of what ``part10`` gives, None where only making it tells."""
    length = data_set_length(instance, transfer_syntax_uid)
    return None if length is None else len(_head(instance, transfer_syntax_uid)) + length


def _head(instance: StoredInstance, transfer_syntax_uid: str) -> bytes:
    return encode_head(FileMeta(instance.sop_class_uid, instance.sop_uid, transfer_syntax_uid))
