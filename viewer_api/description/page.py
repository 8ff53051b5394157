"""The page that shows to people what the OpenAPI document tells programs: no script, nothing from elsewhere."""

from pathlib import Path

from fastapi import APIRouter, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from viewer_api.description.openapi import operations

router = APIRouter(include_in_schema=False)

_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@router.get("/api/docs")
def documentation(request: Request) -> Response:
    """Show every operation with its parameters, media types and answers."""
    document = request.app.openapi()
    by_service: dict[str, list[tuple[str, str, object]]] = {}
    for method, path, operation in operations(document):
        tags = operation.get("tags")
        service = str(tags[0]) if isinstance(tags, list) and tags else ""
        by_service.setdefault(service, []).append((method.upper(), path, operation))
    html = _templates.get_template("docs.html").render(title=document["info"]["title"], services=by_service)
    return HTMLResponse(html, headers={"Content-Security-Policy": _POLICY})
