"""What routes ask for by annotation: a visitor with a right, the accepted media types, checked UIDs."""

from typing import Annotated

from fastapi import Depends, Path, Request

from pacs_gateway.access import Action
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.errors import NotFoundError
from viewer_api.access import May, Visitor

Searcher = Annotated[Visitor, Depends(May(Action.SEARCH))]
Reader = Annotated[Visitor, Depends(May(Action.READ))]
Sender = Annotated[Visitor, Depends(May(Action.STORE))]
Deleter = Annotated[Visitor, Depends(May(Action.DELETE))]

# As domain.uids has it: a name of something, never a path.
Uid = Annotated[str, Path(max_length=64, pattern=r"^[0-9]+(\.[0-9]+)*$")]


def only_instance(visitor: Visitor, study: str, series: str, instance: str) -> StoredInstance:
    """Return one instance.

    Raises
    ------
    NotFoundError
        There is none, or none the visitor may see.
    """
    found = visitor.gateway.archive.retrieve.instances(
        visitor.scope, study_uid=study, series_uid=series, sop_uid=instance
    )
    if not found:
        raise NotFoundError("no such instance")
    return found[0]


def not_modified(request: Request, etag: str) -> bool:
    """Return whether the caller already has what `etag` names (RFC 9110 13.1.2, weak comparison)."""
    given = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return "*" in given or etag.removeprefix("W/") in given
