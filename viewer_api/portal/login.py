"""Logging in and out, and changing a password."""

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl

from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pacs_gateway.access import Caller
from pacs_gateway.access.passwords import MAX_LENGTH, MIN_LENGTH
from pacs_gateway.errors import InputError, UnauthenticatedError
from viewer_api.access import address_of, clear_session, gateway_of, identify, session_value, set_session
from viewer_api.portal.page import LOGIN, PASSWORD, TAG, ElsewhereError, show

router = APIRouter(tags=[TAG], include_in_schema=False)

_MAX_FORM_BYTES = 8 * 1024
_MAX_FIELDS = 8
_RULE = {"least": MIN_LENGTH, "most": MAX_LENGTH}


@router.get(LOGIN)
def login_page(request: Request) -> Response:
    """Show the login form; where logins are off there is nothing to log in to."""
    if not gateway_of(request).access.config.is_auth_on:
        raise ElsewhereError("/")
    return _login_form(request, target=request.query_params.get("next", "/"), is_wrong=False)


@router.post(LOGIN)
async def log_in(request: Request) -> Response:
    """Open a session for who proves to be somebody."""
    form = await _read_form(request)
    return await run_sync(_log_in, request, form)


@router.post("/logout")
def log_out(request: Request) -> Response:
    """End the session, and have the browser forget the pictures it has seen."""
    gateway_of(request).access.sessions.revoke(session_value(request), address=address_of(request))
    response = RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER, {"Clear-Site-Data": '"cache", "storage"'})
    clear_session(request, response)
    return response


@router.get(PASSWORD)
def password_page(request: Request) -> Response:
    """Show the form for a new password."""
    return _password_form(request, _reader(request))


@router.post(PASSWORD)
async def change_password(request: Request) -> Response:
    """Change the password; all sessions end and a new one begins."""
    form = await _read_form(request)
    return await run_sync(_change_password, request, form)


def _log_in(request: Request, form: Mapping[str, str]) -> Response:
    access = gateway_of(request).access
    target = form.get("next", "/")
    try:
        account = access.accounts.authenticate(
            form.get("name", ""), form.get("password", ""), address=address_of(request)
        )
    except UnauthenticatedError:
        return _login_form(request, target=target, is_wrong=True)
    return _with_session(request, access.sessions.create(account), PASSWORD if account.must_change else target)


def _change_password(request: Request, form: Mapping[str, str]) -> Response:
    caller = _reader(request)
    access = gateway_of(request).access
    if form.get("new") != form.get("repeat"):
        return _password_form(request, caller, problem="passwords_differ")
    try:
        access.accounts.change_password(
            caller.name, old=form.get("old", ""), new=form.get("new", ""), address=address_of(request)
        )
    except UnauthenticatedError:
        return _password_form(request, caller, problem="wrong_login")
    except InputError:
        return _password_form(request, caller, problem="password_rule")
    return _with_session(request, access.sessions.create(access.accounts.show(caller.name)), "/")


def _reader(request: Request) -> Caller:
    """Return who has logged in, with a one-time password too."""
    caller = identify(request)
    if caller is None or not caller.name:
        raise ElsewhereError(LOGIN)
    return caller


def _login_form(request: Request, *, target: str, is_wrong: bool) -> Response:
    status = HTTPStatus.UNAUTHORIZED if is_wrong else HTTPStatus.OK
    return show(request, "login.html", {"target": _local(target), "is_wrong": is_wrong}, status=status)


def _password_form(request: Request, caller: Caller, *, problem: str = "") -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
    facts = {"problem": problem, "rule": _RULE, "must_change": caller.must_change_password}
    return show(request, "password.html", facts, status=status, caller=caller)


def _with_session(request: Request, value: str, target: str) -> Response:
    response = RedirectResponse(_local(target), HTTPStatus.SEE_OTHER)
    set_session(request, response, value)
    return response


def _local(target: str) -> str:
    """Return `target` if it is an address of this site, else the first page: nobody is led away after logging in."""
    is_local = target.startswith("/") and target[1:2] not in ("/", "\\") and target.isprintable()
    return target if is_local else "/"


async def _read_form(request: Request) -> dict[str, str]:
    """Read a small form.

    Raises
    ------
    InputError
        It is none, or not small.
    """
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/x-www-form-urlencoded":
        raise InputError("this is not a form")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_FORM_BYTES:
            raise InputError("the form is too large")
    try:
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError as error:
        raise InputError("the form cannot be read") from error
