"""Who may ask for what: every operation the running gateway describes, for callers of every kind (promises B17).

The rules are by method and kind of operation, so that a new route is asked for by everybody without being added here,
and a kind of operation nobody has thought about fails.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

import httpx
import pytest

from pacs_gateway.access import Actor, Role
from pacs_gateway.domain.instance import Method, Origin
from pacs_gateway.gateway import open_gateway
from tests.support import dicomweb
from tests.support.builders import Identity, image, part10, uid
from tests.support.gateways import gateway_config, put_file
from tests.support.running_gateway import RunningGateway

pytestmark = pytest.mark.xdist_group("dicomweb")

_ASKED, _OTHER = 501, 502
"""A study of this gateway's own facility, and one of another's."""
_ELSEWHERE = "ELSEWHERE"


class Rule(Enum):
    """What a kind of operation is to those who call."""

    PUBLIC = auto()
    """Shows no patient."""
    SEARCH = auto()
    """For those who are known; tells of what they may see only."""
    READ = auto()
    """For those who may see the study; to others it does not exist."""
    CHANGE = auto()
    """Not for readers."""


RULES: Mapping[tuple[str, str], Rule] = MappingProxyType(
    {
        ("get", "operations"): Rule.PUBLIC,
        ("get", "Capabilities"): Rule.PUBLIC,
        ("get", "QIDO-RS"): Rule.SEARCH,
        ("get", "WADO-RS"): Rule.READ,
        ("get", "WADO-RS rendered"): Rule.READ,
        ("get", "WADO-RS thumbnails"): Rule.READ,
        ("get", "WADO-URI"): Rule.READ,
        ("get", "portal"): Rule.READ,
        ("post", "STOW-RS"): Rule.CHANGE,
        ("delete", "Removal"): Rule.CHANGE,
        ("post", "Removal"): Rule.CHANGE,
    }
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as the gateway describes it."""

    method: str
    path: str
    tag: str

    @property
    def rule(self) -> Rule | None:
        return RULES.get((self.method, self.tag))

    def address(self, study: int) -> str:
        """Return its path for a study, with the parameters that it cannot do without."""
        if self.path == "/wado":
            uids = f"studyUID={uid(study)}&seriesUID={uid(study, 1)}&objectUID={uid(study, 1, 1)}"
            return f"/wado?requestType=WADO&{uids}"
        return self.path.format_map(
            {
                "study": uid(study),
                "series": uid(study, 1),
                "instance": uid(study, 1, 1),
                "frame": "1",
                "frames": "1",
                "path": "00420011",
                "code": "113001%5EDCM",
            }
        )


@dataclass(frozen=True, slots=True)
class Callers:
    """Clients by who they are."""

    nobody: httpx.Client
    forged: httpx.Client
    reader: httpx.Client
    stranger: httpx.Client
    """Reads the other facility."""
    boss_elsewhere: httpx.Client
    """Administers, and belongs to the other facility."""


@pytest.fixture(scope="module")
def callers(gateway: RunningGateway) -> Iterator[Callers]:
    """Accounts of both facilities, made beside the running gateway, and a study of each."""
    by, headers = Actor("tests"), {"nobody": {}, "forged": {"Authorization": "Bearer pgw_" + "x" * 43}}
    with open_gateway(gateway_config(gateway.data_dir)) as inside:
        for name, role, facility in (
            ("reader", Role.READER, "LOCAL"),
            ("stranger", Role.READER, _ELSEWHERE),
            ("boss_elsewhere", Role.ADMINISTRATOR, _ELSEWHERE),
        ):
            inside.access.accounts.create(name, role=role, facility=facility, by=by)
            token = inside.access.tokens.add(f"{name}-token", account_name=name, by=by)
            headers[name] = {"Authorization": f"Bearer {token}"}
        for study, facility in ((_ASKED, "LOCAL"), (_OTHER, _ELSEWHERE)):
            ds = image(Identity(study=study, extra={"EncapsulatedDocument": bytes(5000)}))
            put_file(inside, part10(ds), origin=Origin(Method.IMPORT, facility))
    with ExitStack() as stack:
        yield Callers(
            **{
                name: stack.enter_context(httpx.Client(base_url=gateway.url, headers=header, timeout=60))
                for name, header in headers.items()
            }
        )


@pytest.fixture(scope="module")
def operations(callers: Callers) -> list[Operation]:
    """Every operation that the gateway describes."""
    described = callers.reader.get("/api/openapi.json").json()
    return [
        Operation(method, path, operation["tags"][0])
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]


