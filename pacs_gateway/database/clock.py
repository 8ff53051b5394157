"""The time by which all processes of all nodes agree: the database server's, or this machine's where it has none."""

import time
from collections.abc import Callable

from sqlalchemy import BigInteger, Connection, cast, extract, func, select

SharedClock = Callable[[Connection], int]
"""Returns UTC microseconds."""

_NOW = select(cast(extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger))


def database_time(connection: Connection) -> int:
    """Return UTC microseconds by the clock that every user of this database shares (settled: Nodes, clocks, logs)."""
    if connection.dialect.name == "sqlite":  # on this machine, as everybody who uses it
        return time.time_ns() // 1000
    return int(connection.execute(_NOW).scalar_one())
