"""What every command starts from: the settings, and a gateway opened on them."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from pacs_gateway.access import Access, open_access
from pacs_gateway.config import GatewayConfig, Loaded, compose
from pacs_gateway.database.engine import Database
from pacs_gateway.database.migrate import migrate
from pacs_gateway.database.revision import revisions
from pacs_gateway.gateway import Gateway, open_gateway


def loaded(ctx: typer.Context) -> Loaded:
    """Return the settings of this invocation."""
    settings = ctx.find_object(Loaded)
    assert settings is not None
    return settings


def prepared(ctx: typer.Context) -> GatewayConfig:
    """Return the gateway's configuration; a data directory without an index gets an empty one."""
    config = compose(loaded(ctx).settings)
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
    database = Database(config.database)
    try:
        present, _ = revisions(database)
        if present is None:
            migrate(database)
    finally:
        database.close()
    return config


@contextmanager
def opened_gateway(ctx: typer.Context) -> Iterator[Gateway]:
    """Open this invocation's gateway."""
    with open_gateway(prepared(ctx)) as gateway:
        yield gateway


@contextmanager
def opened_access(ctx: typer.Context) -> Iterator[Access]:
    """Open this invocation's accounts and devices alone: the object store may be away."""
    config = prepared(ctx)
    database = Database(config.database)
    try:
        with open_access(database, config.access) as access:
            yield access
    finally:
        database.close()
