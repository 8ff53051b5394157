"""Capabilities as WADL: the tree of resources with what can be done to each (PS3.18 H)."""

from collections.abc import Iterable, Mapping
from xml.etree import ElementTree as ET

from viewer_api.description.openapi import Json, operations

MEDIA_TYPE = "application/vnd.sun.wadl+xml"
_NAMESPACE = "http://wadl.dev.java.net/2009/02"
_TYPES = {"integer": "xsd:int", "boolean": "xsd:boolean", "number": "xsd:decimal"}


def wadl(document: Mapping[str, object], *, base: str, service: str, below: str = "") -> bytes:
    """Return the capabilities of a service.

    Parameters
    ----------
    document
        The OpenAPI document.
    base
        URL of the service.
    service
        Path of the service in the document.
    below
        Template of the resource asked about, relative to the service; all of them where it is empty.
    """
    application = ET.Element("application", {"xmlns": _NAMESPACE, "xmlns:xsd": "http://www.w3.org/2001/XMLSchema"})
    tree = {"": ET.SubElement(application, "resources", {"base": base})}
    for method, path, operation in operations(document):
        relative = path.removeprefix(f"{service}/").strip("/")
        if path.startswith(f"{service}/") and relative and f"{relative}/".startswith(f"{below}/" if below else ""):
            _add_method(_resource(tree, relative), method, operation)
    text: bytes = ET.tostring(application, encoding="utf-8", xml_declaration=True)
    return text


def _resource(tree: dict[str, ET.Element], path: str) -> ET.Element:
    """Return the resource at `path`, made with those above it."""
    if path not in tree:
        parent, _, segment = path.rpartition("/")
        tree[path] = resource = ET.SubElement(_resource(tree, parent), "resource", {"path": segment})
        if segment.startswith("{"):
            ET.SubElement(resource, "param", {"name": segment.strip("{}"), "style": "template", "type": "xsd:string"})
    return tree[path]


def _add_method(resource: ET.Element, method: str, operation: Json) -> None:
    one = ET.SubElement(resource, "method", {"name": method.upper(), "id": str(operation["operationId"])})
    request = ET.SubElement(one, "request")
    for parameter in _mappings(operation.get("parameters")):
        if parameter["in"] == "query":
            kind = _TYPES.get(str(_mapping(parameter["schema"]).get("type")), "xsd:string")
            ET.SubElement(request, "param", {"name": str(parameter["name"]), "style": "query", "type": kind})
    _add_representations(request, _mapping(operation.get("requestBody")))
    for status, answer in _mapping(operation["responses"]).items():
        _add_representations(ET.SubElement(one, "response", {"status": status}), _mapping(answer))


def _add_representations(around: ET.Element, described: Mapping[str, object]) -> None:
    for kind in _mapping(described.get("content")):
        ET.SubElement(around, "representation", {"mediaType": kind})


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> Iterable[Mapping[str, object]]:
    return value if isinstance(value, list) else ()
