"""`pacs-gateway user`: accounts of people and programs."""

from typing import Annotated

import typer

from pacs_gateway.access import Account, Actor, Role
from pacs_gateway.cli.context import opened_access
from pacs_gateway.cli.facts import Facts, print_facts, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Users: who may log in.")

Name = Annotated[str, typer.Argument(help="Name to log in with; upper and lower case are the same.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog="Example: pacs-gateway user add hoa --role administrator")
def add(
    ctx: typer.Context,
    name: Name,
    *,
    role: Annotated[Role, typer.Option("--role", help="What the account is for.")] = Role.READER,
    facility: Annotated[str, typer.Option("--facility", help="Facility it belongs to; default this gateway's.")] = "",
    as_json: AsJson = False,
) -> None:
    """Add a user and print the one-time password; it must be changed at the first login."""
    with opened_access(ctx) as access:
        made = access.accounts.create(
            name, role=role, facility=facility or access.config.facility, by=Actor.from_operating_system()
        )
    _print({**_facts(made.account), "one_time_password": made.one_time_password}, as_json=as_json)


@app.command("list", epilog="Example: pacs-gateway user list --json")
def list_users(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List the users."""
    with opened_access(ctx) as access:
        rows = [_facts(account) for account in access.accounts.list()]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, none="no users: see `user add --help`")


@app.command(epilog="Example: pacs-gateway user show hoa")
def show(ctx: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Show one user."""
    with opened_access(ctx) as access:
        _print(_facts(access.accounts.show(name)), as_json=as_json)


@app.command(epilog="Example: pacs-gateway user password hoa")
def password(ctx: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Set and print a new one-time password; ends the user's sessions and locks."""
    with opened_access(ctx) as access:
        one_time = access.accounts.reset_password(name, by=Actor.from_operating_system())
        account = access.accounts.show(name)
    _print({**_facts(account), "one_time_password": one_time}, as_json=as_json)


@app.command(epilog="Example: pacs-gateway user remove hoa")
def remove(ctx: typer.Context, name: Name) -> None:
    """Remove a user with all sessions and tokens; never the last administrator."""
    with opened_access(ctx) as access:
        access.accounts.remove(name, by=Actor.from_operating_system())


def _facts(account: Account) -> Facts:
    return {
        "name": account.name,
        "role": account.role.value,
        "facility": account.facility,
        "must_change_password": account.must_change,
        "created": account.created_at,
    }


def _print(facts: Facts, *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)
