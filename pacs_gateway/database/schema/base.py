"""The shared ``MetaData``, with names for every constraint so that migrations can address them; the type of text."""

import sqlalchemy
from sqlalchemy import MetaData

# Compared and ordered by code point, as SQLite does, whatever the PostgreSQL database was made with (decision 0010).
Text = sqlalchemy.Text().with_variant(sqlalchemy.Text(collation="C"), "postgresql")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
