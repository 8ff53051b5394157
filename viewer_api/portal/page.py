"""What all pages share: who may see them, how templates become answers, and how errors look."""

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from pacs_gateway.access import Caller
from pacs_gateway.errors import GatewayError, UnauthenticatedError
from viewer_api.access import May, Visitor, identified
from viewer_api.errors import status_of
from viewer_api.portal.catalogue import COOKIE, LANGUAGES, catalogue_of

FOLDER = Path(__file__).parent
TAG = "pages"
LOGIN, PASSWORD = "/login", "/password"

# Own scripts and styles only, nothing inline; pictures also from memory (drawn by scripts), documents in frames.
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; frame-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_YEAR_S = 365 * 24 * 3600
_ERROR_WORDS: Mapping[HTTPStatus, tuple[str, str]] = {
    HTTPStatus.NOT_FOUND: ("not_found", "not_found_text"),
    HTTPStatus.BAD_REQUEST: ("not_found", "not_found_text"),
    HTTPStatus.FORBIDDEN: ("refused", "refused_text"),
}

_templates = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class ElsewhereError(Exception):
    """The reader has to go to another page first."""

    def __init__(self, location: str) -> None:
        super().__init__("another page comes first")
        self.location = location


class MayView(May):
    """A dependency as `May`, for pages: who has not logged in is led to where that is done."""

    async def __call__(self, request: Request) -> Visitor:
        """Return who is reading.

        Raises
        ------
        ElsewhereError
            The reader must log in, or change a one-time password, first.
        RefusedError
            The reader may not.
        """
        try:
            caller = await identified(request)
        except UnauthenticatedError:
            caller = None
        if caller is None:
            raise ElsewhereError(f"{LOGIN}?next={quote(_own_address(request), safe='')}")
        if caller.must_change_password:
            raise ElsewhereError(PASSWORD)
        return await super().__call__(request)


def show(
    request: Request, template: str, facts: Mapping[str, object], *, status: int = 200, caller: Caller | None = None
) -> Response:
    """Return a page in the reader's language."""
    words = catalogue_of(request)
    html = _templates.get_template(template).render(
        t=words, caller=caller, other_language=_in_other_language(request, words.other), **facts
    )
    response = HTMLResponse(html, status, {"Content-Security-Policy": _POLICY, "Vary": "Accept-Language, Cookie"})
    wish = request.query_params.get("lang", "")
    if wish in LANGUAGES:
        response.set_cookie(COOKIE, wish, max_age=_YEAR_S, httponly=True, samesite="lax")
    return response


def is_page(request: Request) -> bool:
    """Return whether a request is served by a page, not by an interface for programs."""
    return TAG in getattr(request.scope.get("route"), "tags", ())


def error_page(request: Request, error: GatewayError) -> Response:
    """Return the page for `error`."""
    status = status_of(error)
    title, text = _ERROR_WORDS.get(status, ("trouble", "trouble_text"))
    facts = {"title": title, "text": text, "request_id": request.state.request_id}
    return show(request, "error.html", facts, status=status)


async def lead_elsewhere(_request: Request, error: Exception) -> Response:
    """Return the answer that leads a reader to another page."""
    assert isinstance(error, ElsewhereError)
    return RedirectResponse(error.location, HTTPStatus.SEE_OTHER)


def _own_address(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _in_other_language(request: Request, language: str) -> str:
    """Return the address of the same page in another language."""
    return f"{request.url.path}?{request.url.include_query_params(lang=language).query}"
