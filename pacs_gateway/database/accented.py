"""A name in the form in which accents are compared, by the same rules in both databases."""

from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from pacs_gateway.database.lowered import lowered
from pacs_gateway.database.schema.base import Text
from pacs_gateway.domain.names import BREAKS


class accented(GenericFunction[str]):  # noqa: N801 - used as the function it stands for
    """A name as ``domain.names.accented`` has it; SQLite gets that very function (sqlite.py)."""

    type = Text
    inherit_cache = True

    def __init__(self, name: ColumnElement[Any]) -> None:
        super().__init__(name)


@compiles(accented, "postgresql")
def _translated(element: accented, compiler: SQLCompiler, **options: Any) -> str:
    (name,) = element.clauses
    lower = compiler.process(lowered(name), **options)
    breaks, spaces = BREAKS.replace("'", "''"), " " * len(BREAKS)
    return f"""(btrim(regexp_replace(translate({lower}, '{breaks}', '{spaces}'), ' +', ' ', 'g'), ' ') COLLATE "C")"""