def _of(operations: list[Operation], rule: Rule) -> list[Operation]:
    return [operation for operation in operations if operation.rule is rule]


def test_every_kind_of_operation_has_a_rule(operations: list[Operation]) -> None:
    assert {operation for operation in operations if operation.rule is None} == set()
    assert len(operations) > 25


def test_nobody_learns_anything_without_saying_who_they_are(callers: Callers, operations: list[Operation]) -> None:
    for operation in operations:
        statuses = {
            client.request(operation.method, operation.address(_ASKED), headers={"Accept": "*/*"}).status_code
            for client in (callers.nobody, callers.forged)
        }
        assert statuses == ({200} if operation.rule is Rule.PUBLIC else {401}), operation


def test_a_reader_finds_what_is_of_the_own_facility_only(callers: Callers, operations: list[Operation]) -> None:
    for operation in _of(operations, Rule.SEARCH):
        mine = callers.reader.get(operation.address(_ASKED))
        assert mine.status_code == httpx.codes.OK, operation
        assert uid(_ASKED) in mine.text, operation
        assert uid(_OTHER) not in mine.text, operation
        assert callers.stranger.get(operation.address(_ASKED)).text.find(uid(_ASKED)) < 0, operation


@pytest.mark.parametrize(
    "keys",
    [
        {"StudyInstanceUID": uid(_OTHER)},
        {"0020000D": f"{uid(_ASKED)},{uid(_OTHER)}"},
        {"PatientID": "*"},
        {"PatientName": "*"},
        {"includefield": "all"},
        {"AccessionNumber": f"A{_OTHER}"},
        {"limit": "1", "offset": "0"},
        {"fuzzymatching": "true", "PatientName": "nguyen"},
    ],
)
def test_no_key_of_a_search_leads_elsewhere(callers: Callers, keys: dict[str, str]) -> None:
    for resource in ("studies", "series", "instances"):
        answer = callers.reader.get(f"/dicom-web/{resource}", params=keys)
        assert answer.status_code == httpx.codes.OK
        assert uid(_OTHER) not in answer.text


def test_what_is_of_another_facility_does_not_exist(callers: Callers, operations: list[Operation]) -> None:
    for operation in _of(operations, Rule.READ):
        for accept in ("*/*", '*/*, multipart/related; type="application/octet-stream"; transfer-syntax=*'):
            answer = callers.stranger.get(operation.address(_ASKED), headers={"Accept": accept})
            absent = callers.stranger.get(operation.address(999), headers={"Accept": accept})
            assert (answer.status_code, absent.status_code) == (404, 404), operation
            # Nothing in the answer tells the one from the other.
            different = {"request_id"}
            assert {k: v for k, v in answer.json().items() if k not in different} == {
                k: v for k, v in absent.json().items() if k not in different
            }, operation


def test_a_way_through_another_study_leads_nowhere(callers: Callers, operations: list[Operation]) -> None:
    """A study that may be seen in the path, and a series or an instance of another that may not."""
    for operation in _of(operations, Rule.READ):
        if "{series}" not in operation.path:
            continue
        address = operation.address(_ASKED).replace(uid(_ASKED), uid(_OTHER), 1)
        assert callers.stranger.get(address).status_code == httpx.codes.NOT_FOUND, operation


def test_who_may_read_can_use_every_way_to(callers: Callers, operations: list[Operation]) -> None:
    for operation in _of(operations, Rule.READ):
        for client, study in ((callers.reader, _ASKED), (callers.stranger, _OTHER), (callers.boss_elsewhere, _ASKED)):
            status = client.get(operation.address(study)).status_code
            assert status == httpx.codes.OK, (operation, study)


def test_readers_change_nothing(callers: Callers, operations: list[Operation]) -> None:
    for operation in _of(operations, Rule.CHANGE):
        for client in (callers.reader, callers.stranger):
            status = client.request(operation.method, operation.address(_ASKED)).status_code
            assert status == httpx.codes.FORBIDDEN, operation
    found = dicomweb.search(callers.reader, "/instances", StudyInstanceUID=uid(_ASKED))
    assert len(found) == 1


def test_methods_that_are_not_described_are_not_allowed(callers: Callers, operations: list[Operation]) -> None:
    described = {(operation.method, operation.path) for operation in operations}
    for operation in operations:
        for method in ("post", "put", "patch", "delete"):
            if (method, operation.path) in described:
                continue
            answer = callers.boss_elsewhere.request(method, operation.address(_ASKED))
            assert answer.status_code == httpx.codes.METHOD_NOT_ALLOWED, (method, operation.path)
