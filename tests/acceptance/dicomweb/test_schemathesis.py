"""Whatever the description of the web allows is asked of a running gateway: it never fails, and answers as described.

Half of the requests name objects that are there, so that more than "not found" is reached.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pacs_gateway.access import Actor, Role
from pacs_gateway.dicomweb import dicom_xml
from pacs_gateway.gateway import Gateway, open_gateway
from tests.support import dicomweb
from tests.support.gateways import gateway_config
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.viewer_api import studies
from tests.viewer_api.studies import uid

pytestmark = pytest.mark.xdist_group("schemathesis")

_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_DEADLINE_S = 60.0
_N_SHORT, _N_LONG = 5, 400
# Who may remove what is asked for comes last, and removes it last.
_ACCOUNTS = ("reader", "boss")
# The samples by series: every kind of object, and in study 2 of every native syntax.
_OBJECTS = [(1, 1, 1), (1, 2, 1), (1, 3, 1), (1, 4, 1), (1, 5, 1), (1, 6, 1), *((2, 1, n) for n in range(1, 5))]
_FRAMES = ["1", "1,2", "5", "2,1,2", "99"]
_ELEMENTS = ["00420011", "0040A730/0/00420011", "0040A730", "7FE00010"]
_QUERY = {"studyUID": "study", "seriesUID": "series", "objectUID": "instance"}
_DOCUMENT = dicom_xml.encode(
    {"00080018": {"vr": "UI", "Value": [uid(7)]}, "7FE00010": {"vr": "OW", "BulkDataURI": "x"}}
)
_BOUNDARY = "between"
_KINDS = [
    "application/dicom",
    *(
        f'multipart/related; type="{kind}"; boundary={_BOUNDARY}'
        for kind in ("application/dicom", "application/dicom+json", "application/dicom+xml")
    ),
]

Operation = schemathesis.APIOperation[Any, Any, Any, Any]
Case = schemathesis.Case[Any]


@schemathesis.serializer("application/dicom")
def plain(_context: schemathesis.SerializationContext, value: bytes) -> bytes:
    """Return a body as it is."""
    return value


@schemathesis.serializer("multipart/related")
def wrapped(_context: schemathesis.SerializationContext, value: bytes) -> bytes:
    """Return a body of one part."""
    return b"--%b\r\n\r\n%b\r\n--%b--\r\n" % (_BOUNDARY.encode(), value, _BOUNDARY.encode())


@dataclass(frozen=True, slots=True)
class Described:
    """A running gateway, its description, and who asks."""

    schema: schemathesis.BaseSchema
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path_factory.mktemp("described"), {"PACS_DICOM_WORKERS": "1"}) as running:
        files = [studies.ct(), studies.rle(), studies.us(), studies.odd_fragments(), studies.pdf(), studies.report()]
        files += [studies.ct(2, 1, n, syntax) for n, syntax in enumerate(studies.NATIVE, 1)]
        with running.client() as client:
            assert dicomweb.store(client, files).status_code == 200
        yield running


@pytest.fixture(scope="module")
def described(gateway: RunningGateway) -> Described:
    with open_gateway(gateway_config(gateway.data_dir)) as inside:
        tokens = {
            name: _token(inside, name, role)
            for name, role in zip(_ACCOUNTS, (Role.READER, Role.ADMINISTRATOR), strict=True)
        }
    return Described(schemathesis.openapi.from_url(f"{gateway.url}/api/openapi.json"), tokens)


def _token(gateway: Gateway, name: str, role: Role) -> str:
    by = Actor("tests")
    gateway.access.accounts.create(name, role=role, facility="LOCAL", by=by, password="an everyday password")
    return gateway.access.tokens.add(name, account_name=name, by=by)


@st.composite
def existing(draw: st.DrawFn) -> dict[str, str]:
    """Values for the parameters of a path that name an object which is there."""
    study, series, instance = draw(st.sampled_from(_OBJECTS))
    return {
        "study": uid(study),
        "series": uid(study, series),
        "instance": uid(study, series, instance),
        "frames": draw(st.sampled_from(_FRAMES)),
        "frame": draw(st.sampled_from(_FRAMES)),
        "path": draw(st.sampled_from(_ELEMENTS)),
    }


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """What is sent to be stored and how it is called: objects whole, cut off, or none at all."""
    whole = draw(st.sampled_from([studies.ct(7), studies.report(7), _DOCUMENT]))
    return draw(st.sampled_from(_KINDS)), draw(st.binary(max_size=200) | st.just(whole) | st.just(whole[:-40]))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("account", _ACCOUNTS)
def test_it_never_fails_and_answers_as_described(
    described: Described, account: str, request: pytest.FixtureRequest
) -> None:
    n_examples = _N_LONG if request.config.getoption("--long") else _N_SHORT
    failures = []
    operations = [found.ok() for found in described.schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) > len(_OBJECTS)
    for operation in sorted(operations, key=lambda one: one.method != "get"):
        try:
            _ask(operation, described.tokens[account], n_examples)
        except FailureGroup as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


def _ask(operation: Operation, token: str, n_examples: int) -> None:
    """Ask for what an operation describes, each time something else."""
    phases = [Phase.explicit, Phase.generate]

    @settings(
        max_examples=n_examples, deadline=None, phases=phases, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(operation.as_strategy(), existing() | st.just({}), bodies())
    def ask(case: Case, there: dict[str, str], body: tuple[str, bytes]) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        case.path_parameters |= {name: there[name] for name in case.path_parameters if name in there}
        if operation.path == "/wado" and there:
            case.query |= {"requestType": "WADO"} | {name: there[part] for name, part in _QUERY.items()}
        if operation.body:
            kind, case.body = body
            case.media_type = kind.partition(";")[0]
            headers["Content-Type"] = kind
        case.call_and_validate(headers=headers, checks=_CHECKS, timeout=_DEADLINE_S)

    ask()
