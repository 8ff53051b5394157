"""The OpenAPI document: what the framework knows of the routes, with what they negotiate and how they fail."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from pacs_gateway.dicomweb import dicom_json
from viewer_api.description.resources import ACCEPT, DATA_SETS, JSON, Parameter, Resource, resource_of
from viewer_api.errors import PROBLEM_TYPE

Json = dict[str, object]

_DATA_SET: Json = {
    "type": "object",
    "description": "A data set in the DICOM JSON Model (PS3.18 F).",
    "patternProperties": {"^[0-9A-F]{8}$": {"$ref": "#/components/schemas/Attribute"}},
    "additionalProperties": False,
}
_ATTRIBUTE: Json = {
    "type": "object",
    "properties": {
        "vr": {"type": "string", "pattern": "^[A-Z]{2}$"},
        "Value": {"type": "array"},
        "InlineBinary": {"type": "string", "contentEncoding": "base64"},
        "BulkDataURI": {"type": "string"},
    },
    "required": ["vr"],
    "additionalProperties": False,
}
_PROBLEM: Json = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string", "description": "As in the X-Request-ID header and in the log."},
    },
    "required": ["type", "title", "status"],
}
_SECURITY: Json = {
    "token": {"type": "http", "scheme": "bearer"},
    "session": {"type": "apiKey", "in": "cookie", "name": "pacs_session"},
}

_KEYS_OF_PATHS = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID"}


class DescribedApplication(FastAPI):
    """An application that describes itself."""

    def openapi(self) -> dict[str, object]:
        """Return the document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = _document(self)
        return self.openapi_schema


def operation_id(route: APIRoute) -> str:
    """Return what names an operation: the module it is in and its function."""
    return f"{route.endpoint.__module__.rpartition('.')[2]}_{route.name}"


def operations(document: Mapping[str, object]) -> Iterator[tuple[str, str, Json]]:
    """Yield method, path and description of each operation."""
    paths = document["paths"]
    assert isinstance(paths, dict)
    for path, of_path in paths.items():
        for method, operation in of_path.items():
            yield method, path, operation


def _document(app: FastAPI) -> Json:
    document: Json = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    document["components"] = {
        "schemas": {"DataSet": _DATA_SET, "Attribute": _ATTRIBUTE, "Problem": _PROBLEM},
        "securitySchemes": _SECURITY,
    }
    for method, path, operation in operations(document):
        _complete(operation, resource_of(method, path))
    return document


def _complete(operation: Json, resource: Resource) -> None:
    given = operation.get("parameters", [])
    assert isinstance(given, list)
    # What the path says already is not asked for again.
    fixed = {_KEYS_OF_PATHS.get(str(one["name"])) for one in given}
    described = [one for one in resource.parameters if one.name not in fixed]
    if resource.is_negotiated:
        described.append(ACCEPT)
    operation["parameters"] = [*given, *(_parameter(one) for one in described)]
    if resource.consumes:
        content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in resource.consumes}
        operation["requestBody"] = {"required": True, "content": content}
    operation["responses"] = {str(status.value): _success(status, resource) for status in resource.successes} | {
        str(status.value): _problem(status) for status in resource.problems
    }
    if not resource.is_open:
        operation["security"] = [{name: []} for name in _SECURITY]


def _parameter(one: Parameter) -> Json:
    return {
        "name": one.name,
        "in": "query",
        "required": False,
        "description": one.description,
        "schema": {"type": one.type},
    }


def _success(status: HTTPStatus, resource: Resource) -> Json:
    answer: Json = {"description": status.phrase}
    if resource.headers:
        answer["headers"] = {
            one.name: {"description": one.description, "schema": {"type": one.type}} for one in resource.headers
        }
    if status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        answer["content"] = {kind: {"schema": _schema(kind, resource)} for kind in resource.produces}
    return answer


def _schema(kind: str, resource: Resource) -> Json:
    data_set: Json = {"$ref": "#/components/schemas/DataSet"}
    if resource.produces == DATA_SETS and kind != DATA_SETS[-1]:
        return {"type": "array", "items": data_set}
    if kind == dicom_json.MEDIA_TYPE:
        return data_set
    return {} if kind == JSON else {"type": "string", "format": "binary"}


def _problem(status: HTTPStatus) -> Json:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": status.phrase, "content": {PROBLEM_TYPE: {"schema": schema}}}
