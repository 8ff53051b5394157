"""Engine, transactions, schema and migrations: one schema for SQLite and PostgreSQL."""

from pacs_gateway.database.engine import Database, DatabaseConfig

__all__ = ["Database", "DatabaseConfig"]
