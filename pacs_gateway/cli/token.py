"""`pacs-gateway token`: bearer tokens of programs."""

from datetime import timedelta
from typing import Annotated

import typer

from pacs_gateway.access import Actor, Token
from pacs_gateway.cli.context import opened_access
from pacs_gateway.cli.facts import Facts, print_facts, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Tokens: how programs log in (Authorization: Bearer ...).")

Name = Annotated[str, typer.Argument(help="Name of the token, to know it by.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_MAX_DAYS = 36_500


@app.command(epilog="Example: pacs-gateway token add night-report --user hoa --days 365")
def add(
    ctx: typer.Context,
    name: Name,
    *,
    user: Annotated[str, typer.Option("--user", help="The account the program acts as.")],
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=_MAX_DAYS, help="How long it is good; default until removed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it; it is shown this once."""
    expires_in = None if days is None else timedelta(days=days)
    with opened_access(ctx) as access:
        value = access.tokens.add(name, account_name=user, by=Actor.from_operating_system(), expires_in=expires_in)
        made = access.tokens.show(name)
    if as_json:
        print_json({**_facts(made), "token": value})
    else:
        typer.echo(value)  # alone on its line, for TOKEN=$(pacs-gateway token add ...)


@app.command("list", epilog="Example: pacs-gateway token list")
def list_tokens(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List the tokens, without their secrets."""
    with opened_access(ctx) as access:
        rows = [_facts(token) for token in access.tokens.list()]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, none="no tokens: see `token add --help`")


@app.command(epilog="Example: pacs-gateway token show night-report")
def show(ctx: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Show one token, without its secret."""
    with opened_access(ctx) as access:
        facts = _facts(access.tokens.show(name))
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


@app.command(epilog="Example: pacs-gateway token remove night-report")
def remove(ctx: typer.Context, name: Name) -> None:
    """Remove a token: from now on it is refused."""
    with opened_access(ctx) as access:
        access.tokens.remove(name, by=Actor.from_operating_system())


def _facts(token: Token) -> Facts:
    return {"name": token.name, "user": token.account, "created": token.created_at, "expires": token.expires_at}
