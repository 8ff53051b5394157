"""Several nodes on one index and one object store, in one process: each ships its own, and reads the others'."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from pacs_gateway.access import Scope
from pacs_gateway.archive.nodes import NodeRequest, Nodes
from pacs_gateway.archive.ship import Shipper, _Waiting
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.database.schema.archive import instance
from pacs_gateway.domain.attributes import BY_KEYWORD
from pacs_gateway.domain.instance import Method, Origin
from pacs_gateway.domain.levels import Level
from pacs_gateway.domain.query import Query
from pacs_gateway.errors import NotFoundError, RefusedError, UnavailableError
from pacs_gateway.gateway import Gateway
from pacs_gateway.storage.seal import seal
from pacs_gateway.storage.store import ObjectReader
from tests.support.builders import Identity, encode, image, uid
from tests.support.gateways import Clock, open_test_gateway, put, ship_all

SECRET = "a secret of all the nodes"
ALL = Scope(None)
# A longer head than the usual origin's: the same data set lies elsewhere in its file.
ELSEWHERE = Origin(Method.DIMSE, "A_FACILITY_WITH_A_LONG_NAME", "CT1", "127.0.0.1")


@pytest.fixture
def nodes(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[tuple[Gateway, Gateway]]:
    """Two nodes that share everything but their spools."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    shared = {"database_url": database_url, "storage_url": f"file:{tmp_path / 'objects'}"}
    with (
        open_test_gateway(tmp_path / "a", clock=clock, **shared, node_secret=SECRET) as one,
        open_test_gateway(tmp_path / "b", clock=clock, **shared, node_secret=SECRET) as other,
    ):
        yield one, other


def only(gateway: Gateway) -> StoredInstance:
    (found,) = gateway.archive.retrieve.instances(ALL, study_uid=uid(1))
    return found


def data_set(gateway: Gateway, stored: StoredInstance | None = None) -> bytes:
    stored = stored or only(gateway)
    return b"".join(gateway.archive.retrieve.stream(stored, stored.dataset_offset))


def connect(monkeypatch: pytest.MonkeyPatch, reader: Gateway, holder: Gateway) -> None:
    """Let `reader` open entries of `holder` as if over the network."""

    @contextmanager
    def open_there(node_id: str, entry: str) -> Iterator[ObjectReader]:
        assert node_id == holder.archive.nodes.id
        with holder.archive.nodes.open_here(entry) as opened:
            yield opened

    monkeypatch.setattr(reader.archive.nodes, "open_there", open_there)


def put_unmarked(gateway: Gateway) -> tuple[Shipper, list[_Waiting]]:
    """Put what waits into the store, and do not get to say so."""
    shipper = gateway.archive.shipper()
    waiting = shipper._waiting()
    gateway.store.put_files([shipper._upload(one) for one in waiting])
    return shipper, waiting


def spooled(gateway: Gateway) -> list[Path]:
    return list(gateway.config.spool.root.rglob("*.dcm"))


# -- shipping


def test_every_node_ships_its_own_spool_alone(nodes: tuple[Gateway, Gateway]) -> None:
    one, other = nodes
    put(one, image(Identity(instance=1)))
    put(other, image(Identity(instance=2)))

    assert ship_all(other) == 1
    assert (len(spooled(one)), len(spooled(other))) == (1, 0)
    assert ship_all(one) == 1


def test_a_spool_that_moves_to_another_node_is_shipped_by_that(nodes: tuple[Gateway, Gateway]) -> None:
    one, other = nodes
    put(one, image())
    directory = one.archive.ingest.directory.path
    one.archive.close()

    directory.rename(other.config.spool.root / directory.name)
    with other.archive.recovery(facility="LOCAL") as recovery:
        assert recovery.adopt() == 0
        assert ship_all(other) == 1
    assert data_set(one) == encode(image())


def test_rows_older_than_nodes_belong_to_whoever_has_their_entries(nodes: tuple[Gateway, Gateway]) -> None:
    one, other = nodes
    put(one, image())
    one.archive.close()
    one.database.transact(lambda connection: connection.execute(update(instance).values(spool_node=None)))
    assert data_set(one) == encode(image())

    for gateway in (other, one):
        with gateway.archive.recovery(facility="LOCAL") as recovery:
            recovery.adopt()
            assert ship_all(gateway) == (gateway is one)


# -- reading


