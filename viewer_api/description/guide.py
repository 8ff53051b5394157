"""The guide for those who write clients, `docs/dicomweb.md`: what routes and tables say, and what they cannot say."""

from http import HTTPStatus
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pacs_gateway.domain.attributes import ATTRIBUTES, Matching
from viewer_api.app import ROUTERS
from viewer_api.description.openapi import DescribedApplication, operations
from viewer_api.description.resources import FORMS, Resource, resource_of
from viewer_api.dicomweb.search_request import FLAGS, INCLUDE, PAGING
from viewer_api.errors import STATUSES

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 - Markdown, of nothing but our own words
)


def guide() -> str:
    """Return the guide as Markdown."""
    app = DescribedApplication(title="PACS gateway")
    for router in ROUTERS:
        app.include_router(router)
    services: dict[str, list[tuple[str, str, str, Resource]]] = {}
    for method, path, operation in operations(app.openapi()):
        if path.startswith(("/dicom-web", "/wado")):
            tags = operation["tags"]
            assert isinstance(tags, list)
            row = (method.upper(), path, str(operation["summary"]), resource_of(method, path))
            services.setdefault(tags[0], []).append(row)
    return _templates.get_template("dicomweb.md").render(
        services=services,
        options={**PAGING, INCLUDE: "Attributes to tell of: keywords or tags, separated by commas, or `all`.", **FLAGS},
        attributes=[row for row in ATTRIBUTES if row.matching is not Matching.NONE],
        told=[row for row in ATTRIBUTES if row.matching is Matching.NONE],
        forms=FORMS,
        problems=[HTTPStatus(status) for status in sorted(set(STATUSES.values()))],
    )
