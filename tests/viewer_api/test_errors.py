"""The table of HTTP statuses is complete, and its answers tell what they should and no more."""

from collections.abc import Iterator

import orjson
import pytest

import pacs_gateway.dicomweb.multipart
from pacs_gateway import errors
from viewer_api.errors import PROBLEM_TYPE, STATUSES, problem_of


def _family(kind: type[errors.GatewayError]) -> Iterator[type[errors.GatewayError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


def test_every_error_the_gateway_names_has_a_status() -> None:
    assert pacs_gateway.dicomweb.multipart.MessageTooLargeError in STATUSES
    # What breaks the DICOM upper layer never comes here.
    elsewhere = ("tests.", "pacs_gateway.dimse.")
    named = {kind for kind in _family(errors.GatewayError) if not kind.__module__.startswith(elsewhere)}
    assert {kind.__name__ for kind in named - set(STATUSES)} == set()


@pytest.mark.parametrize("kind", STATUSES)
def test_the_answer_is_a_problem_with_its_correlation_id(kind: type[errors.GatewayError]) -> None:
    response = problem_of(kind("the reason"), request_id="r1")
    body = orjson.loads(response.body)
    assert response.headers["content-type"] == PROBLEM_TYPE
    assert (body["status"], body["request_id"]) == (response.status_code, "r1")
    assert ("detail" in body) == (response.status_code != 500)


def test_a_caller_is_told_how_to_go_on() -> None:
    assert problem_of(errors.UnauthenticatedError()).headers["www-authenticate"] == "Bearer"
    assert int(problem_of(errors.CapacityError()).headers["retry-after"]) > 0
