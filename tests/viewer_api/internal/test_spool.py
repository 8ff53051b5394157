"""The spool for other nodes: only for them, by ranges, and 404 only of what is archived or was never here."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert

from pacs_gateway.access import Scope
from pacs_gateway.database.schema.archive import node as nodes_table
from pacs_gateway.errors import NotFoundError
from pacs_gateway.gateway import open_gateway
from pacs_gateway.storage.remote_spool import RemoteSpool
from pacs_gateway.storage.seal import SEAL_HEADER, TIME_HEADER, NodeRequest, seal
from tests.support.builders import image, part10, uid
from tests.support.gateways import gateway_config, ship_all
from tests.viewer_api.site import Site, open_site

SECRET = "a secret of all the nodes"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Site]:
    """A site with one instance that is not shipped."""
    with open_site(tmp_path, node_secret=SECRET) as opened:
        opened.put(part10(image()))
        yield opened


def entry(site: Site) -> Path:
    (path,) = site.gateway.config.spool.root.rglob("*.dcm")
    return path


def path_of(file: Path) -> str:
    return f"/internal/spool/{file.parent.name}/{file.name}"


def ask(site: Site, path: str, span: str = "bytes=0-9", *, secret: str = SECRET, late_s: float = 0) -> httpx.Response:
    time = str(int((datetime.now(UTC) - timedelta(seconds=late_s)).timestamp()))
    headers = {"Range": span, TIME_HEADER: time, SEAL_HEADER: seal(secret, NodeRequest("GET", path, span, time))}
    return httpx.get(f"{site.url}{path}", headers=headers, timeout=30)


def test_a_node_reads_what_another_has_not_shipped(node: Site) -> None:
    file = entry(node)
    content = file.read_bytes()
    spool = RemoteSpool(SECRET, clock=lambda: datetime.now(UTC))

    with spool.open(node.url, f"{file.parent.name}/{file.name}") as reader:
        assert b"".join(reader.stream(chunk_size=100)) == content
        ship_all(node.gateway)
        assert reader.read(0, len(content)) == content  # came with the first answer
        with pytest.raises(NotFoundError), spool.open(node.url, f"{file.parent.name}/{file.name}"):
            pass


def test_another_node_of_the_installation_finds_its_way(node: Site, tmp_path: Path) -> None:
    at = {"id": node.gateway.archive.nodes.id, "url": node.url, "heartbeat_at": 0}
    node.gateway.database.transact(lambda connection: connection.execute(insert(nodes_table).values(at)))
    shared = {
        "database_url": str(node.gateway.config.database.url),
        "storage_url": f"file:{node.gateway.config.objects}",
        "node_secret": SECRET,
    }
    with open_gateway(gateway_config(tmp_path / "other", **shared)) as other:
        (stored,) = other.archive.retrieve.instances(Scope(None), study_uid=uid(1))
        assert b"".join(other.archive.retrieve.stream(stored)) == entry(node).read_bytes()
        assert other.archive.retrieve.thumbnail(Scope(None), study_uid=uid(1)).body[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("span", "expected"),
    [("bytes=0-0", (0, 1)), ("bytes=100-199", (100, 200)), ("bytes=100-999999999999", (100, None))],
)
def test_ranges_are_as_asked(node: Site, span: str, expected: tuple[int, int | None]) -> None:
    content = entry(node).read_bytes()
    answer = ask(node, path_of(entry(node)), span)

    assert answer.status_code == 206
    assert answer.content == content[slice(*expected)]
    last = expected[0] + len(answer.content) - 1
    assert answer.headers["content-range"] == f"bytes {expected[0]}-{last}/{len(content)}"


@pytest.mark.parametrize(
    ("span", "status"),
    [
        ("bytes=9-8", 416),
        ("bytes=999999999999-9999999999999", 416),
        ("", 400),
        ("bytes=0-", 400),
        ("bytes=-5", 400),
        ("bytes=0-1,5-6", 400),
        ("bytes=" + "9" * 40 + "-1", 400),
        ("bits=0-1", 400),
    ],
)
def test_other_ranges_are_refused(node: Site, span: str, status: int) -> None:
    assert ask(node, path_of(entry(node)), span).status_code == status


def test_nobody_else_is_answered(node: Site) -> None:
    path = path_of(entry(node))

    with node.client("boss") as boss:
        assert boss.get(path, headers={"Range": "bytes=0-9"}).status_code == 403
    assert ask(node, path, secret="another secret, as long").status_code == 403
    assert ask(node, path, late_s=31).status_code == 403
    assert ask(node, path, late_s=-32).status_code == 403
    for missing in (TIME_HEADER, SEAL_HEADER):
        headers = {"Range": "bytes=0-9", TIME_HEADER: "0", SEAL_HEADER: "0" * 64}
        del headers[missing]
        assert httpx.get(f"{node.url}{path}", headers=headers).status_code == 403
    assert httpx.post(f"{node.url}{path}").status_code == 405


def test_without_a_secret_nobody_is_answered(tmp_path: Path) -> None:
    with open_site(tmp_path) as site:
        site.put(part10(image()))
        assert ask(site, path_of(entry(site)), secret="").status_code == 403


def test_only_what_is_archived_or_unknown_is_not_found(node: Site) -> None:
    file = entry(node)
    content = file.read_bytes()
    assert ask(node, "/internal/spool/0a/0b.dcm").status_code == 404
    for elsewhere in (f"{file.parent.name}/.lock", f"{file.parent.name}/..%2f.node", "%2e%2e/index.db"):
        assert ask(node, f"/internal/spool/{elsewhere}").status_code in (403, 404)

    file.unlink()
    damaged = ask(node, path_of(file))
    assert (damaged.status_code, damaged.headers["retry-after"]) == (503, "10")

    file.write_bytes(content)
    ship_all(node.gateway)
    assert ask(node, path_of(file)).status_code == 404


def test_the_interface_between_nodes_is_not_described(node: Site) -> None:
    with node.client("boss") as boss:
        assert "internal" not in boss.get("/api/openapi.json").text
