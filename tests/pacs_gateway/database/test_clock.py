import time

from pacs_gateway.database import Database
from pacs_gateway.database.clock import database_time


def test_time_goes_on_within_a_transaction(database: Database) -> None:
    with database.read() as connection:
        first = database_time(connection)
        assert abs(first / 1e6 - time.time()) < 60  # both are on this machine
        assert database_time(connection) >= first
