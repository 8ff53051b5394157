"""Health, readiness and metrics; nothing here names a patient, so nobody has to say who asks."""

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from viewer_api.access import gateway_of
from viewer_api.config import WebConfig
from viewer_api.ops.figures import Figures

router = APIRouter(tags=["operations"])


@router.get("/healthz", summary="Alive")
async def alive() -> Response:
    """Say that this process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", summary="Ready, each dependency named")
def ready(request: Request) -> Response:
    """Say whether the roles that run here can do their work; with ``all`` in the query, whether every role can.

    A stopped object store does not take a node out: what is in the spool is served, and everything else answers again
    when the store does.
    """
    states = gateway_of(request).readiness()
    config: WebConfig = request.app.state.config
    needed = states.keys() if "all" in request.query_params else config.needs
    is_ready = all(states.get(name) == "ok" for name in needed)
    return JSONResponse({"status": "ready" if is_ready else "not ready", **states}, 200 if is_ready else 503)


@router.get("/metrics", summary="Figures for Prometheus")
def metrics(request: Request) -> Response:
    """Return the figures of this node's processes as Prometheus text."""
    figures: Figures = request.app.state.figures
    return Response(figures.text(), media_type=CONTENT_TYPE_LATEST)
