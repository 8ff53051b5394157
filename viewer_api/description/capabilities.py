"""The capabilities of the service and its resources (PS3.18 8.9), and a page that shows them to people."""

from http import HTTPStatus

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.routing import Match

from viewer_api.description import wadl
from viewer_api.description.openapi import DescribedApplication, operations
from viewer_api.errors import NotAcceptableError
from viewer_api.negotiation import Offer, choose, ranges

router = APIRouter(tags=["Capabilities"])

SERVICE = "/dicom-web"
_OFFERS = (Offer(wadl.MEDIA_TYPE), Offer("application/json"))
_METHODS = ("GET", "POST", "PUT", "DELETE")


@router.get(f"{SERVICE}/", summary="Capabilities of the service")
def service(request: Request) -> Response:
    """Tell what the service offers: as WADL, or as OpenAPI."""
    return capabilities(request)


def allowed_methods(request: Request) -> list[str]:
    """Return what can be done to the resource that a request names; HEAD where GET can, OPTIONS always."""
    routes = request.app.router.routes
    found = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return [*found, *(["HEAD"] if "GET" in found else []), "OPTIONS"]


def capabilities(request: Request) -> Response:
    """Return what is offered at the resource that a request names, and below it.

    Raises
    ------
    NotAcceptableError
        The caller takes neither WADL nor JSON.
    """
    app = request.app
    assert isinstance(app, DescribedApplication)
    headers = {"Allow": ", ".join(allowed_methods(request))}
    accepted = ranges(request.headers.getlist("accept"), request.query_params.getlist("accept"))
    try:
        offer = choose(accepted, _OFFERS)
    except NotAcceptableError:
        if request.method == "OPTIONS":
            # What may be done is told in any case: a browser's accept says nothing of documents about it.
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
        raise
    document = app.openapi()
    if offer.media_type == wadl.MEDIA_TYPE:
        base = f"{str(request.base_url).rstrip('/')}{SERVICE}"
        body = wadl.wadl(document, base=base, service=SERVICE, below=_template(request))
    else:
        body = orjson.dumps(document)
    return Response(body, headers=headers, media_type=offer.media_type)


def _template(request: Request) -> str:
    """Return the path of a resource as the document spells it, empty for the service itself."""
    asked = request.url.path.removeprefix(SERVICE).strip("/").split("/")
    for _, path, _ in operations(request.app.openapi()):
        own = path.removeprefix(SERVICE).strip("/").split("/")
        if len(own) == len(asked) and all(a in (b, "") or a.startswith("{") for a, b in zip(own, asked, strict=True)):
            return "/".join(own)
    return ""
