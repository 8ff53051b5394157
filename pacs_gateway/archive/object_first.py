"""``PACS_ACK=object``: the object store has an instance before its sender hears of Success.

For nodes whose disk may vanish with them. The spool is only where the bytes lie meanwhile: when they cannot be put,
nothing is left of them and the sender is told so. A crash in between leaves an entry that the next start takes in and
ships; the sender, who has heard nothing, sends it again, and both find the same object.
"""

import threading
from time import monotonic

from sqlalchemy import select

from pacs_gateway.archive.twin import head_length
from pacs_gateway.database.engine import Database
from pacs_gateway.database.schema.archive import instance
from pacs_gateway.domain.instance import InstanceRecord
from pacs_gateway.errors import ConflictError, GatewayError, IntegrityError, UnavailableError
from pacs_gateway.storage.spool import Spool
from pacs_gateway.storage.store import ObjectStore, Upload, object_key

_PROBED_EVERY_S = 2.0


class ObjectFirst:
    """Puts received instances into the object store, each in its sender's own thread."""

    def __init__(self, database: Database, store: ObjectStore, spool: Spool) -> None:
        self._database = database
        self._store = store
        self._spool = spool
        self._lock = threading.Lock()
        self._probed: tuple[float, GatewayError | None] = (float("-inf"), None)

    def check(self) -> None:
        """Do nothing if the store is there, as far as was known a moment ago.

        Raises
        ------
        UnavailableError, CapacityError
            It is not: whoever wants to send is better told before than after.
        """
        with self._lock:
            if monotonic() - self._probed[0] > _PROBED_EVERY_S:
                try:
                    self._store.probe()
                except GatewayError as error:
                    self._probed = monotonic(), error
                else:
                    self._probed = monotonic(), None
            problem = self._probed[1]
        if problem is not None:
            raise UnavailableError("the object store is away") from problem

    def put(self, record: InstanceRecord, entry: str) -> InstanceRecord | None:
        """Put a spool entry into the store; return the record of the object, or None where it was archived before.

        Raises
        ------
        GatewayError
            It is not in the store, and no longer in the spool.
        """
        try:
            return None if self._is_archived(record) else self._put(record, entry)
        except GatewayError:
            self._spool.remove([entry])
            raise

    def _put(self, record: InstanceRecord, entry: str) -> InstanceRecord:
        try:
            self._store.put_file(Upload(object_key(record.digest), self._spool.path(entry), record.size_bytes))
        except ConflictError as error:
            length = head_length(self._store, record.digest)
            if length is None:
                raise IntegrityError("the store holds another data set under this digest") from error
            return record.behind_head(length)
        return record

    def _is_archived(self, record: InstanceRecord) -> bool:
        same = (instance.c.sop_uid == record.sop_instance_uid, instance.c.digest == record.digest)
        statement = select(instance.c.id).where(*same, instance.c.archived_at.is_not(None)).limit(1)
        with self._database.read() as connection:
            return connection.execute(statement).first() is not None
