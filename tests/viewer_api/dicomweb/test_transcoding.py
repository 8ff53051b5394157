"""Objects and frames leave in every lossless syntax that is asked for, with the same pixels and the same words."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import generate_frames, parse_basic_offsets
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, JPEG2000Lossless, JPEGLSLossless

from pacs_gateway.imaging.compress import ENCODERS
from pacs_gateway.imaging.decode import decode_frame
from pacs_gateway.imaging.pixels import describe_pixels
from tests.viewer_api import studies
from tests.viewer_api.dicomweb.test_retrieve import CT, RLE, ROOT, SR, US, objects, parts
from tests.viewer_api.site import Site, open_site
from tests.viewer_api.studies import uid
from viewer_api.negotiation import MEDIA_TYPES

JPEG_XL = "1.2.840.10008.1.2.4.110"
BIG = f"/dicom-web/studies/{uid(2)}/series/{uid(2, 1)}/instances/{uid(2, 1, 3)}"
CLIP = studies.values(1, (5, 8, 6, 3), "u1")
# The CT is signed, which JPEG XL cannot say; the clip has colour, which is not deflated frame by frame.
KEPT = {CT: set(ENCODERS) - {JPEG_XL}, US: set(ENCODERS) - {"1.2.840.10008.1.2.8.1"}, RLE: set(ENCODERS) - {JPEG_XL}}


def wanted(syntax: str, kind: str = "application/dicom") -> dict[str, str]:
    return {"Accept": f'multipart/related; type="{kind}"; transfer-syntax={syntax}'}


@pytest.mark.parametrize("syntax", sorted(ENCODERS))
@pytest.mark.parametrize("path", [CT, US, RLE, BIG])
def test_an_object_leaves_in_the_syntax_asked_for_with_its_pixels(client: httpx.Client, path: str, syntax: str) -> None:
    response = client.get(path, headers=wanted(syntax))
    if syntax not in KEPT.get(path, KEPT[CT]):
        assert (response.status_code, "without loss" in response.json()["detail"]) == (406, True)
        return
    ((content_type, content),) = parts(response)
    assert content_type == f"application/dicom; transfer-syntax={syntax}"
    ds = dcmread(BytesIO(content))
    assert ds.file_meta.TransferSyntaxUID == syntax
    assert (ds.PatientName, ds.StudyInstanceUID) == (studies.NAME, path.split("/")[3])
    description = describe_pixels(ds, syntax)
    frames = list(generate_frames(ds.PixelData, number_of_frames=description.n_frames))
    if path != RLE or syntax != "1.2.840.10008.1.2.5":
        assert len(parse_basic_offsets(ds.PixelData)) == description.n_frames
    expected = CLIP if path == US else studies.values(3 if path == BIG else 1)
    for index, frame in enumerate(frames):
        assert np.array_equal(decode_frame(frame, description, index=index), expected[index])


@pytest.mark.parametrize("syntax", sorted(ENCODERS))
@pytest.mark.parametrize("path", [CT, US, BIG])
def test_frames_leave_in_the_syntax_and_media_type_asked_for(client: httpx.Client, path: str, syntax: str) -> None:
    if syntax not in KEPT.get(path, KEPT[CT]):
        return
    for kind in {MEDIA_TYPES.get(syntax, "application/octet-stream"), "application/octet-stream"}:
        response = client.get(f"{path}/frames/1", headers=wanted(syntax, kind))
        ((content_type, content),) = parts(response)
        assert content_type == f"{kind}; transfer-syntax={syntax}"
        alone = client.get(f"{path}/frames/1", headers={"Accept": f"{kind}; transfer-syntax={syntax}"})
        assert (alone.headers["content-type"], alone.content) == (content_type, content)


def test_a_media_type_alone_means_its_default_syntax(client: httpx.Client) -> None:
    ((content_type, _),) = parts(
        client.get(f"{CT}/frames/1", headers={"Accept": 'multipart/related; type="image/jls"'})
    )
    assert content_type == f"image/jls; transfer-syntax={JPEGLSLossless}"


def test_the_next_best_is_sent_where_the_best_cannot_keep_the_pixels(client: httpx.Client) -> None:
    accept = f"{wanted(JPEG_XL)['Accept']}, {wanted(JPEG2000Lossless)['Accept']};q=0.5"
    (found,) = objects(client.get(CT, headers={"Accept": accept}))
    assert found.file_meta.TransferSyntaxUID == JPEG2000Lossless


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.81"])
def test_nothing_is_compressed_with_loss(client: httpx.Client, syntax: str) -> None:
    for path in (CT, f"{CT}/frames/1"):
        response = client.get(path, headers=wanted(syntax))
        assert (response.status_code, "/rendered" in response.json()["detail"]) == (406, True)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", ExplicitVRBigEndian])
def test_what_web_services_must_not_send_is_not_sent(client: httpx.Client, syntax: str) -> None:
    assert client.get(CT, headers=wanted(syntax)).status_code == 406


@pytest.mark.parametrize("path", [CT, US, SR, BIG])
def test_a_data_set_is_deflated_when_asked_for(client: httpx.Client, path: str) -> None:
    (deflated,) = objects(client.get(path, headers=wanted(DeflatedExplicitVRLittleEndian)))
    (plain,) = objects(client.get(path))
    assert deflated.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert dict(deflated.items()).keys() == dict(plain.items()).keys()
    assert deflated == plain


def test_accept_in_the_query_counts_instead_of_the_header(client: httpx.Client) -> None:
    asked = client.get(CT, params={"accept": wanted(JPEGLSLossless)["Accept"]}, headers={"Accept": "text/html"})
    assert objects(asked)[0].file_meta.TransferSyntaxUID == JPEGLSLossless


def test_a_study_is_compressed_as_a_whole(client: httpx.Client) -> None:
    found = objects(client.get(f"{ROOT}/series/{uid(1, 1)}", headers=wanted(JPEG2000Lossless)))
    assert [ds.file_meta.TransferSyntaxUID for ds in found] == [JPEG2000Lossless] * 3
    assert [int(ds.InstanceNumber) for ds in found] == [1, 2, 3]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path) as opened:
        yield opened


def test_an_overlay_in_the_pixels_is_not_lost_by_compressing(fresh: Site) -> None:
    ds = studies.pixels(studies.base(), studies.values(1, (1, 12, 10), "<u2"))
    ds.BitsStored, ds.HighBit = 12, 11
    ds.add_new(0x60000010, "US", 12)
    ds.add_new(0x60000102, "US", 15)
    fresh.put(studies.encode(ds))
    with fresh.client() as client:
        response = client.get(CT, headers=wanted(JPEGLSLossless))
        assert (response.status_code, "overlay" in response.json()["detail"]) == (406, True)
        assert client.get(CT).status_code == 200
