"""Lower case in all scripts, by the same rules in both databases."""

from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from pacs_gateway.database.schema.base import Text


class lowered(GenericFunction[str]):  # noqa: N801 - used as the function it stands for
    """A text in lower case, as `str.lower` has it."""

    type = Text
    inherit_cache = True

    def __init__(self, text: ColumnElement[Any]) -> None:
        super().__init__(text)


@compiles(lowered)
def _registered(element: lowered, compiler: SQLCompiler, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"  # of SQLite, made by us (sqlite.py)


@compiles(lowered, "postgresql")
def _by_icu(element: lowered, compiler: SQLCompiler, **options: Any) -> str:
    # The collation of our columns knows ASCII letters only.
    return f'(lower({compiler.process(element.clauses, **options)} COLLATE "und-x-icu") COLLATE "C")'
