"""Serving OHIF below ``/viewer/``: its files, its page, and what both may do in a browser."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import FileResponse, Response

from pacs_gateway.access import Action, Caller, decide
from pacs_gateway.errors import NotFoundError, RefusedError
from viewer_api.access import Visitor
from viewer_api.dependencies import not_modified
from viewer_api.negotiation import takes_gzip
from viewer_api.portal.catalogue import catalogue_of
from viewer_api.portal.page import TAG, MayView, show
from viewer_api.viewer import install
from viewer_api.viewer.prepare import BASE, About
from viewer_api.viewer.settings import settings_script

router = APIRouter(prefix=BASE.rstrip("/"), tags=[TAG], include_in_schema=False)

ViewingReader = Annotated[Visitor, Depends(MayView(Action.READ))]

_PAGE = "index.html"
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".css": "text/css",
        ".html": "text/html",
        ".ico": "image/x-icon",
        ".jpg": "image/jpeg",
        ".js": "text/javascript",
        ".json": "application/json",
        ".png": "image/png",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
        ".webapp": "application/manifest+json",
        ".woff2": "font/woff2",
        ".xml": "application/xml",
    }
)
# A name that carries the hash of its content means the same for ever.
_HASHED = re.compile(r"(^|\.)[0-9a-f]{16}\.")
_FOR_EVER = "private, max-age=31536000, immutable"
_ASK_FIRST = "private, no-cache"
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob: data:; worker-src 'self' blob:; "
    "manifest-src 'self'; object-src 'self' blob:; frame-src 'self' blob:; media-src 'self' blob:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_CODE_FROM_TEXT = "'unsafe-eval'"


@router.get("")
@router.get("/")
def viewer_page(visitor: ViewingReader) -> Response:
    """Show the viewer's own list of studies."""
    return _page(visitor)


@router.get("/app-config.js")
def viewer_settings(visitor: ViewingReader) -> Response:
    """Return the viewer's settings for whoever asks."""
    body = settings_script(catalogue_of(visitor.request), may_store=_may(visitor.caller, Action.STORE))
    return Response(body, 200, {"Cache-Control": _ASK_FIRST}, _TYPES[".js"])


@router.get("/{path:path}")
def viewer_file(request: Request, visitor: ViewingReader, path: str) -> Response:
    """Return a file of the viewer, and for its own addresses its page."""
    about = install.current()
    if about is None or "." not in path.rpartition("/")[2]:
        return _page(visitor)
    if path not in about.files:
        raise NotFoundError("no such file")
    return _file(request, about, path)


def _page(visitor: Visitor) -> Response:
    """Return the viewer's page; without a viewer the one that says how to get it."""
    about = install.current()
    if about is None:
        return show(visitor.request, "no_viewer.html", {}, status=HTTPStatus.NOT_FOUND, caller=visitor.caller)
    return _file(visitor.request, about, _PAGE)


def _file(request: Request, about: About, name: str) -> Response:
    """Return a file of those prepared, compressed where the caller takes that."""
    etag = f'W/"{about.integrity[-24:-2]}.{about.revision}"'
    headers = {
        "Cache-Control": _FOR_EVER if _HASHED.search(name) else _ASK_FIRST,
        "Content-Security-Policy": _policy(about, name),
        "ETag": etag,
        "Vary": "Accept-Encoding",
    }
    if not_modified(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    file = install.PREPARED / name
    compressed = file.with_name(f"{file.name}.gz")
    if takes_gzip(request) and compressed.is_file():
        file, headers["Content-Encoding"] = compressed, "gzip"
    suffix = name[name.rfind(".") :]
    return FileResponse(file, headers=headers, media_type=_TYPES.get(suffix, "application/octet-stream"))


def _policy(about: About, name: str) -> str:
    """Return what a file may do; a worker obeys the answer that its script came with, not the page's."""
    may_make_code = name in about.code_makers
    return _POLICY.format(scripts=_CODE_FROM_TEXT if may_make_code else " ".join(about.inline_scripts))


def _may(caller: Caller, action: Action) -> bool:
    try:
        decide(caller, action)
    except RefusedError:
        return False
    return True
