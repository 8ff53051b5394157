"""The application: routes, error answers and the layer around them, over one open gateway."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pacs_gateway.errors import GatewayError
from pacs_gateway.gateway import Gateway
from viewer_api.boundary import Boundary, Metrics
from viewer_api.config import WebConfig
from viewer_api.description import capabilities, page
from viewer_api.description.openapi import DescribedApplication, operation_id
from viewer_api.dicomweb import bulkdata, metadata, remove, rendered, retrieve, search, store, thumbnail, wado_uri
from viewer_api.errors import problem, problem_of
from viewer_api.forwarded import Forwarded
from viewer_api.head import Head
from viewer_api.internal import spool
from viewer_api.ops import health
from viewer_api.ops.figures import Figures
from viewer_api.portal import login, pages, viewing
from viewer_api.portal.page import ElsewhereError, error_page, is_page, lead_elsewhere
from viewer_api.viewer import serving

_N_COMPOSING = 2
"""Stores that put instances together from metadata at once, in a process: each holds up to 16 MiB of it, decoded."""

ROUTERS = (
    search.router,
    metadata.router,
    retrieve.router,
    bulkdata.router,
    rendered.router,
    thumbnail.router,
    wado_uri.router,
    store.router,
    remove.router,
    capabilities.router,
    page.router,
    health.router,
    spool.router,
    login.router,
    viewing.router,
    pages.router,
    serving.router,
)


def create_app(config: WebConfig, gateway: Gateway) -> FastAPI:
    """Return the web application over an open gateway; closing the gateway is the caller's."""
    app = _application(config, gateway, openapi_url="/api/openapi.json")
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", pages.static_files())
    return app


def create_node_app(config: WebConfig, gateway: Gateway) -> FastAPI:
    """Return what a node offers that serves no web: its spool to the other nodes, its health to orchestrators."""
    app = _application(config, gateway, openapi_url=None)
    for module in (health, spool):
        app.include_router(module.router)
    return app


def _application(config: WebConfig, gateway: Gateway, *, openapi_url: str | None) -> FastAPI:
    """Return an application without routes."""
    app = DescribedApplication(
        title="PACS gateway",
        openapi_url=openapi_url,
        # The framework's own page loads its scripts from another site; ours is in `description.page`.
        docs_url=None,
        redoc_url=None,
        default_response_class=Response,
        generate_unique_id_function=operation_id,
    )
    app.state.config = config
    app.state.gateway = gateway
    app.state.composing = asyncio.Semaphore(_N_COMPOSING)
    app.state.figures = Figures()
    app.add_middleware(Head)
    app.add_middleware(Boundary, metrics=Metrics(app.state.figures.registry))
    # Around everything that asks who is calling, by which scheme and for which host.
    app.add_middleware(Forwarded, trusted=config.trusted_proxies)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    return app


async def _gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    if is_page(request):
        return error_page(request, error)
    return problem_of(error, request_id=request.state.request_id)


async def _malformed(request: Request, _error: Exception) -> Response:
    """Answer a path or parameter of the wrong form; the framework's own words would repeat what was sent."""
    return problem(
        HTTPStatus.BAD_REQUEST,
        detail="the path or a parameter is malformed",
        request_id=request.state.request_id,
    )


async def _framework_error(request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    is_not_allowed = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    if is_not_allowed and request.method == "OPTIONS":
        return capabilities.capabilities(request)
    answer = problem(HTTPStatus(error.status_code), request_id=request.state.request_id)
    answer.headers.update(error.headers or {})
    if is_not_allowed:
        answer.headers["Allow"] = ", ".join(capabilities.allowed_methods(request))
    return answer


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    GatewayError: _gateway_error,
    ElsewhereError: lead_elsewhere,
    RequestValidationError: _malformed,
    HTTPException: _framework_error,
}
