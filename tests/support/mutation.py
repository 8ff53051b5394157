"""Spoils what devices say: any byte on the wire, or one element of a command set or data set in an intact frame."""

import random
import struct

from tests.support.conversations import Conversation, Message

_HEADER = struct.Struct("<HHL")
_LENGTHS = (b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\1", b"\1\0\0\0")
_VALUES = (
    b"",
    b"\0" * 64,
    b"\xff" * 64,
    b"*" * 64,
    b"?" * 64,
    b"\\" * 500,
    b"9" * 70,
    b"1." * 40,
    b"-" * 40,
    b"20260101-20250101 ",
    b"%' OR 1=1 --",
    b"../../../../etc/passwd",
    b"\x1b$B\x1b(B\x1b$)C" * 20,
    b"\xed\xa0\x80" * 10,
    "Trần^Văn^An=".encode() * 60,
    b"A" * 70_000,
    # A sequence with an item that never ends, and one item in another in another (PS3.5 7.5).
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * 200,
)


def mutate(conversation: Conversation, rng: random.Random) -> bytes:
    """Return the conversation as bytes, spoilt in one of three depths."""
    match rng.choices(("wire", "command", "data set"), (4, 3, 4))[0]:
        case "wire":
            return _spoil_wire(conversation, rng)
        case "command":
            index = rng.randrange(len(conversation.messages))
            message = conversation.messages[index]
            spoilt = Message(message.context_id, _spoil(message.command, rng), message.data_set)
        case _:
            with_data = [index for index, one in enumerate(conversation.messages) if one.data_set]
            if not with_data:
                return _spoil_wire(conversation, rng)
            index = rng.choice(with_data)
            message = conversation.messages[index]
            spoilt = Message(message.context_id, message.command, _spoil(message.data_set, rng) or b"\0")
    return conversation.with_message(index, spoilt).encoded()


def _spoil_wire(conversation: Conversation, rng: random.Random) -> bytes:
    # Half of the cases leave the request alone, so that they get past it.
    first = len(conversation.request) if rng.random() < 0.5 else 0
    return spoil_bytes(conversation.encoded(), rng, first)


def _spoil(encoded: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.4 or not (elements := _elements(encoded)):
        return spoil_bytes(encoded, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _spoil_element(elements, rng)
    return b"".join(elements)


def spoil_bytes(encoded: bytes, rng: random.Random, first: int = 0) -> bytes:
    """Return `encoded` with some of its bytes changed, lost, added or doubled, none of them before `first`."""
    data = bytearray(encoded)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if len(data) <= first:
            break
        at = rng.randrange(first, len(data))
        match rng.randrange(7):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                del data[at : at + rng.randrange(1, 20)]
            case 3:
                data[at:at] = rng.randbytes(rng.randrange(1, 20))
            case 4:
                data[at : at + 4] = rng.choice(_LENGTHS)
            case 5:
                del data[at:]
            case _:
                data[at:at] = data[at : at + rng.randrange(1, 200)]
    return bytes(data)


def _elements(encoded: bytes) -> list[bytes]:
    """Return the elements of an implicit little endian encoding; none where it is another."""
    elements, offset = [], 0
    while offset + _HEADER.size <= len(encoded):
        _, _, length = _HEADER.unpack_from(encoded, offset)
        end = offset + _HEADER.size + length
        if end > len(encoded):
            return []
        elements.append(encoded[offset:end])
        offset = end
    return elements


def _spoil_element(elements: list[bytes], rng: random.Random) -> None:
    if not elements:
        return
    at = rng.randrange(len(elements))
    group, number, length = _HEADER.unpack_from(elements[at])
    value = elements[at][_HEADER.size :]
    match rng.randrange(7):
        case 0:
            del elements[at]
        case 1:
            elements.insert(rng.randrange(len(elements) + 1), elements[at])
        case 2:
            value = rng.choice(_VALUES)
            elements[at] = _HEADER.pack(group, number, len(value)) + value
        case 3:
            elements[at] = (
                _HEADER.pack(group, number, rng.choice((0, 1, (length + 1) & 0xFFFFFFFF, 0xFFFFFFFF))) + value
            )
        case 4:
            elements[at] = _HEADER.pack(rng.choice((0, 2, 8, 0x10, 0x7FE0)), rng.randrange(0x1100), length) + value
        case 5:
            value = value.replace(rng.choice((b"1", b".", b"S", b"\0")), rng.choice((b"\\", b"*", b"", b"\xc3")))
            elements[at] = _HEADER.pack(group, number, len(value)) + value
        case _:
            rng.shuffle(elements)
