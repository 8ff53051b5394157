"""Media types as HTTP writes them: ``type/subtype; name=value; name="value"`` (RFC 9110 8.3.1)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from pacs_gateway.errors import InvalidMessageError

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_ESSENCE = re.compile(rf"\s*({_NAME})/({_NAME})\s*")
# A quoted pair may stand for any visible character, tab or space (RFC 9110 5.6.4). Unquoted values are taken more
# widely than a token: clients write type=application/dicom and transfer-syntax=* without the quotes they need.
_PARAMETER = re.compile(rf';\s*(?:({_NAME})\s*=\s*(?:"((?:[^"\\\r\n]|\\[\t -~])*)"|([^\s;,"]+))\s*)?')
_MAX_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type, or a media range where type or subtype is ``*``."""

    type: str
    subtype: str
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Values by lower-case name."""

    @property
    def essence(self) -> str:
        """``type/subtype`` without parameters."""
        return f"{self.type}/{self.subtype}"

    def __str__(self) -> str:
        return "; ".join((self.essence, *(f"{name}={_quoted(value)}" for name, value in self.parameters.items())))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the media type that `text` spells.

        Raises
        ------
        InvalidMessageError
            When it is not one, or longer than 1,024 characters.
        """
        start = _ESSENCE.match(text) if len(text) <= _MAX_LENGTH else None
        if start is None:
            raise InvalidMessageError("not a media type")
        parameters: dict[str, str] = {}
        position = start.end()
        while position < len(text):
            found = _PARAMETER.match(text, position)
            if found is None or (found[1] and found[1].lower() in parameters):
                raise InvalidMessageError("the parameters of a media type cannot be read")
            if found[1]:
                parameters[found[1].lower()] = found[3] if found[2] is None else re.sub(r"\\(.)", r"\1", found[2])
            position = found.end()
        return cls(start[1].lower(), start[2].lower(), MappingProxyType(parameters))


def split_list(text: str) -> list[str]:
    """Return the members of a comma-separated header, commas inside quotes left alone (RFC 9110 5.6.1)."""
    members: list[str] = []
    begin, quoted, escaped = 0, False, False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            members.append(text[begin:position])
            begin = position + 1
    members.append(text[begin:])
    return [member.strip() for member in members if member.strip()]


def _quoted(value: str) -> str:
    if re.fullmatch(_NAME, value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