def test_what_another_node_has_not_shipped_is_read_from_it(
    nodes: tuple[Gateway, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = nodes
    put(one, image())
    connect(monkeypatch, other, one)

    assert data_set(other) == encode(image())


def test_what_is_shipped_since_the_row_was_read_is_read_from_the_store(
    nodes: tuple[Gateway, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = nodes
    put(one, image())
    connect(monkeypatch, other, one)
    stored = only(other)
    ship_all(one)

    assert data_set(other, stored) == encode(image())


def test_what_is_shipped_while_it_is_read_is_read_on(
    nodes: tuple[Gateway, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = nodes
    put(one, image())
    stored, expected = only(other), b"".join(one.archive.retrieve.stream(only(one)))

    class Once(ObjectReader):
        def _read(self, offset: int, length: int) -> bytes:
            if offset:
                raise NotFoundError("shipped")
            return expected[:length]

    @contextmanager
    def open_there(_node_id: str, _entry: str) -> Iterator[ObjectReader]:
        yield Once(len(expected))

    monkeypatch.setattr(other.archive.nodes, "open_there", open_there)
    ship_all(one)
    with other.archive.retrieve._holdings.open(stored) as reader:
        assert b"".join(reader.stream(chunk_size=100)) == expected


@pytest.mark.parametrize("begun", [False, True])
def test_a_node_that_is_gone_makes_its_bytes_unavailable_never_missing(
    nodes: tuple[Gateway, Gateway], monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    one, other = nodes
    put(one, image())

    class Gone(ObjectReader):
        def _read(self, offset: int, length: int) -> bytes:
            raise UnavailableError("no answer")

    @contextmanager
    def open_there(_node_id: str, _entry: str) -> Iterator[ObjectReader]:
        if not begun:
            raise UnavailableError("no answer")
        yield Gone(only(one).size_bytes)

    monkeypatch.setattr(other.archive.nodes, "open_there", open_there)
    with pytest.raises(UnavailableError):
        data_set(other)
    for derived in (
        lambda: other.archive.retrieve.thumbnail(ALL, study_uid=uid(1)),
        lambda: other.archive.retrieve.metadata(ALL, study_uid=uid(1)),
    ):
        with pytest.raises(UnavailableError):
            derived()
    # It had put the object before it ended, but had not said so.
    put_unmarked(one)
    assert data_set(other) == encode(image())


def test_bytes_that_are_nowhere_are_unavailable_not_missing(
    nodes: tuple[Gateway, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = nodes
    put(one, image())
    connect(monkeypatch, other, one)
    spooled(one)[0].unlink()

    for gateway in nodes:
        with pytest.raises(UnavailableError):
            data_set(gateway)


# -- the same data set on two nodes


def test_what_is_sent_again_to_another_node_is_kept_there(nodes: tuple[Gateway, Gateway]) -> None:
    one, other = nodes
    put(one, image())
    for path in spooled(one):  # the node is gone for good
        path.unlink()
    put(other, image(), origin=ELSEWHERE)

    assert len(spooled(other)) == 1
    assert data_set(other) == encode(image())
    assert ship_all(other) == 1
    assert data_set(other) == encode(image())
    with one.database.read() as connection:
        (row,) = connection.execute(select(instance)).mappings()
    assert (row["state"], row["spool_entry"], row["spool_node"]) == ("current", None, None)
    assert row["facility"] == ELSEWHERE.facility


def test_what_is_sent_again_to_the_same_node_is_dropped(nodes: tuple[Gateway, Gateway]) -> None:
    one, _ = nodes
    put(one, image())
    put(one, image(), origin=ELSEWHERE)

    assert len(spooled(one)) == 1
    assert data_set(one) == encode(image())


def test_an_object_that_another_node_put_meanwhile_is_taken_for_what_it_is(nodes: tuple[Gateway, Gateway]) -> None:
    one, other = nodes
    put(one, image())
    shipper, waiting = put_unmarked(one)
    put(other, image(), origin=ELSEWHERE)
    assert data_set(other) == encode(image())

    assert ship_all(other) == 1
    assert spooled(other) == []
    for gateway in nodes:
        assert data_set(gateway) == encode(image())
        frame = gateway.archive.retrieve.frame(only(gateway), 0)
        assert frame == image().PixelData[: len(frame)]
    shipper._mark(waiting)
    assert data_set(one) == encode(image())


def test_another_data_set_under_the_key_is_not_taken_for_it(nodes: tuple[Gateway, Gateway]) -> None:
    one, other = nodes
    put(one, image(Identity(instance=1)))
    stored = only(one)
    put(other, image(Identity(instance=2)))
    (file,) = spooled(other)
    one.store.put(f"instances/{stored.digest[:2]}/{stored.digest}.dcm", file.read_bytes())

    assert ship_all(one) == 0
    assert data_set(one, stored) == encode(image(Identity(instance=1)))


# -- heartbeats


def states(gateway: Gateway) -> dict[str, tuple[bool, int]]:
    return {node.id: (node.is_alive, node.n_unshipped) for node in gateway.archive.nodes.list()}


def test_nodes_are_listed_with_what_they_owe(nodes: tuple[Gateway, Gateway], clock: Clock) -> None:
    one, other = (gateway.archive.nodes for gateway in nodes)
    put(nodes[0], image())
    for node in (one, other):
        node.beat()

    assert states(nodes[0]) == {one.id: (True, 1), other.id: (True, 0)}
    assert [n.oldest_unshipped_at for n in one.list() if n.n_unshipped] == [clock()]
    assert nodes[0].readiness()["nodes"] == "ok"


def test_a_silent_node_is_seen(nodes: tuple[Gateway, Gateway], clock: Clock) -> None:
    one, other = (gateway.archive.nodes for gateway in nodes)
    one.beat()
    other.beat()
    clock.move(61)
    one.beat()

    assert states(nodes[0]) == {one.id: (True, 0), other.id: (False, 0)}
    assert nodes[0].readiness()["nodes"] == "degraded"


@pytest.mark.parametrize("owes", [False, True])
def test_a_node_that_ends_in_order_is_not_missed_unless_it_owes_something(
    nodes: tuple[Gateway, Gateway], clock: Clock, owes: bool
) -> None:
    one, other = nodes
    if owes:
        put(other, image())
    other.archive.nodes.beat()
    other.archive.nodes.leave()
    clock.move(3600)
    one.archive.nodes.beat()

    assert (other.archive.nodes.id in states(one)) is owes
    assert one.archive.nodes.are_alive() is not owes


def test_what_only_a_silent_node_has_is_found_and_said_to_be_out_of_reach(
    nodes: tuple[Gateway, Gateway], clock: Clock
) -> None:
    one, other = nodes
    put(other, image(Identity(study=1)))
    put(one, image(Identity(study=2)))
    for gateway in nodes:
        gateway.archive.nodes.beat()
    uids = [BY_KEYWORD["StudyInstanceUID"]]

    def reach() -> dict[str, bool]:
        pieces = one.archive.search.stream(Query(Level.STUDY), Scope(None), uids, tells_reach=True)
        return {match.values["StudyInstanceUID"]: match.is_in_reach for piece in pieces for match in piece}

    assert (one.archive.nodes.silent(), reach()) == (frozenset(), {uid(1): True, uid(2): True})
    clock.move(120)
    assert (one.archive.nodes.silent(), reach()) == (frozenset({other.archive.nodes.id}), {uid(1): False, uid(2): True})
    ship_all(other)
    assert reach() == {uid(1): True, uid(2): True}


@pytest.mark.parametrize("owes", [False, True])
def test_a_node_that_is_gone_for_a_day_is_forgotten_unless_it_owes_something(
    nodes: tuple[Gateway, Gateway], clock: Clock, owes: bool
) -> None:
    one, other = nodes
    if owes:
        put(other, image())
    other.archive.nodes.beat()
    clock.move(25 * 3600)
    one.archive.nodes.beat()

    assert (other.archive.nodes.id in states(one)) is owes


# -- who may ask


REQUEST = NodeRequest("GET", "/internal/spool/0a/1.dcm", "bytes=0-9", "0")


def timely(clock: Clock) -> NodeRequest:
    return replace(REQUEST, time=str(int(clock().timestamp())))


def test_sealed_and_timely_requests_are_admitted(nodes: tuple[Gateway, Gateway], clock: Clock) -> None:
    request = timely(clock)
    nodes[0].archive.nodes.admit(request, seal(SECRET, request))


def test_other_requests_are_refused(nodes: tuple[Gateway, Gateway], clock: Clock) -> None:
    request = timely(clock)
    for given in ("", seal("another secret, as long", request), seal(SECRET, replace(request, range="bytes=0-99"))):
        with pytest.raises(RefusedError):
            nodes[0].archive.nodes.admit(request, given)
    with pytest.raises(RefusedError, match="clocks"):
        nodes[0].archive.nodes.admit(REQUEST, seal(SECRET, REQUEST))


def test_without_a_secret_nobody_is_admitted(gateway: Gateway, clock: Clock) -> None:
    nodes: Nodes = gateway.archive.nodes
    request = timely(clock)
    with pytest.raises(RefusedError, match="PACS_NODE_SECRET"):
        nodes.admit(request, seal("", request))


def test_only_entries_of_the_spool_are_opened(nodes: tuple[Gateway, Gateway]) -> None:
    put(nodes[0], image())
    for entry in ("0a/missing.dcm", "../../index.db", "..//.node", "/etc/passwd", ".node", "a/../b.dcm", "a/.lock"):
        with pytest.raises(NotFoundError), nodes[0].archive.nodes.open_here(entry):
            pass
