"""How commands print facts: a table for people, JSON for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

Fact = str | int | bool | datetime | None | Sequence[str]
Facts = Mapping[str, Fact]

_PIPE_WIDTH = 200


def print_json(facts: Facts | Sequence[Facts]) -> None:
    """Print facts as JSON, times in ISO 8601."""
    typer.echo(json.dumps(facts, indent=2, ensure_ascii=False, default=_encoded))


def print_facts(facts: Facts) -> None:
    """Print the facts of one thing, a line for each."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, fact in facts.items():
        table.add_row(Text(name.replace("_", " ")), _text(fact))
    _console().print(table)


def print_table(rows: Sequence[Facts], *, none: str) -> None:
    """Print a table of things that have the same facts, or `none` where there are none."""
    if not rows:
        typer.echo(none)
        return
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_text(fact) for fact in row.values()))
    _console().print(table)


def _console() -> Console:
    # What goes into a file or another program is not broken at the width of a terminal.
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def _text(fact: Fact) -> Text:
    # As text, never as markup: some of it was sent by strangers.
    match fact:
        case None | "":
            return Text("-")
        case bool():
            return Text("yes" if fact else "no")
        case datetime():
            return Text(fact.astimezone().strftime("%Y-%m-%d %H:%M:%S"))
        case str() | int():
            return Text(str(fact))
        case _:
            return Text(",".join(fact) or "-")


def _encoded(fact: object) -> str:
    assert isinstance(fact, datetime)
    return fact.isoformat()
