"""The schema: one module per concern, one ``MetaData`` for all.

Times are UTC microseconds since 1970 in integers: both databases order and compare them alike.
"""

from pacs_gateway.database.schema import access, archive, commitment, jobs, removal
from pacs_gateway.database.schema.base import metadata

__all__ = ["access", "archive", "commitment", "jobs", "metadata", "removal"]
