"""Instances sent as metadata and bulk data (PS3.18 10.5.1.4), as pydicom's JSON has them."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.encaps import generate_frames

DICOM_JSON = "application/dicom+json"
MEDIA_TYPES: Mapping[str, str] = {
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
}


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part of a body."""

    content_type: str
    content: bytes
    location: str = ""

    def encoded(self, boundary: str) -> bytes:
        """Return the part with its delimiter and headers."""
        location = f"Content-Location: {self.location}\r\n" if self.location else ""
        return f"--{boundary}\r\nContent-Type: {self.content_type}\r\n{location}\r\n".encode() + self.content + b"\r\n"


def taken_apart(ds: Dataset, prefix: str = "bulk/") -> tuple[dict[str, Any], list[SentPart]]:
    """Return an object's metadata and the parts of its bulk data; compressed frames go in parts of their own."""
    parts: list[SentPart] = []
    syntax = str(ds.file_meta.TransferSyntaxUID)
    is_compressed = ds.file_meta.TransferSyntaxUID.is_encapsulated

    def apart(element: DataElement) -> str:
        uri = f"{prefix}{len(parts)}"
        if element.tag == 0x7FE00010 and is_compressed:
            kind = f"{MEDIA_TYPES.get(syntax, 'image/jpeg')}; transfer-syntax={syntax}"
            frames = generate_frames(element.value, number_of_frames=int(ds.get("NumberOfFrames") or 1))
            parts.extend(SentPart(kind, frame, uri) for frame in frames)
        else:
            parts.append(SentPart("application/octet-stream", bytes(element.value), uri))
        return uri

    return ds.to_json_dict(bulk_data_threshold=1, bulk_data_element_handler=apart), parts


def post(
    client: httpx.Client, parts: Sequence[SentPart], *, kind: str = DICOM_JSON, path: str = "/dicom-web/studies"
) -> httpx.Response:
    """Send the parts of a store and return its answer."""
    boundary = secrets.token_hex(16)
    body = b"".join(part.encoded(boundary) for part in parts) + f"--{boundary}--\r\n".encode()
    headers = {"Content-Type": f'multipart/related; type="{kind}"; boundary={boundary}'}
    return client.post(path, content=body, headers=headers)


def metadata(*datasets: Mapping[str, Any]) -> SentPart:
    """Return the part that holds the metadata of instances."""
    return SentPart(DICOM_JSON, json.dumps(datasets).encode())
