"""From where the objects are, to the store that keeps them there."""

from pathlib import Path

from pacs_gateway.storage.cached_store import CacheConfig, CachedStore
from pacs_gateway.storage.filesystem_store import FilesystemStore
from pacs_gateway.storage.s3_config import S3Config
from pacs_gateway.storage.store import ObjectStore


def open_store(place: Path | S3Config, cache: CacheConfig | None = None) -> ObjectStore:
    """Return the store of a folder or of a bucket; the caller closes it. A bucket's server may be away.

    With `cache`, what is hot in a bucket is on this disk, too; a folder is on it already.
    """
    if isinstance(place, Path):
        return FilesystemStore(place)
    # Only here: a gateway on local disk never loads the client.
    from pacs_gateway.storage.s3_store import S3Store

    store = S3Store(place)
    return CachedStore(store, cache) if cache is not None else store
