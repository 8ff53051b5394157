"""One data set received twice: the object under its key may begin with the head of the other reception.

An object's key is the digest of its data set; in front of that lies a head that tells of one reception (decision 0001).
When two nodes took the same data set in, or one took it in again after a crash, the object that came first stays.
"""

from pacs_gateway.domain.part10 import MAX_META_LENGTH, decode_head
from pacs_gateway.errors import InvalidInstanceError
from pacs_gateway.storage.store import ObjectStore, object_key


def head_length(store: ObjectStore, digest: str) -> int | None:
    """Return how many bytes stand before the data set `digest` in its object; None when another one is in there.

    The whole object is read.

    Raises
    ------
    NotFoundError, UnavailableError
        The object is not there, or cannot be read now.
    """
    key = object_key(digest)
    with store.open(key) as reader:
        head = reader.read(0, min(reader.size_bytes, MAX_META_LENGTH))
    try:
        decoded = decode_head(head)
    except InvalidInstanceError:
        return None
    if decoded is None or store.checksum(key, decoded[1]) != digest:
        return None
    return decoded[1]
